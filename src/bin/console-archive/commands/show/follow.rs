//! Shows what a machine prints while its captures come in.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use ecs_console_archiver::archive::key::RecordKey;
use ecs_console_archiver::config::Redact;
use ecs_console_archiver::credentials::Owner;
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::reading::log::{Log, Part};
use ecs_console_archiver::reading::stitch::Capture;
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::source::ConsoleSource as _;
use ecs_console_archiver::source::ecs::response::EcsError;
use ecs_console_archiver::store::{ArchiveStore, Store, StoreError};
use ecs_console_archiver::terminal::Line;
use jiff::Timestamp;

use super::printer::{Amount, Content, Reader};
use crate::boots::{Reading, Summary, hide_secrets};
use crate::commands::{CliArchiver, Context};
use crate::exit::{Exit, WrongInput};
use crate::output;
use crate::pager::Destination;

/// Asks ECS for the console of an instance.
pub struct Live {
    archiver: CliArchiver,
    region_id: RegionId,
}

impl Live {
    pub fn new(archiver: CliArchiver) -> Result<Self> {
        let region_id = archiver.default_region.clone().ok_or_else(|| {
            WrongInput("no region: give --region or set ALIBABA_CLOUD_REGION_ID".into())
        })?;
        Ok(Self {
            archiver,
            region_id,
        })
    }

    /// Adds what ECS has now, unless it was read before. Returns whether it is new.
    pub async fn look(
        &self,
        reading: &mut Reading,
        instance_id: &InstanceId,
        context: &Context,
    ) -> Result<bool> {
        match self.ask(instance_id, context.time()).await? {
            Asked::Console(capture) => Ok(reading.add(capture)),
            Asked::None(why) => {
                output::error(format_args!("ECS: {why}"));
                Ok(false)
            }
            Asked::Undecoded => Ok(false),
        }
    }

    /// Asks what ECS has now, for so long.
    pub async fn ask(&self, instance_id: &InstanceId, time: Duration) -> Result<Asked> {
        let source = Retrying::new(&self.archiver.source, Deadline::after(time));
        let asked = source.console_output(Owner::Own, &self.region_id, instance_id);
        let console = match asked.await {
            Ok(console) if console.is_undecoded => return Ok(Asked::Undecoded),
            Ok(console) => console,
            Err(EcsError::NoConsole { reason, .. }) => return Ok(Asked::None(reason.message())),
            Err(error) if error.is_transient() => return Err(Unanswered(error.to_string()).into()),
            Err(error) => return Err(error.into()),
        };
        let key = RecordKey::of(instance_id, &console);
        Ok(Asked::Console(Capture {
            name: key.name(),
            captured_at: Timestamp::now(),
            updated_at: key.last_update_time,
            started_at: None,
            event_id: None,
            plain: console.plain,
        }))
    }
}

/// What ECS answers.
pub enum Asked {
    Console(Capture),
    /// There is none, and why.
    None(&'static str),
    /// Not a part of the console.
    Undecoded,
}

/// Reads on. An archive's folder that is not there will be there with the first record.
pub async fn read_what_is_there(
    reading: &mut Reading,
    store: &impl Store,
    instance_id: &InstanceId,
) -> Result<bool> {
    match reading.go_on(store, instance_id).await {
        Err(error) if matches!(error.downcast_ref(), Some(StoreError::NoFolder(_))) => Ok(false),
        read => read,
    }
}

/// ECS does not answer now, and may later.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unanswered(String);

/// A boot that is shown as it grows.
pub struct Follow<'a> {
    pub instance_id: &'a InstanceId,
    pub store: &'a ArchiveStore,
    pub live: Option<Live>,
    pub interval: Duration,
    pub redact: Redact,
}

/// What has been shown.
#[derive(Default)]
struct Shown {
    boot_id: String,
    /// Parts of its log that were shown whole.
    parts: usize,
    /// What was shown of the line behind them, whose end has not come.
    open: Vec<u8>,
}

impl Follow<'_> {
    /// Shows the newest boot until Ctrl-C.
    ///
    /// # Errors
    /// Of the store, of ECS, and of standard output.
    pub async fn run(
        &self,
        mut reading: Reading,
        content: Content,
        before: Amount,
        context: &Context,
    ) -> Result<Exit> {
        let (mut shown, mut is_new, mut is_waiting) = (Shown::default(), true, false);
        loop {
            if is_new {
                is_waiting = !self.show(&reading, &content, before, &mut shown)?;
            }
            if std::mem::take(&mut is_waiting) {
                output::error(format_args!(
                    "waiting for the first console of {}",
                    self.instance_id
                ));
            }
            tokio::time::sleep(self.interval).await;
            let store = Retrying::new(self.store, Deadline::after(context.time()));
            is_new = read_what_is_there(&mut reading, &store, self.instance_id).await?;
            if let Some(live) = &self.live {
                is_new |= match live.look(&mut reading, self.instance_id, context).await {
                    // The archive may have more, and ECS comes back.
                    Err(error) if error.is::<Unanswered>() => {
                        output::error(format_args!("warning: {error}; asking again"));
                        false
                    }
                    looked => looked?,
                };
            }
        }
    }

    /// Shows what has come. Returns whether there is a boot at all.
    fn show(
        &self,
        reading: &Reading,
        content: &Content,
        before: Amount,
        shown: &mut Shown,
    ) -> Result<bool> {
        let mut boots = reading.boots_from(&shown.boot_id);
        for boot in &mut boots {
            hide_secrets(&mut boot.log, self.redact);
        }
        let is_first = shown.boot_id.is_empty();
        let known = boots.iter().position(|boot| boot.id == shown.boot_id);
        // Of more than one boot since the last look, each is shown.
        let first = match known {
            Some(known) => known,
            None => boots.len().saturating_sub(1),
        };
        let mut stdout = Destination::stdout();
        for index in first..boots.len() {
            let summary = Summary::new(&boots, index);
            if shown.boot_id != summary.boot.id {
                if !std::mem::take(&mut shown.open).is_empty() {
                    stdout.write_all(b"\n")?;
                }
                *shown = Shown {
                    boot_id: summary.boot.id.clone(),
                    ..Shown::default()
                };
                let reader = Reader::new(content, self.instance_id, &summary);
                if !content.is_json {
                    stdout.write_all(reader.heading().as_bytes())?;
                }
            }
            let least = match (is_first, before) {
                (true, Amount::Last(lines)) => Some(lines),
                _ => None,
            };
            self.show_boot(&summary, content, least, shown, &mut stdout)?;
        }
        stdout.flush()?;
        Ok(!boots.is_empty())
    }

    /// `last`: at first, only so many lines of what is there.
    fn show_boot(
        &self,
        summary: &Summary<'_>,
        content: &Content,
        last: Option<usize>,
        shown: &mut Shown,
        stdout: &mut Destination,
    ) -> Result<()> {
        let log = Log::new(summary.boot, content.encoding);
        let mut reader = Reader::new(content, self.instance_id, summary);
        let (mut parts, mut line) = (log.parts(), Line::default());
        let (mut number, mut texts, mut open) = (0, Vec::new(), None);
        while let Some(part) = parts.read(&mut line) {
            number += 1;
            let text = match &part {
                Part::Mark(mark) => reader.mark(mark),
                Part::Line(place) => reader.line(&mut line, place),
            };
            if number <= shown.parts {
                continue;
            }
            match part {
                Part::Line(place) if !place.is_ended => open = Some(text),
                _ => {
                    shown.parts = number;
                    texts.push(text);
                }
            }
        }
        let skipped = last.map_or(0, |last| texts.len().saturating_sub(last));
        for text in texts.into_iter().skip(skipped) {
            shown.put(&text, stdout)?;
            shown.open.clear();
        }
        // A prompt has no end, and is what people wait for. Programs get whole lines.
        if let Some(open) = open.filter(|_| !content.is_json) {
            let open = open.strip_suffix(b"\n").unwrap_or(&open);
            shown.put(open, stdout)?;
            shown.open = open.to_vec();
        }
        Ok(())
    }
}

impl Shown {
    /// Shows a line, of which a part may be there already.
    fn put(&self, text: &[u8], stdout: &mut Destination) -> Result<()> {
        match text.strip_prefix(&self.open[..]) {
            Some(rest) => stdout.write_all(rest)?,
            None if text.is_empty() => {}
            None => {
                stdout.write_all(b"\n")?;
                stdout.write_all(text)?;
            }
        }
        Ok(())
    }
}
