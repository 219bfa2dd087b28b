//! `console-archive redrive`: failed events, served again.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use ecs_console_archiver::archive::key::{FAILED_PREFIX, FailedKey};
use ecs_console_archiver::archive::reader;
use ecs_console_archiver::hosts::redrive::{
    InvalidEvents, Place, RedriveError, Redriven, Rest, Why, failed_events,
};
use ecs_console_archiver::model::outcome::ErrorType;
use ecs_console_archiver::queue::sqs::{QueueConfig, SqsQueue};
use ecs_console_archiver::retry::{Deadline, Retrying, retry};
use ecs_console_archiver::store::{ArchiveStore, Entry, Store as _};
use ecs_console_archiver::{log, printable};
use serde_json::json;

use super::{CliDispatcher, Context, EcsArguments};
use crate::exit::{Exit, unless_closed};
use crate::interrupt::Interrupt;
use crate::output::{self, Output};
use crate::record::Taken;
use crate::table::{Cell, Column, Table};
use crate::time;

/// Serve failed events again
///
/// Without --queue-url, it serves the events that the archive keeps below failed/. With it, it serves
/// the messages of that dead-letter queue. An event is removed when everything in it succeeds. An array of
/// events or a sweep that does not get to its end within --timeout leaves an event for the rest, which
/// is served next. What failed in it stays, as an event of its own. The exit code is 1 if something
/// failed again, and 2 if events are left that can never succeed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive redrive --dry-run
  console-archive redrive \\
    --queue-url https://sqs.us-east-1.amazonaws.com/123456789012/NAME")]
pub struct Arguments {
    /// Address of a dead-letter queue in SQS
    #[arg(long, value_name = "URL", conflicts_with = "dry_run")]
    queue_url: Option<String>,
    /// List the events that the archive keeps, and serve none
    #[arg(long)]
    dry_run: bool,
    /// Remove events that can never succeed: not JSON, an unknown form, an invalid ID
    #[arg(long, conflicts_with = "dry_run")]
    drop_invalid: bool,
    #[command(flatten)]
    ecs: EcsArguments,
}

/// What serving a message takes besides the time it is given: the requests about the message.
const SERVING_RESERVE: Duration = Duration::from_secs(30);

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    log::init(&context.log());
    let queue = arguments
        .queue_url
        .map(|url| QueueConfig::from_environment(&url, &context.environment))
        .transpose()?;
    if arguments.dry_run {
        let list = list(context.store()?, context);
        return context.unless_interrupted(list).await;
    }
    let dispatcher = context.dispatcher(arguments.ecs)?;
    let invalid = if arguments.drop_invalid {
        InvalidEvents::Drop
    } else {
        InvalidEvents::Keep
    };
    match queue {
        Some(config) => {
            let is_fifo = config.is_fifo();
            let queue = context.queue(config)?;
            serve_queue(&dispatcher, &queue, is_fifo, invalid, context).await
        }
        None => serve_archive(&dispatcher, invalid, context).await,
    }
}

/// Lists what the archive keeps, and serves nothing.
async fn list(store: ArchiveStore, context: &Context) -> Result<Exit> {
    let store = Retrying::new(&store, Deadline::after(context.time()));
    let entries = reader::entries(&store, FAILED_PREFIX).await?;
    let events = entries
        .iter()
        .filter_map(|entry| Some((FailedKey::parse(&entry.key)?, entry)));
    let events: Vec<_> = events.collect();
    if context.output == Output::Json {
        let event = |(key, entry): &(FailedKey, &Entry)| {
            json!({
                "error_type": key.error_type,
                "key": entry.key,
                "url": store.url(&entry.key),
                "stored_at": entry.stored_at.to_string(),
            })
        };
        output::json(&events.iter().map(event).collect())?;
    } else if !events.is_empty() {
        let row = |(key, entry): &(FailedKey, &Entry)| {
            let url = store.url(&entry.key);
            vec![
                Cell::from(key.error_type.as_str()),
                time::shown(entry.stored_at, &context.time_zone).into(),
                printable::one_line(&url).into_owned().into(),
            ]
        };
        let headings = ["ERROR TYPE", "KEPT", "EVENT"].map(Column::text);
        context.print(&Table::new(
            headings.into(),
            events.iter().map(row).collect(),
        ))?;
    }
    if events.is_empty() {
        output::error("no failed events");
        return Ok(Exit::Nothing);
    }
    Ok(Exit::Done)
}

/// What was done, and what is left.
struct Count {
    taken: Taken,
    events: usize,
    failed: usize,
    invalid: usize,
}

async fn serve_archive(
    dispatcher: &CliDispatcher,
    invalid: InvalidEvents,
    context: &Context,
) -> Result<Exit> {
    let (time, interrupt) = (context.time(), &context.interrupt);
    let store = Retrying::new(&dispatcher.archiver.store, Deadline::after(time));
    let mut count = Count::new(dispatcher);
    let mut keys = VecDeque::from(failed_events(&store).await?);
    while let Some(key) = keys.pop_front() {
        if interrupt.is_pressed() {
            let left = match keys.len() + 1 {
                1 => "1 failed event was not served, and stays".to_owned(),
                left => format!("{left} failed events were not served, and stay"),
            };
            output::error(format_args!("interrupted: {left}"));
            return Ok(Exit::Interrupted);
        }
        let name = key.to_string();
        let redrive = dispatcher.redrive(&key, invalid, Deadline::after(time));
        let redriven = interrupt.finish(&name, redrive).await;
        unless_closed(count.tell(&name, &redriven, time, context.output))?;
        if let Ok(Redriven::Left(part)) = redriven
            && !part.is_stuck()
        {
            // Each part makes progress, so that this ends.
            let rests = part.rests.into_iter();
            let goes_on = rests.filter(|rest| matches!(rest.why, Why::TimeOver));
            for rest in goes_on {
                if let Place::Key(key) = rest.place {
                    keys.push_front(key);
                }
            }
        }
    }
    Ok(count.exit(interrupt))
}

/// Until the queue has none left but those that failed again.
async fn serve_queue(
    dispatcher: &CliDispatcher,
    queue: &SqsQueue,
    is_fifo: bool,
    invalid: InvalidEvents,
    context: &Context,
) -> Result<Exit> {
    let (time, interrupt) = (context.time(), &context.interrupt);
    let mut count = Count::new(dispatcher);
    // By their IDs; whether each is done.
    let mut seen: BTreeMap<String, bool> = BTreeMap::new();
    let serving = time + SERVING_RESERVE;
    loop {
        if interrupt.is_pressed() {
            return Ok(Exit::Interrupted);
        }
        let messages = retry(Deadline::after(time), "ReceiveMessage", || {
            queue.receive(serving)
        });
        let messages = interrupt.finish("a receive", messages).await?;
        let mut is_new = false;
        for (index, message) in messages.iter().enumerate() {
            if interrupt.is_pressed() {
                let left = messages.len() - index;
                output::error(format_args!(
                    "interrupted: {left} messages were received and not served; the queue has \
                     them again when their visibility time-out is over"
                ));
                return Ok(Exit::Interrupted);
            }
            let deadline = Deadline::after(time);
            match seen.get(&message.id) {
                // SQS delivers at least once. It is not served twice, and must not stay.
                Some(true) => {
                    retry(deadline, "DeleteMessage", || queue.delete(message)).await?;
                }
                // It failed, and its time of invisibility is over.
                Some(false) => {}
                None => {
                    is_new = true;
                    let what = format!("message {}", count.events + 1);
                    let redrive = dispatcher.redrive_message(queue, message, invalid, deadline);
                    let redriven = interrupt.finish(&what, redrive).await;
                    let mut is_done = redriven.is_ok();
                    if let Ok(Redriven::Left(part)) = &redriven {
                        for Rest { place, why, .. } in &part.rests {
                            match (place, why) {
                                (Place::Message(_), Why::TimeOver) if !part.is_stuck() => {}
                                // Served once more, the same would fail again.
                                (Place::Message(id), _) => {
                                    seen.insert(id.clone(), false);
                                }
                                _ => is_done = false,
                            }
                        }
                    }
                    seen.insert(message.id.clone(), is_done);
                    unless_closed(count.tell(&what, &redriven, time, context.output))?;
                }
            }
        }
        if !is_new {
            if is_fifo {
                count.tell_of_fifo();
            }
            return Ok(count.exit(interrupt));
        }
    }
}

/// What is left of an event, and where it is.
fn tell_left(what: &str, rest: &Rest) {
    let place = match &rest.place {
        Place::Same => format!("{what} stays"),
        Place::Key(key) => format!("{what} is replaced by {key}"),
        Place::Message(_) => format!("{what} is replaced by another message in the queue"),
    };
    let why = match &rest.why {
        Why::TimeOver => "the time was over before all of it was done".to_owned(),
        Why::Failed(failure) => failure.message.clone(),
        Why::FailedInSweeps(1) => "1 instance or region failed".to_owned(),
        Why::FailedInSweeps(failed) => format!("{failed} instances or regions failed"),
    };
    let left = match rest.event.as_array() {
        Some(events) => format!("{} events", events.len()),
        None => rest.event.to_string(),
    };
    output::error(format_args!("{place}: {why}; left: {left}"));
}

impl Count {
    fn new(dispatcher: &CliDispatcher) -> Self {
        Self {
            taken: Taken::within(dispatcher.archiver.follow_budget),
            events: 0,
            failed: 0,
            invalid: 0,
        }
    }

    fn tell(
        &mut self,
        what: &str,
        redriven: &Result<Redriven, RedriveError>,
        time: Duration,
        output: Output,
    ) -> Result<()> {
        self.events += 1;
        if output == Output::Text {
            // What failed is counted and told whether or not somebody reads this.
            unless_closed(writeln!(std::io::stdout(), "{what}").map_err(Into::into))?;
        }
        match redriven {
            Ok(Redriven::Served(answer)) => output::outcomes(answer, self.taken, output),
            Ok(Redriven::Left(part)) => {
                let printed = output::outcomes(&part.answer, self.taken, output);
                let whys = part.rests.iter().map(|rest| &rest.why);
                for why in whys {
                    match why {
                        Why::Failed(failure) if failure.error_type == ErrorType::InvalidEvent => {
                            self.invalid += 1;
                        }
                        Why::TimeOver => {}
                        Why::Failed(_) | Why::FailedInSweeps(_) => self.failed += 1,
                    }
                }
                for rest in &part.rests {
                    tell_left(what, rest);
                }
                printed
            }
            Ok(Redriven::Gone) => Ok(()),
            Ok(Redriven::Dropped(why)) if output == Output::Json => {
                output::json(&json!({"dropped": what, "error": why.to_json()}))
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
                output::error(format_args!("{what} stays: {error}"));
                if error.is_transient() {
                    output::timed_out(&error.to_string(), time);
                }
                Ok(())
            }
        }
    }

    /// Behind what failed again, a FIFO queue gives nothing of the same message group.
    fn tell_of_fifo(&self) {
        if self.failed + self.invalid > 0 {
            output::error(
                "it is a FIFO queue: messages behind these in their groups come only when these \
                 are gone or visible again; redrive again then",
            );
        }
    }

    fn exit(&self, interrupt: &Interrupt) -> Exit {
        if interrupt.is_pressed() {
            return Exit::Interrupted;
        }
        if self.failed > 0 {
            output::error("see what `console-archive doctor` says, then redrive again");
        }
        if self.events == 0 {
            output::error("no failed events");
            return Exit::Nothing;
        }
        if self.invalid > 0 {
            output::error(format_args!(
                "{} of the events can never succeed; look at them, then remove them with \
                 --drop-invalid",
                self.invalid
            ));
        }
        match (self.failed, self.invalid) {
            (0, 0) => Exit::Done,
            (0, _) => Exit::Wrong,
            _ => Exit::Failed,
        }
    }
}
