//! A relay between two programs that counts what passes, so that a test can act at a moment in the
//! middle of their talk and not at a time.

use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::support::{Settings, program};

/// Counts pieces of requests and answers, and connections that nobody took.
#[derive(Clone, Default)]
pub struct Moments(Arc<watch::Sender<u64>>);

impl Moments {
    /// Counts one.
    pub fn pass(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// Waits until so many more have come. The last of them is counted before it is passed on.
    pub async fn more(&self, count: u64) {
        let mut passed = self.0.subscribe();
        let until = *passed.borrow() + count;
        let reached = passed.wait_for(|passed| *passed >= until);
        drop(reached.await.unwrap());
    }
}

pub struct Relay {
    address: String,
    server: JoinHandle<()>,
}

impl Relay {
    pub async fn start(target: &str, moments: &Moments) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(serve(listener, target.to_owned(), moments.clone()));
        Self { address, server }
    }

    pub fn address(&self) -> &str {
        &self.address
    }
}

/// The settings for a program whose talk with the store is counted.
pub async fn to_store(settings: &Settings, moments: &Moments) -> (Settings, Relay) {
    let mut settings = settings.clone();
    let mut all = settings.iter_mut();
    let address = all.find(|(name, _)| name == "AWS_ENDPOINT_URL_S3");
    let (_, address) = address.unwrap();
    let relay = Relay::start(address.strip_prefix("http://").unwrap(), moments).await;
    *address = format!("http://{}", relay.address());
    (settings, relay)
}

/// A command of the program at work.
pub fn started(settings: &Settings, arguments: &[&str]) -> Child {
    Command::new(program("console-archive"))
        .args(arguments)
        .env_clear()
        .envs(settings.iter().cloned())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Runs a command again and again, and kills it so often, each time at another moment of its talk with the store. The
/// last run ends by itself. Returns how often it was killed.
pub async fn killed(
    settings: &Settings,
    arguments: &[&str],
    moments: &Moments,
    kills: usize,
    random: &mut fastrand::Rng,
    most: u64,
) -> usize {
    let mut killed = 0;
    while killed < kills {
        let mut running = started(settings, arguments);
        tokio::select! {
            ended = running.wait() => {
                assert!(ended.unwrap().success(), "{arguments:?}");
                return killed;
            }
            () = moments.more(random.u64(1..=most)) => {
                running.kill().await.unwrap();
                killed += 1;
            }
        }
    }
    killed
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, target: String, moments: Moments) {
    let mut connections = JoinSet::new();
    while let Ok((from, _)) = listener.accept().await {
        let (target, moments) = (target.clone(), moments.clone());
        connections.spawn(async move {
            let Ok(to) = TcpStream::connect(target).await else {
                return moments.pass(); // Closed, as the caller would have found it.
            };
            let ((from, back), (answers, to)) = (from.into_split(), to.into_split());
            // Either end that is gone ends both ways.
            tokio::select! {
                () = pass_on(from, to, &moments) => {}
                () = pass_on(answers, back, &moments) => {}
            }
        });
    }
}

async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, moments: &Moments) {
    let mut piece = vec![0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        moments.pass();
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
