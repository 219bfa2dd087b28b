//! The function on AWS Lambda: the Runtime API's invocations → [`Archiver::dispatch`].

use std::time::{Duration, SystemTime};

use lambda_extension::Extension;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;
use tokio::sync::{Mutex, mpsc};

use crate::capture::Archiver;
use crate::ecs::{ConsoleSource, Fleet};
use crate::handler::{Deferred, Payload};
use crate::reply::InvocationError;
use crate::retry::Deadline;
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
pub async fn run<C, S>(archiver: &Archiver<C, S>) -> Result<(), Error>
where
    C: ConsoleSource + Fleet + Sync,
    S: Store,
{
    let follows_here = !archiver.follow_budget.is_zero() && archiver.follow_queue.is_none();
    let (after_answer, after_answers) = mpsc::unbounded_channel();
    let serve = |event: LambdaEvent<Box<RawValue>>| {
        let after_answer = after_answer.clone();
        async move {
            let left = event.context.deadline().duration_since(SystemTime::now());
            let left = left.unwrap_or(UNKNOWN_TIME);
            let deadline = Deadline::after(left).earlier_by(ANSWER_RESERVE);
            let payload = event.payload.get().as_bytes();
            let payload = Payload::Invocation(payload);
            let mut reply = archiver.dispatch(payload, deadline).await;
            // Without an extension nobody listens, and nothing is deferred.
            let _ = after_answer.send((std::mem::take(&mut reply.deferred), deadline));
            reply.to_json()
        }
    };
    let runtime = lambda_runtime::run(service_fn(serve));
    if !follows_here {
        return runtime.await;
    }
    let after_answers = Mutex::new(after_answers);
    let extension = follow_after_answers(archiver, &after_answers).await?;
    tokio::try_join!(runtime, extension).map(|_| ())
}

type AfterAnswers = mpsc::UnboundedReceiver<(Vec<Deferred>, Deadline)>;

/// An internal extension: Lambda sends an answer on as soon as it is there, and freezes the process
/// only when every extension asks for the next event, too.
async fn follow_after_answers<'a, C, S>(
    archiver: &'a Archiver<C, S>,
    after_answers: &'a Mutex<AfterAnswers>,
) -> Result<impl Future<Output = Result<(), Error>> + 'a, Error>
where
    C: ConsoleSource + Fleet + Sync,
    S: Store,
{
    let follow = move |event: lambda_extension::LambdaEvent| async move {
        if event.next.is_invoke()
            && let Some((deferred, deadline)) = after_answers.lock().await.recv().await
        {
            archiver.finish_deferred(deferred, deadline).await;
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
