//! The one door: a payload in, by whichever way it came, and a typed [`Reply`] out.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join;
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::archive::record::FailedEvent;
use crate::capture::room::Place;
use crate::capture::sweep::Sweep;
use crate::capture::{Archiver, CaptureError, HTTP_ANSWER_TIME, HTTP_CAPTURE_TIME, Progress};
use crate::config::{Deployment, FailedEvents};
use crate::credentials::CredentialsProvider;
use crate::hosts::pushes::{EventName, Held, Pushes};
use crate::hosts::reply::{Deferred, MessageReply, Rejection, Reply};
use crate::hosts::served::{Label, ServeError, Served, copy_of, on_one_line};
use crate::intake::MAX_EVENTS;
use crate::intake::delivery::{Delivery, Message, ReplyForm};
use crate::intake::error::EventError;
use crate::intake::event::{NotOurs, Request};
use crate::intake::http_request::{AnswerForm, Purpose};
use crate::intake::json_text::read;
use crate::intake::redact::without_headers;
use crate::intake::triggers::Triggers;
use crate::intake::webhook::gate::{Gate, GateError};
use crate::intake::webhook::{Headers, UrlPath, WebhookRequest};
use crate::model::event::{InstanceEvent, Origin};
use crate::model::outcome::{ErrorType, Outcome};
use crate::queue::sqs::SqsQueue;
use crate::retry::{Deadline, Retrying, TimeUp, noting_time_up, time_up};
use crate::source::{ConsoleSource, Fleet};
use crate::store::Store;

/// Events served at once. A full SQS batch has 10; more would run into ECS's throttling.
const CONCURRENCY: usize = 4;
/// Answers to events that are prepared at once.
const ANSWERED_AT_ONCE: usize = 32;
/// Events of one payload followed at once: all of them, because a console that waits is overwritten.
/// They wait most of the time, for the next console or for a picture, and begin as soon as ECS was asked for their consoles
/// once. The archiver's
/// [`Room`](crate::capture::room::Room) bounds what they hold in memory, and how many of them ask ECS
/// at the same moment.
const FOLLOWED_AT_ONCE: usize = MAX_EVENTS;

/// Part of the time that is left for the answer when people are told.
const TELL_RESERVE: Duration = Duration::from_millis(500);

/// The one door: it takes payloads apart, says who may send them, and has what they ask for done.
#[derive(Debug, Clone)]
pub struct Dispatcher<C, S> {
    /// Does what events ask for.
    pub archiver: Archiver<C, S>,
    /// Which events lead to a capture.
    pub triggers: Triggers,
    /// Who keeps events that fail for good.
    pub failed_events: FailedEvents,
    /// Authorizes HTTP requests. Without it, every caller is trusted.
    pub gate: Option<Gate>,
    /// The platform's queue of failed events, for redrives. Without it, they serve the archive's.
    pub failed_queue: Option<SqsQueue>,
    /// What this process remembers of HTTP pushes.
    pub pushes: Arc<Pushes>,
    /// Its platform and its settings' names, for the answer to a doctor event.
    pub deployment: Deployment,
    /// The credentials for Alibaba Cloud, whose identity it can say.
    pub credentials: Option<CredentialsProvider>,
}

/// One payload, by the way it came.
pub enum Payload<'a> {
    /// What a function platform hands over. It may be an HTTP request in an envelope.
    Invocation(&'a [u8]),
    /// An HTTP request that this process received itself.
    Http(&'a WebhookRequest<'a>),
    /// A file that a person gave on the command line.
    File(&'a [u8]),
    /// What failed before, from where it is kept, and how it came. Nobody waits for an HTTP answer to
    /// it, whatever its envelope: it is served to its end, and its sender was authorized when it
    /// came. It may not ask for more than then.
    Replay(&'a str, Origin),
}

/// How a payload is served, by the way it came.
#[derive(Clone, Copy)]
struct Terms {
    /// The sender waits only briefly, so that the answer comes before the following.
    answers_first: bool,
    /// The caller goes on after the answer, and tells people then.
    tells_later: bool,
    /// How it came, which is kept with what fails.
    origin: Origin,
    keeps: Keeps,
}

/// Which messages are kept when they fail, where the archive keeps failed events.
///
/// What a person asks for by hand is told to that person and not kept, because nobody mends it
/// later: the person asks again. By hand is
/// - on the command line, a file whose event cannot be read, or is in the manual form;
/// - on every host, the manual form in no envelope of a queue, a topic or a timer: an invocation
///   from a console or a CLI, or an HTTP request, whose sender reads the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeps {
    /// Events served again: they are kept where they are.
    Nothing,
    /// The person who gave the file reads why it is not an event.
    UnlessByHandOrUnreadable,
    /// The sender reads the answer.
    UnlessByHand,
    /// From a queue: its sender does not read the answer.
    Everything,
}

impl Keeps {
    fn includes(self, text: &str, failure: &ServeError) -> bool {
        match self {
            Self::Nothing => false,
            _ if failure.is_over_http() => false,
            Self::UnlessByHandOrUnreadable => {
                failure.error_type() != ErrorType::InvalidEvent && !is_manual(text)
            }
            Self::UnlessByHand => !is_manual(text),
            Self::Everything => true,
        }
    }
}

/// An event as the archive keeps it when it fails, now.
fn failed_event(text: &str, origin: Origin, error_type: &str) -> serde_json::Result<FailedEvent> {
    FailedEvent::new(&without_headers(text), origin, error_type, Timestamp::now())
}

/// Whether it is the manual form, right or wrong, or an array of it. Redrives, compact and doctor events
/// count as manual: their sender can send them again, so none is kept.
fn is_manual(text: &str) -> bool {
    let is_one = |value: &Value| {
        ["instance_id", "redrive", "compact", "doctor"]
            .iter()
            .any(|member| value.get(member).is_some())
    };
    match read(text, MAX_EVENTS) {
        Ok(Value::String(json)) => is_manual(&json),
        Ok(Value::Array(all)) => !all.is_empty() && all.iter().all(is_one),
        Ok(value) => is_one(&value),
        Err(_) => false,
    }
}

/// Whether a message's text is a doctor event in no envelope.
fn is_bare_doctor(text: &str) -> bool {
    let event = read(text, MAX_EVENTS);
    event.is_ok_and(|value| value.get("doctor").is_some())
}

/// The events of all messages, in their order: which are served, and whose answer a copy gets.
#[derive(Default)]
struct Sorted {
    /// One of each message.
    texts: Vec<Arc<str>>,
    /// One of each message, without its events yet.
    replies: Vec<MessageReply>,
    turns: Vec<Turn>,
    /// One of each event, with the index of its message.
    answers: Vec<(usize, Answer)>,
}

impl Sorted {
    /// Senders repeat events within a push, so that copies of one are served once where
    /// `knows_copies`.
    fn of(messages: Vec<Message>, knows_copies: bool) -> Self {
        let (mut sorted, mut firsts) = (Self::default(), HashMap::new());
        for (message, delivered) in messages.into_iter().enumerate() {
            for (place, request) in delivered.requests.into_iter().enumerate() {
                let name = match &request {
                    Ok(Request::Instance(event)) if knows_copies => EventName::of(event),
                    _ => None,
                };
                let first = name.as_ref().and_then(|name| firsts.get(name)).copied();
                if let Some((first, place)) = first {
                    sorted.answers.push((message, Answer::Of(first, place)));
                    continue;
                }
                firsts.extend(name.clone().map(|name| (name, (message, place))));
                sorted.answers.push((message, Answer::Own));
                sorted.turns.push(Turn {
                    index: sorted.turns.len(),
                    message,
                    request,
                    name,
                });
            }
            sorted.texts.push(delivered.text);
            sorted.replies.push(MessageReply {
                sqs_message_id: delivered.sqs_message_id,
                events: Vec::new(),
            });
        }
        sorted
    }
}

/// An event to serve, of a message.
struct Turn {
    /// Its place among all events that are served.
    index: usize,
    message: usize,
    request: Result<Request, EventError>,
    /// Of a push only.
    name: Option<EventName>,
}

impl Turn {
    /// Whether it may take all the time. What it is about is over or waits, and so it begins behind
    /// the events, whose consoles are overwritten.
    fn can_wait(&self) -> bool {
        matches!(
            self.request,
            Ok(Request::Sweep(_) | Request::Redrive(_) | Request::Compact)
        )
    }
}

/// Where the answer to an event comes from.
#[derive(Clone, Copy)]
enum Answer {
    /// The next turn.
    Own,
    /// The answer at this place of this message. The event is a copy of that one.
    Of(usize, usize),
}

/// An event of one message, served up to its first wait.
struct Begun {
    index: usize,
    message: usize,
    label: Label,
    name: Option<EventName>,
    progress: Result<Progress, ServeError>,
    /// What was served, where it can be served again from the queue.
    again: Option<Again>,
}

/// What the queue can bring back.
enum Again {
    Event(InstanceEvent),
    Sweep(Box<Sweep>),
}

/// An event of one message, as it is answered.
struct Ended {
    index: usize,
    name: Option<EventName>,
    served: Served,
    deferred: Option<Deferred>,
}

impl<C: ConsoleSource + Fleet + Sync, S: Store> Dispatcher<C, S> {
    /// Serves every event in a payload, and answers before the deadline. One that takes long holds up
    /// no other: each has one of a few places until ECS was asked for it once, and gives it to the
    /// next while it is followed.
    ///
    /// The reply is typed. Its edges make the answer from it: [`Reply::to_json`] for a function
    /// platform, [`Reply::to_http`] for an HTTP server. People are told of what was found before it returns, but for
    /// [`Payload::Http`]: that one waits until it is claimed, and its caller calls
    /// [`finish_deferred`](Self::finish_deferred) or [`Archiver::tell_people`].
    pub async fn dispatch(&self, incoming: Payload<'_>, deadline: Deadline) -> Reply {
        let delivery = match &incoming {
            Payload::Http(push) => {
                if let Err(rejection) = self.authorize(push).await {
                    return Reply::rejected(rejection, AnswerForm::default());
                }
                Delivery::of_push(push.headers, push.body)
            }
            Payload::Replay(text, origin) => Delivery::of_replay(text, *origin),
            Payload::Invocation(payload) | Payload::File(payload) => Delivery::parse(payload),
        };
        let Delivery {
            mut messages,
            reply,
            request,
        } = delivery;
        let mut answer = AnswerForm::default();
        if let (Some(request), Payload::Invocation(_) | Payload::File(_)) = (request, &incoming) {
            answer = request.answer;
            match request.purpose() {
                Purpose::Push => {}
                Purpose::Probe => return Reply::to_probe(answer),
                Purpose::Other => return Reply::rejected(Rejection::MethodNotAllowed, answer),
            }
            let push = WebhookRequest {
                headers: &request.headers,
                path: &request.path,
                body: &request.body,
                is_authenticated: request.is_authenticated,
            };
            if let Err(rejection) = self.authorize(&push).await {
                return Reply::rejected(rejection, answer);
            }
        }
        let form = match incoming {
            Payload::Http(_) => ReplyForm::Http,
            _ => reply,
        };
        let origin = match incoming {
            _ if form == ReplyForm::Http => Origin::Http,
            Payload::Replay(_, origin) => origin,
            _ => Origin::Invocation,
        };
        let is_replay = matches!(incoming, Payload::Replay(..));
        let is_invocation = matches!(incoming, Payload::Invocation(_)) && form == ReplyForm::One;
        for message in &mut messages {
            for request in &mut message.requests {
                match request {
                    Ok(Request::Redrive(_)) if is_replay => {
                        *request = Ok(Request::Other(NotOurs::NestedRedrive));
                    }
                    // What it says is stored may be forged. What it is about may come from anyone.
                    Ok(Request::Follow(message)) if origin == Origin::Unknown => {
                        *request = Ok(Request::Instance(message.follow.event.clone()));
                    }
                    // An answer to anyone but a direct sender says too much of the deployment, or
                    // nobody reads it. Over HTTP it is refused below.
                    Ok(Request::Doctor(_))
                        if is_replay
                            || (form != ReplyForm::Http
                                && !(is_invocation && is_bare_doctor(&message.text))) =>
                    {
                        *request = Ok(Request::Other(NotOurs::IndirectDoctor));
                    }
                    _ => {}
                }
            }
            // Refused whole, so that nothing of it is kept: its sender may not ask for it later either.
            let refusal = message.requests.iter().find_map(not_over_http);
            if let Some(refusal) = refusal.filter(|_| origin == Origin::Http) {
                message.requests.fill_with(|| Err(refusal.clone()));
            }
        }
        let terms = Terms {
            answers_first: form == ReplyForm::Http && !is_replay,
            tells_later: matches!(incoming, Payload::Http(_)),
            origin,
            keeps: match incoming {
                Payload::Replay(..) => Keeps::Nothing,
                Payload::File(_) => Keeps::UnlessByHandOrUnreadable,
                _ if form == ReplyForm::SqsBatch => Keeps::Everything,
                _ => Keeps::UnlessByHand,
            },
        };
        let (messages, deferred) = self.serve_messages(messages, terms, deadline).await;
        Reply {
            form,
            answer,
            messages,
            rejection: None,
            deferred,
        }
    }

    /// Whether an HTTP request may be served. Nothing of a rejected one is kept.
    async fn authorize(&self, push: &WebhookRequest<'_>) -> Result<(), Rejection> {
        match &self.gate {
            Some(gate) => gate.check(push).await.map_err(|error| reject(&error)),
            None => Ok(()),
        }
    }

    /// Whether headers and path of an HTTP request that this process received are in order, before
    /// its body is read. [`dispatch`](Self::dispatch) judges the whole request.
    ///
    /// # Errors
    /// The reply to a request that is not served, whatever its body is.
    pub async fn admit(&self, headers: &Headers, path: &UrlPath) -> Result<(), Reply> {
        match &self.gate {
            Some(gate) => (gate.admit(headers, path, false).await.map(drop))
                .map_err(|error| Reply::rejected(reject(&error), AnswerForm::default())),
            None => Ok(()),
        }
    }

    /// Serves every event of every message once, and follows them, too, unless the answer comes
    /// first.
    async fn serve_messages(
        &self,
        messages: Vec<Message>,
        Terms {
            answers_first,
            tells_later,
            origin,
            keeps,
        }: Terms,
        deadline: Deadline,
    ) -> (Vec<MessageReply>, Vec<Deferred>) {
        let Sorted {
            texts,
            mut replies,
            mut turns,
            answers,
        } = Sorted::of(messages, answers_first);
        let whole = deadline;
        let (first, deadline) = if answers_first {
            let (capture, answer) = (HTTP_CAPTURE_TIME, HTTP_ANSWER_TIME);
            (deadline.at_most(capture), deadline.at_most(answer))
        } else {
            (deadline, deadline)
        };
        turns.sort_by_key(Turn::can_wait);
        let answering = Semaphore::new(ANSWERED_AT_ONCE);
        let rooms: Vec<_> = texts.iter().map(|_| OnceLock::new()).collect();
        let end = async |begun: Begun| {
            if !answers_first {
                return self.end(begun, deadline).await;
            }
            let begun = self.take_screenshot(begun, deadline).await;
            let _answering = answering.acquire().await;
            let text = texts[begun.message].clone();
            let place = self.place(&begun, &text, &rooms[begun.message]);
            self.acknowledge(begun, text, place, deadline).await
        };
        let mut ended: Vec<Ended> = stream::iter(turns)
            .map(|turn| self.begin(turn, first))
            .buffer_unordered(CONCURRENCY)
            .map(end)
            .buffer_unordered(FOLLOWED_AT_ONCE)
            .collect()
            .await;
        ended.sort_by_key(|ended| ended.index);
        if answers_first && ended.iter().any(|ended| ended.served.is_err()) {
            let succeeded = ended.iter().filter_map(|ended| {
                let outcome = ended.served.as_ref().ok()?;
                Some((ended.name.clone()?, outcome.clone()))
            });
            self.pushes.remember(succeeded);
        }
        let (mut served, mut all_deferred) = (Vec::new(), Vec::new());
        for ended in ended {
            served.push(ended.served);
            all_deferred.extend(ended.deferred);
        }
        let mut served = served.into_iter();
        for (message, answer) in answers {
            let served = match answer {
                Answer::Own => served.next(),
                Answer::Of(first, place) => Some(copy_of(&replies[first].events[place])),
            };
            replies[message].events.extend(served);
        }
        // Each message that failed is kept once.
        let failed = texts.iter().zip(&replies).filter_map(|(text, reply)| {
            let failure = reply.events.iter().find_map(|one| one.as_ref().err())?;
            let is_kept = keeps.includes(text, failure);
            is_kept.then(|| (text.clone(), failure.error_type()))
        });
        let failed: Vec<_> = failed.collect();
        let keep = async |(text, error_type): (Arc<str>, ErrorType)| {
            self.keep_failed_event(&text, origin, error_type, deadline)
                .await;
        };
        stream::iter(failed)
            .for_each_concurrent(CONCURRENCY, keep)
            .await;
        if tells_later {
            let claim_by = deadline.with_reserve(TELL_RESERVE);
            self.archiver.claim_findings(claim_by).await;
        } else {
            let tell_by = whole.with_reserve(TELL_RESERVE);
            self.archiver.tell_people(tell_by).await;
        }
        (replies, all_deferred)
    }

    /// Tells people of what was found, follows what goes on after the answer, and says how each of it ended. What was kept before
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
                held: _held,
            } = deferred;
            let served = self.archiver.finish(following, deadline).await;
            let served = served.map_err(ServeError::from);
            label.log(&served);
            if let Err(failure) = &served {
                // Only HTTP requests are followed after their answers.
                self.keep_failed_event(&text, Origin::Http, failure.error_type(), deadline)
                    .await;
            }
            served
        };
        let served = stream::iter(deferred)
            .map(finish)
            .buffer_unordered(FOLLOWED_AT_ONCE)
            .collect();
        let tell_by = deadline.with_reserve(TELL_RESERVE);
        // What was found before the answer does not wait for what is found later.
        let (served, ()) = join(served, self.archiver.tell_people(tell_by)).await;
        self.archiver.tell_people(tell_by).await;
        served
    }

    /// Keeps an event that failed, where no dead-letter queue does. When that fails, too, the
    /// sender still learns of the failure itself.
    async fn keep_failed_event(
        &self,
        text: &str,
        origin: Origin,
        error_type: ErrorType,
        deadline: Deadline,
    ) {
        if self.failed_events != FailedEvents::Archive {
            return;
        }
        let event = match failed_event(text, origin, error_type.as_str()) {
            Ok(event) => event,
            Err(error) => return error!("the failed event could not be kept: {error}"),
        };
        let key = event.key.to_string();
        let store = Retrying::new(&self.archiver.store, deadline);
        match store.put_if_absent(&key, &event.object).await {
            Ok(_) => {
                let url = self.archiver.store.url(&key);
                info!("kept the failed event as {url}; console-archive redrive serves it again");
            }
            Err(error) => error!(
                "the failed event could not be kept: {}",
                on_one_line(&error)
            ),
        }
    }

    /// Does what an event asks for, up to the first wait.
    async fn serve(&self, request: Request, deadline: Deadline) -> Result<Progress, CaptureError> {
        let ignored = |reason, message| Ok(Progress::Done(Outcome::Ignored { reason, message }));
        match request {
            Request::Instance(event) if self.triggers.include(&event.cause) => {
                self.archiver.begin(event, deadline).await
            }
            Request::Follow(message) => self.archiver.resume(*message, deadline).await,
            Request::Sweep(sweep) => {
                let name = sweep
                    .name()
                    .filter(|_| self.archiver.follow_queue.is_some());
                let serve = async {
                    let stop = CancellationToken::new();
                    let swept = self.archiver.sweep(*sweep, deadline, &stop, &|_| {});
                    let outcome = self.archiver.go_on(swept.await?, deadline).await?;
                    let tell_by = deadline.with_reserve(TELL_RESERVE);
                    self.archiver.tell_what_is_left(tell_by).await;
                    Ok(Progress::Done(outcome))
                };
                match name {
                    Some(name) => self.archiver.once(&name, deadline, serve).await,
                    None => serve.await,
                }
            }
            Request::Redrive(asked) => {
                let outcome = self.redrive_failed(*asked, deadline).await?;
                Ok(Progress::Done(outcome))
            }
            Request::Compact => {
                let done = self.compact_catalog(deadline).await?;
                let tell_by = deadline.with_reserve(TELL_RESERVE);
                self.archiver.tell_what_is_left(tell_by).await;
                Ok(Progress::Done(Outcome::Compacted(done)))
            }
            Request::Doctor(asked) => {
                let examination = self.examine(*asked, deadline).await;
                Ok(Progress::Done(Outcome::Examined(Box::new(examination))))
            }
            Request::Instance(event) => ignored(
                "not_a_trigger",
                format!("{} is not in TRIGGER_STATES", event.cause),
            ),
            Request::Other(not_ours) => ignored(not_ours.reason(), not_ours.to_string()),
        }
    }

    async fn begin(&self, turn: Turn, deadline: Deadline) -> Begun {
        let Turn {
            index,
            message,
            request,
            name,
        } = turn;
        let label = Label::of(&request);
        let again = match &request {
            Ok(Request::Instance(event)) => Some(Again::Event(event.clone())),
            Ok(Request::Sweep(sweep)) => Some(Again::Sweep(sweep.clone())),
            _ => None,
        };
        let answered = name.as_ref().and_then(|name| self.pushes.answer(name));
        let progress = match (request, answered) {
            (Ok(_), Some(outcome)) => Ok(Progress::Done(outcome)),
            (Ok(request), None) => self.serve_in_time(request, deadline).await,
            (Err(error), _) => Err(error.into()),
        };
        Begun {
            index,
            message,
            label,
            name,
            progress,
            again,
        }
    }

    /// Serves an event, unless those before it took all the time.
    async fn serve_in_time(
        &self,
        request: Request,
        deadline: Deadline,
    ) -> Result<Progress, ServeError> {
        let left = deadline.remaining();
        let time_over = || Err(CaptureError::TimeOver(deadline.whole()).into());
        // Nothing is asked that could not be answered: a push may hold a thousand events.
        if left.is_zero() {
            return time_over();
        }
        let serve = async { (self.serve(request, deadline).await, time_up()) };
        match noting_time_up(serve).await {
            // A call that began late and was cut off says nothing about whoever was called.
            (Err(error), Some(TimeUp::CutOff))
                if error.is_transient() && left < deadline.whole() / 2 =>
            {
                time_over()
            }
            (served, _) => served.map_err(ServeError::from),
        }
    }

    /// Takes the picture that an event asks for before its answer, if any.
    async fn take_screenshot(&self, begun: Begun, deadline: Deadline) -> Begun {
        let progress = match begun.progress {
            Ok(Progress::Following(next)) => {
                let taken = self.archiver.take_screenshot(next, deadline).await;
                taken.map_err(ServeError::from)
            }
            progress => progress,
        };
        Begun { progress, ..begun }
    }

    /// Follows an event to its end.
    async fn end(&self, begun: Begun, deadline: Deadline) -> Ended {
        let served = match begun.progress {
            Ok(Progress::Done(outcome)) => Ok(outcome),
            Ok(Progress::Following(next)) => {
                let finished = self.archiver.finish(next, deadline).await;
                finished.map_err(ServeError::from)
            }
            Err(error) => Err(error),
        };
        begun.label.log(&served);
        Ended {
            index: begun.index,
            name: begun.name,
            served,
            deferred: None,
        }
    }

    /// Room for an event of a push that is to be followed, and for its message's text, which is
    /// `room_of_text` once an event of the message has asked for it. `None` if there is none for one
    /// of them.
    fn place(
        &self,
        begun: &Begun,
        text: &str,
        room_of_text: &OnceLock<Option<Arc<Place>>>,
    ) -> Option<(Place, Arc<Place>)> {
        if !matches!(begun.progress, Ok(Progress::Following(_))) {
            return None;
        }
        let room = &self.archiver.room;
        let of_text = room_of_text.get_or_init(|| room.for_bytes(text.len()).map(Arc::new));
        Some((room.for_event()?, of_text.clone()?))
    }

    /// Makes of an event what can be answered now, and what goes on after the answer. `place`: for
    /// it and for its message's text while it is followed.
    async fn acknowledge(
        &self,
        begun: Begun,
        text: Arc<str>,
        place: Option<(Place, Arc<Place>)>,
        deadline: Deadline,
    ) -> Ended {
        let Begun {
            index,
            label,
            name,
            progress,
            again,
            ..
        } = begun;
        let mut deferred = None;
        let served = match (progress, again) {
            // Whatever the reason: told to the sender alone, a failure would be in no dead-letter
            // queue, and no alarm would count it.
            (Err(ServeError::Capture(error)), Some(Again::Event(event))) => {
                let deferred = self.archiver.defer_to_queue(event, error, deadline).await;
                deferred.map_err(ServeError::from)
            }
            (Err(ServeError::Capture(error)), Some(Again::Sweep(sweep))) => {
                let deferred = self.archiver.defer_sweep(*sweep, error, deadline).await;
                deferred.map_err(ServeError::from)
            }
            (Err(error), _) => Err(error),
            (Ok(Progress::Done(outcome)), _) => Ok(outcome),
            (Ok(Progress::Following(mut following)), _) => match place {
                Some(place) => {
                    let answer = self.archiver.answer_first(&mut following, deadline).await;
                    if let Ok(outcome) = &answer {
                        deferred = self.hold(&name, outcome, place).map(|held| Deferred {
                            label: label.clone(),
                            following,
                            text,
                            held,
                        });
                    }
                    answer.map_err(ServeError::from)
                }
                None => Err(ServeError::NoRoom),
            },
        };
        label.log(&served);
        Ended {
            index,
            name,
            served,
            deferred,
        }
    }

    /// What is held while an event is followed after its answer. `None` if another delivery of it,
    /// which came at the same time, is followed already.
    fn hold(
        &self,
        name: &Option<EventName>,
        answer: &Outcome,
        (event, text): (Place, Arc<Place>),
    ) -> Option<Held> {
        let name = self.pushes.follow(name.clone(), answer)?;
        Some(Held {
            _event: event,
            _text: text,
            _name: name,
        })
    }
}

/// Why a request is refused if it came over HTTP.
fn not_over_http(request: &Result<Request, EventError>) -> Option<EventError> {
    match request {
        Ok(Request::Follow(_)) => Some(EventError::FollowOverHttp),
        Ok(Request::Redrive(_)) => Some(EventError::OverHttp("redrive")),
        Ok(Request::Compact) => Some(EventError::OverHttp("compact event")),
        Ok(Request::Doctor(_)) => Some(EventError::DoctorOverHttp),
        _ => None,
    }
}

/// What a sender is told. What is wrong is for the operator to know, in the log.
fn reject(error: &GateError) -> Rejection {
    match error {
        // The log counts as unauthorized only what the sender is to blame for.
        GateError::NoToken(_) => warn!("{error}"),
        _ => warn!("unauthorized: {error}"),
    }
    match error {
        GateError::Refused(_) => Rejection::Unauthenticated,
        GateError::NoCertificate(_) => Rejection::NoCertificate,
        GateError::NoToken(_) => Rejection::NoToken,
        GateError::TooLarge => Rejection::TooLarge,
    }
}
