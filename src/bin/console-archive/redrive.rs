//! `console-archive redrive`: failed events, served again.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use ecs_console_archiver::printable;
use ecs_console_archiver::queue::Queue;
use ecs_console_archiver::redrive::{RedriveError, failed_events};
use ecs_console_archiver::retry::{Deadline, Retrying, retry};
use ecs_console_archiver::store::Store as _;
use serde_json::{Value, json};

use crate::arguments::Output;
use crate::{CliArchiver, End, show};

/// What serving a message takes besides the time it is given: the requests about the message.
const SERVING_RESERVE: Duration = Duration::from_secs(30);

/// Lists what the archive keeps, and serves nothing.
pub async fn list(archiver: &CliArchiver, time: Duration, output: Output) -> Result<End> {
    let store = Retrying::new(&archiver.store, Deadline::after(time));
    let keys = failed_events(&store).await?;
    let urls: Vec<_> = keys.iter().map(|key| store.url(&key.to_string())).collect();
    if output == Output::Json {
        show::json(&json!(urls))?;
    } else {
        for url in &urls {
            writeln!(std::io::stdout(), "{}", printable::one_line(url))?;
        }
    }
    Ok(end(urls.len(), 0))
}

pub async fn archive(archiver: &CliArchiver, time: Duration, output: Output) -> Result<End> {
    let store = Retrying::new(&archiver.store, Deadline::after(time));
    let keys = failed_events(&store).await?;
    let (events, mut failed) = (keys.len(), 0);
    for key in keys {
        let served = archiver.redrive(&key, Deadline::after(time)).await;
        failed += usize::from(served.is_err());
        tell(&key.to_string(), &served, time, output)?;
    }
    Ok(end(events, failed))
}

/// Until the queue has none left but those that failed again.
pub async fn queue(
    archiver: &CliArchiver,
    queue: &Queue,
    time: Duration,
    output: Output,
) -> Result<End> {
    let (mut events, mut failed) = (0, 0);
    let mut seen = BTreeSet::new();
    let serving = time + SERVING_RESERVE;
    loop {
        let messages = retry(Deadline::after(time), "ReceiveMessage", || {
            queue.receive(serving)
        })
        .await?;
        // One that comes back is one that failed, and its time of invisibility is over.
        if messages.iter().all(|message| seen.contains(&message.id)) {
            return Ok(end(events, failed));
        }
        for message in messages {
            if !seen.insert(message.id.clone()) {
                continue;
            }
            let deadline = Deadline::after(time);
            let served = archiver.redrive_message(queue, &message, deadline).await;
            events += 1;
            failed += usize::from(served.is_err());
            tell(&format!("message {events}"), &served, time, output)?;
        }
    }
}

fn tell(
    what: &str,
    served: &Result<Value, RedriveError>,
    time: Duration,
    output: Output,
) -> Result<()> {
    if output == Output::Text {
        writeln!(std::io::stdout(), "{what}")?;
    }
    match served {
        Ok(Value::Array(outcomes)) => outcomes
            .iter()
            .try_for_each(|one| show::outcome(one, output)),
        Ok(outcome) => show::outcome(outcome, output),
        Err(error) => {
            show::error(format_args!("{what} stays: {error}"));
            if error.is_transient() {
                show::timed_out(&error.to_string(), time);
            }
            Ok(())
        }
    }
}

fn end(events: usize, failed: usize) -> End {
    if events == 0 {
        show::error("no failed events");
        End::Nothing
    } else if failed > 0 {
        End::Failed
    } else {
        End::Done
    }
}
