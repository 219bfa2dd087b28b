//! The checks of the archive: it can be written, it never replaces objects, it can be read and
//! listed.
//!
//! If a check fails, the store is tried with other settings. The advice names the setting that
//! works.

use std::time::Duration;

use super::advice::{self, Operation};
use super::{Check, Verdict, clock};
use crate::archive::probe::{PROBE, PROBE_KEY, probe};
use crate::config::Archive;
use crate::model::check::name::{CREATE_ONLY, WRITE};
use crate::retry::{Deadline, Retrying};
use crate::store::bucket::{
    Addressing, BucketConfig, Encryption, EncryptionMethod, Profile, may_refuse_condition,
};
use crate::store::{ArchiveStore, PutOutcome, Store as _, StoreError};

/// A key under which nothing is ever stored.
const ABSENT_KEY: &str = "doctor/absent.txt";

const READ: &str = "archive: read";
const LIST: &str = "archive: list";
const CLOCK: &str = "archive: clock";

/// Names of the checks that are skipped if the archive's settings are invalid.
pub(super) const CHECKS: [&str; 4] = [WRITE, CREATE_ONLY, READ, LIST];

/// Result of a check that is skipped because the key is refused. Only one check reports the key.
const SAME_KEY: &str = "not tried: the key is missing or refused, see archive: write";

/// Runs all checks of an archive. `store_of` builds the store for given settings.
pub(super) async fn examine(
    archive: &Archive,
    store_of: &StoreOf<'_>,
    time: Duration,
) -> Vec<Check> {
    let store = store_of(archive.clone());
    let examined = Examined {
        archive,
        store: &store,
        store_of,
        time,
    };
    let mut checks = examined.checks().await;
    if let ArchiveStore::Bucket(bucket) = &store {
        checks.push(clock(CLOCK, "the store", bucket.clock()));
    }
    checks
}

/// Builds the store for given settings.
type StoreOf<'a> = dyn Fn(Archive) -> ArchiveStore + 'a;

struct Examined<'a> {
    archive: &'a Archive,
    store: &'a ArchiveStore,
    store_of: &'a StoreOf<'a>,
    time: Duration,
}

impl Examined<'_> {
    async fn checks(&self) -> Vec<Check> {
        let put = self.write().await;
        if let Err(error) = &put
            && advice::refuses_key(error)
        {
            let skipped = |name: &&'static str| Check::skipped(name, SAME_KEY);
            let mut checks = vec![self.failed(WRITE, error, Operation::Write)];
            checks.extend(CHECKS[1..].iter().map(skipped));
            return checks;
        }
        let is_written = put.is_ok();
        let create_only = match &put {
            Ok(first) => self.create_only(*first).await,
            Err(_) => Check::skipped(CREATE_ONLY, "not tried: nothing can be written"),
        };
        let write = match put {
            Ok(_) => Check::ok(WRITE, self.store.url(PROBE_KEY)),
            Err(error) => {
                let failed = self.failed(WRITE, &error, Operation::Write);
                match self.mend(&error).await {
                    Some(advice) => failed.advise(advice),
                    None => failed,
                }
            }
        };
        let (read, list) = tokio::join!(self.read(is_written), self.list(is_written));
        vec![write, create_only, read, list]
    }

    fn asked(&self) -> Retrying<'_, ArchiveStore> {
        Retrying::new(self.store, Deadline::after(self.time))
    }

    async fn write(&self) -> Result<PutOutcome, StoreError> {
        // A folder does not write a file that exists, so writing again would prove nothing.
        if matches!(self.archive, Archive::Directory(_)) {
            self.asked().delete(PROBE_KEY).await?;
        }
        self.asked().put_if_absent(PROBE_KEY, &probe()).await
    }

    /// Checks that a repeated write does not replace the object. `first` is the result of the write
    /// before. If the probe existed already, that write was the repeated one.
    async fn create_only(&self, first: PutOutcome) -> Check {
        let config = match self.archive {
            Archive::Bucket(config) => config,
            Archive::Directory(_) => {
                return Check::ok(CREATE_ONLY, "an existing file is not replaced");
            }
        };
        let again = match (config.profile, first) {
            (Profile::Basic, _) => return self.beyond_basic(config).await,
            (_, PutOutcome::Exists) => Ok(PutOutcome::Exists),
            (_, PutOutcome::Created) => self.asked().put_if_absent(PROBE_KEY, &probe()).await,
        };
        match (config.profile, again) {
            (_, Err(error)) => self.failed(CREATE_ONLY, &error, Operation::Write),
            (Profile::Oss, Ok(PutOutcome::Exists)) => {
                Check::ok(CREATE_ONLY, "x-oss-forbid-overwrite is honoured")
            }
            (_, Ok(PutOutcome::Exists)) => Check::ok(CREATE_ONLY, "If-None-Match is honoured"),
            (Profile::Oss, Ok(PutOutcome::Created)) => {
                let found =
                    "x-oss-forbid-overwrite has no effect: the bucket is versioned, or not OSS";
                Check::new(CREATE_ONLY, Verdict::Warning, found).advise(
                    "on OSS take a bucket without versioning, or each repetition makes a version \
                     with the same bytes; elsewhere set ARCHIVE_PROFILE=aws or basic",
                )
            }
            (_, Ok(PutOutcome::Created)) => {
                let found = "the store ignores If-None-Match";
                Check::new(CREATE_ONLY, Verdict::Failed, found)
                    .advise("set ARCHIVE_PROFILE=basic, which looks before it writes")
            }
        }
    }

    /// Whether the store supports a condition although the profile is `basic`.
    async fn beyond_basic(&self, config: &BucketConfig) -> Check {
        let honoured = |by: &str, profile: Profile| {
            Check::ok(CREATE_ONLY, format!("{by} is honoured")).advise(format!(
                "set ARCHIVE_PROFILE={}: it saves a request for each console",
                profile.as_str()
            ))
        };
        match self.put_as(config, Profile::Aws).await {
            Some(PutOutcome::Exists) => return honoured("If-None-Match", Profile::Aws),
            Some(PutOutcome::Created) => {
                let found = "the store ignores If-None-Match, so basic looks before it writes";
                return Check::ok(CREATE_ONLY, found);
            }
            None => {}
        }
        match self.put_as(config, Profile::Oss).await {
            Some(PutOutcome::Exists) => honoured("x-oss-forbid-overwrite", Profile::Oss),
            _ => {
                let found = "the store refuses If-None-Match, so basic looks before it writes";
                Check::ok(CREATE_ONLY, found)
            }
        }
    }

    async fn read(&self, is_written: bool) -> Check {
        let answer = self.asked().get(PROBE_KEY).await;
        let url = self.store.url(PROBE_KEY);
        let found = match answer {
            Ok(found) => found,
            Err(error) => return self.not_reading(READ, &error, Operation::Read),
        };
        match found {
            Some(object) if object.body != PROBE.as_bytes() => {
                Check::new(READ, Verdict::Failed, format!("{url} contains other bytes"))
                    .advise("something changes objects: look for who writes there, and for a proxy")
            }
            None if is_written => {
                let found = format!("{url} is gone after it was written");
                Check::new(READ, Verdict::Failed, found).advise(
                    "something removes objects: look for who does, and for a lifecycle rule",
                )
            }
            Some(_) if self.is_basic() => self.look_for_absent().await,
            Some(_) => Check::ok(READ, "the written object can be read back"),
            None => Check::ok(READ, "can be read"),
        }
    }

    /// Whether the store tells this key that an object does not exist. `basic` asks before each
    /// write.
    async fn look_for_absent(&self) -> Check {
        match self.asked().get(ABSENT_KEY).await {
            Ok(_) => Check::ok(READ, "the written object can be read back"),
            Err(error) => {
                let failed = self.failed(READ, &error, Operation::List);
                let permission = failed.advice.clone().unwrap_or_default();
                Check {
                    verdict: Verdict::Warning,
                    ..failed
                }
                .advise(format!(
                    "the store does not tell this key that an object is missing, so the profile \
                     basic writes existing objects again: {permission}"
                ))
            }
        }
    }

    async fn list(&self, is_written: bool) -> Check {
        let error = match self.asked().list("doctor/", None, None).await {
            Ok(page) if is_written && !page.entries.iter().any(|e| e.key == PROBE_KEY) => {
                let found = format!("{PROBE_KEY} was written and is not listed");
                return Check::new(LIST, Verdict::Failed, found).advise(
                    "list, get and redrive would find nothing: look for a proxy or a cache before \
                     the store, and in the store's notes on listings",
                );
            }
            Ok(_) => return Check::ok(LIST, "can be listed"),
            Err(error) => error,
        };
        let check = self.not_reading(LIST, &error, Operation::List);
        let Archive::Bucket(config) = self.archive else {
            return check;
        };
        if advice::lacks_bucket_permission(&error) || !is_written {
            return check; // `write` may have reported the cause.
        }
        match self.addressing(config).await {
            Some(advice) => check.advise(advice),
            None => check,
        }
    }

    fn is_basic(&self) -> bool {
        matches!(self.archive, Archive::Bucket(config) if config.profile == Profile::Basic)
    }

    /// The result if reading is not allowed. The function itself need not read.
    fn not_reading(&self, name: &'static str, error: &StoreError, operation: Operation) -> Check {
        let failed = self.failed(name, error, operation);
        if !advice::lacks_bucket_permission(error) {
            return failed;
        }
        let permission = failed.advice.clone().unwrap_or_default();
        let who = match (operation, self.is_basic()) {
            (Operation::List, _) => "only list, get and redrive need it",
            (_, true) => "get and redrive need it, and the profile basic to look before it writes",
            (_, false) => "only get and redrive need it",
        };
        Check {
            verdict: Verdict::Warning,
            ..failed
        }
        .advise(format!("{who}: {permission}"))
    }

    fn failed(&self, name: &'static str, error: &StoreError, operation: Operation) -> Check {
        let found = match error {
            StoreError::Io { path, cause } => {
                format!("the archive's folder fails at {}: {cause}", path.display())
            }
            other => other.to_string(),
        };
        let advice = match self.archive {
            Archive::Bucket(config) => advice::bucket(error, operation, config),
            Archive::Directory(_) => advice::folder(error),
        };
        Check::new(name, Verdict::Failed, found).advise(advice)
    }

    /// Tries other settings after a failed write. Returns the advice for one that works.
    async fn mend(&self, error: &StoreError) -> Option<String> {
        let Archive::Bucket(config) = self.archive else {
            return None;
        };
        if advice::lacks_bucket_permission(error) {
            return self.encryption(config).await;
        }
        if advice::may_be_the_address(error)
            && let Some(advice) = self.addressing(config).await
        {
            return Some(advice);
        }
        match error {
            StoreError::Rejected(refusal) if may_refuse_condition(refusal) => {
                self.profile(config).await
            }
            _ => None,
        }
    }

    async fn encryption(&self, config: &BucketConfig) -> Option<String> {
        if config.encryption.is_some() {
            return None;
        }
        for method in [EncryptionMethod::Aes256, EncryptionMethod::Kms] {
            let encryption = Some(Encryption {
                method,
                kms_key_id: None,
            });
            let other = BucketConfig {
                encryption,
                ..config.clone()
            };
            // Encryption is the cause only if the same write is denied without it.
            if self.put_with(other).await.is_some() && self.put_with(config.clone()).await.is_none()
            {
                let word = method.header_value(config.profile).unwrap_or_default();
                return Some(format!(
                    "set AWS_SERVER_SIDE_ENCRYPTION={word}: a policy denies what is stored without \
                     it"
                ));
            }
        }
        None
    }

    /// Tries other addressing styles with a listing. A store may accept a write at a wrong address:
    /// an address that is the bucket's own would take the bucket's name for a part of the key.
    async fn addressing(&self, config: &BucketConfig) -> Option<String> {
        for addressing in Addressing::ALL {
            let is_possible = match addressing {
                Addressing::Path => true,
                // The SDK would take the path for a number.
                Addressing::VirtualHosted => advice::has_name(config),
                Addressing::OwnDomain => config.endpoint_url.is_some(),
            };
            if addressing == config.addressing || !is_possible {
                continue;
            }
            let other = BucketConfig {
                addressing,
                ..config.clone()
            };
            let store = (self.store_of)(Archive::Bucket(Box::new(other)));
            let listed = tokio::time::timeout(self.time, store.list("doctor/", None, None)).await;
            if matches!(listed, Ok(Ok(_))) {
                return Some(format!(
                    "set AWS_S3_ADDRESSING_STYLE={}: the store answers there",
                    addressing.as_str()
                ));
            }
        }
        None
    }

    async fn profile(&self, config: &BucketConfig) -> Option<String> {
        for profile in [Profile::Aws, Profile::Oss, Profile::Basic] {
            if profile == config.profile || self.put_as(config, profile).await.is_none() {
                continue;
            }
            // A store that ignores the condition would replace the object.
            let again = self.put_as(config, profile).await;
            if profile == Profile::Basic || again == Some(PutOutcome::Exists) {
                return Some(format!(
                    "set ARCHIVE_PROFILE={}: the store does not know the condition of the profile \
                     {}",
                    profile.as_str(),
                    config.profile.as_str()
                ));
            }
        }
        None
    }

    async fn put_as(&self, config: &BucketConfig, profile: Profile) -> Option<PutOutcome> {
        self.put_with(BucketConfig {
            profile,
            ..config.clone()
        })
        .await
    }

    /// Makes one attempt with other settings.
    async fn put_with(&self, config: BucketConfig) -> Option<PutOutcome> {
        let store = (self.store_of)(Archive::Bucket(Box::new(config)));
        let probe = probe();
        let put = store.put_if_absent(PROBE_KEY, &probe);
        tokio::time::timeout(self.time, put).await.ok()?.ok()
    }
}
