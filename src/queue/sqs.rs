//! Sends messages to a later invocation through an SQS queue, which delivers them after a delay.
//! Also receives and deletes them.
//!
//! Sources: AWS, "SendMessage", "ReceiveMessage", "DeleteMessage" and "Common error types" of the API
//! reference, with their samples of the JSON protocol; smithy.io, "AWS JSON 1.0 protocol".

use std::collections::BTreeMap;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::Method;
use reqwest::header::{DATE, HeaderMap};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::aws::AwsCall;
use crate::aws::refused::Refused;
use crate::clock::{Clock, http_date};
use crate::credentials::source::Source;
use crate::credentials::{CredentialsError, CredentialsProvider};
use crate::http::answer::{self, Expected, Flaw, MAX_ANSWER_BYTES};
use crate::http::bounded::{self, Unread};
use crate::model::credentials::Credentials;
use crate::queue::{Queue, QueueError, whole_seconds};
use crate::refusal::Refusal;

/// Longest delay of a message in SQS: 15 minutes.
const MAX_DELAY: Duration = Duration::from_secs(900);
/// Longest message that every SQS queue takes. Newer queues take 1 MiB, and a queue may be set to less.
const MAX_BODY_BYTES: usize = 256 << 10;
/// Most messages that SQS returns at once.
const MAX_RECEIVED: usize = 10;
/// Longest visibility timeout in SQS.
const MAX_INVISIBLE: Duration = Duration::from_secs(12 * 3600);
/// Counts how often a message was received.
const RECEIVE_COUNT: &str = "ApproximateReceiveCount";
/// How long a receive call waits for a message, in seconds. It is shorter than the time-out of an
/// answer.
const WAIT_SECONDS: u64 = 5;

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

    /// The input of SendMessage.
    fn message(&self, body: &str, delay: Duration) -> Value {
        let mut input = json!({"QueueUrl": self.url.as_str(), "MessageBody": body});
        if self.is_fifo() {
            let digest = BASE64_STANDARD.encode(Sha256::digest(body));
            input["MessageGroupId"] = json!(digest);
            input["MessageDeduplicationId"] = json!(digest);
        } else {
            input["DelaySeconds"] = json!(whole_seconds(delay, MAX_DELAY));
        }
        input
    }
}

/// A client of an SQS queue.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    config: QueueConfig,
    credentials: CredentialsProvider,
    http: reqwest::Client,
    clock: Clock,
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

/// A message in an answer to ReceiveMessage.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    message_id: Option<String>,
    body: Option<String>,
    receipt_handle: Option<String>,
    attributes: Option<BTreeMap<String, String>>,
}

impl Message {
    /// `None` without a body, or without a handle to delete it by.
    fn received(self) -> Option<Received> {
        let attributes = self.attributes.unwrap_or_default();
        let count = attributes.get(RECEIVE_COUNT);
        Some(Received {
            receive_count: count.and_then(|count| count.parse().ok()).unwrap_or(1),
            id: self.message_id.unwrap_or_default(),
            body: self.body?,
            receipt_handle: self.receipt_handle?,
        })
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
        let input = self.config.message(body, delay);
        let answer = self.call("SendMessage", &input, Expected::Json).await?;
        #[derive(Deserialize)]
        struct Sent {
            #[serde(rename = "MessageId")]
            message_id: String,
        }
        // An answer without an ID does not prove that the message is in the queue.
        let sent = serde_json::from_slice(&answer).map_err(|_| {
            let url = &self.config.url;
            QueueError::Unavailable(format!("SendMessage on {url} returned no message ID"))
        });
        sent.map(|Sent { message_id }| message_id)
    }
}

impl SqsQueue {
    /// Builds the client from the configuration alone, like that of the archive.
    pub fn new(config: QueueConfig, http: reqwest::Client) -> Self {
        Self {
            credentials: CredentialsProvider::new(config.credentials.clone(), http.clone()),
            config,
            http,
            clock: Clock::default(),
        }
    }

    /// Receives up to ten messages that are served one after the other, each within `serving`.
    /// Returns none if the queue is empty.
    ///
    /// # Errors
    /// [`QueueError`] if the queue cannot be read.
    pub async fn receive(&self, serving: Duration) -> Result<Vec<Received>, QueueError> {
        self.receive_for(serving * MAX_RECEIVED as u32, MAX_RECEIVED)
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
        let input = json!({
            "QueueUrl": self.config.url.as_str(),
            "MaxNumberOfMessages": most.clamp(1, MAX_RECEIVED),
            "VisibilityTimeout": invisible.min(MAX_INVISIBLE).as_secs(),
            "MessageSystemAttributeNames": [RECEIVE_COUNT],
            // Without a wait, SQS asks only some of its servers, and may miss messages.
            "WaitTimeSeconds": WAIT_SECONDS,
        });
        let answer = self.call("ReceiveMessage", &input, Expected::Json).await?;
        #[derive(Deserialize)]
        struct Answer {
            /// Missing from the answer of an empty queue.
            #[serde(rename = "Messages")]
            messages: Option<Vec<Message>>,
        }
        let answer: Answer = serde_json::from_slice(&answer)
            .map_err(|_| self.flawed("ReceiveMessage", 200, &Flaw::Other))?;
        let messages = answer.messages.unwrap_or_default().into_iter();
        Ok(messages.filter_map(Message::received).collect())
    }

    /// Deletes a received message.
    ///
    /// # Errors
    /// [`QueueError`]. SQS may deliver the message again then.
    pub async fn delete(&self, message: &Received) -> Result<(), QueueError> {
        let input =
            json!({"QueueUrl": self.config.url.as_str(), "ReceiptHandle": message.receipt_handle});
        // SQS answers a deletion without a body, and servers like it with an empty object.
        self.call("DeleteMessage", &input, Expected::Any).await?;
        Ok(())
    }

    /// Makes one call, and returns the body of the success.
    async fn call(
        &self,
        operation: &str,
        input: &Value,
        expected: Expected,
    ) -> Result<Vec<u8>, QueueError> {
        let (target, body) = (format!("AmazonSQS.{operation}"), input.to_string());
        let call = AwsCall {
            service: "sqs",
            region: &self.config.region,
            endpoint: &self.config.url,
            method: Method::POST,
            path: "/",
            query: "",
            headers: &[
                ("content-type", "application/x-amz-json-1.0"),
                ("x-amz-target", &target),
            ],
            body: body.as_bytes(),
        };
        let used = self.credentials.get().await?;
        let request = call.request(&self.http, &used, self.clock.now());
        let request = request.map_err(CredentialsError::Unusable)?;
        let answer = bounded::read(request, "SQS", MAX_ANSWER_BYTES).await;
        let answer = answer.map_err(|unread| match unread {
            Unread::NoAnswer(cause) => {
                QueueError::Unavailable(format!("{operation} got no answer: {cause}"))
            }
            Unread::TooLong => {
                let url = &self.config.url;
                QueueError::Unavailable(format!("{operation} on {url} returned {}", Flaw::TooLong))
            }
        })?;
        if !(200..300).contains(&answer.status) {
            return Err(self.refused(operation, &answer, &used).await);
        }
        match answer::check(expected, &answer.body) {
            Ok(()) => Ok(answer.body),
            Err(flaw) => Err(self.flawed(operation, answer.status, &flaw)),
        }
    }

    fn flawed(&self, operation: &str, status: u16, flaw: &Flaw) -> QueueError {
        let url = &self.config.url;
        QueueError::Unavailable(format!("{operation} on {url} returned {status} and {flaw}"))
    }

    /// Turns an answer that is not a success into an error. If SQS refuses the credentials, they are
    /// replaced if possible.
    async fn refused(
        &self,
        operation: &str,
        answer: &bounded::Answer,
        used: &Credentials,
    ) -> QueueError {
        let body = used.left_out_of(&String::from_utf8_lossy(&answer.body));
        let refused = Refused::read(answer.status, &answer.headers, body.as_bytes());
        let (status, code) = (refused.status, refused.code.as_str());
        let shown = if code.is_empty() { "no code" } else { code };
        let mut text = format!(
            "{operation} on {} returned {status} {shown}",
            self.config.url
        );
        if !refused.message.is_empty() {
            text.push_str(&format!(": {}", refused.message));
        }
        if code.starts_with("ExpiredToken") {
            let settings = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN";
            let place = self.credentials.source().place(settings);
            text.push_str(&format!("; renew the token: it is of {place}"));
        }
        if refused.is_about_time() {
            if let Some(date) = date(&answer.headers) {
                self.clock.set(date);
            }
            return QueueError::StaleSignature(text);
        }
        match (status, code) {
            (_, "ExpiredToken" | "ExpiredTokenException") => {
                self.credentials.replace(used).await;
                QueueError::StaleSignature(text)
            }
            (_, "InvalidClientTokenId" | "UnrecognizedClientException" | "InvalidToken")
                if self.credentials.replace(used).await =>
            {
                QueueError::StaleSignature(text)
            }
            (_, "RequestThrottled" | "OverLimit") => QueueError::Throttled(text),
            _ if refused.is_throttled() => QueueError::Throttled(text),
            _ if refused.is_transient() => QueueError::Unavailable(text),
            _ => QueueError::Refused(Refusal {
                status,
                code: code.to_owned(),
                account: text,
            }),
        }
    }
}

fn date(headers: &HeaderMap) -> Option<jiff::Timestamp> {
    http_date(headers.get(DATE)?.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str) -> QueueConfig {
        let url = format!("https://sqs.us-east-1.amazonaws.com/123456789012/{name}");
        QueueConfig {
            url: url.parse().unwrap(),
            region: "us-east-1".into(),
            credentials: Source::Host,
        }
    }

    /// The members of AWS's sample of SendMessage in the JSON protocol. A FIFO queue takes no delay, and
    /// drops a message whose ID it had in the last five minutes.
    #[test]
    fn a_message_has_a_delay_or_a_group_by_the_kind_of_the_queue() {
        let delay = Duration::from_millis(1001);
        assert_eq!(
            config("follow").message("{}", delay),
            json!({
                "QueueUrl": "https://sqs.us-east-1.amazonaws.com/123456789012/follow",
                "MessageBody": "{}",
                "DelaySeconds": 2,
            })
        );
        let digest = "RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=";
        assert_eq!(
            config("failed.fifo").message("{}", delay),
            json!({
                "QueueUrl": "https://sqs.us-east-1.amazonaws.com/123456789012/failed.fifo",
                "MessageBody": "{}",
                "MessageGroupId": digest,
                "MessageDeduplicationId": digest,
            })
        );
    }
}
