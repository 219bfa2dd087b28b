//! `console-archive redrive`: failed events, served again.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use ecs_console_archiver::printable;
use ecs_console_archiver::queue::Queue;
use ecs_console_archiver::redrive::{InvalidEvents, RedriveError, Redriven, failed_events};
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
    let listed = Count {
        events: urls.len(),
        ..Count::default()
    };
    Ok(listed.end())
}

/// What was done, and what is left.
#[derive(Default)]
struct Count {
    events: usize,
    failed: usize,
    invalid: usize,
}

pub async fn archive(
    archiver: &CliArchiver,
    invalid: InvalidEvents,
    time: Duration,
    output: Output,
) -> Result<End> {
    let store = Retrying::new(&archiver.store, Deadline::after(time));
    let mut count = Count::default();
    for key in failed_events(&store).await? {
        let redriven = archiver.redrive(&key, invalid, Deadline::after(time)).await;
        count.tell(&key.to_string(), &redriven, time, output)?;
    }
    Ok(count.end())
}

/// Until the queue has none left but those that failed again.
pub async fn queue(
    archiver: &CliArchiver,
    queue: &Queue,
    is_fifo: bool,
    invalid: InvalidEvents,
    time: Duration,
    output: Output,
) -> Result<End> {
    let mut count = Count::default();
    // By their IDs; whether each is done.
    let mut seen: BTreeMap<String, bool> = BTreeMap::new();
    let serving = time + SERVING_RESERVE;
    loop {
        let messages = retry(Deadline::after(time), "ReceiveMessage", || {
            queue.receive(serving)
        })
        .await?;
        let mut is_new = false;
        for message in messages {
            let deadline = Deadline::after(time);
            match seen.get(&message.id) {
                // SQS delivers at least once. It is not served twice, and must not stay.
                Some(true) => {
                    retry(deadline, "DeleteMessage", || queue.delete(&message)).await?;
                }
                // It failed, and its time of invisibility is over.
                Some(false) => {}
                None => {
                    is_new = true;
                    let redriven = archiver
                        .redrive_message(queue, &message, invalid, deadline)
                        .await;
                    let what = format!("message {}", count.events + 1);
                    seen.insert(message.id.clone(), redriven.is_ok());
                    count.tell(&what, &redriven, time, output)?;
                }
            }
        }
        if !is_new {
            if is_fifo {
                count.tell_of_fifo();
            }
            return Ok(count.end());
        }
    }
}

impl Count {
    fn tell(
        &mut self,
        what: &str,
        redriven: &Result<Redriven, RedriveError>,
        time: Duration,
        output: Output,
    ) -> Result<()> {
        self.events += 1;
        if output == Output::Text {
            writeln!(std::io::stdout(), "{what}")?;
        }
        match redriven {
            Ok(Redriven::Served(Value::Array(outcomes))) => outcomes
                .iter()
                .try_for_each(|one| show::outcome(one, output)),
            Ok(Redriven::Served(outcome)) => show::outcome(outcome, output),
            Ok(Redriven::Gone) => Ok(()),
            Ok(Redriven::Dropped(why)) if output == Output::Json => {
                show::json(&json!({"dropped": what, "error": why.to_json()}))
            }
            Ok(Redriven::Dropped(why)) => {
                let why = printable::one_line(&why.message);
                Ok(writeln!(std::io::stdout(), "  dropped: {why}")?)
            }
            Err(error) => {
                match error {
                    RedriveError::Invalid(_) => self.invalid += 1,
                    _ => self.failed += 1,
                }
                show::error(format_args!("{what} stays: {error}"));
                if error.is_transient() {
                    show::timed_out(&error.to_string(), time);
                }
                Ok(())
            }
        }
    }

    /// Behind what failed again, a FIFO queue gives nothing of the same message group.
    fn tell_of_fifo(&self) {
        if self.failed + self.invalid > 0 {
            show::error(
                "it is a FIFO queue: messages behind these in their groups come only when these \
                 are gone or visible again; redrive again then",
            );
        }
    }

    fn end(&self) -> End {
        if self.events == 0 {
            show::error("no failed events");
            return End::Nothing;
        }
        if self.invalid > 0 {
            show::error(format_args!(
                "{} of the events can never succeed; look at them, then remove them with \
                 --drop-invalid",
                self.invalid
            ));
        }
        match (self.failed, self.invalid) {
            (0, 0) => End::Done,
            (0, _) => End::Wrong,
            _ => End::Failed,
        }
    }
}
