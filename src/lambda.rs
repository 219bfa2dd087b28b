//! The function on AWS Lambda: the Runtime API's invocations → [`Archiver::handle`].

use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;

use crate::capture::Archiver;
use crate::ecs::ConsoleSource;
use crate::handler::InvocationError;
use crate::store::Store;

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
        archiver.handle(event.payload.get().as_bytes()).await
    }))
    .await
}
