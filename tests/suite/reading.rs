//! Reading back with the real `console-archive`: records that are not what their names say, what a
//! terminal gets of a guest's bytes, and what is told when there is nothing, or no time.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use ecs_console_archiver::archive::record::pack;
use serde_json::Value;

use crate::support::printed::checked;
use crate::support::s3_server::{Denied, Profile};
use crate::support::*;

const TIME: &str = "2018-03-22 10:04:57";
const PLAIN: &[u8] = b"[    0.000000] Linux version\r\n[   99.000001] Kernel panic\r\n";

/// A folder with one console in it.
struct World {
    simulator: ecs_console_archiver::simulator::Simulator,
    folder: tempfile::TempDir,
    settings: Settings,
}

impl World {
    async fn with(plain: &[u8]) -> Self {
        let simulator = bare_simulator(ecs_credentials()).await;
        set_console(&simulator, "i-a1", plain, TIME);
        let (folder, settings) = archive_folder(&simulator);
        let world = Self {
            simulator,
            folder,
            settings,
        };
        assert_eq!(world.run(&["capture", "i-a1"]).await.status.code(), Some(0));
        world
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        cli(&self.settings, arguments).await
    }

    fn file(&self, ending: &str) -> PathBuf {
        let folder = self.folder.path().join("archive/i-a1");
        let names = names_in(&folder, ending);
        assert_eq!(names.len(), 1, "{names:?}");
        folder.join(format!("{}{ending}", names[0]))
    }

    fn record(&self) -> PathBuf {
        self.file(".log.gz")
    }

    /// With a terminal of this type.
    async fn on_a_terminal(&self, arguments: &str, terminal: &str) -> String {
        let command = format!("{} {arguments}", program("console-archive").display());
        let mut script = Command::new("script");
        script
            .args(["-qec", &command, "/dev/null"])
            .env_clear()
            .envs(self.settings.iter().cloned())
            .env("PATH", std::env::var("PATH").unwrap())
            .env("TERM", terminal)
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || script.output().unwrap()).await;
        text(&checked(output.unwrap()).stdout)
    }
}

#[track_caller]
fn check(output: &Output, code: i32, stdout: &[u8], told: &str) {
    let told_all = text(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{printed}{told_all}");
    assert!(output.stdout == stdout, "{printed}{told_all}");
    assert!(told_all.contains(told), "{told:?} in {told_all}");
}

#[tokio::test]
async fn another_console_under_a_records_key_is_not_printed_as_genuine() {
    let world = World::with(PLAIN).await;
    let forged = b"all is well\n";
    std::fs::write(world.record(), pack(forged).unwrap()).unwrap();
    let told = "is damaged: the SHA-256 of its console begins with";
    check(&world.run(&["get", "i-a1"]).await, 1, b"", told);
    check(&world.run(&["get", "i-a1", "--raw"]).await, 1, b"", told);
    check(
        &world.run(&["get", "i-a1", "--damaged"]).await,
        1,
        forged,
        told,
    );
    let output = world
        .run(&["get", "i-a1", "--damaged", "--output", "json"])
        .await;
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        json["damage"][0].as_str().unwrap().contains("SHA-256"),
        "{json}"
    );
    let shown = world.on_a_terminal("get i-a1", "xterm").await;
    assert!(
        shown.contains("is damaged") && !shown.contains("all is well"),
        "{shown}"
    );
}

#[tokio::test]
async fn of_a_cut_record_the_rest_is_printed_when_asked_for() {
    let plain: Vec<u8> = (0..20_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let world = World::with(&plain).await;
    let gzip = std::fs::read(world.record()).unwrap();
    std::fs::write(world.record(), &gzip[..gzip.len() / 2]).unwrap();
    let told = "is damaged: it is not a whole gzip file";
    check(&world.run(&["get", "i-a1"]).await, 1, b"", told);
    let rest = world.run(&["get", "i-a1", "--damaged"]).await;
    assert_eq!(rest.status.code(), Some(1));
    assert!(!rest.stdout.is_empty() && plain.starts_with(&rest.stdout));
    std::fs::write(world.record(), b"").unwrap();
    check(
        &world.run(&["get", "i-a1", "--damaged"]).await,
        1,
        b"",
        told,
    );
}

#[tokio::test]
async fn what_follows_a_records_gzip_file_is_told_and_not_printed() {
    let world = World::with(PLAIN).await;
    let mut gzip = std::fs::read(world.record()).unwrap();
    gzip.extend(pack(b"all is well\n").unwrap());
    std::fs::write(world.record(), gzip).unwrap();
    let told = "bytes follow the end of the gzip file";
    check(&world.run(&["get", "i-a1"]).await, 1, b"", told);
    check(
        &world.run(&["get", "i-a1", "--damaged"]).await,
        1,
        PLAIN,
        told,
    );
}

#[tokio::test]
async fn capture_does_not_call_a_damaged_record_stored() {
    let world = World::with(PLAIN).await;
    check(
        &world.run(&["list", "i-a1", "--output", "json"]).await,
        0,
        &world
            .run(&["list", "i-a1", "--output", "json"])
            .await
            .stdout,
        "",
    );
    let again = world.run(&["capture", "i-a1"]).await;
    assert_eq!(
        (again.status.code(), text(&again.stderr)),
        (Some(0), String::new())
    );
    let gzip = std::fs::read(world.record()).unwrap();
    std::fs::write(world.record(), &gzip[..gzip.len() - 1]).unwrap();
    let again = world.run(&["capture", "i-a1"]).await;
    assert_eq!(again.status.code(), Some(1));
    let told = text(&again.stderr);
    assert!(
        told.contains("is damaged") && told.contains("capture again"),
        "{told}"
    );
}

#[tokio::test]
async fn a_record_whose_metadata_is_gone_is_read_with_a_warning() {
    let world = World::with(PLAIN).await;
    let warning = "warning: the record's metadata is gone or unreadable";
    let metadata = world.file(".meta.json");
    for broken in ["", "{", "[]", r#"{"content_type": 5}"#] {
        std::fs::write(&metadata, broken).unwrap();
        check(&world.run(&["get", "i-a1"]).await, 0, PLAIN, warning);
    }
    std::fs::remove_file(metadata).unwrap();
    check(&world.run(&["get", "i-a1"]).await, 0, PLAIN, warning);
    // The digest in the key still holds.
    std::fs::write(world.record(), pack(b"all is well\n").unwrap()).unwrap();
    check(&world.run(&["get", "i-a1"]).await, 1, b"", "is damaged");
}

#[tokio::test]
async fn in_a_bucket_the_same_is_found_out() {
    let bucket = Bucket::start(Profile::Aws).await;
    set_console(&bucket.simulator, "i-a1", PLAIN, TIME);
    let capture = ["capture", "i-a1", "--region", "cn-hangzhou"];
    assert!(cli(&bucket.settings, &capture).await.status.success());
    let key = bucket.server.records().into_keys().next().unwrap();
    let get = async |more: &[&str]| {
        let arguments = [&["get", "i-a1"], more].concat();
        cli(&bucket.settings, &arguments).await
    };
    bucket.server.tamper(&key, |object| {
        object.metadata.insert("console-bytes".into(), "1".into());
    });
    check(
        &get(&[]).await,
        1,
        b"",
        "its metadata says console-bytes \"1\", and it is",
    );
    check(&get(&["--damaged"]).await, 1, PLAIN, "is damaged");
    bucket.server.tamper(&key, |object| object.metadata.clear());
    check(&get(&[]).await, 0, PLAIN, "metadata is gone or unreadable");
    bucket
        .server
        .tamper(&key, |object| object.body = pack(b"all is well\n").unwrap());
    check(&get(&[]).await, 1, b"", "is damaged");
    assert_eq!(cli(&bucket.settings, &capture).await.status.code(), Some(1));
    // Keys that may not read cannot verify, and that is said.
    bucket.server.deny(&[Denied::Get]);
    let unverified = cli(&bucket.settings, &capture).await;
    let told = text(&unverified.stderr);
    assert_eq!(unverified.status.code(), Some(0), "{told}");
    assert!(told.contains("could not be verified"), "{told}");
}

#[tokio::test]
async fn a_terminal_gets_text_and_own_colours_only() {
    let hostile = "\x1b[31mred\x1b[0m\r\n\x1b]0;title without end\r\n\x1b]52;c;cm0gLXJm\x07\x1b[?1049h\x1b[?2004h\
        \x1bPhalf\r\n\u{9b}2J\u{202e}gnp\r\n\0\0\0\r\nKernel panic\rrebooting now\x1b[2J\x1bc\r\n\
        1%\r2%\r3%\r\n\x1b[8mconcealed\x1b[c";
    let world = World::with(hostile.as_bytes()).await;
    let plain = world.on_a_terminal("get i-a1", "dumb").await;
    let lines: Vec<&str> = plain.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "red",
            "]0;title without end",
            "Phalf",
            "\\u{9b}2J\\u{202e}gnp",
            "⟨3 NUL⟩",
            "⟲ Kernel panic",
            "rebooting now",
            "",
            "3% ⟲ 2 rewrites",
            "concealed",
        ]
    );
    let coloured = world.on_a_terminal("get i-a1", "xterm-256color").await;
    assert!(coloured.contains("\x1b[31mred\x1b[0m\r\n"), "{coloured:?}");
    let own = coloured
        .replace("\x1b[31m", "")
        .replace("\x1b[2m", "")
        .replace("\x1b[0m", "");
    assert_eq!(own, plain);
}

#[tokio::test]
async fn json_has_the_guests_characters_as_escapes() {
    let hostile = "\u{9b}2J\u{202e}\u{7f}\u{1b}]0;a\u{7}\u{2028}\u{e0041}\u{85}ü";
    let world = World::with(hostile.as_bytes()).await;
    for arguments in [
        &["get", "i-a1", "--output", "json"][..],
        &["list", "--output", "json"],
    ] {
        let printed = text(&world.run(arguments).await.stdout);
        let acts =
            |c: char| c != '\n' && (c.is_control() || "\u{202e}\u{2028}\u{e0041}".contains(c));
        assert!(!printed.contains(acts), "{printed:?}");
        let json: Value = serde_json::from_str(&printed).unwrap();
        if let Some(console) = json["console"].as_str() {
            assert_eq!(console, hostile);
        }
    }
}

#[tokio::test]
async fn what_an_event_says_is_shown_without_its_escapes() {
    let world = World::with(PLAIN).await;
    let event = world.folder.path().join("event\u{1b}[31m.json");
    let hostile = "\u{1b}[2J\u{9d}0;owned\u{7}\u{202e}";
    let json = serde_json::json!({
        "id": hostile, "source": hostile, "type": hostile, "time": hostile,
        "data": {"resourceId": hostile, "state": hostile},
    });
    std::fs::write(&event, json.to_string()).unwrap();
    for output in ["text", "json"] {
        let arguments = ["invoke", event.to_str().unwrap(), "--output", output];
        let output = world.run(&arguments).await;
        for printed in [text(&output.stdout), text(&output.stderr)] {
            let acts = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
            assert!(!printed.contains(acts), "{printed:?}");
        }
    }
}

#[tokio::test]
async fn capture_and_sweep_show_warnings_as_invoke_does() {
    let world = World::with(PLAIN).await;
    set_console(&world.simulator, "i-a2", PLAIN, "an hour ago");
    let warning = "LastUpdateTime is unreadable";
    for arguments in [
        &["capture", "i-a2"][..],
        &["sweep", "--region", "cn-hangzhou", "--per-second", "1000"],
    ] {
        let output = world.run(arguments).await;
        let told = text(&output.stderr);
        assert!(output.status.success() && told.contains(warning), "{told}");
        assert!(!told.contains("INFO"), "{told}");
    }
}

#[tokio::test]
async fn a_listing_of_markers_only_says_what_there_is() {
    let world = World::with(PLAIN).await;
    set_console(&world.simulator, "i-a2", b"", TIME);
    assert_eq!(world.run(&["capture", "i-a2"]).await.status.code(), Some(3));
    let listed = world.run(&["list", "i-a2"]).await;
    let (shown, told) = (text(&listed.stdout), text(&listed.stderr));
    assert_eq!(listed.status.code(), Some(0), "{told}");
    assert!(shown.contains("none: empty"), "{shown}");
    assert!(!told.contains("no records"), "{told}");
    assert!(
        told.contains("no console of i-a2, and a marker that says why"),
        "{told}"
    );
    check(
        &world.run(&["list", "i-unknown"]).await,
        3,
        b"",
        "no records of i-unknown",
    );
}

#[tokio::test]
async fn a_time_out_says_of_what_and_after_how_long() {
    let world = World::with(PLAIN).await;
    world.simulator.plan_faults(&"stall".parse().unwrap());
    let output = world.run(&["capture", "i-a1", "--timeout", "1"]).await;
    check(
        &output,
        1,
        b"",
        "GetInstanceConsoleOutput timed out after 0.",
    );
    world.simulator.plan_faults(&"fail*1000".parse().unwrap());
    let output = world.run(&["capture", "i-a1", "--timeout", "1"]).await;
    check(&output, 1, b"", "ServiceUnavailable");
    check(
        &output,
        1,
        b"",
        "within 1 s there is no time for another attempt",
    );
    world
        .simulator
        .plan_faults(&"throttle*1000".parse().unwrap());
    let invoke = ["invoke", "events/manual.json", "--timeout", "1"];
    let told = text(&world.run(&invoke).await.stderr);
    assert!(
        told.contains("within 1 s there is no time for another attempt"),
        "{told}"
    );
}

#[tokio::test]
async fn a_bucket_that_never_answers_times_out_in_every_command() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut world = World::with(PLAIN).await;
    world.settings.retain(|(name, _)| name != "ARCHIVE_URL");
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    world.settings.extend(settings(&[
        ("ARCHIVE_URL", "s3://consoles/kept"),
        ("ARCHIVE_PROFILE", "aws"),
        ("AWS_ENDPOINT_URL_S3", &endpoint),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "must-not-show"),
        ("AWS_REGION", "us-east-1"),
    ]));
    for (arguments, call) in [
        (&["list"][..], "listing"),
        (&["get", "i-a1"], "listing"),
        (&["redrive"], "listing"),
        (&["redrive", "--dry-run"], "listing"),
        (&["capture", "i-a1"], "storing an object"),
    ] {
        let output = world.run(&[arguments, &["--timeout", "1"]].concat()).await;
        check(&output, 1, b"", &format!("{call} timed out after 1 s"));
    }
}

fn fifo(path: &std::path::Path) {
    let mut mkfifo = Command::new("env");
    let made = mkfifo.arg("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

#[tokio::test]
async fn whatever_has_the_place_of_the_metadata_the_record_is_printed_with_a_warning() {
    type Put = fn(&std::path::Path);
    let link: Put = |path| {
        let elsewhere = path.with_extension("elsewhere");
        std::fs::write(&elsewhere, "{}").unwrap();
        std::os::unix::fs::symlink(elsewhere, path).unwrap();
    };
    let large: Put = |path| {
        std::fs::File::create(path)
            .unwrap()
            .set_len(1 << 30)
            .unwrap()
    };
    let folder: Put = |path| std::fs::create_dir(path).unwrap();
    let broken: Put = |path| std::fs::write(path, "{").unwrap();
    for (put, why) in [
        (fifo as Put, "not a file but a pipe"),
        (link, "a symbolic link"),
        (folder, "a folder and not a file"),
        (large, "1073741824 bytes"),
        (broken, "is not metadata"),
    ] {
        let world = World::with(PLAIN).await;
        let path = world.file(".log.gz.meta.json");
        std::fs::remove_file(&path).unwrap();
        put(&path);
        for command in [&["get", "i-a1"][..], &["get", "i-a1", "--damaged"]] {
            let output = world.run(command).await;
            check(&output, 0, PLAIN, why);
            let told = text(&output.stderr);
            assert!(told.contains(path.to_str().unwrap()), "{told}");
            assert!(
                told.contains("only the digest in its name vouches for it"),
                "{told}"
            );
            assert!(!told.contains("let the user"), "{told}");
        }
        let again = world.run(&["capture", "i-a1"]).await;
        assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    }
}

#[tokio::test]
async fn what_stands_in_a_records_place_is_named_and_hides_nothing_else() {
    type Put = fn(&std::path::Path);
    let folder: Put = |path| std::fs::create_dir(path).unwrap();
    for (put, why) in [(fifo as Put, "a pipe"), (folder, "a folder and not a file")] {
        let world = World::with(PLAIN).await;
        let name = world.record();
        let other = world.folder.path().join("archive/i-b2");
        std::fs::create_dir(&other).unwrap();
        let path = other.join(name.file_name().unwrap());
        put(&path);
        let get = world.run(&["get", "i-b2"]).await;
        check(&get, 3, b"", why);
        for (command, code) in [
            (&["get", "i-b2"][..], 3),
            (&["list", "i-b2"], 3),
            (&["list"], 0),
        ] {
            let output = world.run(command).await;
            let told = text(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{told}");
            assert!(told.contains(why), "{told}");
            assert!(told.contains(path.to_str().unwrap()), "{told}");
        }
        let listed = world.run(&["list"]).await;
        assert!(text(&listed.stdout).contains("i-a1"));
        // A capture that would be kept there says the same.
        set_console(&world.simulator, "i-b2", PLAIN, TIME);
        let captured = world.run(&["capture", "i-b2"]).await;
        let told = text(&captured.stderr);
        assert_eq!(captured.status.code(), Some(1), "{told}");
        assert!(
            told.contains(why) && told.contains("move it away"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_name_cannot_write_lines_of_its_own() {
    let world = World::with(PLAIN).await;
    let archive = world.folder.path().join("archive");
    let name = "i-\u{1b}[31mlink\nconsole-archive: all is lost";
    std::os::unix::fs::symlink("/etc", archive.join(name)).unwrap();
    fifo(&archive.join("i-a1").join("x\nERROR y"));
    let output = world.run(&["list"]).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(told.contains(r"link\nconsole-archive: all"), "{told}");
    // An error that names it, and a setting that has such a name.
    let twisted = archive.join("a\nb");
    let mut settings = folder_settings(&twisted);
    let output = cli(&settings, &["list"]).await;
    let told = text(&output.stderr);
    assert_eq!(
        (output.status.code(), told.lines().count()),
        (Some(2), 1),
        "{told}"
    );
    settings.extend(crate::support::settings(&[
        ("LOG_LEVEL", "a\nconsole-archive: b"),
        ("ARCHIVE_PROFILE", "x\ny"),
    ]));
    let output = cli(&settings, &["list"]).await;
    let told = text(&output.stderr);
    assert!(
        !told
            .lines()
            .any(|line| line == "y" || line == "console-archive: b"),
        "{told}"
    );
    let file = world.folder.path().join("no\nsuch");
    let output = world.run(&["invoke", file.to_str().unwrap()]).await;
    let told = text(&output.stderr);
    assert_eq!(
        (output.status.code(), told.lines().count()),
        (Some(2), 1),
        "{told}"
    );
}
