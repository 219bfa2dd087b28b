//! Answers that are no answers: cut, ill-formed, somebody else's, or without an end.

use crate::support::raw_server::{Raw, RawServer, most_unread};
use crate::support::s3_server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use crate::support::*;

/// An archive in a bucket at this address.
fn bucket_at(url: &str) -> Settings {
    settings(&[
        ("ARCHIVE_URL", "s3://bkt/p"),
        ("AWS_ENDPOINT_URL_S3", url),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
    ])
}

const ENTRY: &str = "<Contents><Key>p/i-a/20240322T100457-0123456789ab.log.gz</Key><Size>9</Size>\
                     <LastModified>2024-03-22T10:05:00Z</LastModified></Contents>";

fn listing(inside: &str) -> String {
    format!("<ListBucketResult><IsTruncated>false</IsTruncated>{inside}</ListBucketResult>")
}

#[tokio::test]
async fn a_listing_that_is_cut_or_ill_formed_is_an_error() {
    let server = RawServer::start(Raw::new(200, listing(ENTRY))).await;
    let output = cli(&bucket_at(&server.url()), &["list"]).await;
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(shown.contains("i-a"), "{shown}");
    let whole = listing(ENTRY);
    for body in [
        String::new(),
        "<ListBucketResult>".into(),
        "<ListBucketResult></ListBucketResult>".into(),
        whole.replace("</ListBucketResult>", "<Contents><Key>p/i-a/20240322T1"),
        whole.replace("</ListBucketResult>", "</Garbage>"),
        format!("{whole}trailing<"),
        whole.replace("ListBucketResult", "ListAllMyBucketsResult"),
        listing("<Contents><Key>p/i-a/20240322T100457-0123456789ab.log.gz</Key></Contents>"),
        format!("<ListBucketResult>{}", "<a>".repeat(2_000_000)),
    ] {
        let server = RawServer::start(Raw::new(200, body.clone())).await;
        let settings = bucket_at(&server.url());
        for command in [&["list"][..], &["get", "i-a"], &["redrive", "--dry-run"]] {
            let output = cli(&settings, &[command, &["--timeout", "1"]].concat()).await;
            let told = text(&output.stderr);
            let start = &body[..body.len().min(100)];
            assert_eq!(output.status.code(), Some(1), "{start}: {told}");
            assert!(output.stdout.is_empty(), "{start}");
            assert!(told.contains(&server.url()), "{start}: {told}");
        }
    }
}

#[tokio::test]
async fn an_answer_without_an_end_takes_a_bounded_memory() {
    for (body, status) in [
        ("<ListBucketResult>".to_owned() + &ENTRY.repeat(100), 200),
        ("x".repeat(64 << 10), 200),
        ("x".repeat(64 << 10), 403),
    ] {
        let piece = body.len() as u64;
        let server = RawServer::start(Raw::new(status, body).endless()).await;
        let output = cli(&bucket_at(&server.url()), &["list"]).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        // It is not asked for again.
        assert_eq!(server.asked(), 1, "{told}");
        let most = (16 << 20) + most_unread() + 2 * piece;
        assert!(server.sent() <= most, "{} > {most}", server.sent());
        assert_eq!(
            told.contains("more than 16777216 bytes"),
            status == 200,
            "{told}"
        );
    }
}

#[tokio::test]
async fn somebody_elses_page_is_called_that_and_stores_nothing() {
    let page = "<!DOCTYPE html><html><body>Log in<br></body></html>";
    for (status, command) in [
        (200, &["list"][..]),
        (200, &["get", "i-a"]),
        (200, &["capture", ID]),
        (403, &["list"]),
        (502, &["list"]),
    ] {
        let simulator = simulator().await;
        let server = RawServer::start(Raw::new(status, page)).await;
        let mut settings = bucket_at(&server.url());
        settings.extend(ecs_settings(&simulator));
        settings.push(("ARCHIVE_PROFILE".into(), "aws".into()));
        let output = cli(&settings, &[command, &["--timeout", "1"]].concat()).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {told}");
        assert!(told.contains("web page"), "{command:?}: {told}");
        for what in [server.url().as_str(), "AWS_ENDPOINT_URL_S3"] {
            assert!(told.contains(what), "{command:?}: {told}");
        }
    }
}

const ID: &str = "i-bp1panicnoroot00001";

#[tokio::test]
async fn a_put_that_nobody_confirms_is_not_called_stored() {
    for (profile, body, why) in [
        ("aws", "blocked by policy", "an answer to another request"),
        ("basic", "blocked by policy", "neither an ETag nor a time"),
        ("basic", "", "neither an ETag nor a time"),
    ] {
        let simulator = simulator().await;
        let server = RawServer::start(Raw::new(200, body)).await;
        let mut settings = bucket_at(&server.url());
        settings.extend(ecs_settings(&simulator));
        settings.push(("ARCHIVE_PROFILE".into(), profile.into()));
        let output = cli(&settings, &["capture", ID, "--timeout", "1"]).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(why) && told.contains(&server.url()), "{told}");
    }
}

#[tokio::test]
async fn a_cut_answer_is_told_without_the_sdks_own_lines() {
    let answer = Raw::new(200, listing(ENTRY)).with_length(100_000);
    let server = RawServer::start(answer).await;
    let output = cli(&bucket_at(&server.url()), &["list", "--timeout", "1"]).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("cut off") && told.contains(&server.url()),
        "{told}"
    );
    assert!(
        !told.contains("ERROR") && !told.contains("connector"),
        "{told}"
    );
}

#[tokio::test]
async fn a_bucket_of_another_region_is_told_with_the_region_to_set() {
    let body = "<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>";
    for (answer, named) in [
        (Raw::new(301, body), "the bucket's region"),
        (Raw::new(301, ""), "the bucket's region"),
        (
            Raw::new(301, body).with_header("x-amz-bucket-region", "eu-west-3"),
            "eu-west-3",
        ),
    ] {
        let server = RawServer::start(answer).await;
        let output = cli(&bucket_at(&server.url()), &["list"]).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        for what in [named, "AWS_REGION", "AWS_ENDPOINT_URL_S3", &server.url()] {
            assert!(told.contains(what), "{what}: {told}");
        }
    }
}

#[tokio::test]
async fn a_queue_that_gives_nothing_readable_is_not_called_empty() {
    for body in ["", "[]", r#"{"Messages": ["#, "<html></html>", "OK"] {
        let server = RawServer::start(Raw::new(200, body)).await;
        let folder = tempfile::tempdir().unwrap();
        let simulator = simulator().await;
        let mut settings = bucket_at(&server.url());
        settings.extend(ecs_settings(&simulator));
        settings.extend(folder_settings(folder.path()));
        let queue = format!("{}/123456789012/dead", server.url());
        let redrive = ["redrive", "--queue-url", &queue, "--timeout", "1"];
        let output = cli(&settings, &redrive).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{body}: {told}");
        assert!(told.contains("ReceiveMessage"), "{body}: {told}");
    }
}

#[tokio::test]
async fn a_page_of_instances_that_is_cut_or_ill_formed_is_an_error() {
    let whole = "<DescribeInstancesResponse><RequestId>R</RequestId><TotalCount>0</TotalCount>\
                 <Instances></Instances></DescribeInstancesResponse>";
    for (body, code) in [
        (whole.to_owned(), 0),
        (whole.replace("</DescribeInstancesResponse>", ""), 1),
        (
            whole.replace("</DescribeInstancesResponse>", "</Garbage>"),
            1,
        ),
        (format!("{whole}<trailing"), 1),
        (format!("{whole}trailing"), 1),
        (
            whole.replace("DescribeInstancesResponse", "DescribeInstancesResponseX"),
            1,
        ),
    ] {
        let simulator = simulator().await;
        let server = RawServer::start(Raw::new(200, body.clone())).await;
        let folder = tempfile::tempdir().unwrap();
        let mut settings = ecs_settings(&simulator);
        settings.extend(folder_settings(folder.path()));
        settings.push(("ECS_ENDPOINT_URL".into(), server.url()));
        let sweep = ["sweep", "--region", "cn-hangzhou", "--timeout", "2"];
        let output = cli(&settings, &sweep).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{body}: {told}");
    }
}

#[tokio::test]
async fn more_time_is_offered_only_where_the_time_was_too_short() {
    let error = |code: &str| format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
    for (status, body, advice) in [
        (
            400,
            error("ExpiredToken"),
            "renew the token: it is of AWS_ACCESS_KEY_ID",
        ),
        (
            403,
            error("RequestTimeTooSkewed"),
            "set the clock of this machine",
        ),
        (200, "<html></html>".to_owned(), "AWS_ENDPOINT_URL_S3"),
        (200, String::new(), "AWS_ENDPOINT_URL_S3"),
    ] {
        let server = RawServer::start(Raw::new(status, body)).await;
        let output = cli(&bucket_at(&server.url()), &["list", "--timeout", "3"]).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(advice), "{told}");
        assert!(
            !told.contains("--timeout") && !told.contains("timed out"),
            "{told}"
        );
    }
    // A pause that would end too late is not called a time-out. ECS says how long it is, so it does not depend on
    // how fast this machine is.
    let throttled = Raw::new(
        429,
        r#"{"Code":"Throttling.User","Message":"m","RequestId":"R"}"#,
    );
    let server = RawServer::start(throttled.with_header("x-acs-retry-after", "600000")).await;
    let (simulator, folder) = (simulator().await, tempfile::tempdir().unwrap());
    let mut settings = ecs_settings(&simulator);
    settings.extend(folder_settings(folder.path()));
    settings.push(("ECS_ENDPOINT_URL".into(), server.url()));
    let output = cli(&settings, &["capture", "i-a1", "--timeout", "60"]).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("no time for another attempt; --timeout gives it longer"),
        "{told}"
    );
    assert!(!told.contains("timed out"), "{told}");
}
