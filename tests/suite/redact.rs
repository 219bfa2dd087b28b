//! What becomes of passwords, keys and tokens that a console shows: `REDACT`.

use serde_json::{Value, json};

use crate::support::captured::{Captured, ID};
use crate::support::runtime_api::Function;
use crate::support::s3_server::Profile;
use crate::support::*;

/// What nobody may read. Each is masked for another reason.
const SECRETS: [&str; 5] = [
    "hunter22",
    "hT3bq9XkzPaW",
    "MIIEpAIBAAKCAQEAu3Fq8VQJ0n4Zb1zG2o5f1q0cJm8l2nJt5d6k9w3y7x1v0s4r",
    "Zm9vYg==",
    "IOSFODNN7EXAMPLE",
];

/// A console that shows them, among what only looks like a secret.
const CONSOLE: &str = "\
    [    0.000000] Linux version 6.1.0-amd64 (root@build)\r\n\
    [    0.000000] Kernel command line: root=UUID=0ad3d2d1-8a3c-4b5e-9a61-6a1d1c5f5d0a rd.iscsi.password=hunter22\r\n\
    [    9.000001] cloud-init[812]: Set the following 'random' passwords\r\n\
    [    9.000002] cloud-init[812]: ubuntu:hT3bq9XkzPaW\r\n\
    -----BEGIN RSA PRIVATE KEY-----\r\n\
    MIIEpAIBAAKCAQEAu3Fq8VQJ0n4Zb1zG2o5f1q0cJm8l2nJt5d6k9w3y7x1v0s4r\r\n\
    Zm9vYg==\r\n\
    -----END RSA PRIVATE KEY-----\r\n\
    ci-info: | SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDPj8pS8yAFk9pHrEY | (RSA)\r\n\
    AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE\r\n\
    host login: ";

const FOUND: [&str; 4] = [
    "secret-aws-key",
    "secret-assigned",
    "secret-generated-password",
    "secret-private-key",
];

fn by_hand() -> Vec<u8> {
    json!({"instance_id": ID, "region_id": "cn-hangzhou"})
        .to_string()
        .into_bytes()
}

#[track_caller]
fn has_no_secret(what: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{what} has {secret}: {text}");
    }
}

fn ids(findings: &Value) -> Vec<&str> {
    let all = findings.as_array().map_or(&[][..], Vec::as_slice);
    let mut ids: Vec<_> = all.iter().filter_map(|one| one["id"].as_str()).collect();
    ids.sort_unstable();
    ids
}

fn sorted<const N: usize>(mut ids: [&'static str; N]) -> [&'static str; N] {
    ids.sort_unstable();
    ids
}

/// Captures the console, and returns the answer and the log.
async fn captured(bucket: &mut Bucket, redact: &str) -> (Value, String) {
    bucket.settings.extend(settings(&[("REDACT", redact)]));
    let function = Function::start(&bucket.settings).await;
    set_console(
        &bucket.simulator,
        ID,
        CONSOLE.as_bytes(),
        "2018-03-22T10:04:57Z",
    );
    let answer = function.result_of(&by_hand()).await;
    let again = function.result_of(&by_hand()).await;
    assert_eq!(again["outcome"], "already_stored", "{again}");
    (answer, function.stop().await)
}

#[tokio::test]
async fn secrets_are_told_by_their_kind_and_never_by_their_value() {
    for redact in ["view", "store", "off"] {
        let mut bucket = Bucket::start(Profile::Aws).await;
        let (answer, log) = captured(&mut bucket, redact).await;
        assert_eq!(ids(&answer["findings"]), sorted(FOUND), "{answer}");
        has_no_secret("the answer", &answer.to_string());
        has_no_secret("the log", &log);
        for (key, row) in bucket.server.catalog() {
            has_no_secret(&key, &text(&gunzip_or_plain(&row.body)));
        }
    }
}

fn gunzip_or_plain(body: &[u8]) -> Vec<u8> {
    match body.starts_with(&[0x1f, 0x8b]) {
        true => gunzip(body),
        false => body.to_vec(),
    }
}

#[tokio::test]
async fn with_store_the_archive_has_no_secret_and_is_whole() {
    let mut bucket = Bucket::start(Profile::Aws).await;
    let (answer, _) = captured(&mut bucket, "store").await;
    let settings = &bucket.settings;
    let stored = cli(settings, &["get", ID]).await;
    assert_eq!(stored.stdout.len(), CONSOLE.len());
    let console = text(&stored.stdout).to_owned();
    has_no_secret("the record", &console);
    for kept in [
        "UUID=0ad3d2d1-8a3c-4b5e-9a61-6a1d1c5f5d0a",
        "SHA256:uNiVztks",
        "password=<******>",
        "AKIA<",
    ] {
        assert!(console.contains(kept), "{kept}: {console}");
    }
    // Digest and key are those of the masked console, so whoever reads it finds it whole.
    let verified = cli(settings, &["verify"]).await;
    assert_eq!(
        verified.status.code(),
        Some(0),
        "{}",
        text(&verified.stderr)
    );
    // The rules find the same in what is masked.
    let found = cli(settings, &["findings", ID, "--output", "json"]).await;
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(ids(&found), ids(&answer["findings"]));
}

#[tokio::test]
async fn whatever_is_shown_has_its_secrets_masked_unless_redact_is_off() {
    let world = Captured::with(&[CONSOLE.as_bytes()]).await;
    let mut open = world.settings.clone();
    open.extend(settings(&[("REDACT", "off")]));
    for command in [
        &["show", ID][..],
        &["show", ID, "--raw"],
        &["show", ID, "--output", "json"],
        &["show", ID, "--screen"],
        &["show", ID, "-g", "password|PRIVATE|^M|^Z|AKIA|ubuntu"],
        &["get", ID, "--rendered"],
        &["grep", "."],
        &["grep", ".", ID, "--captures"],
        &["grep", ".", ID, "--bytes"],
        &["grep", "hunter|ubuntu|AKIA", ID, "--output", "json"],
        &["findings", ID],
        &["findings", ID, "--output", "json"],
    ] {
        let shown = cli(&world.settings, command).await;
        has_no_secret(&command.join(" "), &text(&shown.stdout));
        has_no_secret(&command.join(" "), &text(&shown.stderr));
        let shown = cli(&open, command).await;
        let shows_any = SECRETS
            .iter()
            .any(|secret| text(&shown.stdout).contains(secret));
        assert!(shows_any, "{}: {}", command.join(" "), &text(&shown.stdout));
    }
    // What a secret is cannot be asked for either.
    let asked = cli(&world.settings, &["grep", "hunter22", ID]).await;
    assert_eq!(asked.status.code(), Some(3));
    let told = cli(&world.settings, &["show", ID]).await;
    assert_eq!(
        text(&told.stderr),
        "console-archive: 4 secrets are masked; REDACT=off shows them\n"
    );
    // A record is what is stored, byte for byte.
    let record = cli(&world.settings, &["get", ID]).await;
    assert_eq!(text(&record.stdout), CONSOLE);
}

/// The ring has dropped the line that says what it is, and one record alone is shown.
#[tokio::test]
async fn a_secret_that_began_in_the_record_before_is_masked_in_one_record_too() {
    let first = "[    9.000001] cloud-init[812]: Set the following 'random' passwords\r\n\
                 [    9.000002] cloud-init[812]: root:pQ83hdRkw2Zs\r\n";
    let second = "[    9.000002] cloud-init[812]: root:pQ83hdRkw2Zs\r\n\
                  [    9.000003] cloud-init[812]: ubuntu:hT3bq9XkzPaW\r\n\
                  [    9.100000] IPv6: ADDRCONF(NETDEV_CHANGE): eth0: link becomes ready\r\nhost login: ";
    let world = Captured::with(&[first.as_bytes(), second.as_bytes()]).await;
    let mut open = world.settings.clone();
    open.extend(settings(&[("REDACT", "off")]));
    for command in [
        &["get", ID, "--rendered"][..],
        &["grep", "ubuntu|root", ID, "--captures"],
        &["grep", "ubuntu|root", ID, "--captures", "--bytes"],
    ] {
        let shown = cli(&world.settings, command).await;
        let shown = text(&shown.stdout);
        has_no_secret(&command.join(" "), &shown);
        assert!(
            shown.contains("ubuntu:<**********>"),
            "{command:?}: {shown}"
        );
        let shown = cli(&open, command).await;
        assert!(text(&shown.stdout).contains("ubuntu:hT3bq9XkzPaW"));
    }
}

/// Whether a pattern matches tells nothing of what is masked, and what is shown in its place is found.
#[tokio::test]
async fn a_masked_secret_cannot_be_guessed_by_searching_for_it() {
    let world = Captured::with(&[CONSOLE.as_bytes()]).await;
    let shown = cli(&world.settings, &["show", ID]).await;
    // The same searches in what is shown, stored as it is.
    let shown = text(&shown.stdout).replace('\n', "\r\n");
    let masked = Captured::with(&[shown.trim_end_matches("\r\n").as_bytes()]).await;
    let mut open = masked.settings.clone();
    open.extend(settings(&[("REDACT", "off")]));
    for (pattern, options) in [
        ("password=(h|<)", &[][..]),
        ("password=(x|<)", &[]),
        ("password=<[*]+>", &[]),
        ("password=<******>", &["-F"]),
        ("password=hunter22|no such text", &[]),
        ("password=h.......", &[]),
        ("[g-i]unter22", &[]),
        ("(?i)HUNTER", &[]),
        ("AKIA\\b", &[]),
        ("AKIA", &["-w"]),
        ("^[A-Za-z0-9]{64}", &[]),
        ("KEY-----$|^MIIE", &["-c"]),
        ("password=h", &["-v"]),
        ("password=h", &["-L"]),
        ("ubuntu:h|<", &["-o"]),
        ("=hunter", &["--bytes"]),
        ("=<|=hunter", &["--bytes", "-c"]),
    ] {
        let searched = [&["grep", pattern, ID][..], options].concat();
        let found = cli(&world.settings, &searched).await;
        let expected = cli(&open, &searched).await;
        let without_names = |stdout: &[u8]| {
            let stdout = text(stdout);
            let lines = stdout
                .lines()
                .map(|line| line.split_once(':').map_or("", |(_, line)| line).to_owned());
            lines.collect::<Vec<_>>()
        };
        assert_eq!(
            found.status.code(),
            expected.status.code(),
            "{pattern} {options:?}"
        );
        assert_eq!(
            without_names(&found.stdout),
            without_names(&expected.stdout),
            "{pattern} {options:?}"
        );
    }
}

#[tokio::test]
async fn files_are_shown_without_secrets_too() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a.log", "b.log"].map(|name| folder.path().join(name));
    std::fs::write(&paths[0], CONSOLE).unwrap();
    std::fs::write(&paths[1], CONSOLE.replace("AKIA", "key AKIA")).unwrap();
    let [a, b] = [&paths[0], &paths[1]].map(|path| path.to_str().unwrap());
    for command in [&["diff", a, b][..], &["findings", a]] {
        let shown = cli(&settings(&[]), command).await;
        assert!(!shown.stdout.is_empty(), "{}", &text(&shown.stderr));
        has_no_secret(&command.join(" "), &text(&shown.stdout));
    }
}

/// Nobody learns from a comparison what is masked, and a reader knows that it was not compared.
#[tokio::test]
async fn a_comparison_says_that_it_compares_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a.log", "b.log"].map(|name| folder.path().join(name));
    std::fs::write(&paths[0], CONSOLE).unwrap();
    std::fs::write(&paths[1], CONSOLE.replace("hunter22", "wintry42")).unwrap();
    let [a, b] = [&paths[0], &paths[1]].map(|path| path.to_str().unwrap());
    let shown = cli(&settings(&[]), &["diff", a, b]).await;
    let shown = text(&shown.stdout);
    let note = "# secrets are masked, 4 in the first log and 4 in the second, and not compared; REDACT=off compares them\n";
    assert!(
        shown.contains(note) && shown.ends_with("# no difference\n"),
        "{shown}"
    );
    let open = cli(&settings(&[("REDACT", "off")]), &["diff", a, b]).await;
    assert!(text(&open.stdout).contains("wintry42"));
    let open = text(&open.stdout);
    assert!(
        !open.contains("secrets are masked") && open.contains("# 1 removed, 1 added"),
        "{open}"
    );
    let json = cli(&settings(&[]), &["diff", a, b, "--output", "json"]).await;
    let start: Value = serde_json::from_str(text(&json.stdout).lines().next().unwrap()).unwrap();
    assert_eq!(
        (&start["a"]["masked_secrets"], &start["b"]["masked_secrets"]),
        (&json!(4), &json!(4))
    );
}

#[tokio::test]
async fn a_boot_whose_captures_end_within_a_secret_is_one_where_secrets_are_not_stored() {
    let mut world = Captured::new().await;
    world.settings.extend(settings(&[("REDACT", "store")]));
    // The last one is an older console, which ECS returns at times.
    for end in ["Zm9v", "AKIAIOSFODNN", "EXAMPLE\r\n", "AKIAIOSFODN"] {
        let end = CONSOLE.find(end).unwrap() + end.len();
        world.capture(&CONSOLE.as_bytes()[..end]).await;
    }
    world.capture(CONSOLE.as_bytes()).await;
    let boots = world.shown("boots", &["--output", "json"]).await;
    let boots: Value = serde_json::from_str(&boots).unwrap();
    assert_eq!(boots.as_array().map(Vec::len), Some(1), "{boots}");
    let shown = world.shown("show", &["--raw"]).await;
    has_no_secret("the boot", &shown);
    assert_eq!(shown.len(), CONSOLE.len());
}

#[tokio::test]
async fn there_are_as_many_secrets_whether_they_are_masked_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let touching = "password=AKIAIOSFODNN7EXAMPLE token: x1y2z3w4:hunter22\n\
        https://u:eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.@host LTAI5tFakeFakeFakeFake12:9pXfakefakefakefakefakefake12Q\n\
        + chpasswd\n+ echo root:eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.\n";
    std::fs::write(&path, format!("{CONSOLE}\n{touching}{CONSOLE}")).unwrap();
    let command = ["findings", path.to_str().unwrap(), "--output", "json"];
    let mut counts = Vec::new();
    for redact in ["view", "off"] {
        let shown = cli(&settings(&[("REDACT", redact)]), &command).await;
        let found: Value = serde_json::from_slice(&shown.stdout).unwrap();
        let all = found.as_array().unwrap().iter();
        let of_each = all.map(|one| (one["id"].to_string(), one["count"].to_string()));
        counts.push(of_each.collect::<Vec<_>>());
    }
    assert!(counts[0].len() > FOUND.len(), "{counts:?}");
    assert_eq!(counts[0], counts[1]);
}

#[tokio::test]
async fn the_function_warns_at_its_start_where_nobody_could_remove_a_secret() {
    for (redact, days, warns) in [
        ("view", "30", true),
        ("store", "30", false),
        ("off", "30", false),
        ("view", "0", false),
    ] {
        let mut bucket = Bucket::start(Profile::Aws).await;
        let locked = settings(&[("REDACT", redact), ("OBJECT_LOCK_DAYS", days)]);
        bucket.settings.extend(locked);
        let function = Function::start(&bucket.settings).await;
        function.result_of(&by_hand()).await;
        let log = function.stop().await;
        let has_warned = log.contains("nobody can remove a record for 30 days");
        assert_eq!(has_warned, warns, "{redact} {days}: {log}");
    }
}
