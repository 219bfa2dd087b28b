//! `console-archive serve`: pages over the archive, for a browser on this machine.

pub mod address;
mod answer;
mod fleet;
mod gate;
pub mod pages;
mod peer;
mod responses;
mod search;
mod state;
mod write_within;

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::Args;
use ecs_console_archiver::hosts::server::line::{Line, Place};
use ecs_console_archiver::log;
use ecs_console_archiver::store::Store as _;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::show::follow::Live;
use super::{Context, EcsArguments};
use crate::exit::Exit;
use crate::output::{self, Output};
use gate::Gate;
use peer::Peer;
use state::{Archive, State};
pub use state::{Instance, why_no_console};
use write_within::WriteWithin;

/// Show the archive in a browser
///
/// The pages show a fleet day by day, its boots, their logs, what changed from boot to boot, and what a search finds. They are for a browser on this machine alone. The
/// address that is printed opens them once: whoever has used it is let in until the command ends, and others are
/// not. Nothing of the archive is changed. It runs until Ctrl-C.
///
/// Secrets are masked as everywhere, unless REDACT=off. Times are in the zone of --time-zone. --timeout is how long a
/// page waits for the archive.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive serve
  console-archive serve --time-zone Asia/Shanghai
  console-archive serve --live --region cn-hangzhou
  ssh -L 8590:127.0.0.1:8590 bastion console-archive serve --port 8590")]
pub struct Arguments {
    /// The port to listen on, at 127.0.0.1 and ::1; 0 takes one that is free [default: 8590, or one that is
    /// free]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Ask ECS for the console of a boot that is looked at, too; nothing of it is stored
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    ecs: EcsArguments,
}

/// So that links are good again when the command runs again.
const USUAL_PORT: u16 = 8590;
/// Connections at once. A browser opens six.
const MAX_CONNECTIONS: usize = 64;
/// Requests that are answered at once. The others wait.
const MAX_AT_ONCE: usize = 8;
/// Searches at once. Each has a thread for each processor.
const MAX_SEARCHES: usize = 2;
/// Within which a request's head must have come.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Within which a client must take some of its answer.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);
/// Longest head of a request.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Most headers of a request.
const MAX_HEADERS: usize = 64;

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.warnings());
    let store = context.store()?;
    store.check_folder()?;
    let redact = context.redact()?;
    let live = match arguments.live {
        true => Some(Arc::new(Live::new(context.archiver(arguments.ecs)?)?)),
        false => None,
    };
    let (listeners, port) = listen(arguments.port).await?;
    let gate = Gate::new(port)?;
    tell(&gate.address(), &store.url(""), context)?;
    let state = State {
        gate,
        archive: Archive::new(store, redact),
        context,
        live,
        turns: Arc::new(Semaphore::new(MAX_AT_ONCE)),
        searches: Arc::new(Semaphore::new(MAX_SEARCHES)),
        has_told_of_others: Cell::new(false),
    };
    tokio::select! {
        () = serve(&listeners, &state) => {}
        () = context.interrupt.pressed() => {
            let url = state.archive.store.url("");
            output::error(format_args!("interrupted: {url} is not served any more"));
        }
    }
    Ok(Exit::Done)
}

/// Listens on loopback alone: of IPv4, and of IPv6 where there is one.
async fn listen(wanted: Option<u16>) -> Result<(Vec<TcpListener>, u16)> {
    let bind = async |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let bound = match wanted {
        Some(port) => bind(port).await,
        None => match bind(USUAL_PORT).await {
            Err(_) => bind(0).await,
            bound => bound,
        },
    };
    let first = bound.map_err(|error| {
        let port = wanted.unwrap_or_default();
        anyhow!("cannot listen on 127.0.0.1:{port}: {error}; give another port with --port, or 0 for any")
    })?;
    let port = first.local_addr()?.port();
    let mut listeners = vec![first];
    listeners.extend(TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await.ok());
    Ok((listeners, port))
}

/// Says where another browser gets in, in a line: the rest was said before.
fn tell_again(address: &str, archive_url: &str, context: &Context) -> Result<()> {
    if context.output == Output::Json {
        return tell(address, archive_url, context);
    }
    output::line(format_args!(
        "\nThat address was used, and somebody asked for a page without it. Another one, which works once, too:\n\n  \
         {address}"
    ))
}

/// Says where the pages are.
fn tell(address: &str, archive_url: &str, context: &Context) -> Result<()> {
    if context.output == Output::Json {
        return output::json_line(&json!({"address": address, "archive_url": archive_url}));
    }
    output::line(format_args!(
        "Open this address in a browser on this machine. It works once:\n\n  {address}\n\n{archive_url} is served \
         until Ctrl-C."
    ))
}

async fn serve(listeners: &[TcpListener], state: &State<'_>) {
    let mut connections = FuturesUnordered::new();
    // Of those that have not shown yet that they may see the pages.
    let line = Line::new(MAX_CONNECTIONS);
    loop {
        let is_full = connections.len() >= MAX_CONNECTIONS;
        tokio::select! {
            stream = accept(listeners), if !is_full || !line.is_empty() => {
                if is_full {
                    line.cut_off_oldest();
                }
                let cut_off = CancellationToken::new();
                let place = line.join(&cut_off);
                connections.push(serve_connection(stream, state, place, cut_off));
            }
            Some(()) = connections.next(), if !connections.is_empty() => {}
        }
    }
}

/// The next connection.
async fn accept(listeners: &[TcpListener]) -> TcpStream {
    let mut accepting: FuturesUnordered<_> = listeners.iter().map(TcpListener::accept).collect();
    loop {
        match accepting.next().await {
            Some(Ok((stream, _))) => return stream,
            // Too many open files, or a client that was faster to leave.
            Some(Err(_)) | None => tokio::time::sleep(Duration::from_millis(100)).await,
        }
        if accepting.is_empty() {
            accepting = listeners.iter().map(TcpListener::accept).collect();
        }
    }
}

/// `place` is given up once the client shows that it was let in: then nobody takes its place.
async fn serve_connection(
    stream: TcpStream,
    state: &State<'_>,
    place: Place,
    cut_off: CancellationToken,
) {
    if let Peer::OfUser(uid) = Peer::of(&stream).await {
        tell_of_other(uid, state);
        return;
    }
    let _ = stream.set_nodelay(true);
    let place = RefCell::new(Some(place));
    let service = service_fn(async |request| {
        if state.gate.has_session(request.headers()) {
            place.take();
        }
        Ok::<_, std::convert::Infallible>(state.answer(&request).await)
    });
    // A client that breaks off, or does not speak HTTP, harms nobody else.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(
            TokioIo::new(WriteWithin::new(stream, TAKEN_WITHIN)),
            service,
        );
    let connection = cut_off.run_until_cancelled(connection);
    // Nor does a fault of this program, which has told of itself already.
    let _ = AssertUnwindSafe(connection).catch_unwind().await;
}

/// Says once that somebody else was sent away.
fn tell_of_other(uid: u32, state: &State<'_>) {
    if !state.has_told_of_others.replace(true) {
        output::error(format_args!(
            "warning: user {uid} of this machine has connected, and was sent away: the pages are for the user who \
             runs this command"
        ));
    }
}
