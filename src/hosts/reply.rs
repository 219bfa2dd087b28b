//! The results of one payload, and the answer that its sender expects. Typed outcomes become JSON
//! and HTTP statuses only here. Pure.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::capture::Following;
use crate::hosts::pushes::Held;
use crate::hosts::served::{Label, ServeError, Served, on_one_line};
use crate::intake::delivery::ReplyForm;
use crate::intake::http_request::AnswerForm;
use crate::model::outcome::ErrorType;

/// The results of one payload.
#[derive(Debug)]
pub struct Reply {
    /// The form of the answer.
    pub form: ReplyForm,
    /// How the platform wants the answer to an HTTP request.
    pub answer: AnswerForm,
    /// The results of its messages, in their order. Empty for a rejected request.
    pub messages: Vec<MessageReply>,
    /// Why nothing was served. `None` if the sender is authorized.
    pub rejection: Option<Rejection>,
    /// Events that continue after the answer. Only HTTP requests have any, because their senders
    /// wait only briefly. Pass them to
    /// briefly. Give it to
    /// [`Dispatcher::finish_deferred`](crate::hosts::dispatch::Dispatcher::finish_deferred).
    pub deferred: Vec<Deferred>,
}

/// An event that continues after the answer.
#[derive(Debug)]
pub struct Deferred {
    pub(super) label: Label,
    pub(super) following: Box<Following>,
    /// Text of the whole message. All its events share it.
    pub(super) text: Arc<str>,
    /// The event's places in memory and its name, held until the event ends.
    pub(super) held: Held,
}

impl Deferred {
    /// Text of the message that contains the event.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The results of one message, which succeeds or fails as a whole.
#[derive(Debug)]
pub struct MessageReply {
    /// `messageId` of an SQS message.
    pub sqs_message_id: Option<String>,
    /// The result of each event in the message, in their order.
    pub events: Vec<Served>,
}

/// Why an HTTP request was not served. Each variant is what the sender does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// Do not send the request again: it is unauthorized.
    Unauthenticated,
    /// Send it again: EventBridge's certificate could not be fetched.
    NoCertificate,
    /// Send it again: the secret with the webhook token could not be read.
    NoToken,
    /// Send less at once.
    TooLarge,
    /// Send events with POST.
    MethodNotAllowed,
}

/// An invocation that failed as a whole. The platform delivers it again.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct InvocationError {
    /// Type of the error, for alarms.
    pub error_type: ErrorType,
    /// What failed.
    pub message: String,
    /// Whether the same invocation may succeed later.
    pub is_transient: bool,
    /// Whether ECS answered, and is only busy with the instances.
    pub is_of_instance: bool,
}

impl MessageReply {
    /// Whether every event in the message succeeded.
    pub fn is_success(&self) -> bool {
        self.events.iter().all(Result::is_ok)
    }
}

impl Reply {
    pub(crate) fn rejected(rejection: Rejection, answer: AnswerForm) -> Self {
        Self {
            rejection: Some(rejection),
            ..Self::to_probe(answer)
        }
    }

    /// The reply to a health check over HTTP, which has no events.
    pub(crate) fn to_probe(answer: AnswerForm) -> Self {
        Self {
            form: ReplyForm::Http,
            answer,
            messages: Vec::new(),
            rejection: None,
            deferred: Vec::new(),
        }
    }

    /// Whether the sender was authorized and every event succeeded. Deferred events have not ended
    /// yet. [`Dispatcher::finish_deferred`] returns their results.
    ///
    /// [`Dispatcher::finish_deferred`]: crate::hosts::dispatch::Dispatcher::finish_deferred
    pub fn is_success(&self) -> bool {
        self.rejection.is_none() && self.messages.iter().all(MessageReply::is_success)
    }

    /// The result of each event, in their order.
    pub fn events(&self) -> impl Iterator<Item = &Served> {
        self.messages.iter().flat_map(|message| &message.events)
    }

    /// The failures of events, in their order.
    pub fn failures(&self) -> impl Iterator<Item = &ServeError> {
        self.events().filter_map(|served| served.as_ref().err())
    }

    /// Combines all failures into one error. `None` if no event failed.
    pub fn failure(&self) -> Option<InvocationError> {
        self.failure_among(|_| true)
    }

    /// Combines these failures into one error.
    pub(super) fn failure_among(
        &self,
        is_meant: impl Fn(&ServeError) -> bool,
    ) -> Option<InvocationError> {
        let failures: Vec<_> = self.failures().filter(|one| is_meant(one)).collect();
        // A transient failure comes first, because another delivery may succeed.
        let worst = failures.iter().min_by_key(|f| !f.is_transient())?;
        let message = match self.events().count() {
            1 => on_one_line(worst),
            events => format!(
                "{} of {events} events failed, such as: {}",
                failures.len(),
                on_one_line(worst)
            ),
        };
        Some(InvocationError {
            error_type: worst.error_type(),
            message,
            is_transient: worst.is_transient(),
            is_of_instance: failures.iter().all(|failure| failure.is_of_instance()),
        })
    }

    /// The answer to a function platform.
    ///
    /// # Errors
    /// [`InvocationError`] if the form of the answer can only report the failure of the whole
    /// invocation. The platform then delivers all its events again. What they stored stays.
    pub fn to_json(&self) -> Result<Value, InvocationError> {
        match self.form {
            ReplyForm::SqsBatch => Ok(self.batch_item_failures()),
            ReplyForm::Http => Ok(self.to_platform_http()),
            ReplyForm::Many => self.outcomes().map(Value::Array),
            ReplyForm::One => self.outcomes().map(|mut outcomes| match outcomes.len() {
                0 | 1 => outcomes.pop().unwrap_or_default(),
                // The sender put several events into one envelope.
                _ => Value::Array(outcomes),
            }),
        }
    }

    /// The answer to an HTTP request that a platform passed on.
    fn to_platform_http(&self) -> Value {
        let (status, body) = self.to_http();
        let mut answer = json!({
            "statusCode": status.as_u16(),
            "isBase64Encoded": false,
            "body": body.to_string(),
        });
        if self.answer.has_multi_value_headers {
            answer["multiValueHeaders"] = json!({"content-type": ["application/json"]});
        } else {
            answer["headers"] = json!({"content-type": "application/json"});
        }
        if self.answer.has_status_description {
            let reason = status.canonical_reason().unwrap_or_default();
            answer["statusDescription"] = json!(format!("{} {reason}", status.as_u16()));
        }
        answer
    }

    /// The answer to an HTTP request: status and body.
    pub fn to_http(&self) -> (StatusCode, Value) {
        if let Some(rejection) = self.rejection {
            // The log says what is wrong. The sender need not know.
            let body =
                json!({"errorType": rejection.as_str(), "errorMessage": rejection.message()});
            return (rejection.status(), body);
        }
        match self.outcomes() {
            Ok(mut outcomes) if outcomes.len() == 1 => (StatusCode::OK, outcomes.remove(0)),
            Ok(outcomes) => (StatusCode::OK, Value::Array(outcomes)),
            Err(error) => (error.status(), error.to_json()),
        }
    }

    fn outcomes(&self) -> Result<Vec<Value>, InvocationError> {
        match self.failure() {
            Some(failure) => Err(failure),
            None => Ok(self.events().flatten().map(|one| json!(one)).collect()),
        }
    }

    /// AWS deletes the messages that are not in this list.
    fn batch_item_failures(&self) -> Value {
        let failed = self.messages.iter().filter(|message| !message.is_success());
        // Lambda delivers the whole batch again for an empty identifier. A message without an ID
        // can only be delivered again in this way.
        let item = |message: &MessageReply| json!({"itemIdentifier": message.sqs_message_id.as_deref().unwrap_or_default()});
        json!({"batchItemFailures": failed.map(item).collect::<Vec<_>>()})
    }
}

impl InvocationError {
    /// The error in the form that AWS Lambda expects.
    pub fn to_json(&self) -> Value {
        json!({"errorType": self.error_type.as_str(), "errorMessage": self.message})
    }

    fn status(&self) -> StatusCode {
        match self.error_type {
            ErrorType::InvalidEvent => StatusCode::BAD_REQUEST,
            _ if self.is_transient => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Rejection {
    fn message(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthorized",
            Self::NoCertificate => "the signature cannot be verified now; send it again later",
            Self::NoToken => "the token cannot be checked now; send it again later",
            Self::TooLarge => "the body is too long",
            Self::MethodNotAllowed => "send events with POST",
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "Unauthenticated",
            Self::NoCertificate => "NoCertificate",
            Self::NoToken => "NoToken",
            Self::TooLarge => "InvalidEvent",
            Self::MethodNotAllowed => "MethodNotAllowed",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::NoCertificate | Self::NoToken => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::CaptureError;
    use crate::model::outcome::Outcome;

    fn ignored() -> Served {
        Ok(Outcome::Ignored {
            reason: "other_product",
            message: String::new(),
        })
    }

    fn reply(form: ReplyForm, messages: Vec<Vec<Served>>) -> Reply {
        let message = |(index, events)| MessageReply {
            sqs_message_id: Some(format!("m{index}")),
            events,
        };
        Reply {
            form,
            answer: AnswerForm::default(),
            messages: messages.into_iter().enumerate().map(message).collect(),
            rejection: None,
            deferred: Vec::new(),
        }
    }

    #[test]
    fn one_envelope_of_several_events_is_answered_with_all_their_outcomes() {
        let outcome = json!({"outcome": "ignored", "reason": "other_product", "message": ""});
        let answer = |events| reply(ReplyForm::One, vec![events]).to_json().unwrap();
        assert_eq!(answer(vec![ignored()]), outcome);
        assert_eq!(
            answer(vec![ignored(), ignored()]),
            json!([outcome, outcome])
        );
    }

    #[test]
    fn a_reply_is_a_success_only_when_every_event_in_it_is_whatever_its_form() {
        let forms = [
            ReplyForm::One,
            ReplyForm::Many,
            ReplyForm::SqsBatch,
            ReplyForm::Http,
        ];
        for form in forms {
            let failed = || Err(CaptureError::NoRegion.into());
            assert!(reply(form, vec![vec![ignored()], vec![ignored()]]).is_success());
            for messages in [
                vec![vec![failed()]],
                vec![vec![ignored(), failed()]],
                vec![vec![ignored()], vec![failed(), ignored()], vec![ignored()]],
            ] {
                assert!(!reply(form, messages).is_success(), "{form:?}");
            }
        }
        for rejection in [Rejection::Unauthenticated, Rejection::NoCertificate] {
            assert!(!Reply::rejected(rejection, AnswerForm::default()).is_success());
        }
    }

    #[test]
    fn of_a_batch_each_message_with_a_failure_is_named_once() {
        let failed = || Err(CaptureError::NoRegion.into());
        let messages = vec![
            vec![ignored()],
            vec![failed(), ignored(), failed()],
            vec![failed()],
        ];
        assert_eq!(
            reply(ReplyForm::SqsBatch, messages).to_json().unwrap(),
            json!({"batchItemFailures": [{"itemIdentifier": "m1"}, {"itemIdentifier": "m2"}]})
        );
    }
}
