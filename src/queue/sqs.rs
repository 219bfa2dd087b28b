//! Sends messages to a later invocation through an SQS queue, which delivers them after a delay.
//! Also receives and deletes them.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{BehaviorVersion, IdentityCache, Region};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::MessageSystemAttributeName;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sha2::{Digest as _, Sha256};

use crate::clock::Clock;
use crate::credentials::CredentialsProvider;
use crate::credentials::source::Source;
use crate::http::answer::{Asked, Expected, FlawedAnswer};
use crate::model::credentials::Credentials;
use crate::queue::{Queue, QueueError, whole_seconds};
use crate::refusal::Refusal;

/// Longest delay of a message in SQS: 15 minutes.
const MAX_DELAY: Duration = Duration::from_secs(900);
/// Longest message that every SQS queue takes. Newer queues take 1 MiB, and a queue may be set to less.
const MAX_BODY_BYTES: usize = 256 << 10;
/// Most messages that SQS returns at once.
const MAX_RECEIVED: i32 = 10;
/// Longest visibility timeout in SQS.
const MAX_INVISIBLE: Duration = Duration::from_secs(12 * 3600);
/// Counts how often a message was received.
const RECEIVE_COUNT: MessageSystemAttributeName =
    MessageSystemAttributeName::ApproximateReceiveCount;
/// How long a receive call waits for a message, in seconds. It is shorter than the time-out of an
/// answer.
const WAIT_SECONDS: i32 = 5;

/// The queue, and how to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConfig {
    /// `https://sqs.{region}.amazonaws.com/{account}/{name}`. Requests go to its scheme and host.
    pub url: url::Url,
    /// Region in signatures.
    pub region: String,
    /// Where the credentials for the requests come from.
    pub credentials: Source,
}

impl QueueConfig {
    /// Whether it is a FIFO queue. The names of FIFO queues, and of no others, end in `.fifo`
    /// ("Amazon SQS FIFO queue and message identifiers").
    pub fn is_fifo(&self) -> bool {
        self.url.path().trim_end_matches('/').ends_with(".fifo")
    }
}

/// A client of an SQS queue.
///
/// Its futures are boxed. The SDK's futures are nested too deeply for the compiler to follow them
/// through every caller.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    client: Client,
    credentials: CredentialsProvider,
    url: String,
    is_fifo: bool,
}

/// A received message. No other consumer receives it until its visibility timeout ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// SQS's ID of the message. It stays the same if the message is received again.
    pub id: String,
    /// Body of the message, as it was sent.
    pub body: String,
    /// SQS's handle to delete the message.
    pub receipt_handle: String,
    /// How often it was received, from all queues that it was in, this time included
    /// (ReceiveMessage, `ApproximateReceiveCount`).
    pub receive_count: u32,
}

/// SQS answers with JSON, except that it answers a deletion without a body.
fn expected(asked: &Asked) -> Expected {
    if asked.target.ends_with(".DeleteMessage") {
        Expected::Any
    } else {
        Expected::Json
    }
}

impl Queue for SqsQueue {
    /// FIFO queues ignore `delay`.
    fn send<'a>(
        &'a self,
        body: &'a str,
        delay: Duration,
    ) -> BoxFuture<'a, Result<String, QueueError>> {
        self.send_once(body, delay).boxed()
    }

    fn greatest_delay(&self) -> Duration {
        MAX_DELAY
    }

    fn greatest_body_bytes(&self) -> usize {
        MAX_BODY_BYTES
    }

    fn operation(&self) -> &'static str {
        "SendMessage"
    }
}

impl SqsQueue {
    async fn send_once(&self, body: &str, delay: Duration) -> Result<String, QueueError> {
        let seconds = whole_seconds(delay, MAX_DELAY) as i32;
        let request = self.client.send_message().queue_url(&self.url);
        let request = if self.is_fifo {
            let digest = BASE64_STANDARD.encode(Sha256::digest(body));
            request
                .message_group_id(digest.as_str())
                .message_deduplication_id(digest)
        } else {
            request.delay_seconds(seconds)
        };
        let used = self.credentials.get().await?;
        let sent = request.message_body(body).send();
        match sent.boxed().await {
            // An answer without an ID does not prove that the message is in the queue.
            Ok(sent) if sent.message_id.is_none() => Err(QueueError::Unavailable(format!(
                "SendMessage on {} returned no message ID",
                self.url
            ))),
            Ok(sent) => Ok(sent.message_id.unwrap_or_default()),
            Err(error) => Err(self.error("SendMessage", &error, &used).await),
        }
    }
}

impl SqsQueue {
    /// Builds the client from the configuration alone, like that of the archive.
    pub fn new(config: QueueConfig, http: reqwest::Client) -> Self {
        let is_fifo = config.is_fifo();
        let credentials = CredentialsProvider::new(config.credentials, http.clone());
        let client = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(config.region))
            .credentials_provider(credentials.clone())
            .identity_cache(IdentityCache::no_cache()) // The provider caches them.
            .endpoint_url(config.url.origin().ascii_serialization())
            .http_client(crate::http::sdk_client(http, Clock::default(), expected))
            .retry_config(RetryConfig::disabled()) // `retry` retries, within the deadline.
            .timeout_config(TimeoutConfig::disabled()) // The HTTP client has the time-outs.
            .build();
        Self {
            client: Client::from_conf(client),
            credentials,
            is_fifo,
            url: config.url.into(),
        }
    }

    /// Receives up to ten messages that are served one after the other, each within `serving`.
    /// Returns none if the queue is empty.
    ///
    /// # Errors
    /// [`QueueError`] if the queue cannot be read.
    pub async fn receive(&self, serving: Duration) -> Result<Vec<Received>, QueueError> {
        self.receive_for(serving * MAX_RECEIVED as u32, MAX_RECEIVED as usize)
            .await
    }

    /// Receives up to `most` messages, ten at most. They stay invisible to other consumers for
    /// `invisible`. Returns none if the queue is empty.
    ///
    /// # Errors
    /// [`QueueError`] if the queue cannot be read.
    pub async fn receive_for(
        &self,
        invisible: Duration,
        most: usize,
    ) -> Result<Vec<Received>, QueueError> {
        let most = i32::try_from(most).unwrap_or(MAX_RECEIVED);
        let invisible = invisible.min(MAX_INVISIBLE).as_secs();
        let request = self.client.receive_message().queue_url(&self.url);
        let request = request
            .max_number_of_messages(most.clamp(1, MAX_RECEIVED))
            .visibility_timeout(invisible as i32)
            .message_system_attribute_names(RECEIVE_COUNT)
            // Without a wait, SQS asks only some of its servers, and may miss messages.
            .wait_time_seconds(WAIT_SECONDS);
        let used = self.credentials.get().await?;
        let answer = match request.send().boxed().await {
            Ok(answer) => answer,
            Err(error) => return Err(self.error("ReceiveMessage", &error, &used).await),
        };
        let received = |message: aws_sdk_sqs::types::Message| {
            let attributes = message.attributes.unwrap_or_default();
            let receive_count = attributes.get(&RECEIVE_COUNT);
            Some(Received {
                receive_count: receive_count
                    .and_then(|count| count.parse().ok())
                    .unwrap_or(1),
                id: message.message_id.unwrap_or_default(),
                body: message.body?,
                receipt_handle: message.receipt_handle?,
            })
        };
        Ok(answer
            .messages
            .unwrap_or_default()
            .into_iter()
            .filter_map(received)
            .collect())
    }

    /// Deletes a received message.
    ///
    /// # Errors
    /// [`QueueError`]. SQS may deliver the message again then.
    pub async fn delete(&self, message: &Received) -> Result<(), QueueError> {
        let request = self.client.delete_message().queue_url(&self.url);
        let request = request.receipt_handle(&message.receipt_handle);
        let used = self.credentials.get().await?;
        match request.send().boxed().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.error("DeleteMessage", &error, &used).await),
        }
    }

    /// Turns a failed call into an error. If SQS refuses the credentials, they are replaced if
    /// possible.
    async fn error<E>(
        &self,
        operation: &str,
        error: &SdkError<E, HttpResponse>,
        used: &Credentials,
    ) -> QueueError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let Some(response) = error.raw_response() else {
            if let Some(FlawedAnswer { status, flaw }) = FlawedAnswer::behind(error) {
                let url = &self.url;
                let text = format!("{operation} on {url} returned {status} and {flaw}");
                return QueueError::Unavailable(text);
            }
            let cause = crate::http::innermost(error);
            return QueueError::Unavailable(format!("{operation} got no answer: {cause}"));
        };
        let status = response.status().as_u16();
        let code = error.code().unwrap_or("no code");
        let mut text = format!("{operation} on {} returned {status} {code}", self.url);
        if let Some(message) = error.message() {
            let message = used.left_out_of(message);
            text.push_str(&format!(": {}", message.escape_debug()));
        }
        if code.starts_with("ExpiredToken") {
            let settings = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN";
            let place = self.credentials.source().place(settings);
            text.push_str(&format!("; renew the token: it is of {place}"));
        }
        match (status, code) {
            // The SDK has set its clock from the `Date` of this answer.
            (_, "RequestExpired") => QueueError::StaleSignature(text),
            (_, "ExpiredToken" | "ExpiredTokenException") => {
                self.credentials.replace(used).await;
                QueueError::StaleSignature(text)
            }
            (_, "InvalidClientTokenId" | "UnrecognizedClientException" | "InvalidToken")
                if self.credentials.replace(used).await =>
            {
                QueueError::StaleSignature(text)
            }
            (429, _) | (_, "RequestThrottled" | "ThrottlingException" | "OverLimit") => {
                QueueError::Throttled(text)
            }
            (500.., _) => QueueError::Unavailable(text),
            (200..300, _) => QueueError::Unavailable(text), // The answer was truncated.
            _ => QueueError::Refused(Refusal {
                status,
                code: error.code().unwrap_or_default().to_owned(),
                account: text,
            }),
        }
    }
}
