//! What the tests run the real program against.

pub mod acs3;
pub mod archived;
pub mod burst;
pub mod captured;
pub mod cataloged;
pub mod fakes;
pub mod function_compute;
pub mod function_compute_api;
pub mod gate;
pub mod http;
pub mod json_page;
pub mod kept;
pub mod lambda_api;
pub mod memory;
pub mod notice_receiver;
pub mod printed;
pub mod proxy;
pub mod raced;
pub mod raw_server;
pub mod receiver;
pub mod recorded_boots;
pub mod recording;
pub mod relay;
pub mod runtime_api;
pub mod s3_server;
pub mod secret_server;
pub mod served;
pub mod sigv4;
pub mod sqs_server;
pub mod token_server;
pub mod transcript;

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ecs_console_archiver::model::credentials::{Credentials, Secret};
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::simulator::{Console, Simulator, SimulatorConfig};

use printed::checked;
use s3_server::{ACCESS_KEY_ID, BUCKET, Profile, S3Server, SECRET_ACCESS_KEY};

pub const ECS_SECRET: &str = "ecs-secret-that-must-not-show";
pub const ECS_TOKEN: &str = "ecs+token/=~* that-must-not-show";

pub type Settings = Vec<(String, String)>;

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Everything below a folder of the repository, by its path from there.
pub fn files_below(folder: &str) -> Vec<(String, String)> {
    let files = files_in(&root().join(folder)).into_iter();
    files.map(|(name, bytes)| (name, text(&bytes))).collect()
}

/// Everything below a folder, by its path from there, sorted.
pub fn files_in(folder: &Path) -> Vec<(String, Vec<u8>)> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found)
            } else {
                found.push(path)
            }
        }
    }
    let mut found = Vec::new();
    collect(folder, &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
        (name.to_owned(), std::fs::read(&path).unwrap())
    };
    found.into_iter().map(read).collect()
}

/// One of the programs under test: as built with the tests, or from the folder `PROGRAMS`, where what
/// ships is tested.
pub fn program(name: &str) -> PathBuf {
    let built = match name {
        "bootstrap" => env!("CARGO_BIN_EXE_bootstrap"),
        "console-archive" => env!("CARGO_BIN_EXE_console-archive"),
        _ => panic!("there is no program {name}"),
    };
    match std::env::var("PROGRAMS") {
        Ok(folder) => Path::new(&folder).join(name),
        Err(_) => built.into(),
    }
}

pub fn consoles() -> PathBuf {
    root().join("tests/fixtures/consoles")
}

pub fn fixture(instance_id: &str) -> Vec<u8> {
    std::fs::read(consoles().join(format!("{instance_id}.log"))).unwrap()
}

/// A picture of a screen.
pub fn picture(name: &str) -> Vec<u8> {
    std::fs::read(root().join("tests/fixtures/screenshots").join(name)).unwrap()
}

pub fn instances() -> Vec<String> {
    names_in(&consoles(), ".log")
}

/// Names of files without this ending, sorted.
pub fn names_in(folder: &Path, ending: &str) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            Some(
                entry
                    .unwrap()
                    .file_name()
                    .to_str()?
                    .strip_suffix(ending)?
                    .to_owned(),
            )
        })
        .collect();
    names.sort();
    names
}

pub fn ecs_credentials() -> Credentials {
    Credentials {
        access_key_id: "ecs-key".into(),
        access_key_secret: Secret::new(ECS_SECRET),
        security_token: Some(Secret::new(ECS_TOKEN)),
    }
}

/// A simulator over the fixtures that asks for a token.
pub async fn simulator() -> Simulator {
    simulator_for(ecs_credentials()).await
}

pub async fn simulator_for(credentials: Credentials) -> Simulator {
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = SimulatorConfig {
        listen,
        consoles: Some(consoles()),
        credentials,
    };
    Simulator::start(config).await.unwrap()
}

pub fn set_console(simulator: &Simulator, instance_id: &str, plain: &[u8], time: &str) {
    let instance_id = InstanceId::parse(instance_id).unwrap();
    simulator.set_console(&instance_id, output(plain, time));
}

/// A simulator that has only what a test gives it.
pub async fn bare_simulator(credentials: Credentials) -> Simulator {
    let config = SimulatorConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        consoles: None,
        credentials,
    };
    Simulator::start(config).await.unwrap()
}

/// An event of 2024-03-22T10:04:41+08:00, with an ID.
pub fn starting(instance_id: &str) -> String {
    serde_json::json!({
        "id": "E-1", "source": "acs.ecs", "type": "ecs:Instance:StateChange",
        "time": "2024-03-22T10:04:41+08:00", "aliyunregionid": "cn-hangzhou",
        "data": {"resourceId": instance_id, "state": "Starting"},
    })
    .to_string()
}

pub fn output(plain: &[u8], time: &str) -> Console {
    Console::Output {
        plain: plain.to_vec(),
        last_update_time: Some(time.to_owned()),
    }
}

pub fn ecs_settings(simulator: &Simulator) -> Settings {
    settings(&[
        ("ECS_ENDPOINT_URL", &simulator.endpoint_url()),
        ("STS_ENDPOINT_URL", &simulator.endpoint_url()),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ecs-key"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", ECS_SECRET),
        ("ALIBABA_CLOUD_SECURITY_TOKEN", ECS_TOKEN),
        ("ALIBABA_CLOUD_REGION_ID", "cn-hangzhou"),
    ])
}

pub fn folder_settings(folder: &Path) -> Settings {
    settings(&[(
        "ARCHIVE_URL",
        url::Url::from_file_path(folder).unwrap().as_str(),
    )])
}

/// A new folder, and the settings for an archive in it, with ECS at the simulator.
pub fn archive_folder(simulator: &Simulator) -> (tempfile::TempDir, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = ecs_settings(simulator);
    settings.extend(folder_settings(&folder.path().join("archive")));
    (folder, settings)
}

/// A bucket with a simulator, and the settings for both.
pub struct Bucket {
    pub server: S3Server,
    pub simulator: Simulator,
    pub settings: Settings,
}

impl Bucket {
    pub async fn start(profile: Profile) -> Self {
        Self::start_behind(profile, None).await
    }

    /// The same, with the bucket addressed by a proxy's port.
    pub async fn start_behind(profile: Profile, public_port: Option<u16>) -> Self {
        Self::of(S3Server::start(profile, public_port).await).await
    }

    /// The same, with a server that runs.
    pub async fn of(server: S3Server) -> Self {
        let profile = server.profile();
        let endpoint = server.endpoint_url();
        if matches!(profile, Profile::Oss { .. }) {
            // OSS and ECS know the same key.
            let simulator = simulator_for(Credentials {
                access_key_id: ACCESS_KEY_ID.into(),
                access_key_secret: Secret::new(SECRET_ACCESS_KEY),
                security_token: None,
            })
            .await;
            let settings = settings(&[
                (
                    "ARCHIVE_URL",
                    &format!("oss://{BUCKET}/kept/here?region=cn-hangzhou"),
                ),
                ("AWS_ENDPOINT_URL_S3", &endpoint),
                ("ECS_ENDPOINT_URL", &simulator.endpoint_url()),
                ("STS_ENDPOINT_URL", &simulator.endpoint_url()),
                ("ALIBABA_CLOUD_ACCESS_KEY_ID", ACCESS_KEY_ID),
                ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET_ACCESS_KEY),
            ]);
            return Self {
                server,
                simulator,
                settings,
            };
        }
        let simulator = simulator().await;
        let mut settings = settings(&[
            ("ARCHIVE_URL", &format!("s3://{BUCKET}/kept/here")),
            ("AWS_ENDPOINT_URL_S3", &endpoint),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
            ("AWS_REGION", "us-east-1"),
        ]);
        if profile == Profile::Aws {
            settings.push(("ARCHIVE_PROFILE".into(), "aws".into())); // Its address is not AWS's.
        }
        settings.extend(ecs_settings(&simulator));
        Self {
            server,
            simulator,
            settings,
        }
    }
}

/// A follow message so many seconds later: what it says of times lies that much further back. So a
/// test need not wait for the program's clock.
pub fn aged(message: &str, seconds: u64) -> String {
    let mut message: serde_json::Value = serde_json::from_str(message).unwrap();
    let earlier = jiff::SignedDuration::from_secs(-i64::try_from(seconds).unwrap());
    for time in [
        "/follow/began_at",
        "/follow/seen/same_since",
        "/due_at",
        "/shots/last_at",
    ] {
        if let Some(time) = message.pointer_mut(time) {
            let moment: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
            *time = (moment + earlier).to_string().into();
        }
    }
    message.to_string()
}

/// No settings, and no wait for the metadata of an ECS instance that this machine is not.
pub fn no_instance() -> Settings {
    settings(&[("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")])
}

pub fn settings(pairs: &[(&str, &str)]) -> Settings {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Runs the CLI with these settings and no others, away from the test's own threads.
pub async fn cli(settings: &Settings, arguments: &[&str]) -> Output {
    let mut command = Command::new(program("console-archive"));
    command
        .env_clear()
        .envs(settings.iter().cloned())
        .args(arguments)
        .current_dir(root());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await;
    let output = checked(output.unwrap());
    json_page::check(arguments, &output.stdout);
    output
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Unpacked by the system's gzip, which knows nothing of this program.
pub fn gunzip(gzip: &[u8]) -> Vec<u8> {
    let mut child = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, gzip) = (child.stdin.take().unwrap(), gzip.to_vec());
    let writer = std::thread::spawn(move || stdin.write_all(&gzip).unwrap());
    let mut plain = Vec::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut plain)
        .unwrap();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    plain
}
