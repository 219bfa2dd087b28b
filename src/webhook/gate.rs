//! Lets pushes in or keeps them out: the policy, with the certificates that it needs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use url::Url;

use super::{PublicKey, Push, Refused, Verdict, WebhookPolicy};

/// A sender waits for its answer meanwhile.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// A certificate has one or two kilobytes.
const MAX_CERTIFICATE_BYTES: usize = 64 << 10;
/// EventBridge has one certificate a region and changes it rarely.
const MAX_KEPT: usize = 16;

/// Lets pushes in or keeps them out. Copies share the certificates that are kept.
#[derive(Debug, Clone)]
pub struct Gate {
    policy: WebhookPolicy,
    http: reqwest::Client,
    kept: Arc<Mutex<BTreeMap<Url, PublicKey>>>,
}

/// Why a push is not let in; the variants are what the sender does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// It must not send that again.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It may send it again: the certificate could not be fetched.
    #[error("EventBridge's certificate cannot be fetched: {0}")]
    NoCertificate(String),
}

impl Gate {
    /// Lets in what `policy` says.
    pub fn new(policy: WebhookPolicy, http: reqwest::Client) -> Self {
        let kept = Arc::default();
        Self { policy, http, kept }
    }

    /// Whether a push is let in.
    ///
    /// # Errors
    /// [`GateError`] when it is not.
    pub async fn check(&self, push: &Push<'_>) -> Result<(), GateError> {
        match self.policy.judge(push, Timestamp::now())? {
            Verdict::Served => Ok(()),
            Verdict::NeedsCertificate(url) => {
                let certificate = self.certificate(&url).await?;
                Ok(self.policy.verify(push, &certificate)?)
            }
        }
    }

    async fn certificate(&self, url: &Url) -> Result<PublicKey, GateError> {
        if let Some(key) = self.kept.lock().await.get(url) {
            return Ok(key.clone());
        }
        let pem = self.fetch(url).await.map_err(GateError::NoCertificate)?;
        let key = PublicKey::from_certificate(&pem)
            .map_err(|error| GateError::NoCertificate(error.to_string()))?;
        let mut kept = self.kept.lock().await;
        // Addresses are the sender's to choose among EventBridge's buckets.
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(url.clone(), key.clone());
        Ok(key)
    }

    async fn fetch(&self, url: &Url) -> Result<Vec<u8>, String> {
        let failed = |error: reqwest::Error| crate::http::innermost(&error.without_url());
        let request = self.http.get(url.clone()).timeout(FETCH_TIMEOUT);
        let mut response = request.send().await.map_err(failed)?;
        if response.status() != 200 {
            return Err(format!("status {}", response.status().as_u16()));
        }
        let mut pem = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            if pem.len() + piece.len() > MAX_CERTIFICATE_BYTES {
                return Err("it is too long".to_owned());
            }
            pem.extend_from_slice(&piece);
        }
        Ok(pem)
    }
}
