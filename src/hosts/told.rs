//! Whoever watches is told of a finding, and whether a boot came to its login prompt: by a line of the log, which on AWS
//! Lambda is a metric, too.

use jiff::Timestamp;
use serde_json::{Value, json};
use tracing::field::display;
use tracing::{error, info};

use crate::capture::told::{Fact, Tell, Told};
use crate::hosts::served::LOG_TARGET;
use crate::log;
use crate::notify::Event;
use crate::notify::notice::Sighting;

/// What is said of a notice for a receiver that has failed, once.
const WAITS: &str = "a notice waits, because its receiver failed just before; it and those behind it are sent later";
/// Namespace of the metrics in CloudWatch.
const NAMESPACE: &str = "ecs-console-archiver";

/// What is said of a boot that came to its login prompt, or not.
struct Login {
    /// Member `login`, by which a log service counts.
    word: &'static str,
    message: &'static str,
}

const REACHED: Login = Login {
    word: "reached",
    message: "the boot came to its login prompt",
};
const NOT_REACHED: Login = Login {
    word: "not_reached",
    message: "the boot did not come to its login prompt",
};

fn login(is_reached: bool) -> &'static Login {
    if is_reached { &REACHED } else { &NOT_REACHED }
}

/// Writes a log line. A log service counts it by its members `finding` and `severity`, or `login`; its level is about the
/// function, of which neither is a fault.
pub fn as_line(told: &Told<'_>) {
    let (instance_id, region_id) = (display(&told.event.instance_id), display(told.region_id));
    let event_id = told.event.event_id.as_deref().map(escaped);
    let event_id = event_id.as_ref().map(display);
    match told.fact {
        Fact::Finding(finding) => {
            let severity = finding.severity.as_str();
            info!(
                target: LOG_TARGET,
                finding = finding.id, severity, signature = finding.signature, count = finding.count,
                instance_id, region_id, event_id, "{}: {}", finding.title, told.url
            );
        }
        Fact::Login { is_reached } => {
            let Login { word, message } = login(is_reached);
            info!(
                target: LOG_TARGET,
                login = word, instance_id, region_id, event_id, "{message}: {}", told.url
            );
        }
    }
}

/// Writes a line from which CloudWatch makes a metric: `Findings` by function and severity, or `LoginsReached` and
/// `LoginsNotReached` by function. Of these two, one is 1 and the other 0, so that neither lacks data where the other has
/// some. The line's form is "embedded metric format", of which AWS says that `_aws` is a member of the root, with a time in
/// milliseconds, and that dimensions and metrics are members beside it.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
pub fn as_metric(function: Option<String>) -> Tell {
    Tell::new(move |told| log::json_line(&metric(function.as_deref(), told)))
}

fn metric(function: Option<&str>, told: &Told<'_>) -> Value {
    let mut line = match told.fact {
        Fact::Finding(finding) => {
            let mut line = json!({
                "Severity": finding.severity,
                "message": format!("{}: {}", finding.title, told.url),
                "finding": finding.id,
                "signature": finding.signature,
                "count": finding.count,
            });
            count(
                &mut line,
                &["FunctionName", "Severity"],
                &[("Findings", 1)],
                told.at,
            );
            line
        }
        Fact::Login { is_reached } => {
            let Login { word, message } = login(is_reached);
            let mut line = json!({"message": format!("{message}: {}", told.url), "login": word});
            let counts = [
                ("LoginsReached", u8::from(is_reached)),
                ("LoginsNotReached", u8::from(!is_reached)),
            ];
            count(&mut line, &["FunctionName"], &counts, told.at);
            line
        }
    };
    line["FunctionName"] = json!(function);
    line["level"] = json!("INFO");
    line["instance_id"] = json!(told.event.instance_id);
    line["region_id"] = json!(told.region_id);
    line["event_id"] = json!(told.event.event_id);
    line
}

/// Makes metrics of a line.
fn count(line: &mut Value, dimensions: &[&str], counts: &[(&str, u8)], at: Timestamp) {
    let metrics = counts
        .iter()
        .map(|(name, _)| json!({"Name": name, "Unit": "Count"}));
    line["_aws"] = json!({
        "Timestamp": at.as_millisecond(),
        "CloudWatchMetrics": [{
            "Namespace": NAMESPACE,
            "Dimensions": [dimensions],
            "Metrics": metrics.collect::<Vec<_>>(),
        }],
    });
    for (name, value) in counts {
        line[*name] = json!(value);
    }
}

/// Writes a log line of what became of a notice. A log service counts it by its member `notice`, and new signatures by
/// `new_signature`.
pub fn notice_as_line(event: &Event<'_>) {
    match event {
        Event::NewSignature(sighting) => {
            let Sighting {
                finding,
                instance_id,
                region_id,
                ..
            } = sighting;
            let (instance_id, region_id) = (display(instance_id), display(region_id));
            info!(
                target: LOG_TARGET,
                new_signature = finding.signature, finding_id = finding.id, instance_id, region_id,
                "a new signature: {}", finding.title
            );
        }
        Event::Sent(notice, receiver) => {
            info!(target: LOG_TARGET, notice = "sent", notice_id = notice, %receiver, "sent a notice");
        }
        Event::Failed(notice, receiver, error) => {
            error!(
                target: LOG_TARGET, notice = "failed", notice_id = notice, %receiver,
                "a notice was not taken, and is sent again later: {error}"
            );
        }
        Event::Waits(notice, receiver) => {
            error!(
                target: LOG_TARGET, notice = "waits", notice_id = notice, %receiver,
                "{WAITS}"
            );
        }
        Event::GivenUp(notice, receiver) => {
            error!(
                target: LOG_TARGET, notice = "given_up", notice_id = notice, %receiver,
                "a notice was not taken, and is not sent any more"
            );
        }
        Event::Lost(what, why) => {
            error!(target: LOG_TARGET, notice = "lost", "{what} is not told: {why}");
        }
    }
}

/// Writes a line of what became of a notice from which CloudWatch makes a metric by function: `NewSignatures`,
/// `NoticesSent` or `NoticesFailed`.
pub fn notice_as_metric(function: Option<String>) -> impl Fn(&Event<'_>) + Send + Sync + 'static {
    move |event| log::json_line(&notice_metric(function.as_deref(), event, Timestamp::now()))
}

fn notice_metric(function: Option<&str>, event: &Event<'_>, now: Timestamp) -> Value {
    let (metric, level, mut line) = match event {
        Event::NewSignature(sighting) => {
            let members = json!({
                "message": format!("a new signature: {}", sighting.finding.title),
                "new_signature": sighting.finding.signature,
                "finding_id": sighting.finding.id,
                "instance_id": sighting.instance_id,
                "region_id": sighting.region_id,
            });
            ("NewSignatures", "INFO", members)
        }
        Event::Sent(id, receiver) => {
            let members = json!({
                "message": "sent a notice",
                "notice": "sent",
                "notice_id": id,
                "receiver": receiver.to_string(),
            });
            ("NoticesSent", "INFO", members)
        }
        Event::Failed(id, receiver, error) => {
            let message = format!("a notice was not taken, and is sent again later: {error}");
            let members = json!({
                "message": message,
                "notice": "failed",
                "notice_id": id,
                "receiver": receiver.to_string(),
            });
            ("NoticesFailed", "ERROR", members)
        }
        Event::Waits(id, receiver) => {
            let members = json!({
                "message": WAITS,
                "notice": "waits",
                "notice_id": id,
                "receiver": receiver.to_string(),
            });
            ("NoticesFailed", "ERROR", members)
        }
        Event::GivenUp(id, receiver) => {
            let members = json!({
                "message": "a notice was not taken, and is not sent any more",
                "notice": "given_up",
                "notice_id": id,
                "receiver": receiver.to_string(),
            });
            ("NoticesFailed", "ERROR", members)
        }
        Event::Lost(what, why) => {
            let members = json!({
                "message": format!("{what} is not told: {why}"),
                "notice": "lost",
            });
            ("NoticesFailed", "ERROR", members)
        }
    };
    count(&mut line, &["FunctionName"], &[(metric, 1)], now);
    line["FunctionName"] = json!(function);
    line["level"] = json!(level);
    line
}

fn escaped(text: &str) -> String {
    text.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Cause, InstanceEvent};
    use crate::model::finding::{Finding, Severity};
    use crate::model::ids::{InstanceId, RegionId};
    use crate::notify::answer::SendError;
    use crate::notify::target;

    #[test]
    fn what_became_of_a_notice_is_a_metric_by_function_and_names_no_address() {
        let list = "slack+https://hooks.slack.com/services/T0/B0/hush";
        let [target] = &target::parse(list).unwrap()[..] else {
            panic!("one target");
        };
        let refused = SendError::Refused("it answered 404: no_team".into());
        let now = "2026-11-29T10:55:07Z".parse().unwrap();
        for (event, metric, level) in [
            (Event::Sent("notice_1", target), "NoticesSent", "INFO"),
            (
                Event::Failed("notice_1", target, &refused),
                "NoticesFailed",
                "ERROR",
            ),
            (Event::Waits("notice_1", target), "NoticesFailed", "ERROR"),
            (Event::GivenUp("notice_1", target), "NoticesFailed", "ERROR"),
            (Event::Lost("a of i-a1", "denied"), "NoticesFailed", "ERROR"),
        ] {
            let line = notice_metric(Some("archiver"), &event, now);
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(directive["Dimensions"], json!([["FunctionName"]]));
            assert_eq!(directive["Metrics"][0]["Name"], metric);
            assert_eq!((&line[metric], &line["level"]), (&json!(1), &json!(level)));
            assert!(!line.to_string().contains("hush"), "{line}");
        }
    }

    #[test]
    fn a_metric_has_the_form_that_cloudwatch_asks_for() {
        let finding = Finding {
            id: "unit-failed".to_owned(),
            severity: Severity::Error,
            title: "A unit failed".to_owned(),
            signature: "unit-failed:a".to_owned(),
            count: 2,
        };
        let event = InstanceEvent::new(InstanceId::parse("i-a1").unwrap(), Cause::Manual);
        let reached = Fact::Login { is_reached: true };
        let not_reached = Fact::Login { is_reached: false };
        for (fact, dimensions, counts, member) in [
            (
                Fact::Finding(&finding),
                json!(["FunctionName", "Severity"]),
                &[("Findings", 1)][..],
                ("signature", "unit-failed:a"),
            ),
            (
                reached,
                json!(["FunctionName"]),
                &[("LoginsReached", 1), ("LoginsNotReached", 0)],
                ("login", "reached"),
            ),
            (
                not_reached,
                json!(["FunctionName"]),
                &[("LoginsReached", 0), ("LoginsNotReached", 1)],
                ("login", "not_reached"),
            ),
        ] {
            let line = metric(
                Some("archiver"),
                &Told {
                    event: &event,
                    region_id: &RegionId::parse("cn-hangzhou").unwrap(),
                    url: "s3://b/i-a1/x.log.gz",
                    fact,
                    at: "2026-11-29T10:55:07Z".parse().unwrap(),
                },
            );
            assert_eq!(
                (&line[member.0], &line["instance_id"]),
                (&json!(member.1), &json!("i-a1"))
            );
            assert!(
                line["message"]
                    .as_str()
                    .unwrap()
                    .ends_with(": s3://b/i-a1/x.log.gz")
            );
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(directive["Dimensions"], json!([dimensions]));
            for name in dimensions.as_array().unwrap() {
                let name = name.as_str().unwrap();
                assert!(
                    line[name].is_string(),
                    "a dimension is a member beside _aws"
                );
            }
            let metrics = directive["Metrics"].as_array().unwrap().iter();
            let counted = metrics.map(|one| {
                let name = one["Name"].as_str().unwrap();
                (name, line[name].as_u64().unwrap())
            });
            assert_eq!(counted.collect::<Vec<_>>(), counts);
            assert_eq!(line["_aws"]["Timestamp"], 1_795_949_707_000_i64);
        }
    }
}
