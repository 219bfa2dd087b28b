//! The function on AWS Lambda: the Runtime API's invocations → [`Archiver::handle`].

use std::time::{Duration, SystemTime};

use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;

use crate::capture::Archiver;
use crate::ecs::ConsoleSource;
use crate::handler::InvocationError;
use crate::retry::Deadline;
use crate::store::Store;

/// Kept of an invocation's time for its answer; past its deadline the sandbox is frozen.
const ANSWER_RESERVE: Duration = Duration::from_millis(500);

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        Self {
            error_type: error.error_type.to_owned(),
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
    C: ConsoleSource + Sync,
    S: Store,
{
    lambda_runtime::run(service_fn(|event: LambdaEvent<Box<RawValue>>| async move {
        let left = event.context.deadline().duration_since(SystemTime::now());
        let deadline = Deadline::after(left.unwrap_or_default()).earlier_by(ANSWER_RESERVE);
        archiver
            .handle(event.payload.get().as_bytes(), deadline)
            .await
    }))
    .await
}
