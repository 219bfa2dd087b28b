//! Whether people can be told, for `doctor`.

use jiff::Timestamp;

use super::Notifier;
use super::notice::Notice;
use crate::model::check::name::NOTICES;
use crate::model::check::{Check, Verdict};
use crate::model::ids::{InstanceId, RegionId};

/// An instance that cannot exist, for a test.
const NO_INSTANCE: &str = "i-0";
const NO_REGION: &str = "cn-hangzhou";

/// Says who is told, or sends everybody a test.
pub async fn check(notifier: Option<&Notifier>, sends_test: bool, now: Timestamp) -> Vec<Check> {
    let Some(notifier) = notifier else {
        let nobody = "nobody is told of findings: neither NOTIFY_URLS nor NOTIFY_URLS_ARN is set";
        return match sends_test {
            true => vec![Check::new(NOTICES, Verdict::Failed, nobody).advise("set one of them")],
            false => vec![Check::ok(NOTICES, nobody)],
        };
    };
    let unknown = |why: String| Check::new(NOTICES, Verdict::Failed, why);
    let test = match (
        sends_test,
        InstanceId::parse(NO_INSTANCE),
        RegionId::parse(NO_REGION),
    ) {
        (true, Ok(instance_id), Ok(region_id)) => Notice::test(now, instance_id, region_id),
        _ => {
            let (targets, why) = notifier.all_targets().await;
            let mut checks = Vec::new();
            if !targets.is_empty() {
                let all: Vec<_> = targets.iter().map(ToString::to_string).collect();
                let severity = notifier.told.severity.as_str();
                let told = format!("told from severity {severity} on: {}", all.join(", "));
                checks.push(Check::ok(NOTICES, told));
            }
            checks.extend(why.map(unknown));
            return checks;
        }
    };
    let (sent, why) = notifier.test(&test, now).await;
    let sent = sent.into_iter().map(|(target, sent)| match sent {
        Ok(()) => Check::ok(NOTICES, format!("{target} took a test notice")),
        Err(error) => {
            let found = format!("{target} did not take a test notice: {error}");
            let advice = "check its address, its secret and whether this network reaches it";
            Check::new(NOTICES, Verdict::Failed, found).advise(advice)
        }
    });
    sent.chain(why.map(unknown)).collect()
}
