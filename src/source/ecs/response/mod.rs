//! Status and body of an ECS answer → [`ConsoleOutput`] or [`EcsError`].

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::console_text;
use super::members::{Member, Members, without_mark};
use crate::credentials::CredentialsError;
use crate::http::answer;
use crate::model::console::{ConsoleOutput, MAX_WORD_BYTES, NoConsole};
use crate::model::ids::{AccountId, InstanceId, RegionId};
use crate::retry::{self, RetryAdvice, Retryable};
use crate::source::InstancesPage;

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
    /// A console came that is not Base64. Try again, and keep it as it came where that does not help.
    #[error("the ConsoleOutput of ECS is not Base64")]
    Undecoded(Arc<ConsoleOutput>),
    /// An answer came and makes no sense: a proxy's page, a cut body. Try again.
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
    #[error(
        "ECS asks for a fresh signature ({code}, request {request_id}){}",
        stale_advice(code)
    )]
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
    /// A key, a permission, money or a lock stands in the way. Someone must mend it; the event must
    /// come again.
    #[error("ECS refused access ({code}, request {request_id}): {advice}")]
    Denied {
        /// Its error code.
        code: String,
        /// ECS's ID of the request.
        request_id: String,
        /// What to mend.
        advice: Cow<'static, str>,
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

impl EcsError {
    /// Whether ECS says that there is no such instance.
    pub(super) fn is_not_found(&self) -> bool {
        let reason = NoConsole::NotFound;
        matches!(self, Self::NoConsole { reason: found, .. } if *found == reason)
    }

    /// Whether the same call may succeed a little later, with nobody mending anything.
    pub fn is_transient(&self) -> bool {
        self.retry_advice() != RetryAdvice::GiveUp
    }
}

impl Retryable for EcsError {
    fn retry_advice(&self) -> RetryAdvice {
        match self {
            Self::Throttled { retry_after_ms, .. } => {
                RetryAdvice::WaitThrottled(retry_after_ms.map(Duration::from_millis))
            }
            // Each request has a nonce of its own, so the next one's is good.
            Self::StaleSignature { code, .. } if code == NONCE_USED => RetryAdvice::Wait,
            Self::StaleSignature { .. } => RetryAdvice::SignAgain,
            Self::Unavailable { .. }
            | Self::Transport(_)
            | Self::Unreadable { .. }
            | Self::Undecoded(_)
            | Self::Credentials(CredentialsError::Unavailable(_))
            | Self::UnknownAccount {
                cause: CredentialsError::Unavailable(_),
                ..
            } => RetryAdvice::Wait,
            Self::NoConsole { .. }
            | Self::Denied { .. }
            | Self::Rejected { .. }
            | Self::Credentials(CredentialsError::Refused(_) | CredentialsError::Unusable(_))
            | Self::OtherAccount { .. }
            | Self::UnknownAccount { .. }
            | Self::TooLong => RetryAdvice::GiveUp,
        }
    }

    fn timed_out(call: &str, after: Duration) -> Self {
        Self::Transport(retry::timed_out(call, after))
    }
}

const NONCE_USED: &str = "SignatureNonceUsed";
pub(super) const TOKEN_EXPIRED: &str = "InvalidSecurityToken.Expired";
/// ECS takes times that are at most 15 minutes off.
pub(super) const TIME_EXPIRED: &str = "InvalidTimeStamp.Expired";
/// The same, as the gateway said it before; SMC's pages still do.
pub(super) const TIME_ILLEGAL: &str = "IllegalTimestamp";

/// Whether it is the key or its token that is refused, so that another may be taken.
pub(super) fn refuses_the_key(code: &str) -> bool {
    goes_on_from(code, "InvalidAccessKeyId") || goes_on_from(code, "InvalidSecurityToken")
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
    let mut answer = Members::read(body)
        .ok_or_else(|| unreadable("it is neither the JSON nor the XML of this operation"))?;
    let members = ["RequestId", "InstanceId", "ConsoleOutput"];
    // Gateways exist that answer every error with 200.
    if !answer.has("ConsoleOutput") && answer.text_at_any_depth("Code").is_some() {
        return Err(error(head, body));
    }
    // Every member is optional in the SDKs' models, yet an answer with none is not ECS's.
    if !members.iter().any(|name| answer.has(name)) {
        return Err(unreadable("it has none of the members of this operation"));
    }
    let word = |name| short(answer.text(name).unwrap_or_default());
    let (last_update_time, request_id) = (word("LastUpdateTime"), word("RequestId"));
    let reported_instance_id = answer.text("InstanceId").map(short);
    let (plain, is_undecoded) = match answer.take("ConsoleOutput") {
        None => (Vec::new(), false),
        Some(Member::Text(text)) => match console_text::decode(&text) {
            Some(plain) => (plain, false),
            None => (text.into_bytes(), true),
        },
        Some(Member::Other(raw)) => (raw, true),
    };
    let console = ConsoleOutput {
        plain,
        is_undecoded,
        last_update_time,
        request_id,
        reported_instance_id,
    };
    if is_undecoded {
        return Err(EcsError::Undecoded(Arc::new(console)));
    }
    Ok(console)
}

/// The beginning of a text that need not be as short as it is meant to be.
fn short(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_WORD_BYTES));
    text
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

/// What to do where a fresh signature does not help.
fn stale_advice(code: &str) -> &'static str {
    match code {
        TOKEN_EXPIRED => ": renew the token where the keys come from",
        TIME_EXPIRED | TIME_ILLEGAL => ": set the clock of this machine",
        _ => "",
    }
}

/// What to mend where a key is refused that comes from `place`; `None` for other codes.
pub(super) fn key_advice(code: &str, place: &str) -> Option<String> {
    let Some((_, Meaning::Mend(advice))) = meaning(code, 403) else {
        return None;
    };
    let what = match advice {
        KEY => "the key does not exist or is disabled",
        SECRET => "its secret is not this key's",
        TOKEN => "the token does not belong to this key, or has expired",
        _ => return None,
    };
    Some(format!("check {place}: {what}"))
}

/// What a code of ECS means, by what to do next.
#[derive(Clone, Copy)]
enum Meaning {
    /// Too many calls.
    Throttled,
    /// ECS failed, or is still busy with an operation before this one.
    Unavailable,
    /// Sign again.
    Stale,
    /// There is no console.
    None(NoConsole),
    /// Somebody must mend it: this is how.
    Mend(&'static str),
}

const KEY: &str = "check ALIBABA_CLOUD_ACCESS_KEY_ID: the key does not exist or is disabled";
const SECRET: &str = "check ALIBABA_CLOUD_ACCESS_KEY_SECRET: it is not this key's secret";
const TOKEN: &str = "check ALIBABA_CLOUD_SECURITY_TOKEN: it does not belong to this key";
const PERMISSION: &str = "the RAM policy must allow ecs:GetInstanceConsoleOutput on this instance, \
     and for a sweep ecs:DescribeInstances and ecs:DescribeRegions";
const OTHER_ACCOUNT: &str = "check that the instance belongs to the account of these credentials, \
     and that the RAM policy allows ecs:GetInstanceConsoleOutput on it";
const RISK: &str = "the account is restricted by risk control: open a ticket with Alibaba Cloud";
const CARD: &str = "verify the account's card: the link is in the mail of Alibaba Cloud";
const MONEY: &str = "the account owes money or has too little: pay, or add funds, in Expenses and \
     Costs";
const ORDER: &str = "pay or cancel the unpaid order of the instance in Expenses and Costs";
const EXPIRED: &str = "renew the instance, or pay what it owes: it has expired or is in arrears";
const LOCK: &str = "the instance is locked for security reasons: see its operation locks in the ECS \
     console and have it unlocked";
const DISK: &str = "the system disk is in a state that does not allow it: look at it in the ECS \
     console";
const WHITE_LIST: &str = "the account may not use this yet: open a ticket with Alibaba Cloud";
const NO_STOCK: &str = "the instance has no resources (out of stock, or stopped without charges): \
     start it, or change its type";
const MANAGED: &str = "another product manages the instance: let that product's role read its \
     console";
const OPERATION: &str = "ECS does not allow it for this instance: look at its status, locks, charges \
     and type in the ECS console, and look the code up among the error codes of the ECS API";

/// Vendor code → meaning. The first row that fits counts: a code fits a word that it is equal to, or
/// goes on from with a dot, in any case of letters. Statuses differ between the sources (a code is
/// 400 on one page and 403 on the next), so they count only where no row fits.
///
/// Sources: (1) the page of GetInstanceConsoleOutput, (2) the common error codes of ECS, (3) the
/// gateway's table (developer.aliyun.com/ask/278265), (4) the error codes on the pages of
/// ModifyInstanceSpec, RenewInstance, ReactivateInstances, ReplaceSystemDisk and AllocateDedicatedHosts,
/// (5) what others wait for or treat so: terraform-provider-alicloud `alicloud/errors.go` and
/// `resource_alicloud_instance.go`, packer-plugin-alicloud `step_create_instance.go`,
/// bosh-alicloud-cpi `instance_manager.go`, (6) denverdino/aliyungo#78.
#[rustfmt::skip]
const CODES: &[(&str, Meaning)] = &[
    // Waited for, as are all codes with `Throttling` in them.
    ("ServiceUnavailable", Meaning::Unavailable),                    // 2
    ("InternalError", Meaning::Unavailable),                         // 2
    ("UnknownError", Meaning::Unavailable),                          // 2
    ("ServiceBusy", Meaning::Unavailable),                           // 5
    ("SystemBusy", Meaning::Unavailable),                            // 5
    ("OperationConflict", Meaning::Unavailable),                     // 5
    ("Operation.Conflict", Meaning::Unavailable),                    // 4
    ("InvalidOperation.Conflict", Meaning::Unavailable),             // 5
    ("LastTokenProcessing", Meaning::Unavailable),                   // 4
    ("OperationDenied.InstanceOperationInProgress", Meaning::Unavailable), // 4
    (NONCE_USED, Meaning::Stale),                                    // 3
    (TIME_EXPIRED, Meaning::Stale),                                  // 3
    (TIME_ILLEGAL, Meaning::Stale),                                  // 4
    (TOKEN_EXPIRED, Meaning::Stale),                                 // 3
    // Not running yet, or no longer: waited for as long as the event is followed.
    ("IncorrectInstanceStatus", Meaning::None(NoConsole::NotRunning)), // 1; 5 for .Initializing
    ("InvalidInstanceStatus", Meaning::None(NoConsole::NotRunning)),   // 4
    ("InvalidStatus.ValueNotSupported", Meaning::None(NoConsole::NotRunning)), // 4
    ("OperationDenied.InstanceCreating", Meaning::None(NoConsole::NotRunning)), // 4
    // Never.
    ("NotSupported", Meaning::None(NoConsole::NotSupported)),        // 1
    ("InvalidInstanceId.NotFound", Meaning::None(NoConsole::NotFound)), // 4
    // For somebody to mend.
    ("InvalidAccessKeyId", Meaning::Mend(KEY)),                      // 3
    ("SignatureDoesNotMatch", Meaning::Mend(SECRET)),                // 3
    ("IncompleteSignature", Meaning::Mend(SECRET)),                  // 3
    ("InvalidSecurityToken", Meaning::Mend(TOKEN)),                  // 3
    ("MissingSecurityToken", Meaning::Mend(TOKEN)),                  // 3
    ("Forbidden.RiskControl", Meaning::Mend(RISK)),                  // 3
    ("SecurityRisk", Meaning::Mend(CARD)),                           // 4
    ("Forbidden.InstanceNotFound", Meaning::Mend(OTHER_ACCOUNT)),    // 5
    ("Forbidden", Meaning::Mend(PERMISSION)),                        // 3, with .RAM and .SubUser
    ("NoPermission", Meaning::Mend(PERMISSION)),                     // 3
    ("AccessDenied", Meaning::Mend(PERMISSION)),                     // 5
    ("Account.Arrearage", Meaning::Mend(MONEY)),                     // 4
    ("InvalidAccountStatus.SnapshotServiceUnavailable", Meaning::Mend(WHITE_LIST)), // 4
    ("InvalidAccountStatus", Meaning::Mend(MONEY)),                  // 4
    ("InsufficientBalance", Meaning::Mend(MONEY)),                   // 4
    ("InstanceExpiredOrInArrears", Meaning::Mend(EXPIRED)),          // 4
    ("InstanceExpired", Meaning::Mend(EXPIRED)),                     // 4
    ("InvalidInstance.UnpaidOrder", Meaning::Mend(ORDER)),           // 4
    ("OperationDenied.UnpaidOrder", Meaning::Mend(ORDER)),           // 4
    ("OperationDenied.NoStock", Meaning::Mend(NO_STOCK)),            // 4, 6
    ("OperationDenied", Meaning::Mend(OPERATION)),                   // 4, 6
    ("InstanceLockedForSecurity", Meaning::Mend(LOCK)),              // 4
    ("InvalidOperation.ResourceManagedByCloudProduct", Meaning::Mend(MANAGED)), // 4
    ("InvalidOperation", Meaning::Mend(OPERATION)),                  // 4
    ("OperationNotPermitted", Meaning::Mend(OPERATION)),             // 4
    ("HibernationConfigured.InstanceOperationForbidden", Meaning::Mend(OPERATION)), // 4
    ("ChargeTypeViolation", Meaning::Mend(OPERATION)),               // 4
    ("CategoryViolation", Meaning::Mend(OPERATION)),                 // 4
    ("InvalidSystemDiskStatus", Meaning::Mend(DISK)),
    ("IncorrectDiskStatus", Meaning::Mend(DISK)),                    // 4
    ("InvalidInstance.NotFoundSystemDisk", Meaning::Mend(DISK)),     // 4
    ("UserNotInTheWhiteList", Meaning::Mend(WHITE_LIST)),            // 4
];

/// The row that fits: its word, as it is written here, and its meaning.
fn meaning(code: &str, status: u16) -> Option<(&'static str, Meaning)> {
    // The operation's page gives this code, with 404, for an instance ID that does not exist.
    if status == 404 && code.eq_ignore_ascii_case("InvalidParameter") {
        return Some(("InvalidParameter", Meaning::None(NoConsole::NotFound)));
    }
    // 1 and 3 have `Throttling` and its kin, 5 takes every code with the word in it so.
    if code.to_ascii_lowercase().contains("throttling") {
        return Some(("Throttling", Meaning::Throttled));
    }
    CODES
        .iter()
        .copied()
        .find(|(word, _)| goes_on_from(code, word))
}

/// Whether a code is `word`, or one of its kin: `Throttling.User` is one of `Throttling`.
pub fn goes_on_from(code: &str, word: &str) -> bool {
    let start = code.get(..word.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(word))
        && matches!(code.as_bytes().get(word.len()), None | Some(b'.'))
}

/// A refusal by its code; by its status where the code says nothing.
fn error(head: AnswerHead, body: &[u8]) -> EcsError {
    let (code, request_id) = code_and_request_id(body);
    let (status, retry_after_ms) = (head.status, head.retry_after_ms);
    match meaning(&code, status) {
        Some((_, Meaning::Throttled)) => EcsError::Throttled {
            code,
            request_id,
            retry_after_ms,
        },
        Some((_, Meaning::Unavailable)) => EcsError::Unavailable {
            status,
            code,
            request_id,
        },
        Some((word, Meaning::Stale)) => EcsError::StaleSignature {
            code: word.to_owned(),
            request_id,
        },
        Some((_, Meaning::None(reason))) => EcsError::NoConsole {
            code,
            reason,
            request_id,
        },
        Some((_, Meaning::Mend(advice))) => EcsError::Denied {
            code,
            request_id,
            advice: advice.into(),
        },
        None if status == 429 => EcsError::Throttled {
            code,
            request_id,
            retry_after_ms,
        },
        // 408: the server did not wait for the request.
        None if status >= 500 || status == 408 => EcsError::Unavailable {
            status,
            code,
            request_id,
        },
        // A gateway's page under a 2xx or 3xx status says nothing about the instance.
        None if status < 400 => EcsError::Unreadable {
            status,
            reason: match status {
                300.. => "it points to another address".into(),
                200 if !code.is_empty() => format!("it is the error {code}"),
                _ => "the status is not 200".into(),
            },
        },
        None => EcsError::Rejected {
            status,
            code,
            request_id,
        },
    }
}

fn code_and_request_id(body: &[u8]) -> (String, String) {
    let read = |name: &str| {
        Members::read(body)
            .and_then(|members| members.text_at_any_depth(name))
            .or_else(|| scan_for(name, body))
            .unwrap_or_default()
    };
    (printable(read("Code")), printable(read("RequestId")))
}

/// A member in a body that is almost JSON: the API reference's own error sample has unescaped quotes
/// in its message.
fn scan_for(name: &str, body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(without_mark(body));
    if !text.starts_with('{') {
        return None;
    }
    let quoted = format!("\"{name}\"").to_ascii_lowercase();
    let at = text.to_ascii_lowercase().find(&quoted)?;
    let value = text[at + quoted.len()..].trim_start().strip_prefix(':')?;
    let value = value.trim_start().strip_prefix('"')?;
    value.split_once('"').map(|(word, _)| word.to_owned())
}

/// Root elements of XML listings.
const ROOTS: [&str; 2] = ["DescribeInstancesResponse", "DescribeRegionsResponse"];

fn from_json_or_xml<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Option<T> {
    let body = without_mark(body);
    if let Ok(answer) = serde_json::from_slice(body) {
        return Some(answer);
    }
    // Any well-formed page would deserialize, since every member is optional; so would half of one.
    let outline = answer::xml(body).ok()?;
    if !ROOTS.contains(&outline.root) {
        return None;
    }
    let text = std::str::from_utf8(body).ok()?;
    quick_xml::de::from_str(text).ok()
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
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    const HEAD: AnswerHead = AnswerHead {
        status: 200,
        retry_after_ms: None,
        date: None,
    };

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
            r#"{"RequestId":"R","ConsoleOutput":null}"#,
            r#"{"RequestId":"R","ConsoleOutput":" \r\n\t "}"#,
            "<GetInstanceConsoleOutputResponse><RequestId>R</RequestId><ConsoleOutput/>\
             </GetInstanceConsoleOutputResponse>",
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
            r#"{"RequestId":"R","ConsoleOutput":"SGVs"#,
            "<GetInstanceConsoleOutputResponse><ConsoleOutput>SGVs</ConsoleOutput>",
            "<GetInstanceConsoleOutputResponsePage/>",
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
    fn check_undecoded(member: &[u8], kept: &[u8]) {
        let body = [br#"{"RequestId":"R","ConsoleOutput":"#, member, b"}"].concat();
        let error = console_output(HEAD, &body).unwrap_err();
        assert_eq!(error.retry_advice(), RetryAdvice::Wait);
        let EcsError::Undecoded(console) = error else {
            panic!("{error}");
        };
        assert!(console.is_undecoded);
        let kept = String::from_utf8_lossy(kept);
        assert_eq!(String::from_utf8_lossy(&console.plain), kept);
        assert_eq!(console.request_id, "R");
    }

    #[test]
    fn what_cannot_be_decoded_is_there_as_it_came() {
        check_undecoded(br#""%%%""#, b"%%%");
        check_undecoded(br#""SGVsb""#, b"SGVsb");
        check_undecoded(br#""[ 0.1] a\nb \u00fc""#, "[ 0.1] a\nb ü".as_bytes());
        check_undecoded(b"5", b"5");
        check_undecoded(b"false", b"false");
        check_undecoded(b"1e999999", b"1e999999");
        check_undecoded(br#"{"Data": ["SGVs"]}"#, br#"{"Data": ["SGVs"]}"#);
        // Half a character, and a byte that is none.
        check_undecoded(br#""panic \ud83d""#, br"panic \ud83d");
        check_undecoded(b"\"panic \xff\xfe\"", b"panic \xff\xfe");
        let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        check_undecoded(&deep, &deep);
    }

    #[test]
    fn one_odd_member_does_not_hide_the_console() {
        for members in [
            r#""RequestId":5,"LastUpdateTime":1521684297"#,
            r#""RequestId":{"a":[]},"InstanceId":false"#,
            r#""RequestId":"R","RequestId":"R2","ConsoleOutput":"AAAA""#,
            r#""LastUpdateTime":"\ud800","\udfff":"\ud83d\ude00""#,
            r#""New":1e400,"Newer":[[[[{"ConsoleOutput":"AAAA"}]]]]"#,
        ] {
            let body = format!(r#"{{{members},"consoleOutput":"SGVsbG8="}}"#);
            assert_eq!(read(200, &body).unwrap().plain, b"Hello", "{body}");
        }
        let marked = "\u{feff}\r\n{\"ConsoleOutput\":\"SGVsbG8=\"}\r\n";
        assert_eq!(read(200, marked).unwrap().plain, b"Hello");
        let mixed = b"{\"Message\":\"\xff\",\"ConsoleOutput\":\"SGVsbG8=\"}";
        assert_eq!(console_output(HEAD, mixed).unwrap().plain, b"Hello");
        let xml = "<?xml version='1.0'?><!-- a --><GetInstanceConsoleOutputResponse xmlns='a'>\
            <RequestId>R</RequestId><RequestId>S</RequestId><ConsoleOutput><![CDATA[SGVs]]>&#10;bG8&#61;\
            </ConsoleOutput></GetInstanceConsoleOutputResponse>";
        assert_eq!(read(200, xml).unwrap().plain, b"Hello");
    }

    #[test]
    fn what_goes_beside_the_console_is_short() {
        let long = "ü".repeat(100_000);
        let body = format!(
            r#"{{"RequestId":"{long}","LastUpdateTime":"{long}","InstanceId":"{long}","ConsoleOutput":""}}"#
        );
        let console = read(200, &body).unwrap();
        for word in [
            console.request_id,
            console.last_update_time,
            console.reported_instance_id.unwrap(),
        ] {
            assert_eq!(word.len(), MAX_WORD_BYTES);
        }
    }

    #[test]
    fn an_error_under_status_200_is_an_error() {
        let body = with_code("IncorrectInstanceStatus.Initializing");
        assert!(matches!(
            error(200, &body),
            EcsError::NoConsole {
                reason: NoConsole::NotRunning,
                ..
            }
        ));
        assert!(matches!(
            error(200, &with_code("Throttling.User")),
            EcsError::Throttled { .. }
        ));
        let unknown = error(200, &with_code("SomethingNew"));
        assert!(matches!(unknown, EcsError::Unreadable { .. }), "{unknown}");
    }

    #[track_caller]
    fn check(status: u16, code: &str, kind: &str, advice: RetryAdvice) {
        let json = error(status, &with_code(code));
        let xml = error(
            status,
            &format!("<Error><RequestId>R-1</RequestId><Code>{code}</Code></Error>"),
        );
        for error in [json, xml] {
            let shown = format!("{error:?}");
            assert!(shown.starts_with(kind), "{status} {code}: {shown}");
            assert!(shown.contains("R-1"), "{shown}");
            assert_eq!(error.retry_advice(), advice, "{status} {code}");
        }
    }

    // The decision table: a row for each code that the operation's page, the ECS common error
    // table, the gateway's table or another ECS API documents, and for codes nobody knows yet.
    #[test]
    fn every_code_has_its_remedy() {
        use RetryAdvice::{GiveUp, SignAgain, Wait, WaitThrottled};
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
        check(408, "SomethingNew", "Unavailable", Wait);
        check(403, "InvalidOperation.Conflict", "Unavailable", Wait);
        check(
            403,
            "OperationDenied.InstanceOperationInProgress",
            "Unavailable",
            Wait,
        );
        check(400, "IllegalTimestamp", "StaleSignature", SignAgain);
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
        check(404, "InvalidApi.NotFound", "Rejected", GiveUp);
        check(404, "InvalidAction.NotFound", "Rejected", GiveUp);
        check(404, "InvalidRegionId.NotFound", "Rejected", GiveUp);
        check(418, "SomethingNew", "Rejected", GiveUp);
    }

    #[test]
    fn an_instance_that_is_not_running_yet_is_so_at_any_status() {
        for code in [
            "IncorrectInstanceStatus",
            "IncorrectInstanceStatus.Initializing",
            "IncorrectInstanceStatus.Starting",
            "IncorrectInstanceStatus.Pending",
            "incorrectinstancestatus.initializing",
            "InvalidInstanceStatus.NotRunning",
            "OperationDenied.InstanceCreating",
        ] {
            for status in [200, 400, 403, 405, 409] {
                let error = error(status, &with_code(code));
                let is_waited_for =
                    matches!(&error, EcsError::NoConsole { reason, .. } if reason.is_transient());
                assert!(is_waited_for, "{status} {code}: {error}");
            }
        }
        let other = error(403, &with_code("IncorrectInstanceStatusOfAnother"));
        assert!(matches!(other, EcsError::Rejected { .. }), "{other}");
    }

    #[test]
    fn what_somebody_must_mend_says_so_at_any_status() {
        for (code, expected) in [
            ("OperationDenied", "look at its status, locks"),
            (
                "OperationDenied.InvalidNetworkType",
                "look at its status, locks",
            ),
            ("OperationDenied.UnpaidOrder", "unpaid order"),
            ("OperationDenied.NoStock", "no resources"),
            ("operationdenied.nostock", "no resources"),
            (
                "InvalidOperation.OSTypeNotSupported",
                "look at its status, locks",
            ),
            (
                "InvalidOperation.ResourceManagedByCloudProduct",
                "another product",
            ),
            ("InstanceLockedForSecurity", "unlocked"),
            ("InstanceExpiredOrInArrears", "renew"),
            ("InvalidAccountStatus.NotEnoughBalance", "add funds"),
            ("Account.Arrearage", "add funds"),
            ("InvalidSystemDiskStatus", "system disk"),
            ("IncorrectDiskStatus.Initializing", "system disk"),
            ("Forbidden.RAM", "ecs:GetInstanceConsoleOutput"),
            ("Forbidden.SubUser", "ecs:GetInstanceConsoleOutput"),
            ("NoPermission.SLR", "ecs:GetInstanceConsoleOutput"),
            ("Forbidden.InstanceNotFound", "belongs to the account"),
            ("Forbidden.RiskControl", "risk control"),
            ("SecurityRisk.3DVerification", "card"),
        ] {
            for status in [200, 400, 403, 405, 409] {
                let error = error(status, &with_code(code));
                let is_denied = matches!(error, EcsError::Denied { .. });
                assert!(
                    is_denied && error.retry_advice() == RetryAdvice::GiveUp,
                    "{status} {code}: {error}"
                );
                let shown = error.to_string();
                assert!(shown.contains(code) && shown.contains(expected), "{shown}");
            }
        }
    }

    #[test]
    fn each_row_of_the_table_can_be_reached() {
        for (word, _) in CODES {
            assert_eq!(meaning(word, 400).unwrap().0, *word);
            assert_eq!(meaning(&format!("{word}.Kin"), 400).unwrap().0, *word);
        }
    }

    #[test]
    fn a_code_is_found_wherever_an_error_has_it() {
        for body in [
            r#"{"requestId":"R-1","code":"NotSupported","message":"m"}"#,
            r#"{"Error":{"RequestId":"R-1","Code":"NotSupported"}}"#,
            r#"{"Errors":[{"RequestId":"R-1","Code":"NotSupported"}]}"#,
            r#"{"Code":"","Data":{"RequestId":"R-1","Code":"NotSupported"}}"#,
            "\u{feff}{\"RequestId\":\"R-1\",\"Code\":\"NotSupported\"}",
            r#"{"RequestId":"R-1","Code":"NotSupported","Message":"\ud83d"}"#,
            r#"{"RequestId":"R-1","Code":"NotSupported","Mess"#,
            "\r\n<Error><RequestId>R-1</RequestId><Code>NotSupported</Code></Error>",
            "<?xml version='1.0'?><ErrorResponse xmlns='http://a'><Error><Type>Sender</Type>\
             <Code>NotSupported</Code></Error><RequestId>R-1</RequestId></ErrorResponse>",
        ] {
            let error = error(405, body);
            let EcsError::NoConsole {
                reason: NoConsole::NotSupported,
                request_id,
                ..
            } = &error
            else {
                panic!("{body}: {error}");
            };
            assert_eq!(request_id, "R-1", "{body}");
        }
        let invalid = b"{\"RequestId\":\"R-1\",\"Code\":\"NotSupported\",\"Message\":\"\xff\"}";
        let head = AnswerHead {
            status: 405,
            ..HEAD
        };
        let error = console_output(head, invalid).unwrap_err();
        assert!(matches!(error, EcsError::NoConsole { .. }), "{error}");
    }

    #[test]
    fn pages_of_others_are_never_taken_for_an_answer_about_the_instance() {
        let long = format!("<html>{}</html>", "a".repeat(1 << 20));
        for body in [
            "",
            " ",
            "\0\0",
            "upstream connect error or disconnect/reset before headers",
            "<html><script>{\"Code\":\"NotSupported\"}</script></html>",
            "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head></html>",
            "<Code>NotSupported</Code>",
            "<Error><Code>NotSupported</Code>",
            "\"NotSupported\"",
            "[]",
            "[1]",
            &long,
        ] {
            for status in [200, 202, 204, 301, 302, 307, 502, 503, 504, 511] {
                let error = error(status, body);
                assert!(error.is_transient(), "{status}: {error}");
                assert!(error.to_string().len() < 200);
            }
            for status in [400, 403, 404, 405, 407] {
                let error = error(status, body);
                assert!(
                    matches!(error, EcsError::Rejected { .. }),
                    "{status}: {error}"
                );
            }
        }
    }

    #[test]
    fn what_ecs_asks_to_wait_is_its_remedy() {
        let head = AnswerHead {
            status: 429,
            retry_after_ms: Some(1500),
            date: None,
        };
        let error = console_output(head, with_code("Throttling").as_bytes()).err();
        let advice = error.unwrap().retry_advice();
        assert_eq!(
            advice,
            RetryAdvice::WaitThrottled(Some(Duration::from_millis(1500)))
        );
    }

    #[test]
    fn without_an_answer_one_is_worth_another_try() {
        assert_eq!(
            EcsError::Transport("reset".into()).retry_advice(),
            RetryAdvice::Wait
        );
        assert_eq!(EcsError::TooLong.retry_advice(), RetryAdvice::GiveUp);
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
        /// Whatever stands for `ConsoleOutput`, and beside it: the answer is the console, nothing
        /// (only where nothing was sent), or the text itself.
        #[test]
        fn no_console_is_lost_in_an_odd_answer(
            text in proptest::prop_oneof![".*", "[A-Za-z0-9+/=_ -]*", "[ -~]*"],
            beside in ".*", number: i64, is_last: bool,
        ) {
            let console = serde_json::json!(text);
            let beside = serde_json::json!(beside);
            let other = format!(r#""LastUpdateTime":{beside},"RequestId":{number},{beside}:{{"a":{beside}}}"#);
            let body = if is_last {
                format!(r#"{{{other},"ConsoleOutput":{console}}}"#)
            } else {
                format!(r#"{{"ConsoleOutput":{console},{other}}}"#)
            };
            match read(200, &body) {
                Ok(console) => {
                    let decoded = console_text::decode(&text).unwrap();
                    proptest::prop_assert_eq!(console.plain, decoded);
                }
                Err(EcsError::Undecoded(console)) => {
                    proptest::prop_assert_eq!(&console.plain, text.as_bytes());
                }
                // Its own name is taken by what stands beside it.
                Err(error) => proptest::prop_assert!(false, "{}", error),
            }
        }

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
