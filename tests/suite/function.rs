//! The real `bootstrap` between a Lambda Runtime API, the simulator and an S3 server.

use std::collections::BTreeMap;
use std::time::Duration;

use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::simulator::{Console, Fault, FaultPlan};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::printed;
use crate::support::runtime_api::{Answer, Function, SHORT_TIMEOUT, TIMEOUT};
use crate::support::s3_server::{self, Profile};
use crate::support::*;

const ID: &str = "i-bp1panicnoroot00001";

const PROFILES: [Profile; 4] = [
    Profile::Aws,
    Profile::Oss { versioned: false },
    Profile::Oss { versioned: true },
    Profile::IgnoresConditions,
];

fn manual(instance_id: &str) -> Vec<u8> {
    json!({"instance_id": instance_id, "region_id": "cn-hangzhou"})
        .to_string()
        .into_bytes()
}

fn events() -> Vec<(String, Vec<u8>)> {
    let folder = root().join("events");
    let read = |name: String| {
        let payload = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
        (name, payload)
    };
    names_in(&folder, ".json").into_iter().map(read).collect()
}

async fn every_event_twice_keeps_each_console_once(profile: Profile) {
    let mut bucket = Bucket::start(profile).await;
    let token = settings(&[("WEBHOOK_TOKEN", "example-token")]);
    bucket.settings.extend(token);
    let function = Function::start(&bucket.settings).await;
    for (name, payload) in events().into_iter().chain(events()) {
        let reply = function.result_of(&payload).await;
        assert!(
            reply["statusCode"]
                .as_u64()
                .is_none_or(|status| status == 200),
            "{name}: {reply}"
        );
        assert!(
            reply["batchItemFailures"]
                .as_array()
                .is_none_or(Vec::is_empty),
            "{name}: {reply}"
        );
    }
    let objects = bucket.server.records();
    let kept: BTreeMap<_, _> = objects
        .iter()
        .map(|(key, object)| {
            let instance_id = key
                .strip_prefix("kept/here/")
                .unwrap()
                .split('/')
                .next()
                .unwrap();
            assert_eq!(object.content_type.as_deref(), Some("application/gzip"));
            assert_eq!(object.content_encoding, None);
            assert_eq!(object.metadata["region-id"], "cn-hangzhou");
            (instance_id.to_owned(), gunzip(&object.body))
        })
        .collect();
    let expected: BTreeMap<_, _> = instances()
        .into_iter()
        .map(|id| (id.clone(), fixture(&id)))
        .collect();
    assert_eq!(objects.len(), expected.len());
    assert!(kept == expected, "consoles differ from the fixtures");
    bucket.server.assert_nothing_was_overwritten();
    if profile != (Profile::Oss { versioned: true }) {
        assert!(objects.keys().all(|key| bucket.server.writes(key) == 1));
    }
}

#[tokio::test]
async fn on_s3_every_event_twice_keeps_each_console_once() {
    every_event_twice_keeps_each_console_once(Profile::Aws).await;
}

#[tokio::test]
async fn on_oss_every_event_twice_keeps_each_console_once() {
    every_event_twice_keeps_each_console_once(Profile::Oss { versioned: false }).await;
}

#[tokio::test]
async fn on_versioned_oss_every_event_twice_keeps_each_console_once() {
    every_event_twice_keeps_each_console_once(Profile::Oss { versioned: true }).await;
}

#[tokio::test]
async fn where_conditions_are_ignored_every_event_twice_keeps_each_console_once() {
    every_event_twice_keeps_each_console_once(Profile::IgnoresConditions).await;
}

#[tokio::test]
async fn in_a_folder_the_stored_file_is_the_console_gzipped() {
    let simulator = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let mut settings = ecs_settings(&simulator);
    settings.extend(folder_settings(folder.path()));
    let function = Function::start(&settings).await;
    let reply = function.result_of(&manual(ID)).await;
    assert_eq!(reply["outcome"], "stored");
    let path = folder.path().join(reply["key"].as_str().unwrap());
    assert!(gunzip(&std::fs::read(&path).unwrap()) == fixture(ID));
    assert_eq!(
        function.result_of(&manual(ID)).await["outcome"],
        "already_stored"
    );
    assert_eq!(
        std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
        2
    ); // and its metadata
}

#[tokio::test]
async fn the_metadata_says_where_a_record_comes_from() {
    let bucket = Bucket::start(Profile::Aws).await;
    set_console(&bucket.simulator, ID, b"hello\n", "2018-03-22T10:04:57Z");
    let function = Function::start(&bucket.settings).await;
    let event = json!({
        "id": "E-1", "source": "acs.ecs", "type": "ecs:Instance:InstanceFailure.Reboot",
        "aliyunregionid": "cn-beijing", "data": {"instanceId": ID, "eventStatus": "Executing"},
    });
    let reply = function.result_of(event.to_string().as_bytes()).await;
    let key = format!("{ID}/20180322T100457-5891b5b522d5.log.gz");
    assert_eq!(reply["key"], key.as_str());
    assert_eq!(reply["url"], format!("s3://consoles/kept/here/{key}"));
    let object = &bucket.server.objects()[&format!("kept/here/{key}")];
    let metadata = |name: &str| object.metadata[name].as_str();
    assert_eq!(metadata("last-update-time"), "2018-03-22T10:04:57Z");
    assert_eq!(metadata("event-id"), "E-1");
    assert_eq!(metadata("event-cause"), "InstanceFailure.Reboot:Executing");
    assert_eq!(metadata("region-id"), "cn-beijing");
    assert_eq!(metadata("console-bytes"), "6");
    assert_eq!(metadata("gzip-bytes"), object.body.len().to_string());
    assert_eq!(metadata("console-sha256").len(), 64);
    assert_eq!(metadata("request-id").len(), 32);
    assert!(metadata("captured-at").parse::<jiff::Timestamp>().is_ok());
}

#[tokio::test]
async fn one_update_time_with_growing_bytes_keeps_both() {
    for profile in PROFILES {
        let bucket = Bucket::start(profile).await;
        let function = Function::start(&bucket.settings).await;
        for plain in [&b"one\n"[..], b"one\ntwo\n", b"one\n"] {
            set_console(&bucket.simulator, ID, plain, "2018-03-22 10:04:57");
            function.result_of(&manual(ID)).await;
        }
        let plain: Vec<_> = bucket
            .server
            .objects()
            .values()
            .map(|o| gunzip(&o.body))
            .collect();
        assert_eq!(plain.len(), 2);
        assert!(plain.contains(&b"one\n".to_vec()) && plain.contains(&b"one\ntwo\n".to_vec()));
        bucket.server.assert_nothing_was_overwritten();
    }
}

#[tokio::test]
async fn both_signature_versions_are_accepted() {
    for version in ["ACS3-HMAC-SHA256", "1.0"] {
        let mut bucket = Bucket::start(Profile::Aws).await;
        bucket
            .settings
            .extend(settings(&[("ECS_SIGNATURE_VERSION", version)]));
        let function = Function::start(&bucket.settings).await;
        assert_eq!(
            function.result_of(&manual(ID)).await["outcome"],
            "stored",
            "{version}"
        );
    }
}

fn always(fault: Fault) -> FaultPlan {
    format!("{fault}*1000").parse().unwrap()
}

fn times(fault: Fault, count: usize) -> FaultPlan {
    format!("{fault}*{count}").parse().unwrap()
}

#[tokio::test]
async fn within_one_delivery_what_may_pass_is_tried_again() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket
        .settings
        .extend(settings(&[("SCREENSHOTS", "never")]));
    let function = Function::start(&bucket.settings).await;
    for (fault, count) in [
        (Fault::Fail, 3),
        (Fault::Throttle, 1),
        (Fault::Truncate, 2),
        (Fault::Reset, 2),
        (Fault::Garbage, 2),
        (Fault::ExpireToken, 1),
    ] {
        let before = bucket.simulator.answered().len();
        bucket.simulator.plan_faults(&times(fault, count));
        let reply = function.result_of(&manual(ID)).await;
        assert!(
            matches!(reply["outcome"].as_str(), Some("stored" | "already_stored")),
            "{fault}: {reply}"
        );
        let answered = &bucket.simulator.answered()[before..];
        // The simulator takes a nonce once, so each attempt had its own.
        assert_eq!(answered.len(), count + 1, "{fault}: {answered:?}");
    }
}

/// As cargo-lambda delivers an event that waited for its build.
#[tokio::test]
async fn a_deadline_that_is_past_is_none() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    let answer = function.invoke(&manual(ID), Duration::ZERO).await;
    let Answer::Response(reply) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(reply["outcome"], "stored");
}

#[tokio::test]
async fn a_token_that_stays_expired_is_tried_twice() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    bucket.simulator.plan_faults(&always(Fault::ExpireToken));
    let (_, message) = function.failure_of(&manual(ID)).await;
    assert!(
        message.contains("InvalidSecurityToken.Expired"),
        "{message}"
    );
    assert_eq!(bucket.simulator.answered().len(), 2);
}

#[tokio::test]
async fn a_wrong_clock_is_set_by_that_of_ecs() {
    for version in ["ACS3-HMAC-SHA256", "1.0"] {
        for hours in [-20, 1] {
            let mut bucket = Bucket::start(Profile::Aws).await;
            bucket.settings.extend(settings(&[
                ("ECS_SIGNATURE_VERSION", version),
                ("SCREENSHOTS", "never"),
            ]));
            bucket
                .simulator
                .set_clock_ahead(SignedDuration::from_hours(hours));
            let function = Function::start(&bucket.settings).await;
            for outcome in ["stored", "already_stored"] {
                let reply = function.result_of(&manual(ID)).await;
                assert_eq!(reply["outcome"], outcome);
            }
            let answers: Vec<_> = bucket.simulator.answered();
            let answers: Vec<_> = answers.iter().map(|a| a.answer.as_str()).collect();
            assert_eq!(answers, ["400 InvalidTimeStamp.Expired", "200", "200"]);
        }
    }
}

#[tokio::test]
async fn a_wrong_clock_is_set_by_that_of_the_bucket() {
    for hours in [-20, 1] {
        let bucket = Bucket::start(Profile::Aws).await;
        bucket
            .server
            .set_clock_ahead(SignedDuration::from_hours(hours));
        let function = Function::start(&bucket.settings).await;
        for outcome in ["stored", "already_stored"] {
            let reply = function.result_of(&manual(ID)).await;
            assert_eq!(reply["outcome"], outcome);
        }
    }
}

#[tokio::test]
async fn a_failing_ecs_is_a_failure_that_another_delivery_mends() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    for (fault, error_type, message) in [
        (Fault::Throttle, "EcsThrottled", "Throttling"),
        (Fault::Fail, "EcsUnavailable", "ServiceUnavailable"),
        (Fault::BrokenJson, "EcsUnavailable", "ServiceUnavailable"),
        (Fault::Truncate, "EcsUnavailable", "no complete answer"),
        (Fault::Reset, "EcsUnavailable", "no complete answer"),
        (Fault::Garbage, "EcsUnavailable", "cannot be read"),
        (Fault::CutChunk, "EcsUnavailable", "no complete answer"),
        (
            Fault::Redirect,
            "EcsUnavailable",
            "points to another address",
        ),
    ] {
        bucket.simulator.plan_faults(&always(fault));
        let (given, text) = function.failure_of(&manual(ID)).await;
        assert_eq!(given, error_type, "{fault}: {text}");
        assert!(text.contains(message), "{fault}: {text}");
        bucket.simulator.clear_faults();
        assert!(bucket.server.objects().is_empty(), "{fault}");
    }
    assert_eq!(function.result_of(&manual(ID)).await["outcome"], "stored");
}

#[tokio::test]
async fn a_console_longer_than_any_is_refused_and_the_next_event_is_served() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    set_console(
        &bucket.simulator,
        "i-huge",
        &vec![b'x'; 9 << 20],
        "2018-03-22 10:04:57",
    );
    let Answer::Error {
        error_type,
        error_message: message,
    } = function.invoke(&manual("i-huge"), TIMEOUT).await
    else {
        panic!("the console was taken");
    };
    assert_eq!(error_type, "EcsRejected");
    assert_eq!(bucket.simulator.answered().len(), 1);
    assert!(message.contains("longer than 8388608 bytes"), "{message}");
    assert_eq!(function.result_of(&manual(ID)).await["outcome"], "stored");
}

#[tokio::test]
async fn answers_without_a_console_are_outcomes_with_their_reason() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    set_console(&bucket.simulator, "i-empty", b"", "2018-03-22 10:04:57");
    for (id, reason) in [
        ("i-empty", "empty"),
        ("i-bp1windows000000001", "not_supported"),
        ("i-bp1unheardof", "not_found"),
    ] {
        let reply = function.result_of(&manual(id)).await;
        assert_eq!(reply["outcome"], "no_console", "{reply}");
        assert_eq!(reply["reason"], reason);
    }
    assert!(bucket.server.records().is_empty());
}

#[tokio::test]
async fn that_there_was_no_console_is_kept_once_an_event() {
    for profile in PROFILES {
        let bucket = Bucket::start(profile).await;
        let function = Function::start(&bucket.settings).await;
        let event = std::fs::read(root().join("events/eventbridge-windows-no-console.json"));
        for _ in 0..2 {
            let reply = function.result_of(event.as_ref().unwrap()).await;
            let url = reply["marker_url"].as_str().unwrap();
            let markers = bucket.server.markers();
            let [(key, marker)] = &markers.iter().collect::<Vec<_>>()[..] else {
                panic!("{markers:?}");
            };
            assert!(url.ends_with(*key), "{url} {key}");
            assert_eq!(marker["reason"], "not_supported");
            assert_eq!(marker["code"], "NotSupported");
            assert!(key.contains("-not_supported-"), "{key}");
            assert!(marker["event_id"].is_string() && marker["event_time"].is_string());
        }
        bucket.server.assert_nothing_was_overwritten();
    }
}

#[tokio::test]
async fn an_instance_of_the_first_generation_gets_its_marker_without_asking_ecs() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    let file = root().join("events/eventbridge-first-generation-no-console.json");
    let event = std::fs::read(file).unwrap();
    for _ in 0..2 {
        let reply = function.result_of(&event).await;
        assert_eq!(reply["outcome"], "no_console", "{reply}");
        assert_eq!(reply["reason"], "not_supported");
        let markers = bucket.server.markers();
        let [(_, marker)] = &markers.iter().collect::<Vec<_>>()[..] else {
            panic!("{markers:?}");
        };
        assert_eq!(marker["instance_id"], "AY121018033933eae8689");
    }
    assert!(bucket.simulator.answered().is_empty());
}

#[tokio::test]
async fn a_missing_or_unreadable_time_loses_no_log() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    for time in [
        "",
        "yesterday",
        "2018-13-45 99:99:99",
        "../../x",
        "a\r\nb: c",
        "早上",
    ] {
        set_console(&bucket.simulator, ID, b"hello\n", time);
        let reply = function.result_of(&manual(ID)).await;
        assert_eq!(
            reply["key"],
            format!("{ID}/undated-5891b5b522d5.log.gz"),
            "{time:?}"
        );
    }
    assert_eq!(bucket.server.objects().len(), 1);
}

#[tokio::test]
async fn a_failing_store_is_a_failure_that_another_delivery_mends() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    for (code, status, error_type) in [
        ("AccessDenied", 403, "ArchiveDenied"),
        ("NotImplemented", 501, "ArchiveRejected"),
    ] {
        bucket
            .server
            .fault_next_put(s3_server::Fault::Status(status, code));
        let (given, text) = function.failure_of(&manual(ID)).await;
        assert_eq!(given, error_type, "{text}");
        assert!(text.contains(code) && text.contains("PutObject"), "{text}");
    }
    for _ in 0..1000 {
        let conflict = s3_server::Fault::Status(409, "ConditionalRequestConflict");
        bucket.server.fault_next_put(conflict);
    }
    let (given, text) = function.failure_of(&manual(ID)).await;
    assert_eq!(given, "ArchiveUnavailable", "{text}");
    bucket.server.clear_faults();
    // Within one delivery, what may pass is tried again.
    for (status, code) in [(409, "ConditionalRequestConflict"), (503, "SlowDown")] {
        bucket
            .server
            .fault_next_put(s3_server::Fault::Status(status, code));
    }
    bucket.server.fault_next_put(s3_server::Fault::Drop);
    assert_eq!(function.result_of(&manual(ID)).await["outcome"], "stored");
}

#[tokio::test]
async fn a_lost_reply_of_the_store_leaves_one_object() {
    for profile in PROFILES {
        let bucket = Bucket::start(profile).await;
        let function = Function::start(&bucket.settings).await;
        bucket.server.fault_next_put(s3_server::Fault::LoseReply);
        let reply = function.result_of(&manual(ID)).await;
        assert_eq!(reply["outcome"], "stored", "{reply}");
        assert_eq!(bucket.server.objects().len(), 1);
        bucket.server.assert_nothing_was_overwritten();
    }
}

#[tokio::test]
async fn wrong_keys_are_named() {
    let change = |settings: &Settings, name: &str| -> Settings {
        let wrong = |(n, v): &(String, String)| {
            (
                n.clone(),
                if n == name { "wrong".into() } else { v.clone() },
            )
        };
        settings.iter().map(wrong).collect()
    };
    let bucket = Bucket::start(Profile::Aws).await;
    for (name, error_type, hint) in [
        (
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
            "EcsDenied",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        ),
        (
            "ALIBABA_CLOUD_ACCESS_KEY_ID",
            "EcsDenied",
            "ALIBABA_CLOUD_ACCESS_KEY_ID",
        ),
        (
            "ALIBABA_CLOUD_SECURITY_TOKEN",
            "EcsDenied",
            "ALIBABA_CLOUD_SECURITY_TOKEN",
        ),
        (
            "AWS_SECRET_ACCESS_KEY",
            "ArchiveDenied",
            "SignatureDoesNotMatch",
        ),
    ] {
        let function = Function::start(&change(&bucket.settings, name)).await;
        let (given, message) = function.failure_of(&manual(ID)).await;
        assert_eq!(given, error_type, "{message}");
        assert!(message.contains(hint), "{message}");
    }
    assert!(bucket.server.objects().is_empty());
}

#[tokio::test]
async fn of_an_sqs_batch_only_what_failed_comes_again() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    let record = |message_id: &str, body: Vec<u8>| json!({"eventSource": "aws:sqs", "messageId": message_id, "body": text(&body)});
    let batch = json!({"Records": [
        record("good", manual(ID)),
        record("broken", b"{".to_vec()),
        record("ignored", br#"{"source":"acs.rds","type":"x"}"#.to_vec()),
        record("hostile", br#"{"instance_id":"../../etc"}"#.to_vec()),
    ]});
    let reply = function.result_of(batch.to_string().as_bytes()).await;
    let failed =
        json!({"batchItemFailures": [{"itemIdentifier": "broken"}, {"itemIdentifier": "hostile"}]});
    assert_eq!(reply, failed);
    assert_eq!(bucket.server.objects().len(), 1);
}

#[tokio::test]
async fn over_http_the_status_tells_the_sender_what_to_do() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    let request = |body: &str| {
        json!({"version": "2.0", "body": body,
               "requestContext": {"http": {"method": "POST"},
                                  "authorizer": {"iam": {"userId": "pusher"}}}})
        .to_string()
    };
    bucket.simulator.plan_faults(&always(Fault::Throttle));
    for (body, status) in [
        (text(&manual(ID)), 503),
        (text(&manual(ID)), 200),
        ("{".to_owned(), 400),
        (text(&manual("i-../")), 400),
        (format!("[{}, {{}}]", text(&manual(ID))), 400),
    ] {
        let timeout = if status == 503 {
            SHORT_TIMEOUT
        } else {
            TIMEOUT
        };
        let answer = function.invoke(request(&body).as_bytes(), timeout).await;
        let Answer::Response(reply) = answer else {
            panic!("{answer:?}");
        };
        bucket.simulator.clear_faults();
        assert_eq!(reply["statusCode"], status, "{body}: {reply}");
        assert!(serde_json::from_str::<Value>(reply["body"].as_str().unwrap()).is_ok());
    }
}

#[tokio::test]
async fn over_http_only_known_senders_are_served() {
    let bucket = Bucket::start(Profile::Aws).await;
    let push = |token: &str, context: Value| {
        json!({"version": "2.0", "body": text(&manual(ID)), "requestContext": context,
               "headers": {"X-EventBridge-Signature-Token": token}})
        .to_string()
    };
    let anyone = || json!({"http": {"method": "POST"}});
    let signed = || json!({"http": {"method": "POST"}, "authorizer": {"iam": {"userId": "x"}}});
    for (setting, token, context, status) in [
        ("", "", anyone(), 401),
        ("", "", signed(), 200),
        ("shared-token-that-must-not-show", "", anyone(), 401),
        ("shared-token-that-must-not-show", "other", anyone(), 401),
        // The platform may know more senders than this receiver is for.
        ("shared-token-that-must-not-show", "", signed(), 401),
        (
            "shared-token-that-must-not-show",
            "shared-token-that-must-not-show",
            anyone(),
            200,
        ),
    ] {
        let mut all = bucket.settings.clone();
        all.extend(settings(&[
            ("WEBHOOK_TOKEN", setting),
            ("SCREENSHOTS", "never"),
        ]));
        let function = Function::start(&all).await;
        let asked = bucket.simulator.answered().len();
        let reply = function.result_of(push(token, context).as_bytes()).await;
        assert_eq!(reply["statusCode"], status, "{setting} {token}: {reply}");
        let asks = bucket.simulator.answered().len() - asked;
        assert_eq!(asks, usize::from(status == 200));
    }
}

/// As API Gateway and load balancers send them; see `tests/fixtures/http/README.md`.
#[tokio::test]
async fn over_http_each_platforms_request_is_answered_as_it_reads_answers() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    let token = settings(&[("WEBHOOK_TOKEN", "example-token"), ("SCREENSHOTS", "never")]);
    bucket.settings.extend(token);
    let function = Function::start(&bucket.settings).await;
    let single = json!({"content-type": "application/json"});
    let multi = json!({"content-type": ["application/json"]});
    for (name, status, asks, headers, multi_value_headers, description) in [
        (
            "http-api-1.0-without-authorizer",
            401,
            0,
            &single,
            &Value::Null,
            Value::Null,
        ),
        (
            "http-api-1.0-with-token",
            200,
            1,
            &single,
            &Value::Null,
            Value::Null,
        ),
        (
            "http-api-2.0-get-probe",
            200,
            0,
            &single,
            &Value::Null,
            Value::Null,
        ),
        (
            "rest-api-get-probe",
            200,
            0,
            &single,
            &Value::Null,
            Value::Null,
        ),
        (
            "rest-api-options",
            405,
            0,
            &single,
            &Value::Null,
            Value::Null,
        ),
        (
            "load-balancer-health-check",
            200,
            0,
            &single,
            &Value::Null,
            json!("200 OK"),
        ),
        (
            "load-balancer-health-check-multi-value",
            200,
            0,
            &Value::Null,
            &multi,
            json!("200 OK"),
        ),
        (
            "load-balancer-push-multi-value",
            200,
            1,
            &Value::Null,
            &multi,
            json!("200 OK"),
        ),
        (
            "load-balancer-push-two-tokens",
            401,
            0,
            &Value::Null,
            &multi,
            json!("401 Unauthorized"),
        ),
        (
            "load-balancer-push-oidc-headers",
            401,
            0,
            &single,
            &Value::Null,
            json!("401 Unauthorized"),
        ),
    ] {
        let path = root().join(format!("tests/fixtures/http/{name}.json"));
        let asked = bucket.simulator.answered().len();
        let reply = function.result_of(&std::fs::read(path).unwrap()).await;
        assert_eq!(reply["statusCode"], status, "{name}: {reply}");
        assert_eq!(bucket.simulator.answered().len() - asked, asks, "{name}");
        assert_eq!(&reply["headers"], headers, "{name}: {reply}");
        assert_eq!(
            &reply["multiValueHeaders"], multi_value_headers,
            "{name}: {reply}"
        );
        assert_eq!(reply["statusDescription"], description, "{name}: {reply}");
        assert!(serde_json::from_str::<Value>(reply["body"].as_str().unwrap()).is_ok());
    }
}

/// A push of this event to this path, in the form of every platform. REST APIs, function URLs and
/// load balancers pass a path on as it came, and HTTP APIs decode it and put their stage before it
/// (hotsock/voker#8 has captured requests; "Lambda integration payload format versions" has the
/// members). Function Compute's form is that of "Configure an HTTP trigger", and Alibaba Cloud's
/// API gateway's that of "Event formats of triggers".
fn pushes_to(path: &str, event: &str) -> Vec<Value> {
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8();
    let decoded = decoded.unwrap();
    let http = |path: &str| json!({"method": "POST", "path": path, "protocol": "HTTP/1.1"});
    let staged = format!("/live{decoded}");
    vec![
        json!({"version": "2.0", "routeKey": "$default", "rawPath": path, "headers": {},
               "requestContext": {"stage": "$default", "http": http(path)}, "body": event}),
        json!({"version": "2.0", "routeKey": "POST /{proxy+}", "rawPath": staged, "headers": {},
               "pathParameters": {"proxy": decoded.trim_start_matches('/')},
               "requestContext": {"stage": "live", "http": http(&staged)}, "body": event}),
        json!({"version": "1.0", "resource": "/{proxy+}", "path": path, "httpMethod": "POST",
               "headers": {}, "pathParameters": {"proxy": path.trim_start_matches('/')},
               "requestContext": {"stage": "live", "path": format!("/live{path}"),
                                  "httpMethod": "POST"}, "body": event}),
        json!({"requestContext": {"elb": {"targetGroupArn": "a"}}, "httpMethod": "POST",
               "path": path, "headers": {}, "body": event}),
        json!({"version": "v1", "rawPath": path, "headers": {}, "queryParameters": {},
               "requestContext": {"http": http(path)}, "body": event}),
        json!({"path": path, "httpMethod": "POST", "headers": {}, "queryParameters": {},
               "pathParameters": {}, "body": event, "isBase64Encoded": "false"}),
    ]
}

#[tokio::test]
async fn a_token_at_the_end_of_the_url_authorizes_on_every_platform_and_is_kept_nowhere() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket.settings.extend(settings(&[
        ("WEBHOOK_TOKEN", "url token that-must-not-show"),
        ("FAILED_EVENTS", "archive"),
    ]));
    let function = Function::start(&bucket.settings).await;
    let (good, wrong) = (
        "/events/url%20token%20that-must-not-show/",
        "/events/must-not-show",
    );
    for (path, status) in [(good, 200), (wrong, 401), ("/", 401)] {
        for push in pushes_to(path, &starting(ID)) {
            let reply = function.result_of(push.to_string().as_bytes()).await;
            assert_eq!(reply["statusCode"], status, "{path} {push}: {reply}");
        }
    }
    // What fails is kept, and what is kept has no path.
    let id = InstanceId::parse(ID).unwrap();
    let code = "Forbidden.RAM".to_owned();
    bucket
        .simulator
        .set_console(&id, Console::Error { status: 403, code });
    let whole: Vec<_> = pushes_to(good, &starting(ID))
        .into_iter()
        .map(|push| push.to_string())
        .collect();
    let sqs = |body: &str| json!({"Records": [{"eventSource": "aws:sqs", "messageId": "m", "body": body}]});
    let cut_off = whole.iter().map(|push| &push[..push.len() - 1]);
    let queued = whole.iter().map(String::as_str).chain(cut_off).map(sqs);
    let queued: Vec<_> = queued.map(|batch| batch.to_string()).collect();
    for payload in whole.iter().chain(&queued) {
        function.invoke(payload.as_bytes(), TIMEOUT).await;
    }
    let objects = bucket.server.objects();
    for error_type in ["EcsDenied", "InvalidEvent"] {
        let begin = format!("kept/here/failed/{error_type}-");
        assert!(
            objects.keys().any(|key| key.starts_with(&begin)),
            "{:?}",
            objects.keys()
        );
    }
    for (key, object) in &objects {
        printed::assert_no_secret(&object.body);
        printed::assert_no_secret(format!("{key} {:?}", object.metadata).as_bytes());
    }
}

#[tokio::test]
async fn over_http_a_body_of_more_than_a_mebibyte_is_refused() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    let push = |bytes: usize| {
        let body = format!(
            "{}{}",
            text(&manual(ID)),
            " ".repeat(bytes - manual(ID).len())
        );
        let context = json!({"http": {"method": "POST"}, "authorizer": {"lambda": {"user": "a"}}});
        json!({"version": "2.0", "body": body, "requestContext": context}).to_string()
    };
    for (bytes, status) in [(1 << 20, 200), ((1 << 20) + 1, 413)] {
        let reply = function.result_of(push(bytes).as_bytes()).await;
        assert_eq!(reply["statusCode"], status, "{reply}");
    }
}

#[tokio::test]
async fn bad_input_is_a_clear_error_before_any_request() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    for (payload, message) in [
        ("[[{}]]".to_owned(), "unrecognized event format"),
        ("5".to_owned(), "a number"),
        (
            r#"{"instance_id": 5}"#.to_owned(),
            "instance_id in the event is a number",
        ),
        (
            r#"{"instance_id": "i-a/../b"}"#.to_owned(),
            "not an instance ID",
        ),
        (
            r#"{"instance_id": "i-a\nX-Header: 1"}"#.to_owned(),
            "not an instance ID",
        ),
        (
            r#"{"instance_id": "i-a", "region_id": "evil.example/@x"}"#.to_owned(),
            "not a region ID",
        ),
        (
            format!("\"{}\"", "a".repeat(10 << 20)),
            "at most 8388608 are read",
        ),
    ] {
        let (error_type, text) = function.failure_of(payload.as_bytes()).await;
        assert_eq!(error_type, "InvalidEvent", "{text}");
        assert!(text.contains(message), "{text}");
    }
    // What is no JSON at all never reaches the program: the runtime itself answers.
    let (_, text) = function.failure_of(b"{").await;
    assert!(text.contains("failed to deserialize"), "{text}");
    assert!(bucket.simulator.answered().is_empty());
    assert_eq!(function.result_of(&manual(ID)).await["outcome"], "stored");
}

#[tokio::test]
async fn nothing_secret_is_logged_or_answered_on_any_level() {
    for version in ["ACS3-HMAC-SHA256", "1.0"] {
        let mut bucket = Bucket::start(Profile::Aws).await;
        bucket.settings.extend(settings(&[
            ("AWS_LAMBDA_LOG_LEVEL", "TRACE"),
            ("AWS_SESSION_TOKEN", "aws-token-that-must-not-show"),
            ("ECS_SIGNATURE_VERSION", version),
        ]));
        let function = Function::start(&bucket.settings).await;
        let mut shown = String::new();
        for fault in [Fault::Reset, Fault::Truncate, Fault::Garbage] {
            bucket.simulator.plan_faults(&always(fault));
            shown += &function.failure_of(&manual(ID)).await.1;
            bucket.simulator.clear_faults();
        }
        bucket
            .server
            .fault_next_put(s3_server::Fault::Status(403, "AccessDenied"));
        shown += &function.failure_of(&manual(ID)).await.1;
        shown += &function.result_of(&manual(ID)).await.to_string();
        shown += &function.stop().await;
        assert!(shown.contains("stored s3://"), "{shown}");
    }
}

#[tokio::test]
async fn the_log_can_be_json() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket
        .settings
        .extend(settings(&[("AWS_LAMBDA_LOG_FORMAT", "JSON")]));
    let function = Function::start(&bucket.settings).await;
    function.result_of(&manual(ID)).await;
    let log = function.stop().await;
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (found, lines): (Vec<_>, Vec<_>) =
        (lines.into_iter()).partition(|line| line.get("finding").is_some());
    assert!(!found.is_empty(), "{log}");
    assert_eq!(lines.len(), 1, "one line an event: {log}");
    assert!(
        lines[0]["message"]
            .as_str()
            .unwrap()
            .starts_with("stored s3://consoles/kept/here/")
    );
    assert_eq!(lines[0]["cause"], "manual");
}
