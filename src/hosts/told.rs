//! Whoever watches is told of a finding: by a line of the log, which on AWS Lambda is a metric, too.

use serde_json::{Value, json};
use tracing::field::display;
use tracing::info;

use crate::capture::told::{Tell, Told};
use crate::hosts::served::LOG_TARGET;
use crate::log;

/// Namespace of the metrics in CloudWatch.
const NAMESPACE: &str = "ecs-console-archiver";

/// Writes a log line. A log service counts it by its members `finding` and `severity`; its level is about the function,
/// of which a finding is no fault.
pub fn as_line(told: &Told<'_>) {
    let finding = told.finding;
    let (instance_id, region_id) = (display(&told.event.instance_id), display(told.region_id));
    let severity = finding.severity.as_str();
    let event_id = told.event.event_id.as_deref().map(escaped);
    let event_id = event_id.as_ref().map(display);
    info!(
        target: LOG_TARGET,
        finding = finding.id, severity, signature = finding.signature, count = finding.count,
        instance_id, region_id, event_id, "{}: {}", finding.title, told.url
    );
}

/// Writes a line from which CloudWatch makes a metric: `Findings` by function and severity. Its form is "embedded metric
/// format", of which AWS says that `_aws` is a member of the root, with a time in milliseconds, and that dimensions and
/// metrics are members beside it.
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
pub fn as_metric(function: Option<String>) -> Tell {
    Tell::new(move |told| log::json_line(&metric(function.as_deref(), told)))
}

fn metric(function: Option<&str>, told: &Told<'_>) -> Value {
    let finding = told.finding;
    json!({
        "_aws": {
            "Timestamp": told.at.as_millisecond(),
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [["FunctionName", "Severity"]],
                "Metrics": [{"Name": "Findings", "Unit": "Count"}],
            }],
        },
        "FunctionName": function,
        "Severity": finding.severity,
        "Findings": 1,
        "level": "INFO",
        "message": format!("{}: {}", finding.title, told.url),
        "finding": finding.id,
        "signature": finding.signature,
        "count": finding.count,
        "instance_id": told.event.instance_id,
        "region_id": told.region_id,
        "event_id": told.event.event_id,
    })
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

    #[test]
    fn a_metric_has_the_form_that_cloudwatch_asks_for() {
        let finding = Finding {
            id: "unit-failed".to_owned(),
            severity: Severity::Error,
            title: "A unit failed".to_owned(),
            signature: "unit-failed:a".to_owned(),
            count: 2,
        };
        let event = InstanceEvent {
            instance_id: InstanceId::parse("i-a1").unwrap(),
            region_id: None,
            account_id: None,
            cause: Cause::Manual,
            event_id: None,
            occurred_at: None,
        };
        let line = metric(
            Some("archiver"),
            &Told {
                event: &event,
                region_id: &RegionId::parse("cn-hangzhou").unwrap(),
                url: "s3://b/i-a1/x.log.gz",
                finding: &finding,
                at: "2026-11-29T10:55:07Z".parse().unwrap(),
            },
        );
        assert_eq!(line["signature"], finding.signature);
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        for name in ["FunctionName", "Severity"] {
            assert!(
                line[name].is_string(),
                "a dimension is a member beside _aws"
            );
        }
        assert_eq!(
            directive["Dimensions"],
            json!([["FunctionName", "Severity"]])
        );
        assert!(line[directive["Metrics"][0]["Name"].as_str().unwrap()].is_number());
        assert_eq!(line["_aws"]["Timestamp"], 1_795_949_707_000_i64);
    }
}
