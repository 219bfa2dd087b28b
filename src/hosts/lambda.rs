//! AWS Lambda: invocations from the Runtime API → [`Dispatcher::dispatch`].

use std::time::{Duration, SystemTime};

use lambda_runtime::layers::TracingLayer;
use lambda_runtime::tower::{self, layer::layer_fn};
use lambda_runtime::{Diagnostic, Error, LambdaEvent, Runtime, service_fn};
use serde_json::value::RawValue;
use tokio::sync::{Mutex, mpsc};

use crate::hosts::dispatch::{Dispatcher, Payload};
use crate::hosts::extension::Extension;
use crate::hosts::reply::{Deferred, InvocationError};
use crate::lock::lock;
use crate::retry::Deadline;
use crate::source::{ConsoleSource, Fleet};
use crate::store::Store;

/// Part of an invocation's time that is reserved for its answer. Lambda freezes the process after
/// the deadline.
const ANSWER_RESERVE: Duration = Duration::from_millis(500);

/// Time of an invocation whose deadline has passed before it arrives. Lambda never does this.
/// cargo-lambda does it on a developer's machine, because its deadline includes the time to build
/// the function.
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
/// If the Runtime API cannot be reached.
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
    // The outermost layer sees the end of every invocation. This includes invocations whose payload
    // is not JSON, which the runtime answers itself, and those that panic.
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

/// Work that invocations leave for after their answers. The extension does it.
struct AfterAnswers {
    /// Work of the current invocation. Lambda delivers one at a time.
    current: std::sync::Mutex<Option<AfterAnswer>>,
    /// Sends one message for each answered invocation. `None` without an extension: nobody would
    /// receive the messages, and all of them would stay in memory.
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

    /// Keeps the work of the current invocation.
    fn defer(&self, deferred: Vec<Deferred>, deadline: Deadline) {
        if !deferred.is_empty() && self.answered.is_some() {
            *self.current() = Some(AfterAnswer { deferred, deadline });
        }
    }

    /// Tells the extension that the current invocation was answered, with a success or an error.
    fn release(&self) {
        if let Some(answered) = &self.answered {
            // Without a receiver, the process is about to end.
            let _ = answered.send(self.current().take());
        }
    }

    /// Waits until the next invocation was answered, and returns its work.
    async fn next(&self) -> Option<AfterAnswer> {
        self.receiver.lock().await.recv().await.flatten()
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Option<AfterAnswer>> {
        lock(&self.current)
    }
}

/// An internal extension. Lambda returns an answer at once, but freezes the process only when every
/// extension has asked for the next event.
async fn follow_after_answers<'a, C, S>(
    dispatcher: &'a Dispatcher<C, S>,
    after_answers: &'a AfterAnswers,
) -> Result<impl Future<Output = Result<(), Error>> + 'a, Error>
where
    C: ConsoleSource + Fleet + Sync,
    S: Store,
{
    let extension = Extension::register("follow").await?;
    Ok(async move {
        loop {
            // It is registered for invocations, so each event is one.
            extension.next().await?;
            if let Some(AfterAnswer { deferred, deadline }) = after_answers.next().await {
                dispatcher.finish_deferred(deferred, deadline).await;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many messages wait for a receiver after this many invocations.
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
