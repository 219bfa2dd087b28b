//! Stores as they are in the field: other addresses, private authorities, policies, odd listings,
//! and objects of somebody else's.

use std::collections::BTreeSet;

use crate::support::runtime_api::Function;
use crate::support::s3_server::{BUCKET, Hosting, Profile, Quirk, S3Server, authority};
use crate::support::*;

const ID: &str = "i-bp1panicnoroot00001";

async fn captured(bucket: &Bucket) -> std::process::Output {
    let arguments = ["capture", ID, "--timeout", "5"];
    cli(&bucket.settings, &arguments).await
}

fn set(bucket: &mut Bucket, name: &str, value: &str) {
    bucket.settings.retain(|(known, _)| known != name);
    if !value.is_empty() {
        bucket.settings.push((name.into(), value.into()));
    }
}

/// Captures, lists and gets, and finds the one record where it belongs.
#[track_caller]
fn assert_ok(output: &std::process::Output) {
    let shown = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{shown}");
}

async fn assert_works(bucket: &Bucket) {
    assert_ok(&captured(bucket).await);
    let keys: Vec<_> = bucket.server.records().into_keys().collect();
    assert!(keys[0].starts_with(&format!("kept/here/{ID}/")), "{keys:?}");
    assert_eq!(keys.len(), 1, "{keys:?}");
    let list = cli(&bucket.settings, &["list", ID]).await;
    assert_ok(&list);
    assert!(text(&list.stdout).contains(ID));
    let get = cli(&bucket.settings, &["get", ID]).await;
    assert_ok(&get);
    assert_eq!(get.stdout, fixture(ID));
    bucket.server.assert_nothing_was_overwritten();
}

async fn hosted(hosting: Hosting) -> Bucket {
    Bucket::of(S3Server::start_at(Profile::Aws, None, hosting, false).await).await
}

#[tokio::test]
async fn a_store_that_takes_virtual_hosted_addresses_only_is_used_with_that_style() {
    let mut bucket = hosted(Hosting::VirtualOnly).await;
    let output = captured(&bucket).await;
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stderr);
    assert!(shown.contains("AWS_S3_ADDRESSING_STYLE=virtual"), "{shown}");
    set(&mut bucket, "AWS_S3_ADDRESSING_STYLE", "virtual");
    assert_works(&bucket).await;
}

#[tokio::test]
async fn an_endpoint_that_names_the_bucket_is_used_as_it_is() {
    let mut bucket = hosted(Hosting::VirtualOnly).await;
    let endpoint = bucket.server.endpoint_url();
    let with_bucket = endpoint.replace("localhost", &format!("{BUCKET}.localhost"));
    set(&mut bucket, "AWS_ENDPOINT_URL_S3", &with_bucket);
    assert_works(&bucket).await;
    // Some tools ask for both.
    set(&mut bucket, "AWS_S3_ADDRESSING_STYLE", "virtual");
    assert_ok(&cli(&bucket.settings, &["list"]).await);

    let mut bucket = Bucket::start(Profile::Aws).await;
    let in_path = format!("{}/{BUCKET}", bucket.server.endpoint_url());
    set(&mut bucket, "AWS_ENDPOINT_URL_S3", &in_path);
    assert_works(&bucket).await;
}

#[tokio::test]
async fn a_buckets_own_domain_has_the_bucket_in_neither_host_nor_path() {
    for profile in ["aws", "basic"] {
        let mut bucket = hosted(Hosting::OwnDomain).await;
        set(&mut bucket, "ARCHIVE_PROFILE", profile);
        set(&mut bucket, "AWS_S3_ADDRESSING_STYLE", "domain");
        assert_works(&bucket).await;
    }
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_a_setting_names_it() {
    let authority = authority();
    let authority = authority.to_str().unwrap();
    for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        let server = S3Server::start_at(Profile::Aws, None, Hosting::ByProfile, true).await;
        let mut bucket = Bucket::of(server).await;
        let list = cli(&bucket.settings, &["list", "--timeout", "1"]).await;
        assert_eq!(list.status.code(), Some(1));
        assert!(text(&list.stderr).contains("certificate"));
        set(&mut bucket, name, authority);
        assert_works(&bucket).await;
    }
}

#[tokio::test]
async fn the_function_trusts_it_too() {
    let server = S3Server::start_at(Profile::Aws, None, Hosting::ByProfile, true).await;
    let mut bucket = Bucket::of(server).await;
    set(&mut bucket, "SSL_CERT_FILE", authority().to_str().unwrap());
    let function = Function::start(&bucket.settings).await;
    let event = format!(r#"{{"instance_id": "{ID}", "region_id": "cn-hangzhou"}}"#);
    let result = function.result_of(event.as_bytes()).await;
    assert_eq!(result["outcome"], "stored");
    function.stop().await;
    assert_eq!(bucket.server.records().len(), 1);
}

#[tokio::test]
async fn a_file_of_authorities_that_is_missing_or_empty_is_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let key = std::fs::read_to_string(root().join("tests/fixtures/tls/server-key.pem")).unwrap();
    let cut = std::fs::read_to_string(authority()).unwrap();
    for path in [
        folder.path().join("absent.pem"),
        folder.path().to_owned(),
        file("empty.pem", ""),
        file("key.pem", &key),
        file(
            "text.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
        file("cut.pem", &cut[..cut.len() / 2]),
    ] {
        for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
            let mut settings = folder_settings(folder.path());
            settings.push((name.into(), path.to_str().unwrap().into()));
            let list = cli(&settings, &["list"]).await;
            let shown = text(&list.stderr);
            assert_eq!(list.status.code(), Some(2), "{shown}");
            assert!(shown.contains(&format!("{name}: ")), "{shown}");
            assert!(shown.contains(path.to_str().unwrap()), "{shown}");
        }
    }
}

#[tokio::test]
async fn a_policy_that_demands_encryption_is_met_by_a_setting() {
    for (quirk, method, key_id) in [
        (Quirk::DemandsEncryption, "AES256", ""),
        (Quirk::DemandsKms, "aws:kms", ""),
        (
            Quirk::DemandsKms,
            "aws:kms",
            "arn:aws:kms:us-east-1:123456789012:key/1234abcd",
        ),
    ] {
        for profile in ["aws", "basic"] {
            let mut bucket = Bucket::start(Profile::Aws).await;
            bucket.server.behave(&[quirk]);
            set(&mut bucket, "ARCHIVE_PROFILE", profile);
            assert_eq!(captured(&bucket).await.status.code(), Some(1));
            set(&mut bucket, "AWS_SERVER_SIDE_ENCRYPTION", method);
            set(&mut bucket, "AWS_SSE_KMS_KEY_ID", key_id);
            assert_works(&bucket).await;
            let object = bucket.server.records().into_values().next().unwrap();
            let said = object.encryption;
            assert_eq!(said["server-side-encryption"], method);
            let sent = said.get("server-side-encryption-aws-kms-key-id");
            assert_eq!(sent.map_or("", String::as_str), key_id);
        }
    }
    // A bucket that encrypts by default is asked for nothing.
    let bucket = Bucket::start(Profile::Aws).await;
    assert_works(&bucket).await;
    let object = bucket.server.records().into_values().next().unwrap();
    assert!(object.encryption.is_empty());
}

#[tokio::test]
async fn oss_is_asked_for_encryption_in_its_own_words() {
    for (method, value, key_id) in [
        ("AES256", "AES256", ""),
        ("KMS", "KMS", "key-1"),
        ("SM4", "SM4", ""),
    ] {
        let mut bucket = Bucket::start(Profile::Oss { versioned: false }).await;
        set(&mut bucket, "AWS_SERVER_SIDE_ENCRYPTION", method);
        set(&mut bucket, "AWS_SSE_KMS_KEY_ID", key_id);
        let arguments = ["capture", ID, "--region", "cn-hangzhou"];
        assert_ok(&cli(&bucket.settings, &arguments).await);
        let object = bucket.server.records().into_values().next().unwrap();
        assert_eq!(object.encryption["server-side-encryption"], value);
        let sent = object.encryption.get("server-side-encryption-key-id");
        assert_eq!(sent.map_or("", String::as_str), key_id);
    }
}

#[tokio::test]
async fn a_key_that_may_not_list_writes_with_every_profile() {
    for profile in ["aws", "basic"] {
        let mut bucket = Bucket::start(Profile::Aws).await;
        bucket.server.behave(&[Quirk::NoListBucket]);
        set(&mut bucket, "ARCHIVE_PROFILE", profile);
        for _ in 0..2 {
            assert_ok(&captured(&bucket).await);
        }
        assert_eq!(bucket.server.records().len(), 1);
        // Where the object is, HEAD says so.
        let key = bucket.server.records().into_keys().next().unwrap();
        assert_eq!(bucket.server.writes(&key), 1);
        bucket.server.assert_nothing_was_overwritten();
    }
}

#[tokio::test]
async fn basic_sends_no_condition_that_a_store_may_refuse() {
    for (status, code) in [(501, "NotImplemented"), (400, "InvalidArgument"), (400, "")] {
        let mut bucket = Bucket::start(Profile::IgnoresConditions).await;
        let refuses = Quirk::RefusesConditions(status, code);
        bucket.server.behave(&[refuses]);
        assert_works(&bucket).await;
        set(&mut bucket, "ARCHIVE_PROFILE", "aws");
        let output = captured(&bucket).await;
        let shown = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{shown}");
        assert!(shown.contains("ARCHIVE_PROFILE=basic"), "{shown}");
    }
}

#[tokio::test]
async fn not_modified_counts_as_already_stored() {
    let bucket = Bucket::start(Profile::Aws).await;
    bucket.server.behave(&[Quirk::NotModified]);
    assert_ok(&captured(&bucket).await);
    let again = captured(&bucket).await;
    assert_ok(&again);
    assert!(
        text(&again.stdout).contains("already"),
        "{}",
        text(&again.stdout)
    );
    let key = bucket.server.records().into_keys().next().unwrap();
    assert_eq!(bucket.server.writes(&key), 1);
}

/// A bucket with seven records, of which a page of the double has three.
async fn with_records() -> (Bucket, Vec<String>) {
    let bucket = Bucket::start(Profile::Aws).await;
    let mut names = Vec::new();
    for minute in 1..=7 {
        let time = format!("2024-03-22 10:0{minute}:00");
        set_console(&bucket.simulator, "i-a1", time.as_bytes(), &time);
        assert_ok(&cli(&bucket.settings, &["capture", "i-a1"]).await);
        names.push(format!("20240322T100{minute}00-"));
    }
    (bucket, names)
}

#[tokio::test]
async fn a_listing_is_whole_or_an_error() {
    let (bucket, names) = with_records().await;
    bucket.server.put_foreign(
        "elsewhere/i-a1/20240322T100000-000000000000.log.gz",
        Some(0),
    );
    bucket.server.put_foreign(
        "kept/here/i-b2/20240322T100000-000000000000.log.gz",
        Some(0),
    );
    for quirk in [
        Quirk::EmptyPages,
        Quirk::NoTruncatedFlag,
        Quirk::IgnoresPrefix,
        Quirk::OutOfOrder,
        Quirk::EncodesNothing,
        Quirk::EncodesKeysSilently,
    ] {
        bucket.server.behave(&[quirk]);
        let list = cli(&bucket.settings, &["list", "i-a1", "--output", "json"]).await;
        assert_ok(&list);
        let shown = text(&list.stdout);
        let mut from = 0;
        for name in &names {
            let at = shown[from..].find(name.as_str());
            from += at.unwrap_or_else(|| panic!("{quirk:?} {name}: {shown}"));
        }
        assert!(
            !shown.contains("i-b2") && !shown.contains("elsewhere"),
            "{quirk:?}: {shown}"
        );
    }
    for quirk in [
        Quirk::TruncatedWithoutToken,
        Quirk::TokenRepeats,
        Quirk::TokensAlternate,
    ] {
        bucket.server.behave(&[quirk]);
        for command in [&["list"][..], &["list", "i-a1"], &["get", "i-a1"]] {
            let output = cli(&bucket.settings, command).await;
            let shown = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{quirk:?}: {shown}");
            assert!(shown.contains("cannot be listed"), "{quirk:?}: {shown}");
            assert!(output.stdout.is_empty());
        }
    }
}

/// Somebody else's key stops no listing, whatever it has: XML cannot carry each, and decoding may not change another.
#[tokio::test]
async fn a_key_that_xml_cannot_carry_keeps_no_other_from_being_listed() {
    let others = [
        "a\u{1}b",
        "a b",
        "a+b",
        "a%2Fb",
        "a=b&c",
        "\u{b}",
        "早\u{fffe}",
    ];
    for profile in [
        Profile::Aws,
        Profile::Oss { versioned: false },
        Profile::IgnoresConditions,
    ] {
        let bucket = Bucket::start(profile).await;
        // Behind each of these a page may begin.
        bucket.server.set_page(2);
        for number in 0..2 {
            let time = format!("2024-03-22 10:0{number}:00");
            set_console(&bucket.simulator, "i-a1", time.as_bytes(), &time);
            let capture = ["capture", "i-a1", "--region", "cn-hangzhou"];
            assert_ok(&cli(&bucket.settings, &capture).await);
        }
        for name in others {
            bucket
                .server
                .put_foreign(&format!("kept/here/i-a1/{name}"), Some(0));
        }
        let list = cli(&bucket.settings, &["list", "i-a1", "--count"]).await;
        assert_ok(&list);
        assert_eq!(text(&list.stdout), "2\n", "{profile:?}");
        let since = ["list", "i-a1", "--since", "2024-03-22", "--count"];
        assert_eq!(text(&cli(&bucket.settings, &since).await.stdout), "2\n");
        let verify = cli(&bucket.settings, &["verify", "--output", "json"]).await;
        assert_eq!(verify.status.code(), Some(1), "{}", text(&verify.stderr));
        let printed = text(&verify.stdout);
        let keys: BTreeSet<String> = printed
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|line| line["fault"] == "foreign")
            .map(|line| line["key"].as_str().unwrap().to_owned())
            .collect();
        let expected = others.map(|name| format!("i-a1/{name}"));
        assert_eq!(keys, expected.into(), "{profile:?}");
    }
}

#[tokio::test]
async fn an_object_larger_than_any_record_is_refused_before_it_is_read() {
    for bytes in [Some(2 << 30), Some(200 << 20), None] {
        let bucket = Bucket::start(Profile::Aws).await;
        let key = "kept/here/i-a1/20240322T100000-000000000000.log.gz";
        bucket.server.put_foreign(key, bytes);
        let get = cli(&bucket.settings, &["get", "i-a1"]).await;
        let shown = text(&get.stderr);
        assert_eq!(get.status.code(), Some(1), "{shown}");
        assert!(shown.contains("is too large to be a record"), "{shown}");
        // A length that is told is believed; without one, no more is read than any object has.
        let most = if bytes.is_some() { 16 << 20 } else { 80 << 20 };
        assert!(
            bucket.server.foreign_sent() < most,
            "{}",
            bucket.server.foreign_sent()
        );
    }
}

#[tokio::test]
async fn a_failed_event_larger_than_any_is_refused_by_redrive_too() {
    let bucket = Bucket::start(Profile::Aws).await;
    let key = "kept/here/failed/Internal/000000000000.json";
    bucket.server.put_foreign(key, Some(2 << 30));
    let redrive = cli(&bucket.settings, &["redrive"]).await;
    assert!(bucket.server.foreign_sent() < 16 << 20);
    assert!(bucket.server.objects().contains_key(key));
    let shown = text(&redrive.stdout) + &text(&redrive.stderr);
    assert!(!shown.contains("panicked"), "{shown}");
}

#[tokio::test]
async fn a_folder_archive_that_does_not_exist_is_named_and_not_called_empty() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder_settings(&folder.path().join("nowhere"));
    for command in [&["list"][..], &["list", "i-a1"], &["get", "i-a1"]] {
        let output = cli(&settings, command).await;
        let shown = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{shown}");
        assert!(shown.contains("nowhere does not exist"), "{shown}");
        assert!(!shown.contains("no record"), "{shown}");
    }
}

#[tokio::test]
async fn a_symbolic_link_is_listed_neither_with_an_id_nor_without_and_a_warning_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let simulator = simulator().await;
    let mut settings = ecs_settings(&simulator);
    settings.extend(folder_settings(&folder.path().join("archive")));
    for id in [ID, "i-bp1oomkill000000001"] {
        assert_ok(&cli(&settings, &["capture", id]).await);
    }
    let (inside, outside) = (
        folder.path().join("archive").join(ID),
        folder.path().join("elsewhere"),
    );
    std::fs::rename(&inside, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &inside).unwrap();
    let all = cli(&settings, &["list"]).await;
    assert_ok(&all);
    assert!(!text(&all.stdout).contains(ID));
    let one = cli(&settings, &["list", ID]).await;
    assert_eq!(one.status.code(), Some(3));
    for output in [all, one] {
        let shown = text(&output.stderr);
        assert!(shown.contains("is a symbolic link"), "{shown}");
    }
    let captured = cli(&settings, &["capture", ID]).await;
    assert_eq!(captured.status.code(), Some(1));
    assert!(text(&captured.stderr).contains("is a symbolic link"));
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named_with_what_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let simulator = simulator().await;
    // A file where a folder belongs; no permission would hold for every user of the tests.
    std::fs::write(folder.path().join("file"), "").unwrap();
    let mut settings = ecs_settings(&simulator);
    settings.extend(folder_settings(&folder.path().join("file/archive")));
    let output = cli(&settings, &["capture", ID]).await;
    let shown = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(
        shown.contains("file/archive") && shown.contains("ARCHIVE_URL"),
        "{shown}"
    );
    assert_eq!(shown.matches("Not a directory").count(), 1, "{shown}");
}
