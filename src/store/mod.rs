//! Where records are kept: a bucket or a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;

use crate::credentials::CredentialsError;
use crate::refusal::Refusal;
use crate::retry::{self, RetryAdvice, Retryable, Retrying, retry};

pub mod bucket;
pub mod directory;
mod disk;

use bucket::BucketStore;
use directory::DirectoryStore;

/// Most bytes of an object that is read. A failed event is the largest object of this program: an
/// event of [`crate::intake::MAX_EVENT_BYTES`] whose every byte JSON spells with six.
pub const MAX_OBJECT_BYTES: u64 = 64 << 20;

/// Pages of a listing, one after the other, that may bring nothing new. A versioned bucket gives
/// pages without objects where many were removed.
const MAX_FRUITLESS_PAGES: usize = 10_000;

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
    /// In the order of their keys; of a store that has no order, in that of the page.
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
    /// [`StoreError`] when the store cannot tell, and [`StoreError::TooLarge`] for an object of more
    /// than [`MAX_OBJECT_BYTES`], which is not read.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Object>, StoreError>> + Send;

    /// The metadata of the object under a key, if any. It reads no more of the object than it must.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn metadata(
        &self,
        key: &str,
    ) -> impl Future<Output = Result<Option<BTreeMap<String, String>>, StoreError>> + Send {
        async { Ok(self.get(key).await?.map(|object| object.metadata)) }
    }

    /// Removes an object. Succeeds if it does not exist.
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

impl<S: Store> Store for Retrying<'_, S> {
    async fn put_if_absent(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        retry(self.deadline, "storing an object", || {
            self.inner.put_if_absent(key, object)
        })
        .await
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        retry(self.deadline, "reading an object", || self.inner.get(key)).await
    }

    async fn metadata(&self, key: &str) -> Result<Option<BTreeMap<String, String>>, StoreError> {
        let call = "reading an object's metadata";
        retry(self.deadline, call, || self.inner.metadata(key)).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        retry(self.deadline, "removing an object", || {
            self.inner.delete(key)
        })
        .await
    }

    async fn list(&self, prefix: &str, next: Option<&str>) -> Result<Page, StoreError> {
        retry(self.deadline, "listing", || self.inner.list(prefix, next)).await
    }

    fn url(&self, key: &str) -> String {
        self.inner.url(key)
    }
}

/// Every entry below a prefix, in the order of their keys.
///
/// # Errors
/// [`StoreError`] when the store cannot be listed to its end.
pub async fn list_all(store: &impl Store, prefix: &str) -> Result<Vec<Entry>, StoreError> {
    let mut entries = BTreeMap::new();
    let mut tokens = BTreeSet::new();
    let (mut next, mut fruitless) = (None, 0);
    loop {
        let page = store.list(prefix, next.as_deref()).await?;
        let before = entries.len();
        entries.extend(
            page.entries
                .into_iter()
                .map(|entry| (entry.key.clone(), entry)),
        );
        let Some(token) = page.next else {
            return Ok(entries.into_values().collect());
        };
        fruitless = if entries.len() == before {
            fruitless + 1
        } else {
            0
        };
        if fruitless > MAX_FRUITLESS_PAGES || !tokens.insert(token.clone()) {
            let text = format!("it comes to no end after {} objects", entries.len());
            return Err(StoreError::Listing(text));
        }
        next = Some(token);
    }
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
    /// An object that this program did not store. It is not read.
    #[error("{url} is not read: it has {bytes} bytes or more, and no record has that many")]
    TooLarge {
        /// Its address.
        url: String,
        /// Its length as told, or how much of it came.
        bytes: u64,
    },
    /// The store lists a part as if it were all, or never comes to an end.
    #[error("the archive cannot be listed: {0}")]
    Listing(String),
    /// Somebody else than the store has answered, such as a proxy or a log-in page, or the address
    /// is another service's. Someone must mend the address or the network.
    #[error("the archive does not answer as a store does: {0}")]
    Foreign(String),
    /// The archive's folder does not exist. It is made when the first object is stored.
    #[error("the archive's folder {} does not exist; check ARCHIVE_URL", .0.display())]
    NoFolder(PathBuf),
    /// The folder cannot be written or read.
    #[error("the archive's folder fails at {}: {cause}; {}", path.display(), folder_advice(cause))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
}

/// What stands in a file's place: a folder, a link, a pipe. Reading bytes gives no such error.
const NOT_A_FILE: std::io::ErrorKind = std::io::ErrorKind::InvalidData;

/// What mends a folder that cannot be written or read.
pub fn folder_advice(cause: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match cause.kind() {
        ErrorKind::StorageFull => "free some space on its disk",
        ErrorKind::QuotaExceeded => "raise the quota of this process's user, or free some space",
        ErrorKind::ReadOnlyFilesystem => {
            "mount its file system for writing, or set ARCHIVE_URL to another folder"
        }
        ErrorKind::PermissionDenied => "let the user of this process read and write there",
        NOT_A_FILE => "move it away: only a file is read there",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists | ErrorKind::IsADirectory => {
            "check the folder in ARCHIVE_URL: a file and a folder have each other's place"
        }
        _ => {
            "check the folder in ARCHIVE_URL, and let the user of this process read and write there"
        }
    }
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
        self.retry_advice() != RetryAdvice::GiveUp
    }
}

impl Retryable for StoreError {
    fn retry_advice(&self) -> RetryAdvice {
        match self {
            Self::Unavailable(_) | Self::Credentials(CredentialsError::Unavailable(_)) => {
                RetryAdvice::Wait
            }
            Self::StaleSignature(_) => RetryAdvice::SignAgain,
            Self::Credentials(CredentialsError::Refused(_) | CredentialsError::Unusable(_))
            | Self::Denied(_)
            | Self::Rejected(_)
            | Self::TooLarge { .. }
            | Self::Listing(_)
            | Self::Foreign(_)
            | Self::NoFolder(_)
            | Self::Io { .. } => RetryAdvice::GiveUp,
        }
    }

    fn timed_out(call: &str, after: Duration) -> Self {
        Self::Unavailable(retry::timed_out(call, after))
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

    async fn metadata(&self, key: &str) -> Result<Option<BTreeMap<String, String>>, StoreError> {
        match self {
            Self::Bucket(store) => store.metadata(key).boxed().await,
            Self::Directory(store) => store.metadata(key).await,
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
