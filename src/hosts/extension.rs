//! AWS Lambda's Extensions API, for an internal extension: a part of the function that Lambda waits for
//! after each answer.
//!
//! Source: AWS Lambda, "Using the Lambda Extensions API to create extensions", sections "Register" and
//! "Next". The crate `lambda-extension` does the same. It also links servers for logs and telemetry,
//! which are a third of a megabyte.

use http_body_util::BodyExt as _;
use lambda_runtime::Error;
use lambda_runtime_api_client::body::Body;
use lambda_runtime_api_client::{PooledClient, build_request};
use serde_json::json;

const ID: &str = "lambda-extension-identifier";

/// A registered extension.
pub(super) struct Extension {
    api: PooledClient,
    id: String,
}

impl Extension {
    /// Registers the extension for invocations. An internal extension must do so before the function
    /// asks for its first event.
    ///
    /// # Errors
    /// If Lambda does not answer, or refuses.
    pub(super) async fn register(name: &str) -> Result<Self, Error> {
        let api = PooledClient::builder().build();
        let request = build_request()
            .method("POST")
            .uri("/2020-01-01/extension/register")
            .header("lambda-extension-name", name)
            .header("content-type", "application/json")
            .body(Body::from(json!({"events": ["INVOKE"]}).to_string()))?;
        let answer = api.call(request).await?;
        let status = answer.status();
        let id = answer.headers().get(ID);
        match id.and_then(|id| id.to_str().ok()) {
            Some(id) if status.is_success() => Ok(Self {
                id: id.to_owned(),
                api,
            }),
            _ => Err(format!("Lambda refused to register the extension: {status}").into()),
        }
    }

    /// Waits for the next invocation. To ask for it tells Lambda that the work after the last one is
    /// done, so Lambda may freeze the process meanwhile.
    ///
    /// # Errors
    /// If Lambda does not answer, or refuses.
    pub(super) async fn next(&self) -> Result<(), Error> {
        let request = build_request()
            .uri("/2020-01-01/extension/event/next")
            .header(ID, &self.id)
            .body(Body::empty())?;
        let answer = self.api.call(request).await?;
        let status = answer.status();
        // Whoever reads an answer whole can use its connection again.
        answer.into_body().collect().await?;
        if !status.is_success() {
            return Err(format!("Lambda gave the extension no event: {status}").into());
        }
        Ok(())
    }
}
