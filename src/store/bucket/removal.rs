//! Many objects are removed in one request, `DeleteObjects`, and each has a result of its own.
//!
//! Not every store knows it, or says of each object what became of it. What is not said is asked for object by object,
//! so a removal says the same for every store.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use futures_util::future::join_all;
use md5::{Digest as _, Md5};

use super::{BucketStore, Profile};
use crate::refusal::Refusal;
use crate::store::{Removed, StoreError};

/// Objects of one request at most ("DeleteObjects" in the API reference of S3).
pub const MOST: usize = 1000;
/// Objects that are removed at once where each takes a request of its own.
const AT_ONCE: usize = 32;
/// So few that failed in a request for many are removed alone, before the request is tried again.
const FEW: usize = 8;
/// The code for an object that the store fails to remove.
const INTERNAL: &str = "InternalError";

impl BucketStore {
    /// Removes objects, and says of each what became of it.
    pub(super) async fn remove(
        &self,
        keys: &[String],
    ) -> Result<Vec<Result<Removed, StoreError>>, StoreError> {
        let is_single = keys.len() < 2 || self.removes_singly.load(Ordering::Relaxed);
        let mut told = match is_single {
            true => BTreeMap::new(),
            false => self.remove_together(keys).await?,
        };
        let mut removed = Vec::with_capacity(keys.len());
        for keys in keys.chunks(AT_ONCE) {
            let mut removals = Vec::with_capacity(keys.len());
            for key in keys {
                let told = told.remove(key);
                removals.push(async move {
                    match told {
                        Some(told) => told,
                        None => self.delete_one(key).await.map(removed_as),
                    }
                });
            }
            removed.extend(join_all(removals).await);
        }
        Ok(removed)
    }

    /// Removes them in one request. What the store says of them; nothing, if it does not take the request.
    async fn remove_together(
        &self,
        keys: &[String],
    ) -> Result<BTreeMap<String, Result<Removed, StoreError>>, StoreError> {
        let used = self.credentials.get().await?;
        let objects = keys.iter().map(|key| {
            let object = ObjectIdentifier::builder().key(self.object_key(key));
            object.build()
        });
        let objects = objects.collect::<Result<Vec<_>, _>>();
        let delete =
            objects.and_then(|objects| Delete::builder().set_objects(Some(objects)).build());
        let delete = delete.map(|mut delete| {
            // OSS asks for it ("DeleteMultipleObjects" in its API reference). S3 only knows "true" there.
            delete.quiet = (self.profile == Profile::Oss).then_some(false);
            delete
        });
        let delete = delete.map_err(|error| StoreError::rejected(error.to_string()))?;
        let request = self.client.delete_objects().bucket(&self.bucket);
        // The SDK sends another checksum. OSS and MinIO ask for this one (EC 0016-00000606 of OSS; minio#20845).
        let request = request.delete(delete).customize();
        let request = request.mutate_request(|request| {
            if let Some(body) = request.body().bytes() {
                let digest = BASE64_STANDARD.encode(Md5::digest(body));
                request.headers_mut().insert("content-md5", digest);
            }
        });
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                return match self.error("DeleteObjects", &error, &used).await {
                    StoreError::Rejected(_) => {
                        self.removes_singly.store(true, Ordering::Relaxed);
                        Ok(BTreeMap::new())
                    }
                    // One of them may be the reason, and the others may go.
                    StoreError::Denied(_) => Ok(BTreeMap::new()),
                    error => Err(error),
                };
            }
        };
        let mut told = BTreeMap::new();
        for object in answer.deleted() {
            let key = object.key().and_then(|key| key.strip_prefix(&self.prefix));
            let is_version = object.delete_marker() == Some(true);
            told.extend(key.map(|key| (key.to_owned(), Ok(removed_as(is_version)))));
        }
        // Some stores say it of what is not there (rustfs#6321). A request of its own says more, unless there are many.
        let failed = answer.errors().iter();
        let failed = failed.filter(|object| object.code() == Some(INTERNAL));
        let is_few = failed.count() <= FEW;
        let errors = answer.errors().iter();
        for object in errors.filter(|object| !(is_few && object.code() == Some(INTERNAL))) {
            let key = object.key().and_then(|key| key.strip_prefix(&self.prefix));
            let code = object.code().unwrap_or_default();
            told.extend(key.map(|key| (key.to_owned(), self.refused(code, object.message()))));
        }
        told.retain(|_, told| !matches!(told, Err(StoreError::Rejected(_))));
        Ok(told)
    }

    /// Why an object was not removed. `Rejected` if this program does not know the code: then the object alone tells
    /// more.
    fn refused(&self, code: &str, message: Option<&str>) -> Result<Removed, StoreError> {
        let mut text = format!("DeleteObjects on bucket {:?} returned {code}", self.bucket);
        if let Some(message) = message {
            text.push_str(&format!(": {}", message.escape_debug()));
        }
        let refusal = |status| Refusal {
            status,
            code: code.to_owned(),
            account: text.clone(),
        };
        match code {
            // Some stores name what is not there.
            "NoSuchKey" => Ok(Removed::Gone),
            "AccessDenied" => Err(StoreError::Denied(refusal(403))),
            INTERNAL | "ServiceUnavailable" | "SlowDown" | "RequestTimeout" => {
                Err(StoreError::Unavailable(text))
            }
            _ => Err(StoreError::Rejected(refusal(400))),
        }
    }
}

fn removed_as(is_version: bool) -> Removed {
    match is_version {
        true => Removed::Version,
        false => Removed::Gone,
    }
}
