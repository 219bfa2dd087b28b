//! What ECS and those between send in place of what the documents say, through the real programs.

use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::simulator::Console;
use serde_json::{Value, json};

use crate::support::runtime_api::{Answer, Function, TIMEOUT};
use crate::support::s3_server::Profile;
use crate::support::*;

const TIME: &str = "2018-03-22 10:04:57";

fn manual(instance_id: &str) -> Vec<u8> {
    let event = json!({"instance_id": instance_id, "region_id": "cn-hangzhou"});
    event.to_string().into_bytes()
}

fn answer_with(console_output: &Value) -> Console {
    let body = json!({
        "RequestId": "R", "LastUpdateTime": TIME, "ConsoleOutput": console_output,
    });
    Console::Answer {
        status: 200,
        body: body.to_string().into_bytes(),
    }
}

fn set(bucket: &Bucket, instance_id: &str, consoles: impl IntoIterator<Item = Console>) {
    let id = InstanceId::parse(instance_id).unwrap();
    bucket.simulator.set_consoles(&id, consoles);
}

#[tokio::test]
async fn a_console_is_decoded_however_its_base64_is_spelled() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    // `printf '[ 0.1] panic??>' | base64`, with padding and without, in both alphabets, in lines,
    // in pieces.
    let spellings = [
        "WyAwLjFdIHBhbmljPz8+",
        "WyAwLjFdIHBhbmljPz8-",
        "WyAwLjFd\r\nIHBhbmljPz8+\r\n",
        "WyAwLjFdIA==cGFuaWM=\nPz8+",
        "WyAwLjFdIA==cGFuaWM=Pz8-=",
    ];
    for (number, spelling) in spellings.iter().enumerate() {
        let id = format!("i-spelled{number}");
        set(&bucket, &id, [answer_with(&json!(spelling))]);
        let reply = function.result_of(&manual(&id)).await;
        assert_eq!(reply["outcome"], "stored", "{spelling:?}: {reply}");
    }
    let unpadded = answer_with(&json!("WyAwLjFdIHBhbmljPw"));
    set(&bucket, "i-unpadded", [unpadded]);
    function.result_of(&manual("i-unpadded")).await;
    let records = bucket.server.records();
    assert_eq!(records.len(), spellings.len() + 1);
    for (key, record) in records {
        let plain = text(&gunzip(&record.body));
        let expected = if key.contains("i-unpadded") {
            "[ 0.1] panic?"
        } else {
            "[ 0.1] panic??>"
        };
        assert_eq!(plain, expected, "{key}");
        assert!(!record.metadata.contains_key("console-encoding"), "{key}");
    }
}

#[tokio::test]
async fn what_cannot_be_decoded_is_kept_as_it_came_and_marked() {
    let bucket = Bucket::start(Profile::Aws).await;
    for (number, (sent, kept)) in [
        (
            json!("[    0.1] Kernel panic\n"),
            "[    0.1] Kernel panic\n",
        ),
        (json!("SGVsb"), "SGVsb"),
        (json!(5), "5"),
        (json!({"Data": "SGVs"}), r#"{"Data":"SGVs"}"#),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("i-odd{number}");
        // The last attempt's answer is kept: the one before it may have been cut off.
        set(
            &bucket,
            &id,
            [answer_with(&json!("cut!")), answer_with(&sent)],
        );
        let output = cli(&bucket.settings, &["capture", &id, "--timeout", "3"]).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        let records = bucket.server.records();
        let mine = records
            .iter()
            .filter(|(key, _)| key.contains(&format!("/{id}/")));
        let [(key, record)] = &mine.collect::<Vec<_>>()[..] else {
            panic!("{:?}", records.keys());
        };
        assert_eq!(text(&gunzip(&record.body)), kept);
        assert!(key.ends_with("-undecoded.log.gz"), "{key}");
        assert_eq!(record.metadata["console-encoding"], "base64-undecoded");
        assert_eq!(record.metadata["last-update-time"], TIME);
        let listed = cli(&bucket.settings, &["list", &id]).await;
        assert!(text(&listed.stdout).contains("-undecoded"), "{listed:?}");
        let got = cli(&bucket.settings, &["get", &id]).await;
        assert_eq!(text(&got.stdout), kept);
        assert!(text(&got.stderr).contains("in place of Base64"), "{got:?}");
    }
}

#[tokio::test]
async fn a_console_that_can_be_decoded_the_next_time_is_decoded() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    let good = answer_with(&json!("SGVsbG8="));
    set(
        &bucket,
        "i-a1",
        [answer_with(&json!("SGVsb")), answer_with(&json!(7)), good],
    );
    let reply = function.result_of(&manual("i-a1")).await;
    assert_eq!(reply["outcome"], "stored", "{reply}");
    let records = bucket.server.records();
    assert_eq!(records.len(), 1);
    for record in records.values() {
        assert_eq!(gunzip(&record.body), b"Hello");
    }
}

#[tokio::test]
async fn a_console_of_nothing_is_empty() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    for (number, nothing) in [json!(null), json!(""), json!(" \r\n")].iter().enumerate() {
        let id = format!("i-nothing{number}");
        set(&bucket, &id, [answer_with(nothing)]);
        let reply = function.result_of(&manual(&id)).await;
        assert_eq!(reply["reason"], "empty", "{nothing}: {reply}");
    }
}

fn error(status: u16, code: &str) -> Console {
    Console::Error {
        status,
        code: code.to_owned(),
    }
}

#[tokio::test]
async fn an_instance_that_is_being_made_is_waited_for() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    bucket.settings.push(("FOLLOW_SECONDS".into(), "2".into()));
    let function = Function::start(&bucket.settings).await;
    set(
        &bucket,
        "i-a1",
        [
            error(403, "IncorrectInstanceStatus.Initializing"),
            output(b"boot\n", "2024-03-22 10:05:10"),
        ],
    );
    let reply = function.result_of(starting("i-a1").as_bytes()).await;
    assert_eq!(reply["outcome"], "stored", "{reply}");
    assert_eq!(bucket.server.records().len(), 1);
    assert!(bucket.server.markers().is_empty());
}

#[tokio::test]
async fn what_stands_in_the_way_is_an_error_that_says_what_to_mend() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    for (number, (code, expected)) in [
        ("OperationDenied", "locks"),
        ("OperationDenied.UnpaidOrder", "unpaid order"),
        ("Account.Arrearage", "add funds"),
        ("Forbidden.SubUser", "RAM policy"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("i-denied{number}");
        set(&bucket, &id, [error(403, code)]);
        let answer = function.invoke(&manual(&id), TIMEOUT).await;
        let Answer::Error {
            error_type,
            error_message: message,
        } = answer
        else {
            panic!("{code}: {answer:?}");
        };
        assert_eq!(error_type, "EcsDenied");
        assert!(
            message.contains(code) && message.contains(expected),
            "{message}"
        );
    }
    assert!(bucket.server.markers().is_empty());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    set_console(&bucket.simulator, "i-a1", b"boot\n", TIME);
    bucket.simulator.plan_faults(&"redirect".parse().unwrap());
    let reply = function.result_of(&manual("i-a1")).await;
    assert_eq!(reply["outcome"], "stored", "{reply}");
    let answered = bucket.simulator.answered();
    let answers: Vec<_> = answered.iter().map(|one| one.answer.as_str()).collect();
    assert_eq!(
        answers,
        ["redirect", "200"],
        "the address it names was asked"
    );
}

#[tokio::test]
async fn an_error_of_any_length_is_told_by_its_status() {
    let bucket = Bucket::start(Profile::Aws).await;
    let function = Function::start(&bucket.settings).await;
    let page = |status| Console::Answer {
        status,
        body: vec![b'<'; 20 << 20],
    };
    let good = output(b"boot\n", TIME);
    set(&bucket, "i-a1", [page(502), page(503), good]);
    let reply = function.result_of(&manual("i-a1")).await;
    assert_eq!(reply["outcome"], "stored", "{reply}");
    set(&bucket, "i-a2", [page(403)]);
    let answer = function.invoke(&manual("i-a2"), TIMEOUT).await;
    assert!(
        matches!(&answer, Answer::Error { error_type, .. } if error_type == "EcsRejected"),
        "{answer:?}"
    );
}
