//! The least that keeps a console: it asks ECS, packs the answer, and stores the record and a row, with the
//! requests that the function sends. It has neither triggers, retries, checks of answers nor an SDK, and opens
//! its connections at the start. So it shows how fast a first event can be at all on this runtime.

use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ecs_console_archiver::archive::key::RecordKey;
use ecs_console_archiver::archive::record::pack;
use ecs_console_archiver::aws::AwsCall;
use ecs_console_archiver::config::{Archive, Config, Environment};
use ecs_console_archiver::credentials::{CredentialsProvider, Owner};
use ecs_console_archiver::http::{client, early};
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::source::ConsoleSource as _;
use ecs_console_archiver::source::ecs::EcsClient;
use ecs_console_archiver::store::bucket::BucketConfig;
use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

struct Bare {
    http: Client,
    ecs: EcsClient,
    bucket: BucketConfig,
    endpoint: Url,
    credentials: CredentialsProvider,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = Config::from_environment(&Environment::of_process())?;
    let http = client(&config.http)?;
    let Archive::Bucket(bucket) = config.archive else {
        return Err("it stores in a bucket".into());
    };
    let endpoint = bucket.endpoint_url.as_deref();
    let endpoint = Url::parse(endpoint.ok_or("it needs the address of the store")?)?;
    let ecs = config.ecs.client(http.clone());
    let urls = [
        ecs.endpoint.likely_url(config_region().as_ref()),
        Some(endpoint.clone()),
    ];
    for url in urls.into_iter().flatten() {
        tokio::spawn(early::open(http.clone(), url));
    }
    let bare = Arc::new(Bare {
        credentials: CredentialsProvider::new(bucket.credentials.clone(), http.clone()),
        http,
        ecs,
        bucket: *bucket,
        endpoint,
    });
    let serve = move |event: LambdaEvent<Value>| {
        let bare = bare.clone();
        async move { bare.keep(&event.payload).await }
    };
    lambda_runtime::run(service_fn(serve)).await
}

fn config_region() -> Option<RegionId> {
    RegionId::parse(&std::env::var("ALIBABA_CLOUD_REGION_ID").ok()?).ok()
}

impl Bare {
    async fn keep(&self, event: &Value) -> Result<Value, Error> {
        let named = |name: &str| event[name].as_str().ok_or("not an event");
        let instance_id = InstanceId::parse(named("instance_id")?)?;
        let region_id = RegionId::parse(named("region_id")?)?;
        let answer = self
            .ecs
            .console_output(Owner::Own, &region_id, &instance_id);
        let console = answer.await?;
        let key = RecordKey::of(&instance_id, &console).to_string();
        self.put(&key, &pack(&console.plain)?).await?;
        let row = format!("catalog/rows/{}", key.replace('/', "-"));
        self.put(&row, b"").await?;
        Ok(json!({"outcome": "stored", "key": key}))
    }

    async fn put(&self, key: &str, body: &[u8]) -> Result<(), Error> {
        let digest = Sha256::digest(body);
        let checksum = BASE64_STANDARD.encode(digest);
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = format!("/{}/{}{key}", self.bucket.bucket, self.bucket.prefix);
        let call = AwsCall {
            service: "s3",
            region: &self.bucket.region,
            endpoint: &self.endpoint,
            method: Method::PUT,
            path: &path,
            query: "",
            headers: &[
                ("content-type", "application/gzip"),
                ("if-none-match", "*"),
                ("x-amz-checksum-sha256", &checksum),
                ("x-amz-content-sha256", &digest),
            ],
            body,
        };
        let credentials = self.credentials.get().await?;
        let request = call.request(&self.http, &credentials, Timestamp::now())?;
        let answer = early::to(self.endpoint.clone(), request.send()).await?;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(format!("{}: {}", answer.status(), answer.text().await?).into()),
        }
    }
}
