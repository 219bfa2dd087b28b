//! Where records are kept: a bucket or a folder.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use jiff::Timestamp;

use crate::credentials::CredentialsError;
use crate::refusal::Refusal;
use crate::retry::{Remediable, Remedy};

pub mod bucket;
pub mod directory;

use bucket::BucketStore;
use directory::DirectoryStore;

/// What is stored under one key.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    /// Its bytes.
    pub body: Vec<u8>,
    /// Media type.
    pub content_type: String,
    /// Names in lower case, values in printable ASCII.
    pub metadata: BTreeMap<String, String>,
}

/// What [`Store::put_if_absent`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object is there now. A store that ignores conditions says so for a repetition, too;
    /// the bytes are the same then.
    Created,
    /// It was there before and was left alone.
    Exists,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Below the archive's prefix.
    pub key: String,
    /// Length as stored, in bytes.
    pub bytes: u64,
    /// When it was stored, by the store's clock.
    pub stored_at: Timestamp,
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the order of their keys.
    pub entries: Vec<Entry>,
    /// Where the next part begins; `None` at the end.
    pub next: Option<String>,
}

/// An archive's store. Keys are below the archive's prefix, which the store puts before them.
pub trait Store: Send + Sync {
    /// Stores an object unless there is one under its key. What is there is never replaced by
    /// other bytes: keys are made of their content.
    ///
    /// # Errors
    /// [`StoreError`]; the object may or may not be there then.
    fn put_if_absent(
        &self,
        key: &str,
        object: &Object,
    ) -> impl Future<Output = Result<PutOutcome, StoreError>> + Send;

    /// The object under a key, if any.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot tell.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Object>, StoreError>> + Send;

    /// Removes an object; one that is not there is none.
    ///
    /// # Errors
    /// [`StoreError`]; the object may or may not be there then.
    fn delete(&self, key: &str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The keys that start with `prefix`, from `next` of the page before on.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be listed.
    fn list(
        &self,
        prefix: &str,
        next: Option<&str>,
    ) -> impl Future<Output = Result<Page, StoreError>> + Send;

    /// The address of an object, as other tools take it.
    fn url(&self, key: &str) -> String;
}

/// Why a store could not do as asked; the variants are what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Throttled, failing or out of reach. Try again.
    #[error("the archive is out of reach: {0}")]
    Unavailable(String),
    /// The signature's time or token is no longer good. Try again with fresh ones.
    #[error("the archive asks for a fresh signature: {0}")]
    StaleSignature(String),
    /// There are no credentials to ask with.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Keys, permissions or the bucket's name are wrong. Someone must mend them.
    #[error("the archive refused access: {0}")]
    Denied(Refusal),
    /// The store does not accept the request, and trying again would not change that.
    #[error("the archive rejected the request: {0}")]
    Rejected(Refusal),
    /// The folder cannot be written or read.
    #[error("the archive's folder fails at {path}")]
    Io {
        /// The file or folder.
        path: std::path::PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
}

impl StoreError {
    /// What this side of the store does not accept.
    fn rejected(account: String) -> Self {
        Self::Rejected(Refusal {
            status: 0,
            code: String::new(),
            account,
        })
    }

    /// Whether the same call may succeed a little later, with nobody mending anything.
    pub fn is_transient(&self) -> bool {
        self.remedy() != Remedy::GiveUp
    }
}

impl Remediable for StoreError {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Unavailable(_) | Self::Credentials(CredentialsError::Unavailable(_)) => {
                Remedy::Wait
            }
            Self::StaleSignature(_) => Remedy::SignAgain,
            Self::Credentials(CredentialsError::Refused(_))
            | Self::Denied(_)
            | Self::Rejected(_)
            | Self::Io { .. } => Remedy::GiveUp,
        }
    }

    fn out_of_time() -> Self {
        Self::Unavailable("the time for this invocation is over".into())
    }
}

/// The store that `ARCHIVE_URL` names.
#[derive(Debug, Clone)]
pub enum ArchiveStore {
    /// `s3://` or `oss://`.
    Bucket(BucketStore),
    /// `file://`.
    Directory(DirectoryStore),
}

// A bucket's futures are boxed: the SDK's are nested too deep for the compiler to follow them
// through every caller.
impl Store for ArchiveStore {
    async fn put_if_absent(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        match self {
            Self::Bucket(store) => store.put_if_absent(key, object).boxed().await,
            Self::Directory(store) => store.put_if_absent(key, object).await,
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        match self {
            Self::Bucket(store) => store.get(key).boxed().await,
            Self::Directory(store) => store.get(key).await,
        }
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        match self {
            Self::Bucket(store) => store.delete(key).boxed().await,
            Self::Directory(store) => store.delete(key).await,
        }
    }

    async fn list(&self, prefix: &str, next: Option<&str>) -> Result<Page, StoreError> {
        match self {
            Self::Bucket(store) => store.list(prefix, next).boxed().await,
            Self::Directory(store) => store.list(prefix, next).await,
        }
    }

    fn url(&self, key: &str) -> String {
        match self {
            Self::Bucket(store) => store.url(key),
            Self::Directory(store) => store.url(key),
        }
    }
}
