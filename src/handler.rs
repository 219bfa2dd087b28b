//! The one door: a payload in, by whichever way it came, and a typed [`Reply`] out.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use jiff::Timestamp;
use tracing::{error, info, warn};

use crate::capture::{Archiver, CaptureError, FailedEvents, Following, Progress};
use crate::delivery::{AnswerForm, Delivery, Message, Purpose, ReplyForm};
use crate::ecs::{ConsoleSource, Fleet};
use crate::event::{EventError, InstanceEvent, Notice};
use crate::outcome::{Outcome, Stored};
use crate::record::FailedEvent;
use crate::reply::{MessageReply, Rejection, Reply, Served, on_one_line};
use crate::retry::{Deadline, Retrying};
use crate::store::Store;
use crate::sweep::Tally;
use crate::webhook::gate::GateError;
use crate::webhook::{Headers, Push};

/// Events served at once. A full SQS batch has 10; more would run into ECS's throttling.
const CONCURRENCY: usize = 4;
/// Events followed at once: they wait most of the time, and each may hold a console in memory.
const FOLLOWED_AT_ONCE: usize = 32;

/// Who sends an HTTP request waits 2 s at the least of them, CloudMonitor 5 s. What is not captured
/// by then goes to the follow queue, or is for the sender to send again.
const HTTP_CAPTURE_TIME: Duration = Duration::from_millis(1500);

/// One payload, by the way it came.
pub enum Payload<'a> {
    /// What a function platform hands over. It may be an HTTP request in an envelope.
    Invocation(&'a [u8]),
    /// An HTTP request that this process received itself.
    Http(&'a Push<'a>),
    /// What failed before, from where it is kept. Nobody waits for an HTTP answer to it, whatever
    /// its envelope: it is served to its end, and its sender was authorized when it came.
    Replay(&'a [u8]),
}

/// An event that goes on after the answer.
#[derive(Debug)]
pub struct Deferred {
    label: Label,
    following: Box<Following>,
    /// The whole message's, shared by all its events.
    text: Arc<str>,
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

/// An event of one message, as it is answered.
struct Ended {
    message: usize,
    served: Served,
    deferred: Option<Deferred>,
}

impl<C: ConsoleSource + Fleet + Sync, S: Store> Archiver<C, S> {
    /// Serves every event in a payload, and answers before the deadline. Every one is served once
    /// before any is followed, so that none waits while its console is overwritten.
    ///
    /// The reply is typed. Its edges make the answer from it: [`Reply::to_json`] for a function
    /// platform, [`Reply::to_http`] for an HTTP server.
    pub async fn dispatch(&self, incoming: Payload<'_>, deadline: Deadline) -> Reply {
        let delivery = match &incoming {
            Payload::Http(push) => {
                if let Err(rejection) = self.authorize(push).await {
                    return Reply::rejected(rejection, AnswerForm::default());
                }
                Delivery::of_push(push.headers, push.body)
            }
            Payload::Invocation(payload) | Payload::Replay(payload) => Delivery::parse(payload),
        };
        let Delivery {
            messages,
            reply,
            request,
        } = delivery;
        let mut answer = AnswerForm::default();
        if let (Some(request), Payload::Invocation(_)) = (request, &incoming) {
            answer = request.answer;
            match request.purpose() {
                Purpose::Push => {}
                Purpose::Probe => return Reply::to_probe(answer),
                Purpose::Other => return Reply::rejected(Rejection::MethodNotAllowed, answer),
            }
            let push = Push {
                headers: &request.headers,
                body: &request.body,
                is_authenticated: request.is_authenticated,
            };
            if let Err(rejection) = self.authorize(&push).await {
                return Reply::rejected(rejection, answer);
            }
        }
        let form = match incoming {
            Payload::Http(_) => ReplyForm::Http,
            Payload::Invocation(_) | Payload::Replay(_) => reply,
        };
        let answers_first = form == ReplyForm::Http && !matches!(incoming, Payload::Replay(_));
        let (messages, deferred) = self.serve_messages(messages, answers_first, deadline).await;
        Reply {
            form,
            answer,
            messages,
            rejection: None,
            deferred,
        }
    }

    /// Whether an HTTP request may be served. Nothing of a rejected one is kept.
    async fn authorize(&self, push: &Push<'_>) -> Result<(), Rejection> {
        match &self.gate {
            Some(gate) => gate.check(push).await.map_err(|error| reject(&error)),
            None => Ok(()),
        }
    }

    /// Whether the headers of an HTTP request that this process received are in order, before its
    /// body is read. [`dispatch`](Self::dispatch) judges the whole request.
    ///
    /// # Errors
    /// The reply to a request that is not served, whatever its body is.
    pub fn admit(&self, headers: &Headers) -> Result<(), Reply> {
        match &self.gate {
            Some(gate) => (gate.admit(headers, false).map(drop))
                .map_err(|error| Reply::rejected(reject(&error), AnswerForm::default())),
            None => Ok(()),
        }
    }

    /// Serves every event of every message once, and follows them, too, unless the answer comes
    /// first.
    async fn serve_messages(
        &self,
        messages: Vec<Message>,
        answers_first: bool,
        deadline: Deadline,
    ) -> (Vec<MessageReply>, Vec<Deferred>) {
        let (mut texts, mut replies, mut notices) = (Vec::new(), Vec::new(), Vec::new());
        for (index, message) in messages.into_iter().enumerate() {
            notices.extend(message.notices.into_iter().map(|notice| (index, notice)));
            texts.push(message.text);
            replies.push(MessageReply {
                sqs_message_id: message.sqs_message_id,
                events: Vec::new(),
            });
        }
        let first = if answers_first {
            deadline.or_earlier(Deadline::after(HTTP_CAPTURE_TIME))
        } else {
            deadline
        };
        let begun: Vec<Begun> = stream::iter(notices)
            .map(|(message, notice)| self.begin(message, notice, first))
            .buffered(CONCURRENCY)
            .collect()
            .await;
        let ended: Vec<Ended> = if answers_first {
            let acknowledge = |begun: Begun| {
                let text = texts[begun.message].clone();
                self.acknowledge(begun, text, deadline)
            };
            let ended = stream::iter(begun).map(acknowledge).buffered(CONCURRENCY);
            ended.collect().await
        } else {
            let end = |begun| self.end(begun, deadline);
            let ended = stream::iter(begun).map(end).buffered(FOLLOWED_AT_ONCE);
            ended.collect().await
        };
        let mut all_deferred = Vec::new();
        for Ended {
            message,
            served,
            deferred,
        } in ended
        {
            replies[message].events.push(served);
            all_deferred.extend(deferred);
        }
        self.keep_failed(&texts, &replies, deadline).await;
        (replies, all_deferred)
    }

    /// Follows what goes on after the answer, and says how each of it ended. What was kept before
    /// the answer stays, whatever happens.
    pub async fn finish_deferred(
        &self,
        deferred: Vec<Deferred>,
        deadline: Deadline,
    ) -> Vec<Served> {
        let finish = |deferred: Deferred| async move {
            let Deferred {
                label,
                following,
                text,
            } = deferred;
            let served = self.finish(following, deadline).await;
            label.log(&served);
            if let Err(failure) = &served {
                self.keep_failed_event(&text, failure, deadline).await;
            }
            served
        };
        stream::iter(deferred)
            .map(finish)
            .buffer_unordered(FOLLOWED_AT_ONCE)
            .collect()
            .await
    }

    /// Keeps the messages that failed, each once.
    async fn keep_failed(&self, texts: &[Arc<str>], replies: &[MessageReply], deadline: Deadline) {
        for (text, reply) in texts.iter().zip(replies) {
            if let Some(failure) = reply.events.iter().find_map(|served| served.as_ref().err()) {
                self.keep_failed_event(text, failure, deadline).await;
            }
        }
    }

    /// Keeps an event that failed, where no dead-letter queue does. When that fails, too, the
    /// sender still learns of the failure itself.
    async fn keep_failed_event(&self, text: &str, failure: &CaptureError, deadline: Deadline) {
        if self.failed_events != FailedEvents::Archive {
            return;
        }
        let error_type = failure.error_type().as_str();
        let event = match FailedEvent::new(text, error_type, Timestamp::now()) {
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
            Err(error) => error!(
                "the failed event could not be kept: {}",
                on_one_line(&error)
            ),
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

    /// Follows an event to its end.
    async fn end(&self, begun: Begun, deadline: Deadline) -> Ended {
        let served = match begun.progress {
            Ok(Progress::Done(outcome)) => Ok(outcome),
            Ok(Progress::Following(next)) => self.finish(next, deadline).await,
            Err(error) => Err(error),
        };
        begun.label.log(&served);
        Ended {
            message: begun.message,
            served,
            deferred: None,
        }
    }

    /// Makes of an event what can be answered now, and what goes on after the answer.
    async fn acknowledge(&self, begun: Begun, text: Arc<str>, deadline: Deadline) -> Ended {
        let Begun {
            message,
            label,
            progress,
            event,
        } = begun;
        let (served, following) = match (progress, event) {
            // Whatever the reason: told to the sender alone, a failure would be in no dead-letter
            // queue, and no alarm would count it.
            (Err(error), Some(event)) => (self.defer_to_queue(event, error, deadline).await, None),
            (Err(error), None) => (Err(error), None),
            (Ok(Progress::Done(outcome)), _) => (Ok(outcome), None),
            (Ok(Progress::Following(following)), _) => {
                match self.answer_first(&following, deadline).await {
                    Ok(outcome) => (Ok(outcome), Some(following)),
                    Err(error) => (Err(error), None),
                }
            }
        };
        label.log(&served);
        let deferred = following.map(|following| Deferred {
            label,
            following,
            text,
        });
        Ended {
            message,
            served,
            deferred,
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
                let error_type = failure.error_type().as_str();
                error!(%event_id, %cause, error_type, "failed: {}", on_one_line(failure));
            }
        }
    }
}
/// What a sender is told. What is wrong is for the operator to know, in the log.
fn reject(error: &GateError) -> Rejection {
    warn!("unauthorized: {error}");
    match error {
        GateError::Refused(_) => Rejection::Unauthenticated,
        GateError::NoCertificate(_) => Rejection::NoCertificate,
        GateError::TooLarge => Rejection::TooLarge,
    }
}
