//! A Garage of one node on loopback, with one key and one bucket.

use std::path::PathBuf;
use std::process::Stdio;

use ecs_console_archiver::config::{Archive, Environment};
use ecs_console_archiver::store::ArchiveStore;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::support::{Settings, settings};

pub const BUCKET: &str = "consoles";
const ACCESS_KEY_ID: &str = "GK0123456789abcdef01234567";
const SECRET_ACCESS_KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub struct Garage {
    folder: tempfile::TempDir,
    s3_port: u16,
    process: Child,
}

impl Garage {
    /// Starts it with an empty bucket.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [s3_port, rpc_port] = free_ports();
        let path = folder.path().display();
        let config = format!(
            r#"
            metadata_dir = "{path}/meta"
            data_dir = "{path}/data"
            db_engine = "sqlite"
            replication_factor = 1
            rpc_bind_addr = "127.0.0.1:{rpc_port}"
            rpc_public_addr = "127.0.0.1:{rpc_port}"
            rpc_secret = "{SECRET_ACCESS_KEY}"
            [s3_api]
            api_bind_addr = "127.0.0.1:{s3_port}"
            s3_region = "us-east-1"
            "#
        );
        std::fs::write(folder.path().join("garage.toml"), config).unwrap();
        let process = serve(&folder).await;
        let garage = Self {
            folder,
            s3_port,
            process,
        };
        let node = garage.cli(&["node", "id", "-q"]).await;
        let node = node.split('@').next().unwrap();
        let assign = ["layout", "assign", "--zone", "z", "--capacity", "1G", node];
        garage.cli(&assign).await;
        garage.cli(&["layout", "apply", "--version", "1"]).await;
        let import = ["key", "import", "--yes", ACCESS_KEY_ID, SECRET_ACCESS_KEY];
        garage.cli(&import).await;
        garage.cli(&["bucket", "create", BUCKET]).await;
        let key = format!("--key={ACCESS_KEY_ID}");
        let allow = ["bucket", "allow", "--read", "--write", BUCKET, &key];
        garage.cli(&allow).await;
        garage
    }

    /// Ends it with SIGKILL.
    pub async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Starts it again, with the same data and the same ports.
    pub async fn restart(&mut self) {
        self.process = serve(&self.folder).await;
    }

    /// The archive's settings.
    pub fn settings(&self) -> Settings {
        let endpoint_url = format!("http://127.0.0.1:{}", self.s3_port);
        settings(&[
            ("ARCHIVE_URL", &format!("s3://{BUCKET}/kept/here")),
            ("AWS_ENDPOINT_URL_S3", &endpoint_url),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
            ("AWS_REGION", "us-east-1"),
        ])
    }

    pub fn store(&self) -> ArchiveStore {
        store(&self.settings())
    }

    async fn cli(&self, arguments: &[&str]) -> String {
        let output = garage(&self.folder).args(arguments).output().await.unwrap();
        let shown = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {shown}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The store these settings lead to, as the program makes it.
pub fn store(settings: &Settings) -> ArchiveStore {
    let environment = Environment::new(|name| {
        let found = settings.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.clone())
    });
    let archive = Archive::from_environment(&environment).unwrap();
    archive.store(ecs_console_archiver::http::client(&Default::default()).unwrap())
}

fn garage(folder: &tempfile::TempDir) -> Command {
    let program = std::env::var_os("GARAGE").map(PathBuf::from);
    let program = program.expect("GARAGE names no program; `make test-garage` sets it");
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("GARAGE_CONFIG_FILE", folder.path().join("garage.toml"))
        .env("RUST_LOG", "garage=info,garage_api_common=info");
    command
}

/// Started, and listening.
async fn serve(folder: &tempfile::TempDir) -> Child {
    let mut command = garage(folder);
    command.arg("server").stderr(Stdio::piped());
    command.kill_on_drop(true);
    let mut process = command.spawn().unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    while let Some(line) = log.next_line().await.unwrap() {
        if line.contains("S3 API server listening") {
            // A full pipe would stop it.
            tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
            return process;
        }
        said.push(line);
    }
    panic!("Garage did not start: {said:#?}");
}

/// Held together, so that they differ. Below those the system gives out by itself: another
/// connection must not have one while Garage is down.
fn free_ports<const N: usize>() -> [u16; N] {
    let mut candidates = std::iter::repeat_with(|| fastrand::u16(10_000..32_000));
    let mut listener = || {
        let free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).ok();
        candidates.find_map(free).unwrap()
    };
    let held = [(); N].map(|()| listener());
    held.map(|listener| listener.local_addr().unwrap().port())
}
