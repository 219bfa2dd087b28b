//! The error codes of ECS, and what each means for the caller.

use crate::model::console::NoConsole;

pub(super) const NONCE_USED: &str = "SignatureNonceUsed";
pub(in crate::source::ecs) const TOKEN_EXPIRED: &str = "InvalidSecurityToken.Expired";
/// ECS rejects request times that are more than 15 minutes off.
pub(in crate::source::ecs) const TIME_EXPIRED: &str = "InvalidTimeStamp.Expired";
/// The same error as an older gateway wrote it. The pages of SMC still have this code.
pub(in crate::source::ecs) const TIME_ILLEGAL: &str = "IllegalTimestamp";

/// Whether ECS refused the access key or its token, so that other credentials may help.
pub(in crate::source::ecs) fn refuses_the_key(code: &str) -> bool {
    goes_on_from(code, "InvalidAccessKeyId") || goes_on_from(code, "InvalidSecurityToken")
}

/// Ends the message of [`EcsError::StaleSignature`](super::EcsError::StaleSignature): what to do if
/// retrying with a fresh signature does not help.
pub(super) fn stale_advice(code: &str) -> &'static str {
    match code {
        TOKEN_EXPIRED => ": renew the token where the keys come from",
        TIME_EXPIRED | TIME_ILLEGAL => ": set the clock of this machine",
        _ => "",
    }
}

/// What to fix if ECS refuses a key that comes from `place`, such as a file. `None` for codes that
/// do not refuse the key.
pub(in crate::source::ecs) fn key_advice(code: &str, place: &str) -> Option<String> {
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

/// Whether the code is about one instance, with which ECS is still busy.
pub(super) fn is_of_instance(code: &str) -> bool {
    CODES
        .iter()
        .any(|(word, meaning)| matches!(meaning, Meaning::Busy) && goes_on_from(code, word))
}

/// What an error code of ECS means for the caller.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    /// Too many calls. Retry later.
    Throttled,
    /// ECS failed. Retry.
    Unavailable,
    /// ECS is still busy with an earlier operation on the instance. Retry.
    Busy,
    /// Sign again.
    Stale,
    /// The instance has no console output.
    None(NoConsole),
    /// Someone must fix the cause. Holds how.
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
     and type in the ECS console, and look up the code in the error codes of the ECS API";

/// Error code of ECS → its meaning. The first matching row counts. A row matches its own code and
/// every code that continues it after a dot, in upper or lower case. The sources disagree about
/// HTTP statuses (a code is 400 on one page and 403 on the next), so the status counts only if no
/// row matches.
///
/// Sources: (1) the page of GetInstanceConsoleOutput, (2) the common error codes of ECS, (3) the
/// gateway's table (developer.aliyun.com/ask/278265), (4) the error codes on the pages of
/// ModifyInstanceSpec, RenewInstance, ReactivateInstances, ReplaceSystemDisk and
/// AllocateDedicatedHosts, (5) how other programs treat the code: terraform-provider-alicloud
/// `alicloud/errors.go` and `resource_alicloud_instance.go`, packer-plugin-alicloud
/// `step_create_instance.go`, bosh-alicloud-cpi `instance_manager.go`, (6) denverdino/aliyungo#78.
#[rustfmt::skip]
const CODES: &[(&str, Meaning)] = &[
    // Transient, like every code with `Throttling` in it.
    ("ServiceUnavailable", Meaning::Unavailable),                    // 2
    ("InternalError", Meaning::Unavailable),                         // 2
    ("UnknownError", Meaning::Unavailable),                          // 2
    ("ServiceBusy", Meaning::Unavailable),                           // 5
    ("SystemBusy", Meaning::Unavailable),                            // 5
    ("OperationConflict", Meaning::Busy),                            // 5
    ("Operation.Conflict", Meaning::Busy),                           // 4
    ("InvalidOperation.Conflict", Meaning::Busy),                    // 5
    ("LastTokenProcessing", Meaning::Busy),                          // 4
    ("OperationDenied.InstanceOperationInProgress", Meaning::Busy),  // 4
    (NONCE_USED, Meaning::Stale),                                    // 3
    (TIME_EXPIRED, Meaning::Stale),                                  // 3
    (TIME_ILLEGAL, Meaning::Stale),                                  // 4
    (TOKEN_EXPIRED, Meaning::Stale),                                 // 3
    // Not running yet, or no longer. Following the event waits for these.
    ("IncorrectInstanceStatus", Meaning::None(NoConsole::NotRunning)), // 1; 5 for .Initializing
    ("InvalidInstanceStatus", Meaning::None(NoConsole::NotRunning)),   // 4
    ("InvalidStatus.ValueNotSupported", Meaning::None(NoConsole::NotRunning)), // 4
    ("OperationDenied.InstanceCreating", Meaning::None(NoConsole::NotRunning)), // 4
    // Permanent.
    ("NotSupported", Meaning::None(NoConsole::NotSupported)),        // 1
    ("InvalidInstanceId.NotFound", Meaning::None(NoConsole::NotFound)), // 4
    // Someone must fix these.
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

/// Finds the row for a code. Returns the row's own code and its meaning.
pub(super) fn meaning(code: &str, status: u16) -> Option<(&'static str, Meaning)> {
    // The page of GetInstanceConsoleOutput lists this code with status 404 for an instance ID that
    // does not exist.
    if status == 404 && code.eq_ignore_ascii_case("InvalidParameter") {
        return Some(("InvalidParameter", Meaning::None(NoConsole::NotFound)));
    }
    // Sources 1 and 3 list `Throttling` and codes that continue it. The programs of source 5 treat
    // every code with this word in it as throttling.
    if code.to_ascii_lowercase().contains("throttling") {
        return Some(("Throttling", Meaning::Throttled));
    }
    CODES
        .iter()
        .copied()
        .find(|(word, _)| goes_on_from(code, word))
}

/// Whether `code` is `word`, or continues it after a dot: `Throttling.User` continues `Throttling`.
pub fn goes_on_from(code: &str, word: &str) -> bool {
    let start = code.get(..word.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(word))
        && matches!(code.as_bytes().get(word.len()), None | Some(b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::{RetryAdvice, Retryable as _};
    use crate::source::ecs::response::EcsError;
    use crate::source::ecs::response::tests::{error, with_code};

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

    // The decision table. It has a row for each code that the operation's page, the ECS common
    // error table, the gateway's table or another ECS API documents, and rows for unknown codes.
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
}
