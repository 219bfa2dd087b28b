//! Signs calls of Alibaba Cloud's APIs: RPC-style ones in both signature schemes, ROA-style ones in the
//! newer one. This folder sends nothing.

pub mod function_compute; // calls, endpoints and refusals of Function Compute (pure)
pub mod request; // call and signature → address and headers (pure)
pub mod signature; // canonical query → string to sign → signature (pure)

/// 128 random bits in hexadecimal. Each attempt needs its own.
///
/// # Errors
/// If the system returns no random bytes.
pub fn nonce() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(hex::encode(bytes))
}
