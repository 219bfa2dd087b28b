//! One invocation: payload → events → outcomes → the answer its sender expects.

use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::{Value, json};
use tracing::{error, info};

use crate::capture::{Archiver, CaptureError};
use crate::delivery::{Delivery, Message, ReplyForm};
use crate::ecs::ConsoleSource;
use crate::event::{EventError, Notice};
use crate::outcome::Outcome;
use crate::retry::Deadline;
use crate::store::Store;

/// Events served at once. A full SQS batch has 10; more would run into ECS's throttling.
const CONCURRENCY: usize = 4;

/// An invocation that failed as a whole, so that the platform delivers it again.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct InvocationError {
    /// A name that stays the same between versions, for alarms.
    pub error_type: &'static str,
    /// What failed, for a person.
    pub message: String,
    /// Whether the same invocation may succeed a little later.
    pub is_transient: bool,
}

type Served = Result<Outcome, CaptureError>;

impl<C: ConsoleSource + Sync, S: Store> Archiver<C, S> {
    /// Serves every event in a payload and answers in the form its sender expects, before
    /// the deadline.
    ///
    /// # Errors
    /// [`InvocationError`] when an event must come again and the sender knows no finer answer
    /// than a failed invocation. What the others stored stays, and is found at the next delivery.
    pub async fn handle(
        &self,
        payload: &[u8],
        deadline: Deadline,
    ) -> Result<Value, InvocationError> {
        let Delivery { messages, reply } = Delivery::parse(payload);
        let mut served = Vec::new();
        for message in messages {
            served.push(self.serve_message(message, deadline).await);
        }
        match reply {
            ReplyForm::SqsBatch => Ok(sqs_reply(&served)),
            ReplyForm::Http => Ok(http_reply(served)),
            ReplyForm::Many => direct_reply(served).map(Value::Array),
            ReplyForm::One => Ok(direct_reply(served)?.pop().unwrap_or_default()),
        }
    }

    async fn serve_message(&self, message: Message, deadline: Deadline) -> ServedMessage {
        let events = stream::iter(message.notices)
            .map(|notice| self.serve_and_log(notice, deadline))
            .buffered(CONCURRENCY)
            .collect()
            .await;
        ServedMessage {
            sqs_message_id: message.sqs_message_id,
            events,
        }
    }

    async fn serve_and_log(
        &self,
        notice: Result<Notice, EventError>,
        deadline: Deadline,
    ) -> Served {
        let (event_id, cause) = match &notice {
            Ok(Notice::Instance(event)) => (
                event.event_id.clone().unwrap_or_default(),
                event.cause.to_string(),
            ),
            _ => Default::default(),
        };
        let served = match notice {
            Ok(notice) => self.serve(&notice, deadline).await,
            Err(error) => Err(error.into()),
        };
        // Texts from outside are escaped, so that one event is one line.
        let (event_id, cause) = (event_id.escape_debug(), cause.escape_debug());
        match &served {
            Ok(Outcome::Stored(record)) => {
                info!(%event_id, %cause, gzip_bytes = record.gzip_bytes, "stored {}", record.url);
            }
            Ok(Outcome::AlreadyStored(record)) => {
                info!(%event_id, %cause, "already stored {}", record.url);
            }
            Ok(Outcome::NoConsole {
                instance_id,
                reason,
                code,
                message,
            }) => {
                info!(%event_id, %cause, reason, code, "no console of {instance_id}: {message}");
            }
            Ok(Outcome::Ignored { reason, message }) => {
                info!(%event_id, %cause, reason, "ignored: {}", message.escape_debug());
            }
            Err(failure) => {
                let error_type = failure.error_type();
                error!(%event_id, %cause, error_type, "failed: {}", display(failure));
            }
        }
        served
    }
}

struct ServedMessage {
    sqs_message_id: Option<String>,
    events: Vec<Served>,
}

/// AWS deletes the messages that are not named.
fn sqs_reply(served: &[ServedMessage]) -> Value {
    let failed = served
        .iter()
        .filter(|message| message.events.iter().any(Result::is_err));
    // An empty identifier makes Lambda deliver the whole batch again: right for a record without
    // an ID, which could not be named.
    let item = |message: &ServedMessage| json!({"itemIdentifier": message.sqs_message_id.as_deref().unwrap_or_default()});
    json!({"batchItemFailures": failed.map(item).collect::<Vec<_>>()})
}

fn http_reply(served: Vec<ServedMessage>) -> Value {
    let (status, body) = match direct_reply(served) {
        Ok(mut outcomes) if outcomes.len() == 1 => (200, outcomes.remove(0)),
        Ok(outcomes) => (200, Value::Array(outcomes)),
        Err(error) => {
            let status = match error.error_type {
                "InvalidEvent" => 400,
                _ if error.is_transient => 503,
                _ => 500,
            };
            (
                status,
                json!({"errorType": error.error_type, "errorMessage": error.message}),
            )
        }
    };
    json!({
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "isBase64Encoded": false,
        "body": body.to_string(),
    })
}

fn direct_reply(served: Vec<ServedMessage>) -> Result<Vec<Value>, InvocationError> {
    let (mut outcomes, mut failures) = (Vec::new(), Vec::new());
    for served in served.into_iter().flat_map(|message| message.events) {
        match served {
            Ok(outcome) => outcomes.push(json!(outcome)),
            Err(failure) => failures.push(failure),
        }
    }
    // A transient failure is named first: it is what another delivery is for.
    failures.sort_by_key(|failure| !failure.is_transient());
    let Some(worst) = failures.first() else {
        return Ok(outcomes);
    };
    let message = match failures.len() + outcomes.len() {
        1 => display(worst),
        events => format!(
            "{} of {events} events failed, such as: {}",
            failures.len(),
            display(worst)
        ),
    };
    Err(InvocationError {
        error_type: worst.error_type(),
        message,
        is_transient: worst.is_transient(),
    })
}

/// The error and its causes, on one line.
fn display(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(&format!(": {source}"));
        cause = source.source();
    }
    text
}
