//! A signed call of Alibaba Cloud's RPC-style APIs, in both signature schemes. Nothing here sends.

pub mod request; // call and signature → address and headers (pure)
pub mod signature; // canonical query → string to sign → signature (pure)
