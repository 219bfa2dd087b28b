//! The result of one event, and its log line.

use tracing::field::display;
use tracing::{error, info};

use crate::capture::CaptureError;
use crate::intake::error::EventError;
use crate::intake::event::Request;
use crate::model::check::Verdict;
use crate::model::outcome::{Compacted, ErrorType, Outcome, RedriveTally, Stored};

/// The result of one event.
pub type Served = Result<Outcome, ServeError>;

/// Why an event was not served. Each variant is what the sender does next.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The event is invalid. Another delivery would fail in the same way.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The capture failed. The event must be delivered again.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// What ECS had is stored. This process follows as much as it may, and the sender brings the
    /// event back when there is room.
    #[error(
        "too much is followed in memory at the moment: what ECS had is stored, and this event must come again to be followed"
    )]
    NoRoom,
    /// The same event stands earlier in the push, and failed.
    #[error("{message}")]
    Copy {
        /// Why the first failed.
        message: String,
        /// The first's.
        error_type: ErrorType,
        /// The first's.
        is_transient: bool,
    },
}

impl ServeError {
    /// Whether the same event may succeed later without anyone fixing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Event(_) => false,
            Self::Capture(error) => error.is_transient(),
            Self::NoRoom => true,
            Self::Copy { is_transient, .. } => *is_transient,
        }
    }

    /// Whether ECS answered, and is only busy with the instance.
    pub(super) fn is_of_instance(&self) -> bool {
        match self {
            Self::Capture(CaptureError::Ecs(error)) => error.is_of_instance(),
            // ECS gave a console.
            Self::NoRoom => true,
            Self::Capture(_) | Self::Event(_) | Self::Copy { .. } => false,
        }
    }

    /// Whether it asks for what only an invocation may ask for. Kept, it would be served as if an
    /// invocation had asked.
    pub(super) fn is_over_http(&self) -> bool {
        matches!(
            self,
            Self::Event(
                EventError::FollowOverHttp | EventError::OverHttp(_) | EventError::DoctorOverHttp
            )
        )
    }

    /// The type of the error. It stays the same between versions, for alarms.
    pub fn error_type(&self) -> ErrorType {
        match self {
            Self::Event(_) => ErrorType::InvalidEvent,
            Self::Capture(error) => error.error_type(),
            Self::NoRoom => ErrorType::TooManyRequests,
            Self::Copy { error_type, .. } => *error_type,
        }
    }
}

/// The result of a copy of an event, by the result of the first.
pub(super) fn copy_of(first: &Served) -> Served {
    match first {
        Ok(outcome) => Ok(outcome.clone()),
        Err(error) => Err(ServeError::Copy {
            message: on_one_line(error),
            error_type: error.error_type(),
            is_transient: error.is_transient(),
        }),
    }
}

/// Target of the log lines with outcomes. A program that prints outcomes itself can leave them out.
pub const LOG_TARGET: &str = module_path!();

/// ID and cause of an event in the log, if it has them. Texts from outside are escaped, so that
/// each event is one line.
#[derive(Debug, Clone, Default)]
pub(super) struct Label {
    event_id: Option<String>,
    cause: Option<String>,
}

impl Label {
    pub(super) fn of(request: &Result<Request, EventError>) -> Self {
        let event = match request {
            Ok(Request::Instance(event)) => event,
            Ok(Request::Follow(message)) => &message.follow.event,
            _ => return Self::default(),
        };
        let escaped = |text: &str| text.escape_debug().to_string();
        Self {
            event_id: event.event_id.as_deref().map(escaped),
            cause: Some(escaped(&event.cause.to_string())),
        }
    }
}

impl Label {
    /// Writes the log line of an event, once its outcome is known.
    pub(super) fn log(&self, served: &Served) {
        let event_id = self.event_id.as_ref().map(display);
        let cause = self.cause.as_ref().map(display);
        match served {
            Ok(Outcome::Stored(Stored {
                record,
                freshness,
                screenshots,
                ..
            })) => {
                let freshness = freshness.map(|freshness| freshness.to_string());
                let screenshot = screenshots.last();
                info!(
                    event_id,
                    cause,
                    freshness,
                    gzip_bytes = record.gzip_bytes,
                    screenshot,
                    "stored {}",
                    record.url
                );
            }
            Ok(Outcome::AlreadyStored(Stored {
                record,
                freshness,
                screenshots,
                ..
            })) => {
                let freshness = freshness.map(|freshness| freshness.to_string());
                let screenshot = screenshots.last();
                info!(
                    event_id,
                    cause, freshness, screenshot, "already stored {}", record.url
                );
            }
            Ok(Outcome::Following {
                instance_id,
                follow_in_seconds,
                urls,
                ..
            }) => {
                let stored = urls.join(" ");
                info!(
                    event_id,
                    cause, stored, "asking for {instance_id} again in {follow_in_seconds} s"
                );
            }
            Ok(Outcome::NoConsole {
                instance_id,
                reason,
                code,
                message,
                screenshots,
                ..
            }) => {
                let reason = reason.as_str();
                let screenshot = screenshots.last();
                info!(
                    event_id,
                    cause, reason, code, screenshot, "no console of {instance_id}: {message}"
                );
            }
            Ok(Outcome::Swept { done, resume }) => {
                let is_whole = resume.is_none();
                info!(
                    regions = done.regions,
                    instances = done.instances,
                    stored = done.stored,
                    already_stored = done.already_stored,
                    no_console = done.no_console,
                    failed = done.failed,
                    with_fatal = done.with_fatal,
                    with_error = done.with_error,
                    is_whole,
                    "swept"
                );
                for failure in &done.failures {
                    // A program that prints the outcome only shows the number of failures.
                    error!(target: "ecs_console_archiver::hosts", "failed in the sweep: {}", failure.escape_debug());
                }
            }
            Ok(Outcome::Redriven { done, resume }) => {
                let RedriveTally {
                    served,
                    failed,
                    given_up,
                    left,
                } = done;
                let is_sent_on = resume.is_some();
                info!(served, failed, given_up, left, is_sent_on, "redriven");
            }
            Ok(Outcome::Compacted(done)) => {
                let Compacted {
                    days,
                    rows,
                    removed,
                    left,
                    is_cut_short,
                } = done;
                info!(days, rows, removed, left, is_cut_short, "compacted");
            }
            Ok(Outcome::Examined(examination)) => {
                let checks = examination.checks.iter();
                let failed = checks.filter(|check| check.verdict == Verdict::Failed);
                let failed: Vec<_> = failed.map(|check| &*check.name).collect();
                info!(failed = failed.join(", "), "examined");
            }
            Ok(Outcome::Ignored { reason, message }) => {
                info!(
                    event_id,
                    cause,
                    reason,
                    "ignored: {}",
                    message.escape_debug()
                );
            }
            Err(failure) => {
                let error_type = failure.error_type().as_str();
                error!(
                    event_id,
                    cause,
                    error_type,
                    "failed: {}",
                    on_one_line(failure)
                );
            }
        }
    }
}
/// The error and its causes on one line.
pub(crate) fn on_one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(&format!(": {source}"));
        cause = source.source();
    }
    text
}
