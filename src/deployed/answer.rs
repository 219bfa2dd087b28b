//! What a function answered → what it says of itself. Pure. The answer may be of another program.

use serde::Deserialize;
use serde_json::Value;

use super::InvokeError;
use crate::aws::refused::short;
use crate::model::check::Examination;

/// Longest answer that is read, in bytes. A function says less than a tenth of it.
pub(super) const MAX_ANSWER_BYTES: usize = 256 << 10;

/// How the error of a version that does not know the question begins. It has the type
/// `InvalidEvent`.
const UNKNOWN_FORM: &str = "unrecognized event format";

/// A failure, in the form in which runtimes and platforms report it.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Failure {
    error_type: String,
    error_message: String,
}

/// Reads the answer of an invocation that succeeded.
///
/// # Errors
/// [`InvokeError`] if it is not what this program answers.
pub(super) fn examination(body: &[u8]) -> Result<Examination, InvokeError> {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    match value["outcome"].as_str() {
        Some("examined") => Examination::deserialize(&value).map_err(|error| {
            let error = short(&error.to_string());
            InvokeError::Later(format!("the function's answer cannot be read: {error}"))
        }),
        Some(outcome) => Err(InvokeError::Earlier(format!(
            "the function answered {:?} to the question",
            short(outcome)
        ))),
        None => Err(InvokeError::Foreign(
            "the function answered as this program does not".to_owned(),
        )),
    }
}

/// Reads the answer of an invocation that failed in the function.
pub(super) fn failure(body: &[u8]) -> InvokeError {
    let failure: Failure = serde_json::from_slice(body).unwrap_or_default();
    let [kind, message] = [&failure.error_type, &failure.error_message].map(|text| short(text));
    let text = match (kind.is_empty(), message.is_empty()) {
        (true, true) => "the function failed without a message".to_owned(),
        (true, false) => format!("the function failed: {message}"),
        (false, true) => format!("the function failed: {kind}"),
        (false, false) => format!("the function failed: {kind}: {message}"),
    };
    match kind.as_str() {
        "InvalidEvent" if message.starts_with(UNKNOWN_FORM) => InvokeError::Earlier(
            "the function does not know the question (unrecognized event format)".to_owned(),
        ),
        "Sandbox.Timedout" => InvokeError::OutOfTime(text),
        // "Task timed out after 3.00 seconds", "Function timed out after 3 seconds".
        _ if message.contains("timed out after") => InvokeError::OutOfTime(text),
        _ => InvokeError::Failed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::check::Verdict;

    #[track_caller]
    fn check(error: InvokeError, kind: &str, said: &str) {
        let (debug, text) = (format!("{error:?}"), error.to_string());
        assert!(debug.starts_with(kind), "{debug}");
        assert!(
            text.contains(said) && !text.contains(char::is_control),
            "{text}"
        );
    }

    #[test]
    fn what_a_function_says_is_read_and_members_of_later_versions_are_passed_over() {
        let body = br#"{"outcome": "examined", "version": "9.0.0", "later": 1, "settings": ["A"],
            "checks": [{"name": "n", "verdict": "warning", "found": "f", "later": {}}]}"#;
        let examination = examination(body).unwrap();
        assert_eq!(examination.version, "9.0.0");
        assert_eq!(examination.checks[0].verdict, Verdict::Warning);
        assert_eq!(examination.checks[0].advice, None);
    }

    #[test]
    fn an_answer_of_another_version_or_program_says_so() {
        for (body, kind, said) in [
            (
                r#"{"outcome": "examined", "version": "9", "settings": [], "checks": [{}]}"#,
                "Later",
                "missing field",
            ),
            (r#"{"outcome": "ignored\u001b"}"#, "Earlier", "ignored"),
            (r#"{"statusCode": 200}"#, "Foreign", "does not"),
            ("", "Foreign", ""),
            ("[1]", "Foreign", ""),
            ("\"outcome\"", "Foreign", ""),
        ] {
            check(examination(body.as_bytes()).unwrap_err(), kind, said);
        }
    }

    /// The time-outs are those of aws/aws-sdk-go issue 4872, of floci-io/floci issue 3314, and of Function
    /// Compute's page about errors; the end of a process is that of aliyun/fc-go-sdk issue 5.
    #[test]
    fn a_failure_says_what_to_do_next() {
        for (body, kind, said) in [
            (
                r#"{"errorType": "InvalidEvent", "errorMessage": "unrecognized event format: …"}"#,
                "Earlier",
                "does not know",
            ),
            (
                r#"{"errorType": "InvalidEvent", "errorMessage": "the doctor event cannot"}"#,
                "Failed",
                "InvalidEvent: the doctor event",
            ),
            (
                r#"{"errorMessage": "2023-06-04T12:04:07Z 698aba69 Task timed out after 3.00 seconds"}"#,
                "OutOfTime",
                "after 3.00 seconds",
            ),
            (
                r#"{"errorType": "Sandbox.Timedout", "errorMessage": "RequestId: 1 Error: Task timed"}"#,
                "OutOfTime",
                "Sandbox.Timedout",
            ),
            (
                r#"{"errorType": "Runtime.ExitError", "errorMessage": "Error: exit status 1\u001b"}"#,
                "Failed",
                "Runtime.ExitError: Error: exit status 1",
            ),
            (
                r#"{"errorMessage": "Function timed out after 3 seconds (maxMemoryUsage: 15.32MB)"}"#,
                "OutOfTime",
                "after 3 seconds",
            ),
            (
                r#"{"errorMessage": "Process exited unexpectedly before completing request"}"#,
                "Failed",
                "failed: Process exited",
            ),
            ("null", "Failed", "without a message"),
            ("<html>", "Failed", "without a message"),
        ] {
            check(failure(body.as_bytes()), kind, said);
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_answers_never_panic(body: Vec<u8>) {
            let _ = (examination(&body), failure(&body));
        }
    }
}
