//! The real `bootstrap` as an HTTP server, on Function Compute or as a receiver of webhooks.

use std::process::Stdio;
use std::sync::Arc;
use std::thread::JoinHandle;

use ecs_console_archiver::simulator::Simulator;
use reqwest::RequestBuilder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::UnboundedReceiver;

use super::printed::Printed;
use super::*;

pub struct Server {
    pub process: Child,
    pub address: String,
    pub printed: Printed,
    /// Its log lines that were not waited for yet.
    pub log: UnboundedReceiver<String>,
    log_reader: Option<JoinHandle<()>>,
    pub http: reqwest::Client,
    pub simulator: Arc<Simulator>,
    pub folder: tempfile::TempDir,
}

/// In a setting, stands for the address of the simulator.
pub const SIMULATOR: &str = "{simulator}";

/// Starts it on a folder and the simulator. `own` come after the usual settings.
pub async fn start(own: &[(&str, &str)]) -> Server {
    let simulator = Arc::new(simulator().await);
    let folder = tempfile::tempdir().unwrap();
    let mut all = ecs_settings(&simulator);
    all.extend(folder_settings(folder.path()));
    let of_simulator = |value: &str| value.replace(SIMULATOR, &simulator.endpoint_url());
    let own = own
        .iter()
        .map(|(name, value)| ((*name).to_owned(), of_simulator(value)));
    all.extend(own);
    let printed = Printed::new();
    let mut process = Command::new(program("bootstrap"))
        .env_clear()
        .env("AWS_LAMBDA_LOG_LEVEL", "TRACE")
        .envs(all)
        .stdout(printed.stdio())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = process.stderr.take().unwrap().into_owned_fd().unwrap();
    let (mut log, log_reader) = printed.take_lines(std::fs::File::from(log));
    let line = log.recv().await.expect("it ended at once");
    let address = line.split("listening on ").nth(1);
    let port = address
        .unwrap_or_else(|| panic!("{line}"))
        .rsplit(':')
        .next()
        .unwrap();
    let port = port.trim_end_matches(|c: char| !c.is_ascii_digit()); // The line may be JSON.
    Server {
        address: format!("127.0.0.1:{port}"),
        process,
        printed,
        log,
        log_reader: Some(log_reader),
        http: ecs_console_archiver::http::client(&Default::default()).unwrap(),
        simulator,
        folder,
    }
}

pub async fn function_compute(own: &[(&str, &str)]) -> Server {
    let mut all = vec![
        ("FC_CUSTOM_LISTEN_PORT", "0"),
        ("FC_FUNCTION_NAME", "archiver"),
    ];
    all.extend(own);
    start(&all).await
}

pub async fn webhook(own: &[(&str, &str)]) -> Server {
    let mut all = vec![("LISTEN_ADDR", "127.0.0.1:0")];
    all.extend(own);
    start(&all).await
}

impl Server {
    pub fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.http
            .post(format!("http://{}{path}", self.address))
            .body(body)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("http://{}{path}", self.address))
    }

    /// An event as Function Compute hands it over.
    pub fn invoke(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.post("/invoke", body)
            .header("x-fc-control-path", "/invoke")
            .header("x-fc-request-id", "1-67a59f35-150c1267-f381ba1c085c")
            .header("x-fc-function-timeout", "60")
            .header("x-fc-access-key-id", "")
            .header("x-fc-access-key-secret", "")
            .header("x-fc-security-token", "")
    }

    /// What else Function Compute asks for.
    pub fn control(&self, path: &str) -> RequestBuilder {
        self.post(path, "").header("x-fc-control-path", path)
    }

    /// What comes back for these bytes, until the server closes the connection.
    pub async fn raw(&self, sent: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        text(&answer)
    }

    /// The most memory it has had, in KiB.
    pub fn peak_memory(&self) -> u64 {
        let id = self.process.id().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM"));
        let number = line.unwrap().split_whitespace().nth(1).unwrap();
        number.parse().unwrap()
    }

    /// Waits for the next log line with this text in it.
    pub async fn wait_for(&mut self, text: &str) {
        while !self.log.recv().await.expect(text).contains(text) {}
    }

    /// Tells it to end, and waits until it begins to.
    pub async fn begin_to_end(&mut self) {
        let id = self.process.id().unwrap().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status();
        assert!(told.await.unwrap().success());
        self.wait_for("shutting down; ").await;
    }

    /// Tells it to end, and waits until it has; whether it ended well, and its log.
    pub async fn terminate(mut self) -> (bool, String) {
        self.begin_to_end().await;
        self.ended().await
    }

    /// Waits until it has ended; whether it ended well, and its log.
    pub async fn ended(&mut self) -> (bool, String) {
        let status = self.process.wait().await.unwrap();
        self.log_reader.take().unwrap().join().unwrap();
        (status.success(), self.printed.text())
    }
}

impl Drop for Server {
    /// With the process ends its log, of which nothing is to be missed.
    fn drop(&mut self) {
        let _ = self.process.start_kill();
        if let Some(reader) = self.log_reader.take() {
            reader.join().unwrap();
        }
    }
}
