//! A signed call of Alibaba Cloud's RPC-style APIs, in both signature schemes. Nothing here sends.

pub mod request; // call and signature → address and headers (pure)
pub mod signature; // canonical query → string to sign → signature (pure)

/// 128 random bits in hexadecimal: unique to an attempt.
///
/// # Errors
/// When the system gives no random bytes.
pub fn nonce() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(hex::encode(bytes))
}
