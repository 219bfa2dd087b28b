//! Status and body of an ECS answer → [`ConsoleOutput`] or [`EcsError`].

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::credentials::CredentialsError;
use crate::ids::{AccountId, InstanceId, RegionId};
use crate::retry::{self, Remediable, Remedy};

/// The console output ECS has cached for an instance.
#[derive(Clone, PartialEq, Eq)]
pub struct ConsoleOutput {
    /// What the guest wrote: bytes, in no encoding one could rely on. May be empty.
    pub plain: Vec<u8>,
    /// `LastUpdateTime` as received; empty where it was missing.
    pub last_update_time: String,
    /// ECS's ID of the request; empty where it was missing.
    pub request_id: String,
    /// The instance ECS says it answers for. The documents' own sample names another one than
    /// was asked for, so it is a reason for a warning and for nothing more.
    pub reported_instance_id: Option<String>,
}

/// Why there is no console output; the variants are what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum EcsError {
    /// Too many calls in this minute. Try again, after `retry_after_ms` where ECS says it.
    #[error("ECS throttled the request ({code}, request {request_id})")]
    Throttled {
        /// Begins with `Throttling`.
        code: String,
        /// ECS's ID of the request.
        request_id: String,
        /// `x-acs-retry-after`, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// ECS failed on its side. Try again.
    #[error("ECS failed with status {status} ({code}, request {request_id})")]
    Unavailable {
        /// HTTP status.
        status: u16,
        /// Its error code; empty where the answer was not ECS's own.
        code: String,
        /// ECS's ID of the request.
        request_id: String,
    },
    /// There are no credentials to ask with.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// No whole answer came. Try again.
    #[error("no whole answer came from ECS: {0}")]
    Transport(String),
    /// An answer came and makes no sense: a proxy's page, a cut body, bad Base64. Try again.
    #[error("the answer of ECS cannot be read: {reason} (status {status})")]
    Unreadable {
        /// HTTP status.
        status: u16,
        /// What is wrong with it.
        reason: String,
    },
    /// More than any console has came. Trying again would bring the same.
    #[error("the answer of ECS is longer than {} bytes", super::MAX_ANSWER_BYTES)]
    TooLong,
    /// The signature's time, nonce or token is no longer good. Try again with fresh ones.
    #[error("ECS asks for a fresh signature ({code}, request {request_id})")]
    StaleSignature {
        /// Its error code.
        code: String,
        /// ECS's ID of the request.
        request_id: String,
    },
    /// This instance has no console output now. Done; record why.
    #[error("there is no console output ({code}, request {request_id})")]
    NoConsole {
        /// Its error code.
        code: String,
        /// Why.
        reason: NoConsole,
        /// ECS's ID of the request.
        request_id: String,
    },
    /// ECS does not find the instance, and the event says it is another account's. Someone must
    /// give the credentials of that account.
    #[error(
        "ECS does not find the instance: the event names account {account_id}, and the credentials \
         are of account {own}; set ALIBABA_CLOUD_ROLE_ARN to a role of account {account_id}, or to \
         acs:ram::{{account}}:role/NAME for the role NAME of each event's account"
    )]
    OtherAccount {
        /// Of the event.
        account_id: AccountId,
        /// Of the credentials.
        own: AccountId,
    },
    /// The same, and nobody says which account the credentials are of. The instance may be there.
    #[error(
        "ECS does not find the instance: the event names account {account_id}, and it is not known \
         whether the credentials are of that account ({}); let STS answer (STS_ENDPOINT_URL), or \
         set ALIBABA_CLOUD_ROLE_ARN to a role of that account",
        cause.reason()
    )]
    UnknownAccount {
        /// Of the event.
        account_id: AccountId,
        /// Why it is not known.
        cause: CredentialsError,
    },
    /// Keys or permissions are wrong. Someone must mend them; the event must come again.
    #[error("ECS refused access ({code}, request {request_id}): {advice}")]
    Denied {
        /// Its error code.
        code: String,
        /// ECS's ID of the request.
        request_id: String,
        /// What to look at.
        advice: &'static str,
    },
    /// ECS does not accept the request, and trying again would not change that.
    #[error("ECS rejected the request with status {status} ({code}, request {request_id})")]
    Rejected {
        /// HTTP status.
        status: u16,
        /// Its error code; empty where the answer was not ECS's own.
        code: String,
        /// ECS's ID of the request.
        request_id: String,
    },
}

/// Why an instance has no console output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoConsole {
    /// The instance is stopped, starting or being released.
    NotRunning,
    /// Its type has none: a retired one, or Windows.
    NotSupported,
    /// No such instance, or no longer.
    NotFound,
    /// ECS answered, with nothing in it.
    Empty,
}

impl NoConsole {
    const ALL: [Self; 4] = [
        Self::NotRunning,
        Self::NotSupported,
        Self::NotFound,
        Self::Empty,
    ];

    /// A word that stays the same between versions.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotRunning => "not_running",
            Self::NotSupported => "not_supported",
            Self::NotFound => "not_found",
            Self::Empty => "empty",
        }
    }

    /// Reads back what [`word`](Self::word) gives.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.word() == word)
    }

    /// The same for a person.
    pub fn message(self) -> &'static str {
        match self {
            Self::NotRunning => "the instance is not running now",
            Self::NotSupported => "ECS keeps no console output for this type of instance",
            Self::NotFound => "there is no such instance in this region",
            Self::Empty => "the console is empty: a guest writes to it with console=ttyS0",
        }
    }

    /// Whether a console may still come, when the instance starts or the guest begins to write.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::NotRunning | Self::Empty)
    }
}

impl EcsError {
    /// Whether ECS says that there is no such instance.
    pub(super) fn is_not_found(&self) -> bool {
        let reason = NoConsole::NotFound;
        matches!(self, Self::NoConsole { reason: found, .. } if *found == reason)
    }

    /// Whether the same call may succeed a little later, with nobody mending anything.
    pub fn is_transient(&self) -> bool {
        self.remedy() != Remedy::GiveUp
    }
}

impl Remediable for EcsError {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Throttled { retry_after_ms, .. } => {
                Remedy::WaitThrottled(retry_after_ms.map(Duration::from_millis))
            }
            // Each request has a nonce of its own, so the next one's is good.
            Self::StaleSignature { code, .. } if code == NONCE_USED => Remedy::Wait,
            Self::StaleSignature { .. } => Remedy::SignAgain,
            Self::Unavailable { .. }
            | Self::Transport(_)
            | Self::Unreadable { .. }
            | Self::Credentials(CredentialsError::Unavailable(_))
            | Self::UnknownAccount {
                cause: CredentialsError::Unavailable(_),
                ..
            } => Remedy::Wait,
            Self::NoConsole { .. }
            | Self::Denied { .. }
            | Self::Rejected { .. }
            | Self::Credentials(CredentialsError::Refused(_))
            | Self::OtherAccount { .. }
            | Self::UnknownAccount { .. }
            | Self::TooLong => Remedy::GiveUp,
        }
    }

    fn timed_out(call: &'static str, after: Duration) -> Self {
        Self::Transport(retry::timed_out(call, after))
    }
}

const NONCE_USED: &str = "SignatureNonceUsed";
pub(super) const TOKEN_EXPIRED: &str = "InvalidSecurityToken.Expired";
/// ECS takes times that are at most 15 minutes off.
pub(super) const TIME_EXPIRED: &str = "InvalidTimeStamp.Expired";

/// Whether it is the key or its token that is refused, so that another may be taken.
pub(super) fn refuses_the_key(code: &str) -> bool {
    code.starts_with("InvalidAccessKeyId") || code.starts_with("InvalidSecurityToken")
}

/// Status line and the headers that matter, of an answer whose body is at hand.
#[derive(Debug, Clone, Copy)]
pub struct AnswerHead {
    /// HTTP status.
    pub status: u16,
    /// `x-acs-retry-after`, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// `Date`: the time by ECS's clock.
    pub date: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConsoleAnswer {
    console_output: Option<String>,
    last_update_time: Option<String>,
    instance_id: Option<String>,
    request_id: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct ErrorAnswer {
    code: Option<String>,
    request_id: Option<String>,
}

/// Reads the answer to `GetInstanceConsoleOutput`.
///
/// # Errors
/// [`EcsError`] by what to do next; the body is quoted in none of them.
pub fn console_output(head: AnswerHead, body: &[u8]) -> Result<ConsoleOutput, EcsError> {
    if head.status != 200 {
        return Err(error(head, body));
    }
    let unreadable = |reason: &str| EcsError::Unreadable {
        status: head.status,
        reason: reason.into(),
    };
    let answer: ConsoleAnswer = from_json_or_xml(body)
        .ok_or_else(|| unreadable("it is neither the JSON nor the XML of this operation"))?;
    // Every member is optional in the SDKs' models, yet an answer with none is not ECS's.
    if answer.request_id.is_none()
        && answer.instance_id.is_none()
        && answer.console_output.is_none()
    {
        return Err(unreadable("it has none of the members of this operation"));
    }
    let base64: Vec<u8> = answer
        .console_output
        .unwrap_or_default()
        .into_bytes()
        .into_iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let plain = BASE64_STANDARD
        .decode(base64)
        .map_err(|_| unreadable("its ConsoleOutput is not Base64"))?;
    Ok(ConsoleOutput {
        plain,
        last_update_time: answer.last_update_time.unwrap_or_default(),
        request_id: answer.request_id.unwrap_or_default(),
        reported_instance_id: answer.instance_id,
    })
}

impl ConsoleOutput {
    /// Whether ECS says it answers for another instance than was asked for.
    pub fn names_another_than(&self, instance_id: &InstanceId) -> bool {
        self.reported_instance_id
            .as_deref()
            .is_some_and(|reported| reported != instance_id.as_str())
    }
}

/// A page of a region's instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstancesPage {
    /// Their IDs.
    pub instance_ids: Vec<InstanceId>,
    /// Where the next page begins; `None` at the end.
    pub next_token: Option<String>,
    /// How many the region has, where ECS says it.
    pub total: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstancesAnswer {
    instances: InstanceList,
    next_token: Option<String>,
    total_count: Option<u64>,
}

#[derive(Deserialize)]
struct InstanceList {
    #[serde(rename = "Instance", default)]
    instance: Vec<InstanceItem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceItem {
    instance_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RegionsAnswer {
    regions: RegionList,
}

#[derive(Deserialize)]
struct RegionList {
    #[serde(rename = "Region", default)]
    region: Vec<RegionItem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RegionItem {
    region_id: String,
}

/// Reads the answer to `DescribeInstances`. IDs that no event could name (those of instances made
/// before 2015, which have no console output) are left out.
///
/// # Errors
/// [`EcsError`] by what to do next.
pub fn instances(head: AnswerHead, body: &[u8]) -> Result<InstancesPage, EcsError> {
    let answer: InstancesAnswer = listing(head, body)?;
    let ids = answer.instances.instance.into_iter();
    Ok(InstancesPage {
        instance_ids: ids
            .filter_map(|item| InstanceId::parse(&item.instance_id).ok())
            .collect(),
        next_token: answer.next_token.filter(|token| !token.is_empty()),
        total: answer.total_count,
    })
}

/// Reads the answer to `DescribeRegions`.
///
/// # Errors
/// [`EcsError`] by what to do next.
pub fn regions(head: AnswerHead, body: &[u8]) -> Result<Vec<RegionId>, EcsError> {
    let answer: RegionsAnswer = listing(head, body)?;
    let ids = answer.regions.region.into_iter();
    Ok(ids
        .filter_map(|item| RegionId::parse(&item.region_id).ok())
        .collect())
}

fn listing<T: for<'de> Deserialize<'de>>(head: AnswerHead, body: &[u8]) -> Result<T, EcsError> {
    if head.status != 200 {
        return Err(error(head, body));
    }
    from_json_or_xml(body).ok_or(EcsError::Unreadable {
        status: head.status,
        reason: "it is neither the JSON nor the XML of this operation".into(),
    })
}

/// Vendor code → variant. Sources: the operation's page, the ECS common error table, the gateway's
/// table; statuses differ between them, so codes decide and the status only where no code is known.
fn error(head: AnswerHead, body: &[u8]) -> EcsError {
    let answer: ErrorAnswer = from_json_or_xml(body).unwrap_or_else(|| ErrorAnswer {
        code: scan_for_code(body),
        request_id: None,
    });
    let status = head.status;
    let code = printable(answer.code.unwrap_or_default());
    let request_id = printable(answer.request_id.unwrap_or_default());
    let no_console = |reason| EcsError::NoConsole {
        code: code.clone(),
        reason,
        request_id: request_id.clone(),
    };
    let denied = |advice| EcsError::Denied {
        code: code.clone(),
        request_id: request_id.clone(),
        advice,
    };
    match code.as_str() {
        c if c.starts_with("Throttling") || c == "Rejected.Throttling" => EcsError::Throttled {
            code,
            request_id,
            retry_after_ms: head.retry_after_ms,
        },
        "ServiceUnavailable" | "InternalError" | "UnknownError" => EcsError::Unavailable {
            status,
            code,
            request_id,
        },
        TIME_EXPIRED | NONCE_USED | TOKEN_EXPIRED => EcsError::StaleSignature { code, request_id },
        "IncorrectInstanceStatus" => no_console(NoConsole::NotRunning),
        "NotSupported" => no_console(NoConsole::NotSupported),
        "InvalidInstanceId.NotFound" => no_console(NoConsole::NotFound),
        // The operation's page gives this code, with 404, for an instance ID that does not exist.
        "InvalidParameter" if status == 404 => no_console(NoConsole::NotFound),
        c if c.starts_with("InvalidAccessKeyId") => {
            denied("check ALIBABA_CLOUD_ACCESS_KEY_ID: the key does not exist or is disabled")
        }
        "SignatureDoesNotMatch" | "IncompleteSignature" => {
            denied("check ALIBABA_CLOUD_ACCESS_KEY_SECRET: it is not this key's secret")
        }
        c if c.starts_with("InvalidSecurityToken") => {
            denied("check ALIBABA_CLOUD_SECURITY_TOKEN: it does not belong to this key")
        }
        "Forbidden.RAM" | "NoPermission" | "Forbidden" => denied(
            "the RAM policy must allow ecs:GetInstanceConsoleOutput on this instance, and for a \
             sweep ecs:DescribeInstances and ecs:DescribeRegions",
        ),
        "Forbidden.RiskControl" => denied("the account is restricted by risk control"),
        _ if status == 429 => EcsError::Throttled {
            code,
            request_id,
            retry_after_ms: head.retry_after_ms,
        },
        _ if status >= 500 => EcsError::Unavailable {
            status,
            code,
            request_id,
        },
        // A gateway's page under a 2xx or 3xx status says nothing about the instance.
        _ if status < 400 => EcsError::Unreadable {
            status,
            reason: "the status is not 200".into(),
        },
        _ => EcsError::Rejected {
            status,
            code,
            request_id,
        },
    }
}

/// Root elements of XML answers.
const ROOTS: [&str; 4] = [
    "GetInstanceConsoleOutputResponse",
    "DescribeInstancesResponse",
    "DescribeRegionsResponse",
    "Error",
];

fn from_json_or_xml<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Option<T> {
    if let Ok(answer) = serde_json::from_slice(body) {
        return Some(answer);
    }
    let text = std::str::from_utf8(body)
        .ok()?
        .trim_start_matches('\u{feff}')
        .trim_start();
    // Any well-formed page would deserialize, since every member is optional.
    let element = text
        .strip_prefix("<?xml")
        .and_then(|t| t.split_once("?>"))
        .map_or(text, |(_, t)| t);
    let root = element.trim_start().strip_prefix('<')?;
    let is_answer = ROOTS.iter().any(|name| root.starts_with(name));
    if !is_answer {
        return None;
    }
    quick_xml::de::from_str(text).ok()
}

/// `Code` in a body that is almost JSON: the API reference's own error sample has unescaped quotes
/// in its message.
fn scan_for_code(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let after_name = text.split_once("\"Code\"")?.1.trim_start();
    let value = after_name
        .strip_prefix(':')?
        .trim_start()
        .strip_prefix('"')?;
    value.split_once('"').map(|(code, _)| code.to_owned())
}

/// Codes and request IDs are short words; whatever else stands there is not shown.
fn printable(text: String) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if text.len() <= 128 && text.chars().all(word) {
        text
    } else {
        "unprintable".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Result<ConsoleOutput, EcsError> {
        console_output(
            AnswerHead {
                status,
                retry_after_ms: None,
                date: None,
            },
            body.as_bytes(),
        )
    }

    fn error(status: u16, body: &str) -> EcsError {
        read(status, body).err().unwrap()
    }

    fn with_code(code: &str) -> String {
        format!(
            r#"{{"RequestId":"R-1","HostId":"ecs.aliyuncs.com","Code":"{code}","Message":"m"}}"#
        )
    }

    #[test]
    fn json_and_xml_answers_give_the_same_bytes() {
        let json = r#"{"RequestId":"R","InstanceId":"i-a1","LastUpdateTime":"2018-03-22 10:04:57",
            "ConsoleOutput":"SGVs\nbG8="}"#;
        let xml = "<?xml version='1.0'?>\n<GetInstanceConsoleOutputResponse><RequestId>R</RequestId>\
            <InstanceId>i-a1</InstanceId><LastUpdateTime>2018-03-22 10:04:57</LastUpdateTime>\
            <ConsoleOutput>SGVs bG8=</ConsoleOutput></GetInstanceConsoleOutputResponse>";
        for body in [json, xml] {
            let output = read(200, body).ok().unwrap();
            assert_eq!(output.plain, b"Hello");
            assert_eq!(output.last_update_time, "2018-03-22 10:04:57");
            assert_eq!(output.request_id, "R");
        }
    }

    #[test]
    fn pages_of_instances_and_regions_are_read_in_both_forms() {
        let head = AnswerHead {
            status: 200,
            retry_after_ms: None,
            date: None,
        };
        let json = r#"{"RequestId":"R","NextToken":"t1","TotalCount":3,"PageSize":100,"Instances":
            {"Instance":[{"InstanceId":"i-a1","Status":"Running"},{"InstanceId":"AY14"},
            {"InstanceId":"i-../x"}]}}"#;
        let xml = "<DescribeInstancesResponse><TotalCount>3</TotalCount><NextToken>t1</NextToken>\
            <Instances><Instance><InstanceId>i-a1</InstanceId></Instance></Instances>\
            </DescribeInstancesResponse>";
        for body in [json, xml] {
            let page = instances(head, body.as_bytes()).unwrap();
            assert_eq!(page.instance_ids, [InstanceId::parse("i-a1").unwrap()]);
            assert_eq!(page.next_token.as_deref(), Some("t1"));
            assert_eq!(page.total, Some(3));
        }
        let last = r#"{"NextToken":"","Instances":{"Instance":[]}}"#;
        assert_eq!(instances(head, last.as_bytes()).unwrap().next_token, None);
        let json = r#"{"Regions":{"Region":[{"RegionId":"cn-beijing","LocalName":"x"},{"RegionId":"/"}]}}"#;
        let beijing = RegionId::parse("cn-beijing").unwrap();
        assert_eq!(regions(head, json.as_bytes()).unwrap(), [beijing]);
        for body in ["{}", "[]", "<html/>", ""] {
            assert!(instances(head, body.as_bytes()).unwrap_err().is_transient());
            assert!(regions(head, body.as_bytes()).unwrap_err().is_transient());
        }
    }

    #[test]
    fn missing_members_are_empty() {
        for body in [
            r#"{"RequestId":"R"}"#,
            r#"{"RequestId":"R","ConsoleOutput":"","LastUpdateTime":null}"#,
        ] {
            let output = read(200, body).ok().unwrap();
            assert!(output.plain.is_empty() && output.last_update_time.is_empty());
        }
    }

    #[test]
    fn answers_that_are_not_the_operations_are_unreadable() {
        for body in [
            "",
            "{}",
            "[]",
            "null",
            "<html><body>Welcome</body></html>",
            "<?xml version='1.0'?><html/>",
            r#"{"RequestId":"R","ConsoleOutput":"%%%"}"#,
            r#"{"RequestId":"R","ConsoleOutput":"SGVsbG8"}"#,
            r#"{"RequestId":"R","ConsoleOutput":5}"#,
            r#"{"RequestId":"R","ConsoleOutput":"SGVs"#,
        ] {
            let error = error(200, body);
            assert!(
                matches!(error, EcsError::Unreadable { .. }),
                "{body}: {error}"
            );
            assert!(error.is_transient());
        }
    }

    #[track_caller]
    fn check(status: u16, code: &str, kind: &str, remedy: Remedy) {
        let json = error(status, &with_code(code));
        let xml = error(
            status,
            &format!("<Error><RequestId>R-1</RequestId><Code>{code}</Code></Error>"),
        );
        for error in [json, xml] {
            let shown = format!("{error:?}");
            assert!(shown.starts_with(kind), "{status} {code}: {shown}");
            assert!(shown.contains("R-1"), "{shown}");
            assert_eq!(error.remedy(), remedy, "{status} {code}");
        }
    }

    // The decision table: a row for each code that the operation's page, the ECS common error
    // table, the gateway's table or another ECS API documents, and for codes nobody knows yet.
    #[test]
    fn every_code_has_its_remedy() {
        use Remedy::{GiveUp, SignAgain, Wait, WaitThrottled};
        check(429, "Throttling", "Throttled", WaitThrottled(None));
        check(400, "Throttling.User", "Throttled", WaitThrottled(None));
        check(400, "Throttling.Api", "Throttled", WaitThrottled(None));
        check(429, "Throttling.New", "Throttled", WaitThrottled(None));
        check(429, "Rejected.Throttling", "Throttled", WaitThrottled(None));
        check(429, "SomethingNew", "Throttled", WaitThrottled(None));
        check(503, "ServiceUnavailable", "Unavailable", Wait);
        check(500, "InternalError", "Unavailable", Wait);
        check(500, "UnknownError", "Unavailable", Wait);
        check(502, "SomethingNew", "Unavailable", Wait);
        check(504, "SomethingNew", "Unavailable", Wait);
        check(400, "SignatureNonceUsed", "StaleSignature", Wait);
        check(400, "InvalidTimeStamp.Expired", "StaleSignature", SignAgain);
        check(
            400,
            "InvalidSecurityToken.Expired",
            "StaleSignature",
            SignAgain,
        );
        check(
            403,
            "InvalidSecurityToken.Expired",
            "StaleSignature",
            SignAgain,
        );
        check(405, "IncorrectInstanceStatus", "NoConsole", GiveUp);
        check(405, "NotSupported", "NoConsole", GiveUp);
        check(404, "InvalidInstanceId.NotFound", "NoConsole", GiveUp);
        check(404, "InvalidParameter", "NoConsole", GiveUp);
        check(404, "InvalidAccessKeyId.NotFound", "Denied", GiveUp);
        check(400, "InvalidAccessKeyId.NotFound", "Denied", GiveUp);
        check(400, "InvalidAccessKeyId.Inactive", "Denied", GiveUp);
        check(400, "SignatureDoesNotMatch", "Denied", GiveUp);
        check(403, "SignatureDoesNotMatch", "Denied", GiveUp);
        check(400, "IncompleteSignature", "Denied", GiveUp);
        check(400, "InvalidSecurityToken.Malformed", "Denied", GiveUp);
        check(
            400,
            "InvalidSecurityToken.MismatchWithAccessKey",
            "Denied",
            GiveUp,
        );
        check(403, "Forbidden.RAM", "Denied", GiveUp);
        check(403, "Forbidden", "Denied", GiveUp);
        check(403, "NoPermission", "Denied", GiveUp);
        check(403, "Forbidden.RiskControl", "Denied", GiveUp);
        check(400, "MissingParameter", "Rejected", GiveUp);
        check(400, "InvalidParameter", "Rejected", GiveUp);
        check(400, "InvalidParameter.Format", "Rejected", GiveUp);
        check(400, "InvalidSignatureMethod", "Rejected", GiveUp);
        check(400, "UnsupportedHTTPMethod", "Rejected", GiveUp);
        check(400, "InvalidTimeStamp.Format", "Rejected", GiveUp);
        check(403, "OperationDenied.Any", "Rejected", GiveUp);
        check(404, "InvalidApi.NotFound", "Rejected", GiveUp);
        check(404, "InvalidAction.NotFound", "Rejected", GiveUp);
        check(404, "InvalidRegionId.NotFound", "Rejected", GiveUp);
        check(418, "SomethingNew", "Rejected", GiveUp);
    }

    #[test]
    fn what_ecs_asks_to_wait_is_its_remedy() {
        let head = AnswerHead {
            status: 429,
            retry_after_ms: Some(1500),
            date: None,
        };
        let error = console_output(head, with_code("Throttling").as_bytes()).err();
        let remedy = error.unwrap().remedy();
        assert_eq!(
            remedy,
            Remedy::WaitThrottled(Some(Duration::from_millis(1500)))
        );
    }

    #[test]
    fn without_an_answer_one_is_worth_another_try() {
        assert_eq!(EcsError::Transport("reset".into()).remedy(), Remedy::Wait);
        assert_eq!(EcsError::TooLong.remedy(), Remedy::GiveUp);
    }

    #[test]
    fn the_broken_sample_of_the_api_reference_is_understood() {
        let body = r#"{"RequestId":"9F4","HostId":"ecs.aliyuncs.com","Code":"NotSupported",
            "Message":"The operation is not supported for "i-j5e42sbbthlokka11ech".","Recommend":"x"}"#;
        assert!(matches!(
            error(405, body),
            EcsError::NoConsole {
                reason: NoConsole::NotSupported,
                ..
            }
        ));
    }

    #[test]
    fn a_body_that_is_not_ecs_s_leaves_the_status_to_decide() {
        let page = "<html><h1>503 Service Temporarily Unavailable</h1></html>";
        assert!(matches!(
            error(503, page),
            EcsError::Unavailable { status: 503, .. }
        ));
        assert!(matches!(error(429, ""), EcsError::Throttled { .. }));
        assert!(matches!(
            error(403, page),
            EcsError::Rejected { status: 403, .. }
        ));
        assert!(matches!(
            error(204, ""),
            EcsError::Unreadable { status: 204, .. }
        ));
    }

    #[test]
    fn hostile_codes_are_not_shown() {
        let shown = error(400, r#"{"Code":"\u001b[2Jpwned"}"#).to_string();
        assert!(
            !shown.contains('\x1b') && shown.contains("unprintable"),
            "{shown}"
        );
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_answers_never_panic(status in 100u16..600, body: Vec<u8>) {
            let _ = console_output(AnswerHead { status, retry_after_ms: None, date: None }, &body);
        }

        #[test]
        fn any_console_bytes_come_through(plain: Vec<u8>) {
            let body = serde_json::json!({"RequestId": "R", "ConsoleOutput": BASE64_STANDARD.encode(&plain)});
            let output = read(200, &body.to_string()).ok().unwrap();
            proptest::prop_assert_eq!(output.plain, plain);
        }
    }
}
