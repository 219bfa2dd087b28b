//! Stores for records: a bucket or a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;

use crate::credentials::CredentialsError;
use crate::refusal::Refusal;
use crate::retry::{self, RetryAdvice, Retryable, Retrying, retry};

pub mod bucket;
pub mod directory;
mod disk;
#[cfg(feature = "cli")]
pub mod lookup; // numbers by a hash, in a temporary file
#[cfg(feature = "cli")]
pub mod ordered; // lines in the order of a number, in a temporary file
pub mod past_refused; // what refuses single objects has others
#[cfg(feature = "cli")]
pub mod sorted; // a listing, entry by entry
#[cfg(feature = "cli")]
pub mod spool; // lines by a key, in a temporary file

use bucket::BucketStore;
use directory::DirectoryStore;

/// Most bytes of an object that is read. The largest objects of this program are failed events: an
/// event of [`crate::intake::MAX_EVENT_BYTES`] in which JSON escapes each byte with six.
pub const MAX_OBJECT_BYTES: u64 = 64 << 20;

/// How many pages of a listing in a row may bring nothing new. A versioned bucket returns empty
/// pages if many objects were removed.
const MAX_FRUITLESS_PAGES: usize = 10_000;

/// An object: bytes with a media type and metadata.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    /// The bytes.
    pub body: Vec<u8>,
    /// Media type.
    pub content_type: String,
    /// Names in lower case, values in printable ASCII.
    pub metadata: BTreeMap<String, String>,
}

/// What [`Store::put_if_absent`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object was created. A store that ignores conditions also reports this for a repeated
    /// write. The bytes are the same then.
    Created,
    /// The object existed already. It was not changed.
    Exists,
}

/// What became of an object that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It is not there. The store says nothing of an earlier version.
    Gone,
    /// The bucket keeps versions: what was removed is an earlier one now.
    Version,
}

/// One object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Key, below the archive's prefix.
    pub key: String,
    /// Length of the object, in bytes.
    pub bytes: u64,
    /// When the object was stored, by the store's clock.
    pub stored_at: Timestamp,
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Sorted by key within the page.
    pub entries: Vec<Entry>,
    /// Where the next page begins. `None` on the last page.
    pub next: Option<String>,
    /// Whether a part of what is there could not be listed. A warning has told it.
    pub is_partial: bool,
}

/// Something that stands among the objects of an archive and is none, so no listing has it.
#[cfg(feature = "cli")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// What its key would be.
    pub key: String,
    /// When it was changed last.
    pub modified_at: Timestamp,
    /// What it is.
    pub kind: StrayKind,
}

/// What a [`Stray`] is.
#[cfg(feature = "cli")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrayKind {
    /// A file that is being written, or that a writer was writing when it was killed.
    Leftover,
    /// The metadata of an object that is not there, or not yet.
    Metadata,
    /// Something that cannot be read as an object, in words: a folder, a link, a pipe, or a name that is no text.
    NotAnObject(&'static str),
    /// A folder of which not all can be listed, and why.
    Unlistable(std::io::ErrorKind),
}

/// Stores objects. Keys do not contain the archive's prefix. The store adds it.
pub trait Store: Send + Sync {
    /// Stores an object unless one with this key exists. An object is never replaced by other
    /// bytes, because keys contain a digest of their content.
    ///
    /// # Errors
    /// [`StoreError`]. The object may or may not exist then.
    fn put_if_absent(
        &self,
        key: &str,
        object: &Object,
    ) -> impl Future<Output = Result<PutOutcome, StoreError>> + Send;

    /// Reads an object. `None` if it does not exist.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read. [`StoreError::TooLarge`] if the object has more
    /// than [`MAX_OBJECT_BYTES`]. It is not read then.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Object>, StoreError>> + Send;

    /// Reads the bytes of an object. `None` if it does not exist. Reads the object's metadata only if it
    /// must.
    ///
    /// # Errors
    /// Like [`get`](Self::get).
    fn body(&self, key: &str) -> impl Future<Output = Result<Option<Vec<u8>>, StoreError>> + Send {
        async { Ok(self.get(key).await?.map(|object| object.body)) }
    }

    /// Reads the metadata of an object. `None` if it does not exist. Reads the object's bytes only
    /// if it must.
    ///
    /// # Errors
    /// Like [`get`](Self::get).
    fn metadata(
        &self,
        key: &str,
    ) -> impl Future<Output = Result<Option<BTreeMap<String, String>>, StoreError>> + Send {
        async { Ok(self.get(key).await?.map(|object| object.metadata)) }
    }

    /// Removes an object. Succeeds if it does not exist.
    ///
    /// # Errors
    /// [`StoreError`]. The object may or may not exist then.
    fn delete(&self, key: &str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// How many objects [`delete_all`](Self::delete_all) removes in one request.
    fn removes_at_once(&self) -> usize {
        1
    }

    /// Removes objects, at most [`removes_at_once`](Self::removes_at_once): what became of each, in their order.
    /// Those that may not be removed keep no others.
    ///
    /// # Errors
    /// [`StoreError`] of the request as a whole. Each object may or may not exist then.
    fn delete_all(
        &self,
        keys: &[String],
    ) -> impl Future<Output = Result<Vec<Result<Removed, StoreError>>, StoreError>> + Send {
        async move {
            let mut removed = Vec::with_capacity(keys.len());
            for key in keys {
                removed.push(self.delete(key).await.map(|()| Removed::Gone));
            }
            Ok(removed)
        }
    }

    /// Lists the keys that start with `prefix`, one page at a time. `next` comes from the page
    /// before. `after` leaves out the keys up to this one, itself included, so that a range of a
    /// listing takes few requests.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be listed.
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        next: Option<&str>,
    ) -> impl Future<Output = Result<Page, StoreError>> + Send;

    /// Finds what stands among the objects below `prefix` and is none. A bucket has nothing but objects.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be listed.
    #[cfg(feature = "cli")]
    fn strays(&self, prefix: &str) -> impl Future<Output = Result<Vec<Stray>, StoreError>> + Send {
        let _ = prefix;
        async { Ok(Vec::new()) }
    }

    /// Does what the first request would otherwise wait for. It is short, and sends nothing.
    fn prepare(&self) {}

    /// Whether [`Self::prepare`] has nothing to do.
    fn is_prepared(&self) -> bool {
        true
    }

    /// Whether a listing is sorted as a whole. If not, nobody knows that nothing earlier follows.
    fn sorts(&self) -> bool;

    /// The address of an object, in the form that other tools accept.
    fn url(&self, key: &str) -> String;
}

/// Methods of [`Store`] that hand their calls over to a store within: `hand_over!(self, self.inner; get, delete)`. Who
/// uses it imports it by its name.
#[macro_export]
macro_rules! hand_over {
    ($own:ident, $inner:expr; $($method:ident),+) => {
        $(hand_over!(@$method $own, $inner);)+
    };
    (@put_if_absent $own:ident, $inner:expr) => {
        async fn put_if_absent(
            &$own,
            key: &str,
            object: &$crate::store::Object,
        ) -> Result<$crate::store::PutOutcome, $crate::store::StoreError> {
            $inner.put_if_absent(key, object).await
        }
    };
    (@get $own:ident, $inner:expr) => {
        async fn get(
            &$own,
            key: &str,
        ) -> Result<Option<$crate::store::Object>, $crate::store::StoreError> {
            $inner.get(key).await
        }
    };
    (@body $own:ident, $inner:expr) => {
        async fn body(&$own, key: &str) -> Result<Option<Vec<u8>>, $crate::store::StoreError> {
            $inner.body(key).await
        }
    };
    (@metadata $own:ident, $inner:expr) => {
        async fn metadata(
            &$own,
            key: &str,
        ) -> Result<
            Option<std::collections::BTreeMap<String, String>>,
            $crate::store::StoreError,
        > {
            $inner.metadata(key).await
        }
    };
    (@delete $own:ident, $inner:expr) => {
        async fn delete(&$own, key: &str) -> Result<(), $crate::store::StoreError> {
            $inner.delete(key).await
        }
    };
    (@delete_all $own:ident, $inner:expr) => {
        async fn delete_all(
            &$own,
            keys: &[String],
        ) -> Result<
            Vec<Result<$crate::store::Removed, $crate::store::StoreError>>,
            $crate::store::StoreError,
        > {
            $inner.delete_all(keys).await
        }
    };
    (@removes_at_once $own:ident, $inner:expr) => {
        fn removes_at_once(&$own) -> usize {
            $inner.removes_at_once()
        }
    };
    (@list $own:ident, $inner:expr) => {
        async fn list(
            &$own,
            prefix: &str,
            after: Option<&str>,
            next: Option<&str>,
        ) -> Result<$crate::store::Page, $crate::store::StoreError> {
            $inner.list(prefix, after, next).await
        }
    };
    (@strays $own:ident, $inner:expr) => {
        async fn strays(
            &$own,
            prefix: &str,
        ) -> Result<Vec<$crate::store::Stray>, $crate::store::StoreError> {
            $inner.strays(prefix).await
        }
    };
    (@sorts $own:ident, $inner:expr) => {
        fn sorts(&$own) -> bool {
            $inner.sorts()
        }
    };
    (@url $own:ident, $inner:expr) => {
        fn url(&$own, key: &str) -> String {
            $inner.url(key)
        }
    };
}
pub(crate) use hand_over;

impl<S: Store> Retrying<'_, S> {
    /// As [`Store::put_if_absent`], and returns whether this call created the object. An attempt that failed may have
    /// created it before its answer was lost. So if the object is there after one, this call counts as its creator:
    /// who acts on creations acts twice rather than never.
    ///
    /// # Errors
    /// As [`Store::put_if_absent`].
    pub async fn creates(&self, key: &str, object: &Object) -> Result<bool, StoreError> {
        let (put, has_failed) = self.put(key, object).await?;
        Ok(put == PutOutcome::Created || has_failed)
    }

    /// What the last attempt did, and whether one before it failed.
    async fn put(&self, key: &str, object: &Object) -> Result<(PutOutcome, bool), StoreError> {
        let has_failed = AtomicBool::new(false);
        let put = retry(self.deadline, "storing an object", || async {
            let put = self.inner.put_if_absent(key, object).await;
            has_failed.fetch_or(put.is_err(), Ordering::Relaxed);
            match put {
                Err(error) if error.is_full() && !self.waits_for_space => Ok(Err(error)),
                put => put.map(Ok),
            }
        });
        Ok((put.await??, has_failed.into_inner()))
    }
}

impl<S: Store> Store for Retrying<'_, S> {
    async fn put_if_absent(&self, key: &str, object: &Object) -> Result<PutOutcome, StoreError> {
        let (put, _) = self.put(key, object).await?;
        Ok(put)
    }

    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        retry(self.deadline, "reading an object", || self.inner.get(key)).await
    }

    async fn body(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        retry(self.deadline, "reading an object", || self.inner.body(key)).await
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

    fn removes_at_once(&self) -> usize {
        self.inner.removes_at_once()
    }

    /// Objects that failed for now are tried again without the others. One that fails to the end keeps no other.
    async fn delete_all(
        &self,
        keys: &[String],
    ) -> Result<Vec<Result<Removed, StoreError>>, StoreError> {
        let (removed, failed) = (Mutex::new(BTreeMap::new()), Mutex::new(BTreeMap::new()));
        let known = || removed.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = || failed.lock().unwrap_or_else(PoisonError::into_inner);
        let remove = retry(self.deadline, "removing objects", || async {
            failures().clear();
            let left = keys.iter().filter(|key| !known().contains_key(*key));
            let left: Vec<_> = left.cloned().collect();
            let found = self.inner.delete_all(&left).await?;
            let mut last = None;
            for (key, found) in left.into_iter().zip(found) {
                match found {
                    Err(error) if error.is_transient() => {
                        let told = match &error {
                            StoreError::Unavailable(told) => told.clone(),
                            error => error.to_string(),
                        };
                        failures().insert(key, told);
                        last = Some(error);
                    }
                    found => drop(known().insert(key, found)),
                }
            }
            last.map_or(Ok(()), Err)
        });
        let removal = remove.await;
        let mut removed = std::mem::take(&mut *known());
        match removal {
            Err(error) if failures().is_empty() => return Err(error),
            Err(_) => {
                let failed = std::mem::take(&mut *failures()).into_iter();
                removed.extend(failed.map(|(key, told)| (key, Err(StoreError::Unavailable(told)))));
            }
            Ok(()) => {}
        }
        let each = keys.iter().filter_map(|key| removed.remove(key));
        Ok(each.collect())
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        next: Option<&str>,
    ) -> Result<Page, StoreError> {
        let list = || self.inner.list(prefix, after, next);
        retry(self.deadline, "listing", list).await
    }

    #[cfg(feature = "cli")]
    async fn strays(&self, prefix: &str) -> Result<Vec<Stray>, StoreError> {
        retry(self.deadline, "listing", || self.inner.strays(prefix)).await
    }

    fn sorts(&self) -> bool {
        self.inner.sorts()
    }

    fn url(&self, key: &str) -> String {
        self.inner.url(key)
    }
}

/// Lists all objects below a prefix, sorted by key.
///
/// # Errors
/// [`StoreError`] if the store cannot be listed completely.
pub async fn list_all(store: &impl Store, prefix: &str) -> Result<Vec<Entry>, StoreError> {
    let mut entries = BTreeMap::new();
    let mut listing = Pages::of(store, prefix);
    while let Some(page) = listing.next_page().await? {
        entries.extend(page.into_iter().map(|entry| (entry.key.clone(), entry)));
    }
    Ok(entries.into_values().collect())
}

/// Reads an object that was listed. `None` if somebody has removed it since.
///
/// # Errors
/// [`StoreError::OnlyListed`] if the store lists it still. Else as of [`Store::get`] and [`list_all`].
pub async fn get_listed(store: &impl Store, key: &str) -> Result<Option<Object>, StoreError> {
    let found = store.get(key).await?;
    unless_only_listed(store, key, found).await
}

/// The same of the metadata.
///
/// # Errors
/// As of [`get_listed`].
pub async fn metadata_listed(
    store: &impl Store,
    key: &str,
) -> Result<Option<BTreeMap<String, String>>, StoreError> {
    let found = store.metadata(key).await?;
    unless_only_listed(store, key, found).await
}

/// What was found of an object that was listed.
///
/// # Errors
/// As of [`get_listed`].
pub async fn unless_only_listed<T>(
    store: &impl Store,
    key: &str,
    found: Option<T>,
) -> Result<Option<T>, StoreError> {
    match found.is_none() && only_listed(store, key, &[key]).await?.contains(key) {
        true => Err(StoreError::OnlyListed),
        false => Ok(found),
    }
}

/// Those of these keys below a prefix that are listed still, although they were not found.
///
/// # Errors
/// [`StoreError`] if the store cannot be listed.
pub async fn only_listed(
    store: &impl Store,
    prefix: &str,
    absent: &[&str],
) -> Result<BTreeSet<String>, StoreError> {
    if absent.is_empty() {
        return Ok(BTreeSet::new());
    }
    let listed = list_all(store, prefix).await?.into_iter();
    let listed: BTreeSet<_> = listed.map(|entry| entry.key).collect();
    let still = absent.iter().filter(|key| listed.contains(**key));
    Ok(still.map(|key| (*key).to_owned()).collect())
}

/// A listing, page by page, for those who need not hold all of it.
pub struct Pages<'a, S> {
    store: &'a S,
    prefix: String,
    after: Option<String>,
    next: Option<String>,
    is_over: bool,
    tokens: BTreeSet<String>,
    /// The last key of each page that brought something.
    last: Option<String>,
    /// The keys of the last page, where the store does not sort.
    before: BTreeSet<String>,
    fruitless: usize,
    entries: usize,
    /// Pages that were asked for so far.
    pub requests: usize,
    /// Whether a part of what is there could not be listed.
    pub is_partial: bool,
}

impl<'a, S: Store> Pages<'a, S> {
    /// All keys that start with `prefix`.
    pub fn of(store: &'a S, prefix: &str) -> Self {
        Self {
            store,
            prefix: prefix.to_owned(),
            after: None,
            next: None,
            is_over: false,
            tokens: BTreeSet::new(),
            last: None,
            before: BTreeSet::new(),
            fruitless: 0,
            entries: 0,
            requests: 0,
            is_partial: false,
        }
    }

    /// Only the keys behind this one.
    pub fn after(self, key: &str) -> Self {
        Self {
            after: Some(key.to_owned()),
            ..self
        }
    }

    /// Whether the last page was returned.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// The next page, sorted, without what the page before had: pages of some stores overlap (rustfs#2439,
    /// aws-sdk-java#2444, athens#1793).
    /// `None` behind the last. Most stores sort the whole listing, and some do not.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be listed, or if its listing has no end.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Entry>>, StoreError> {
        if self.is_over {
            return Ok(None);
        }
        let (after, next) = (self.after.as_deref(), self.next.as_deref());
        let mut page = self.store.list(&self.prefix, after, next).await?;
        self.requests += 1;
        self.is_partial |= page.is_partial;
        // A store may ignore the parameter.
        if let Some(after) = &self.after {
            page.entries.retain(|entry| entry.key > *after);
        }
        self.drop_repeats(&mut page.entries);
        self.entries += page.entries.len();
        let last = page.entries.last().map(|entry| entry.key.clone());
        let is_fruitless = last.is_none() || last == self.last;
        self.fruitless = if is_fruitless { self.fruitless + 1 } else { 0 };
        self.last = last.or_else(|| self.last.take());
        match page.next {
            None => self.is_over = true,
            Some(token) => {
                if self.fruitless > MAX_FRUITLESS_PAGES || !self.tokens.insert(token.clone()) {
                    let text = format!("the listing did not end after {} objects", self.entries);
                    return Err(StoreError::Listing(text));
                }
                self.next = Some(token);
            }
        }
        Ok(Some(page.entries))
    }

    /// Where the store sorts, a key that is not behind the last one came before.
    fn drop_repeats(&mut self, page: &mut Vec<Entry>) {
        page.dedup_by(|a, b| a.key == b.key);
        if self.store.sorts() {
            let last = self.last.as_ref();
            page.retain(|entry| last.is_none_or(|last| entry.key > *last));
            return;
        }
        let keys: BTreeSet<_> = page.iter().map(|entry| entry.key.clone()).collect();
        page.retain(|entry| !self.before.contains(&entry.key));
        if !keys.is_empty() {
            self.before = keys;
        }
    }
}

/// Why a call to the store failed. Each variant is what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store throttled, failed or did not answer. Retry.
    #[error("the archive is unavailable: {0}")]
    Unavailable(String),
    /// The signature's time or token is not valid any more. Retry with fresh ones.
    #[error("the archive asks for a fresh signature: {0}")]
    StaleSignature(String),
    /// There are no credentials for the call.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Keys, permissions or the bucket's name are wrong. Someone must fix them.
    #[error("the archive refused access: {0}")]
    Denied(Refusal),
    /// The store does not accept the request. A retry would get the same answer.
    #[error("the archive rejected the request: {0}")]
    Rejected(Refusal),
    /// The object is too large to be one of this program. It is not read.
    #[error("{url} is too large to be a record: it has {bytes} bytes or more")]
    TooLarge {
        /// Address of the object.
        url: String,
        /// Length that the store reported, or the number of bytes that arrived.
        bytes: u64,
    },
    /// The store's listing is inconsistent or endless.
    #[error("the archive cannot be listed: {0}")]
    Listing(String),
    /// Something else than the store answered, such as a proxy, a log-in page or another service.
    /// Someone must fix the address or the network.
    #[error("the archive does not answer as a store does: {0}")]
    Foreign(String),
    /// The archive's folder does not exist. It is created with the first object.
    #[error("the archive's folder {} does not exist: nothing was stored there yet, or ARCHIVE_URL is wrong", .0.display())]
    NoFolder(PathBuf),
    /// A file or folder cannot be read or written.
    #[error("the archive's folder fails at {}: {cause}; {}", path.display(), folder_advice(cause))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Error of the operating system.
        cause: std::io::Error,
    },
    /// This object is refused, or fails however often it is tried, and others do not.
    #[error(transparent)]
    OfObject(Box<StoreError>),
    /// It is listed still, and there is none to read, as with a store whose index is stale.
    #[error("it is listed, and cannot be read")]
    OnlyListed,
    /// A listing is kept in a file meanwhile, which fails.
    #[cfg(feature = "cli")]
    #[error(transparent)]
    Temporary(#[from] spool::TemporaryError),
}

/// Something else has the place of a file: a folder, a link or a pipe. Reading bytes never returns
/// this kind of error.
const NOT_A_FILE: std::io::ErrorKind = std::io::ErrorKind::InvalidData;

/// How to fix a folder that cannot be read or written.
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

/// Whether a disk or a quota has no space left.
fn is_full(cause: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        cause.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

impl StoreError {
    /// The error for a request that this program itself rejects.
    fn rejected(account: String) -> Self {
        Self::Rejected(Refusal {
            status: 0,
            code: String::new(),
            account,
        })
    }

    /// Whether an error of reading an object is about this object alone: it is too large, in an archival storage
    /// class, its KMS key is not usable, or its file cannot be read.
    ///
    /// Source: `InvalidObjectState` and the codes `KMS.…Exception` in the list of S3's error codes; OSS's
    /// page of GetObject has the first one, too.
    pub fn is_of_object(&self) -> bool {
        match self {
            Self::TooLarge { .. } | Self::OfObject(_) | Self::OnlyListed => true,
            Self::Io { cause, .. } => !is_full(cause),
            Self::Denied(refusal) | Self::Rejected(refusal) => {
                refusal.code == "InvalidObjectState" || refusal.code.starts_with("KMS.")
            }
            _ => false,
        }
    }

    /// Whether the error may be about this object alone: the same key may read others, and list all of them.
    /// [`is_of_object`](Self::is_of_object) is so for certain.
    pub fn may_be_of_object(&self) -> bool {
        match self {
            Self::TooLarge { .. }
            | Self::Io { .. }
            | Self::Rejected(_)
            | Self::OfObject(_)
            | Self::OnlyListed => true,
            // A policy may deny single objects, by their names or tags.
            Self::Denied(refusal) => {
                ["AccessDenied", "InvalidObjectState", "Forbidden", ""]
                    .contains(&refusal.code.as_str())
                    || refusal.code.starts_with("KMS.")
            }
            Self::Unavailable(_)
            | Self::StaleSignature(_)
            | Self::Credentials(_)
            | Self::Listing(_)
            | Self::Foreign(_)
            | Self::NoFolder(_) => false,
            #[cfg(feature = "cli")]
            Self::Temporary(_) => false,
        }
    }

    /// Whether an object cannot be removed, and others may be: it is locked, this key may not remove, or the store fails
    /// at it.
    ///
    /// Source: 403 `AccessDenied` where Object Lock or a policy forbids it, and `InvalidRequest` of some stores
    /// (versitygw#1330, #1565); 409 `FileImmutable` of OSS under a retention policy ("Retention policies" in its
    /// pages); a folder's permissions.
    pub fn is_lock(&self) -> bool {
        match self {
            Self::Denied(_) | Self::Io { .. } | Self::OfObject(_) => true,
            Self::Rejected(refusal) => {
                ["FileImmutable", "InvalidRequest"].contains(&refusal.code.as_str())
            }
            _ => false,
        }
    }

    /// Whether something else has the place of a file or of a folder on the way to it, or this process may not write
    /// there. Other files have their places.
    pub fn has_no_place(&self) -> bool {
        use std::io::ErrorKind;
        matches!(self, Self::Io { cause, .. } if matches!(
            cause.kind(),
            NOT_A_FILE
                | ErrorKind::NotADirectory
                | ErrorKind::AlreadyExists
                | ErrorKind::IsADirectory
                | ErrorKind::PermissionDenied
        ))
    }

    /// Whether a disk or a quota has no space left.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if is_full(cause))
    }

    /// Whether the same call may succeed later without anyone fixing anything.
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
            // Logs are rotated and files removed while a console waits in memory.
            Self::Io { cause, .. } if is_full(cause) => RetryAdvice::Wait,
            Self::StaleSignature(_) => RetryAdvice::SignAgain,
            Self::Credentials(CredentialsError::Refused(_) | CredentialsError::Unusable(_))
            | Self::Denied(_)
            | Self::Rejected(_)
            | Self::TooLarge { .. }
            | Self::Listing(_)
            | Self::Foreign(_)
            | Self::NoFolder(_)
            | Self::OfObject(_)
            | Self::OnlyListed
            | Self::Io { .. } => RetryAdvice::GiveUp,
            #[cfg(feature = "cli")]
            Self::Temporary(_) => RetryAdvice::GiveUp,
        }
    }

    fn timed_out(call: &str, after: Duration) -> Self {
        Self::Unavailable(retry::timed_out(call, after))
    }
}

/// The store in `ARCHIVE_URL`.
#[derive(Debug, Clone)]
pub enum ArchiveStore {
    /// `s3://` or `oss://`.
    Bucket(BucketStore),
    /// `file://`.
    Directory(DirectoryStore),
}

impl ArchiveStore {
    /// Whether there may be an archive to read, as far as it is known without a request.
    ///
    /// # Errors
    /// [`StoreError::NoFolder`] if it is a folder that is not there.
    #[cfg(feature = "cli")]
    pub fn check_folder(&self) -> Result<(), StoreError> {
        match self {
            Self::Bucket(_) => Ok(()),
            Self::Directory(store) => store.check_root(),
        }
    }

    /// For a thread that does nothing else while it waits for the archive; see
    /// [`DirectoryStore::on_this_thread`].
    #[cfg(feature = "cli")]
    pub fn on_this_thread(self) -> Self {
        match self {
            Self::Directory(store) => Self::Directory(store.on_this_thread()),
            Self::Bucket(_) => self,
        }
    }
}

// The futures of a bucket are boxed. The SDK's futures are nested too deeply for the compiler to
// follow them through every caller.
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

    async fn body(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Bucket(store) => store.body(key).boxed().await,
            Self::Directory(store) => store.body(key).await,
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

    fn removes_at_once(&self) -> usize {
        match self {
            Self::Bucket(store) => store.removes_at_once(),
            Self::Directory(store) => store.removes_at_once(),
        }
    }

    async fn delete_all(
        &self,
        keys: &[String],
    ) -> Result<Vec<Result<Removed, StoreError>>, StoreError> {
        match self {
            Self::Bucket(store) => store.delete_all(keys).boxed().await,
            Self::Directory(store) => store.delete_all(keys).await,
        }
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        next: Option<&str>,
    ) -> Result<Page, StoreError> {
        match self {
            Self::Bucket(store) => store.list(prefix, after, next).boxed().await,
            Self::Directory(store) => store.list(prefix, after, next).await,
        }
    }

    #[cfg(feature = "cli")]
    async fn strays(&self, prefix: &str) -> Result<Vec<Stray>, StoreError> {
        match self {
            Self::Bucket(_) => Ok(Vec::new()),
            Self::Directory(store) => store.strays(prefix).await,
        }
    }

    fn prepare(&self) {
        match self {
            Self::Bucket(store) => store.prepare(),
            Self::Directory(store) => store.prepare(),
        }
    }

    fn is_prepared(&self) -> bool {
        match self {
            Self::Bucket(store) => store.is_prepared(),
            Self::Directory(store) => store.is_prepared(),
        }
    }

    fn sorts(&self) -> bool {
        match self {
            Self::Bucket(store) => store.sorts(),
            Self::Directory(store) => store.sorts(),
        }
    }

    fn url(&self, key: &str) -> String {
        match self {
            Self::Bucket(store) => store.url(key),
            Self::Directory(store) => store.url(key),
        }
    }
}
