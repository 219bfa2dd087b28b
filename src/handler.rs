//! One invocation: payload → events → outcomes → the answer its sender expects.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use tracing::{error, info, warn};

use crate::capture::{Archiver, CaptureError, FailedEvents, Following, Progress};
use crate::delivery::{Delivery, Message, ReplyForm};
use crate::ecs::{ConsoleSource, Fleet};
use crate::event::{EventError, InstanceEvent, Notice};
use crate::outcome::{Outcome, Stored};
use crate::record::FailedEvent;
use crate::retry::{Deadline, Retrying};
use crate::store::Store;
use crate::sweep::Tally;
use crate::webhook::Push;
use crate::webhook::gate::GateError;

/// Events served at once. A full SQS batch has 10; more would run into ECS's throttling.
const CONCURRENCY: usize = 4;
/// Events followed at once: they wait most of the time, and each may hold a console in memory.
const FOLLOWED_AT_ONCE: usize = 32;

/// Who sends an HTTP request waits 2 s at the least of them, CloudMonitor 5 s. What is not captured
/// by then goes to the follow queue, or is for the sender to send again.
const HTTP_CAPTURE_TIME: Duration = Duration::from_millis(1500);

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

/// What is to be done about an invocation: answer, then finish.
#[derive(Debug)]
pub struct Handled {
    /// The answer, in the form the sender expects. A failed invocation is one whose sender knows
    /// no finer answer, so that the platform delivers it again; what its other events stored
    /// stays, and is found then.
    pub reply: Result<Value, InvocationError>,
    /// What goes on after the answer: an HTTP request's events, whose sender waits only briefly.
    pub rest: Vec<Rest>,
}

/// The answer to an HTTP request.
#[derive(Debug)]
pub struct HttpAnswer {
    /// What its sender does next.
    pub status: StatusCode,
    /// The outcome, or the outcomes, or an error.
    pub body: Value,
    /// What goes on after the answer.
    pub rest: Vec<Rest>,
}

/// An event that goes on after the answer.
#[derive(Debug)]
pub struct Rest {
    label: Label,
    following: Box<Following>,
    text: String,
}

/// What names an event in the log. Texts from outside are escaped, so that one event is one line.
#[derive(Debug, Clone, Default)]
struct Label {
    event_id: String,
    cause: String,
}

impl Label {
    fn of(notice: &Result<Notice, EventError>) -> Self {
        let event = match notice {
            Ok(Notice::Instance(event)) => event,
            Ok(Notice::Follow(follow)) => &follow.event,
            _ => return Self::default(),
        };
        let event_id = event.event_id.as_deref().unwrap_or_default();
        Self {
            event_id: event_id.escape_debug().to_string(),
            cause: event.cause.to_string().escape_debug().to_string(),
        }
    }
}

/// An event of one message, served up to its first wait.
struct Begun {
    message: usize,
    label: Label,
    progress: Result<Progress, CaptureError>,
    /// What was served, where it can be served again from the queue.
    event: Option<InstanceEvent>,
}

impl<C: ConsoleSource + Fleet + Sync, S: Store> Archiver<C, S> {
    /// Serves every event in a payload, and answers before the deadline. Every one is served once
    /// before any is followed, so that none waits while its console is overwritten.
    pub async fn handle(&self, payload: &[u8], deadline: Deadline) -> Handled {
        let Delivery {
            messages,
            reply,
            request,
        } = Delivery::parse(payload);
        if let Some(request) = request {
            let push = Push {
                headers: &request.headers,
                body: &request.body,
                is_authenticated: request.is_authenticated,
            };
            let refused = self.keep_out(&push).await;
            let HttpAnswer { status, body, rest } = match refused {
                Some(refused) => refused,
                None => self.answer_push(messages, deadline).await,
            };
            let reply = json!({
                "statusCode": status.as_u16(),
                "headers": {"content-type": "application/json"},
                "isBase64Encoded": false,
                "body": body.to_string(),
            });
            return Handled {
                reply: Ok(reply),
                rest,
            };
        }
        let sqs_message_ids: Vec<_> = messages.iter().map(|m| m.sqs_message_id.clone()).collect();
        let (served, rest) = self.serve_messages(messages, false, deadline).await;
        let reply = match reply {
            ReplyForm::SqsBatch => Ok(sqs_reply(&sqs_message_ids, &served)),
            ReplyForm::Http | ReplyForm::Many => direct_reply(served).map(Value::Array),
            ReplyForm::One => direct_reply(served).map(|mut one| one.pop().unwrap_or_default()),
        };
        Handled { reply, rest }
    }

    /// Serves the events in the body of an HTTP request, if its sender is let in.
    pub async fn handle_push(&self, push: &Push<'_>, deadline: Deadline) -> HttpAnswer {
        match self.keep_out(push).await {
            Some(refused) => refused,
            None => {
                let messages = Delivery::parse(push.body).messages;
                self.answer_push(messages, deadline).await
            }
        }
    }

    /// The answer to a push whose sender is not let in. Nothing of it is kept.
    async fn keep_out(&self, push: &Push<'_>) -> Option<HttpAnswer> {
        let error = self.gate.as_ref()?.check(push).await.err()?;
        warn!("kept out: {error}");
        let (status, error_type) = match error {
            GateError::Refused(_) => (StatusCode::UNAUTHORIZED, "Unauthenticated"),
            GateError::NoCertificate(_) => (StatusCode::SERVICE_UNAVAILABLE, "NoCertificate"),
            GateError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "InvalidEvent"),
        };
        Some(HttpAnswer {
            status,
            // What is wrong is the operator's to know, in the log.
            body: json!({"errorType": error_type, "errorMessage": "the sender is not let in"}),
            rest: Vec::new(),
        })
    }

    async fn answer_push(&self, messages: Vec<Message>, deadline: Deadline) -> HttpAnswer {
        let (served, rest) = self.serve_messages(messages, true, deadline).await;
        let (status, body) = http_answer(served);
        HttpAnswer { status, body, rest }
    }

    /// Serves every event of every message once, and follows them, too, unless the answer comes
    /// first.
    async fn serve_messages(
        &self,
        messages: Vec<Message>,
        is_http: bool,
        deadline: Deadline,
    ) -> (Vec<(usize, Served)>, Vec<Rest>) {
        let (mut texts, mut notices) = (Vec::new(), Vec::new());
        for (index, message) in messages.into_iter().enumerate() {
            texts.push(message.text);
            notices.extend(message.notices.into_iter().map(|notice| (index, notice)));
        }
        let first = if is_http {
            deadline.or_earlier(Deadline::after(HTTP_CAPTURE_TIME))
        } else {
            deadline
        };
        let begun: Vec<Begun> = stream::iter(notices)
            .map(|(message, notice)| self.begin(message, notice, first))
            .buffered(CONCURRENCY)
            .collect()
            .await;
        let (mut served, mut rest) = (Vec::new(), Vec::new());
        if is_http {
            for Begun {
                message,
                label,
                progress,
                event,
            } in begun
            {
                let (outcome, goes_on) = self.promise(progress, event, deadline).await;
                label.log(&outcome);
                served.push((message, outcome));
                rest.extend(goes_on.map(|following| Rest {
                    label,
                    following,
                    text: texts[message].clone(),
                }));
            }
        } else {
            let finish = |Begun {
                              message,
                              label,
                              progress,
                              ..
                          }: Begun| async move {
                let outcome = match progress {
                    Ok(Progress::Done(outcome)) => Ok(outcome),
                    Ok(Progress::Following(next)) => self.finish(next, deadline).await,
                    Err(error) => Err(error),
                };
                label.log(&outcome);
                (message, outcome)
            };
            let finished = stream::iter(begun).map(finish).buffered(FOLLOWED_AT_ONCE);
            served = finished.collect().await;
        }
        self.keep_failed(&texts, &served, deadline).await;
        (served, rest)
    }

    /// Follows what goes on after the answer. What was kept before the answer stays, whatever
    /// happens.
    pub async fn finish_rest(&self, rest: Vec<Rest>, deadline: Deadline) {
        let finish = async |Rest {
                                label,
                                following,
                                text,
                            }: Rest| {
            let served = self.finish(following, deadline).await;
            label.log(&served);
            if let Err(failure) = &served {
                self.keep_failed_event(&text, failure, deadline).await;
            }
        };
        stream::iter(rest)
            .for_each_concurrent(FOLLOWED_AT_ONCE, finish)
            .await;
    }

    /// Keeps the messages that failed, each once.
    async fn keep_failed(&self, texts: &[String], served: &[(usize, Served)], deadline: Deadline) {
        let mut last = None;
        for (message, outcome) in served {
            if let Err(failure) = outcome
                && last.replace(message) != Some(message)
            {
                self.keep_failed_event(&texts[*message], failure, deadline)
                    .await;
            }
        }
    }

    /// Keeps an event that failed, where no dead-letter queue does. When that fails, too, the
    /// sender still learns of the failure itself.
    async fn keep_failed_event(&self, text: &str, failure: &CaptureError, deadline: Deadline) {
        if self.failed_events != FailedEvents::Archive {
            return;
        }
        let event = match FailedEvent::new(text, failure.error_type(), Timestamp::now()) {
            Ok(event) => event,
            Err(error) => return error!("the failed event could not be kept: {error}"),
        };
        let key = event.key.to_string();
        let store = Retrying::new(&self.store, deadline);
        match store.put_if_absent(&key, &event.object).await {
            Ok(_) => {
                let url = self.store.url(&key);
                info!("kept the failed event as {url}; console-archive redrive serves it again");
            }
            Err(error) => error!("the failed event could not be kept: {}", display(&error)),
        }
    }

    async fn begin(
        &self,
        message: usize,
        notice: Result<Notice, EventError>,
        deadline: Deadline,
    ) -> Begun {
        let label = Label::of(&notice);
        let event = match &notice {
            Ok(Notice::Instance(event)) => Some(event.clone()),
            _ => None,
        };
        let progress = match notice {
            Ok(notice) => self.serve(notice, deadline).await,
            Err(error) => Err(error.into()),
        };
        Begun {
            message,
            label,
            progress,
            event,
        }
    }

    /// What is answered now, and what goes on after the answer.
    async fn promise(
        &self,
        progress: Result<Progress, CaptureError>,
        event: Option<InstanceEvent>,
        deadline: Deadline,
    ) -> (Served, Option<Box<Following>>) {
        match progress {
            // Whatever the reason: told to the sender alone, a failure would be in no dead-letter
            // queue, and no alarm would count it.
            Err(error) => match event {
                Some(event) => (self.hand_over(event, error, deadline).await, None),
                None => (Err(error), None),
            },
            Ok(Progress::Done(outcome)) => (Ok(outcome), None),
            Ok(Progress::Following(following)) => {
                match self.answer_first(&following, deadline).await {
                    Ok(outcome) => (Ok(outcome), Some(following)),
                    Err(error) => (Err(error), None),
                }
            }
        }
    }
}

impl Label {
    /// One line an event, once its outcome is known.
    fn log(&self, served: &Served) {
        let Self { event_id, cause } = self;
        match served {
            Ok(Outcome::Stored(Stored {
                record, freshness, ..
            })) => {
                let freshness = freshness.map(|freshness| freshness.to_string());
                info!(%event_id, %cause, freshness, gzip_bytes = record.gzip_bytes, "stored {}", record.url);
            }
            Ok(Outcome::AlreadyStored(Stored {
                record, freshness, ..
            })) => {
                let freshness = freshness.map(|freshness| freshness.to_string());
                info!(%event_id, %cause, freshness, "already stored {}", record.url);
            }
            Ok(Outcome::Following {
                instance_id,
                follow_in_seconds,
                urls,
            }) => {
                let stored = urls.join(" ");
                info!(%event_id, %cause, stored, "asking for {instance_id} again in {follow_in_seconds} s");
            }
            Ok(Outcome::NoConsole {
                instance_id,
                reason,
                code,
                message,
                ..
            }) => {
                let reason = reason.word();
                info!(%event_id, %cause, reason, code, "no console of {instance_id}: {message}");
            }
            Ok(Outcome::Swept { done, resume }) => {
                let Tally {
                    regions,
                    instances,
                    stored,
                    already_stored,
                    no_console,
                    failed,
                    ..
                } = done;
                let is_whole = resume.is_none();
                info!(
                    regions,
                    instances, stored, already_stored, no_console, failed, is_whole, "swept"
                );
                for failure in &done.failures {
                    error!("failed in the sweep: {}", failure.escape_debug());
                }
            }
            Ok(Outcome::Ignored { reason, message }) => {
                info!(%event_id, %cause, reason, "ignored: {}", message.escape_debug());
            }
            Err(failure) => {
                let error_type = failure.error_type();
                error!(%event_id, %cause, error_type, "failed: {}", display(failure));
            }
        }
    }
}

/// AWS deletes the messages that are not named.
fn sqs_reply(sqs_message_ids: &[Option<String>], served: &[(usize, Served)]) -> Value {
    let failed: BTreeSet<_> = served
        .iter()
        .filter(|(_, outcome)| outcome.is_err())
        .map(|(message, _)| message)
        .collect();
    // An empty identifier makes Lambda deliver the whole batch again: right for a record without
    // an ID, which could not be named.
    let item = |message: &usize| json!({"itemIdentifier": sqs_message_ids[*message].as_deref().unwrap_or_default()});
    json!({"batchItemFailures": failed.into_iter().map(item).collect::<Vec<_>>()})
}

fn http_answer(served: Vec<(usize, Served)>) -> (StatusCode, Value) {
    match direct_reply(served) {
        Ok(mut outcomes) if outcomes.len() == 1 => (StatusCode::OK, outcomes.remove(0)),
        Ok(outcomes) => (StatusCode::OK, Value::Array(outcomes)),
        Err(error) => {
            let status = match error.error_type {
                "InvalidEvent" => StatusCode::BAD_REQUEST,
                _ if error.is_transient => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            let body = json!({"errorType": error.error_type, "errorMessage": error.message});
            (status, body)
        }
    }
}

fn direct_reply(served: Vec<(usize, Served)>) -> Result<Vec<Value>, InvocationError> {
    let (mut outcomes, mut failures) = (Vec::new(), Vec::new());
    for (_, served) in served {
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
