//! Checks a deployed function by asking it: what it says of itself, or why it says nothing.

use std::borrow::Cow;
use std::time::Duration;

use super::{Check, Deployed, Diagnosis, SETTINGS, Verdict, advice};
use crate::deployed::DeployedFunction;
use crate::http::{HttpOptions, HttpSetupError};
use crate::model::check::{Doctor, Examination};
use crate::retry::Deadline;

const INVOCATION: &str = "invocation";

/// Asks a deployed function, for at most `time`.
///
/// # Errors
/// [`HttpSetupError`] if the HTTP client cannot be built.
pub async fn examine(
    function: &DeployedFunction,
    asked: &Doctor,
    http: &HttpOptions,
    time: Duration,
) -> Result<Diagnosis, HttpSetupError> {
    // The function answers when all its checks are made. `time` ends the wait.
    let http = crate::http::patient_client(http, time * 2)?;
    let name = function.to_string();
    let answer = function.examine(asked, &http, Deadline::after(time));
    Ok(match answer.await {
        Ok(examination) => diagnosis(name, examination),
        Err(error) => {
            let check = Check::new(INVOCATION, Verdict::Failed, error.to_string());
            Diagnosis::of(vec![check.advise(advice::deployed(&error, function))])
        }
    })
}

fn diagnosis(function: String, examination: Examination) -> Diagnosis {
    let Examination {
        version,
        settings,
        checks,
    } = examination;
    let found = format!("{function} answers; it runs version {version}");
    let mut all = vec![Check::ok(INVOCATION, found)];
    all.push(match settings.is_empty() {
        true => Check::ok(SETTINGS, "none is set"),
        false => Check::ok(SETTINGS, format!("set: {}", settings.join(", "))),
    });
    all.extend(checks);
    Diagnosis {
        deployed: Some(Deployed {
            function,
            version: Cow::into_owned(version),
            settings: settings.into_iter().map(Cow::into_owned).collect(),
        }),
        ..Diagnosis::of(all)
    }
}
