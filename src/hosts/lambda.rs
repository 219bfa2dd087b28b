//! The function on AWS Lambda: the Runtime API's invocations → [`Dispatcher::dispatch`].

use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use lambda_extension::Extension;
use lambda_runtime::layers::TracingLayer;
use lambda_runtime::tower::{self, layer::layer_fn};
use lambda_runtime::{Diagnostic, Error, LambdaEvent, Runtime, service_fn};
use serde_json::value::RawValue;
use tokio::sync::{Mutex, mpsc};

use crate::hosts::dispatch::{Dispatcher, Payload};
use crate::hosts::reply::{Deferred, InvocationError};
use crate::retry::Deadline;
use crate::source::{ConsoleSource, Fleet};
use crate::store::Store;

/// Kept of an invocation's time for its answer; past its deadline the sandbox is frozen.
const ANSWER_RESERVE: Duration = Duration::from_millis(500);

/// What an invocation has whose deadline is past when it comes: on a developer's machine, where
/// cargo-lambda counts from before it builds the function. The platform itself never does that.
const UNKNOWN_TIME: Duration = Duration::from_secs(60);

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        Self {
            error_type: error.error_type.as_str().to_owned(),
            error_message: error.message,
        }
    }
}

/// Serves invocations until the platform stops the process.
///
/// # Errors
/// When the Runtime API cannot be reached.
pub async fn run<C, S>(dispatcher: &Dispatcher<C, S>) -> Result<(), Error>
where
    C: ConsoleSource + Fleet + Sync,
    S: Store,
{
    let archiver = &dispatcher.archiver;
    let follows_here = !archiver.follow_budget.is_zero() && archiver.follow_queue.is_none();
    let after_answers = AfterAnswers::new(follows_here);
    let serve = |event: LambdaEvent<Box<RawValue>>| {
        let after_answers = &after_answers;
        async move {
            let left = event.context.deadline().duration_since(SystemTime::now());
            let left = left.unwrap_or(UNKNOWN_TIME);
            let deadline = Deadline::after(left).earlier_by(ANSWER_RESERVE);
            let payload = Payload::Invocation(event.payload.get().as_bytes());
            let mut reply = dispatcher.dispatch(payload, deadline).await;
            after_answers.defer(std::mem::take(&mut reply.deferred), deadline);
            reply.to_json()
        }
    };
    // The outermost layer sees the end of every invocation: of those, too, that the runtime
    // answers itself, because their payload is not JSON, and of those that panic.
    let release = layer_fn(|service| {
        tower::ServiceExt::map_future(service, |invocation| async {
            let answered = invocation.await;
            after_answers.release();
            answered
        })
    });
    let runtime = Runtime::new(service_fn(serve)).layer(TracingLayer::new());
    let runtime = runtime.layer(release).run();
    if !follows_here {
        return runtime.await;
    }
    let extension = follow_after_answers(dispatcher, &after_answers).await?;
    tokio::try_join!(runtime, extension).map(|_| ())
}

/// What an invocation leaves to be done after its answer, on its way to the extension.
struct AfterAnswers {
    /// Of the invocation that is being served; the platform delivers one at a time.
    current: std::sync::Mutex<Option<AfterAnswer>>,
    /// One for each invocation that was answered. Nobody receives without an extension, so that
    /// there is none then: every message would stay in memory.
    answered: Option<mpsc::UnboundedSender<Option<AfterAnswer>>>,
    receiver: Mutex<mpsc::UnboundedReceiver<Option<AfterAnswer>>>,
}

struct AfterAnswer {
    deferred: Vec<Deferred>,
    deadline: Deadline,
}

impl AfterAnswers {
    fn new(has_extension: bool) -> Self {
        let (answered, receiver) = mpsc::unbounded_channel();
        Self {
            current: std::sync::Mutex::default(),
            answered: has_extension.then_some(answered),
            receiver: Mutex::new(receiver),
        }
    }

    /// Notes what the current invocation leaves.
    fn defer(&self, deferred: Vec<Deferred>, deadline: Deadline) {
        if !deferred.is_empty() && self.answered.is_some() {
            *self.current() = Some(AfterAnswer { deferred, deadline });
        }
    }

    /// Lets the extension go on: the current invocation is answered, in whichever way.
    fn release(&self) {
        if let Some(answered) = &self.answered {
            // Without a receiver the process is about to end.
            let _ = answered.send(self.current().take());
        }
    }

    /// What the next invocation leaves, once it is answered.
    async fn next(&self) -> Option<AfterAnswer> {
        self.receiver.lock().await.recv().await.flatten()
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Option<AfterAnswer>> {
        // A panic elsewhere leaves a value that is whole.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An internal extension: Lambda sends an answer on as soon as it is there, and freezes the process
/// only when every extension asks for the next event, too.
async fn follow_after_answers<'a, C, S>(
    dispatcher: &'a Dispatcher<C, S>,
    after_answers: &'a AfterAnswers,
) -> Result<impl Future<Output = Result<(), Error>> + 'a, Error>
where
    C: ConsoleSource + Fleet + Sync,
    S: Store,
{
    let follow = move |event: lambda_extension::LambdaEvent| async move {
        if event.next.is_invoke()
            && let Some(AfterAnswer { deferred, deadline }) = after_answers.next().await
        {
            dispatcher.finish_deferred(deferred, deadline).await;
        }
        Ok::<_, Error>(())
    };
    let extension = Extension::new()
        .with_events(&["INVOKE"])
        .with_extension_name("follow")
        .with_events_processor(lambda_extension::service_fn(follow))
        .register()
        .await?;
    Ok(extension.run())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many messages wait for a receiver after so many invocations.
    async fn waiting(has_extension: bool, invocations: usize) -> usize {
        let after_answers = AfterAnswers::new(has_extension);
        for _ in 0..invocations {
            after_answers.defer(Vec::new(), Deadline::after(Duration::from_secs(1)));
            after_answers.release();
        }
        after_answers.receiver.lock().await.len()
    }

    #[tokio::test]
    async fn without_an_extension_nothing_is_kept_of_an_invocation() {
        assert_eq!(waiting(false, 1000).await, 0);
    }

    #[tokio::test]
    async fn each_answered_invocation_releases_the_extension_once() {
        assert_eq!(waiting(true, 3).await, 3);
    }
}
