//! A search of the archive, instance by instance, whose page grows while it is searched.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use ecs_console_archiver::archive::reader::{self, RecordEntry};
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::pattern::{Case, Meaning, Pattern};
use ecs_console_archiver::reading::search::{Around, Buffers, Search};
use ecs_console_archiver::retry::{Deadline, Retrying};
use ecs_console_archiver::store::ArchiveStore;
use futures_util::Stream;
use futures_util::stream;
use hyper::body::Frame;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::super::Context;
use super::super::grep;
use super::super::grep::fleet::{Found, Job, Results, Task};
use super::super::grep::form::{Excerpt, Form, Kind};
use super::address::SearchQuery;
use super::pages::search::{Part, SearchPage};
use super::state::Archive;
use crate::exit::WrongInput;
use crate::pace::Pace;
use crate::time::{Bound, Period};

/// How long one page goes on. The next one begins where it ended.
const TIME: Duration = Duration::from_secs(10);
/// Lines on a page. An instance is shown whole, up to as many.
pub const MAX_LINES: usize = 500;
/// Lines of a boot.
pub const MAX_OF_BOOT: usize = 50;
/// What is shown of a line, so that what matches is seen, also in a line of a megabyte. The line itself is a click away.
const EXCERPT: Excerpt = Excerpt {
    characters: 400,
    before: 120,
};
/// What waits of an instance to be shown, in bytes.
const MAX_BYTES: usize = 4 << 20;

/// A line that was found.
#[derive(Debug)]
pub struct Hit {
    pub number: usize,
    /// A part of it, if it is long.
    pub text: String,
    /// What matches, as bytes of the text.
    pub matches: Vec<std::ops::Range<usize>>,
    /// Whether the line has more before, and behind.
    pub is_cut: (bool, bool),
}

/// What was found in a log.
#[derive(Debug, Default)]
pub struct InLog {
    /// `None` if it is of a record that is damaged.
    pub boot_id: Option<String>,
    /// Which boot it is: 0 is the newest, -1 the one before.
    pub number: Option<isize>,
    pub hits: Vec<Hit>,
    /// When it was first captured.
    pub captured_at: jiff::Timestamp,
}

/// How much was searched.
#[derive(Debug, Default, Clone)]
pub struct Searched {
    pub instances: usize,
    pub logs: u64,
    pub records: u64,
    pub lines: usize,
    /// Boots of which not all lines are shown.
    pub cut: usize,
    pub damaged: Vec<String>,
}

/// Why a search has ended.
#[derive(Debug)]
pub enum Ended {
    /// All was searched.
    Through,
    /// The time was over, or a page is full. It goes on behind this instance.
    Paused {
        after: Option<InstanceId>,
    },
    Failed(String),
}

/// A search that goes on while its page is read.
pub struct Going {
    results: Results,
    names: VecDeque<InstanceId>,
    page: SearchPage,
    searched: Searched,
    last: Option<InstanceId>,
    begun: Instant,
    /// For the first instance, however long the page takes.
    patience: Duration,
    next: Next,
}

enum Next {
    Head,
    Instances,
    Nothing,
}

/// What ripgrep's form says of a line. Other kinds have none of it.
#[derive(Deserialize)]
struct Printed {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    line_number: Option<usize>,
    lines: Option<Text>,
    boot_id: Option<String>,
    #[serde(default)]
    submatches: Vec<Place>,
    #[serde(default)]
    is_cut: (bool, bool),
}

#[derive(Deserialize)]
struct Text {
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct Place {
    start: usize,
    end: usize,
}

/// The pattern that a query asks for.
///
/// # Errors
/// [`WrongInput`] for a regular expression that is none.
pub fn pattern(query: &SearchQuery) -> Result<Pattern, WrongInput> {
    let meaning = Meaning {
        case: Case::Smart,
        is_literal: !query.is_regex,
        is_word: false,
        is_line: false,
    };
    let pattern = Pattern::new(std::slice::from_ref(&query.text), meaning);
    pattern.map_err(|error| WrongInput(format!("q: this pattern cannot be used: {error}")))
}

/// Begins a search. `turn` is held until its last thread has ended.
///
/// # Errors
/// Of the store, or [`WrongInput`].
pub async fn begin(
    query: SearchQuery,
    archive: &Archive,
    context: &Context,
    page: impl FnOnce(SearchQuery, usize) -> SearchPage,
    turn: OwnedSemaphorePermit,
) -> Result<Going> {
    let pattern = pattern(&query)?;
    let bound = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<Bound>().ok());
    let (since, until) = (bound(&query.since), bound(&query.until));
    let period = Period::of(since.as_ref(), until.as_ref(), &context.time_zone);
    if period.is_empty() {
        return Err(WrongInput("until: it is before since".into()).into());
    }
    let tasks = tasks(&query, period, archive, context).await?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let stores: Result<Vec<ArchiveStore>> = (0..threads.min(tasks.len()))
        .map(|_| context.store())
        .collect();
    // One more than is shown says that there are more.
    let most = MAX_OF_BOOT as u64 + 1;
    let has_times = period.is_bounded();
    let job = Job {
        redact: archive.redact,
        search: Search::new(
            pattern,
            Around {
                before: 0,
                after: 0,
                is_inverted: false,
                // Lines of another time do not count.
                most: (!has_times).then_some(most),
            },
        ),
        form: Form {
            kind: Kind::Lines,
            is_json: true,
            has_numbers: true,
            has_headings: false,
            colours: false,
            max_columns: None,
            most,
            is_raw: false,
            period,
            // No excerpt has more characters.
            max_matches: EXCERPT.characters + 1,
            excerpt: Some(EXCERPT),
            cancelled: CancellationToken::new(),
        },
        encoding: EncodingChoice::Auto,
        is_by_capture: false,
        boot: None,
        endings: Vec::new(),
        is_by_time: false,
        time: context.time(),
        buffers: Buffers::default(),
        max_bytes: Some(MAX_BYTES),
        turn: Some(Arc::new(turn)),
    };
    context.reads();
    let names = tasks.iter().map(|(id, _)| id.clone()).collect();
    Ok(Going {
        page: page(query, tasks.len()),
        results: grep::fleet::start(stores?, tasks, &job, &Pace::new()),
        names,
        searched: Searched::default(),
        last: None,
        begun: Instant::now(),
        patience: context.time(),
        next: Next::Head,
    })
}

/// The instances to search, in order, with their records.
async fn tasks(
    query: &SearchQuery,
    period: Period,
    archive: &Archive,
    context: &Context,
) -> Result<Vec<Task>> {
    let store = Retrying::new(&archive.store, Deadline::after(context.time()));
    let glob = query.instance.as_deref();
    // Only of one instance, nothing else is listed.
    let one = glob.and_then(|glob| InstanceId::parse(glob).ok());
    let globs: Vec<_> = glob
        .iter()
        .filter_map(|glob| grep::glob(glob).ok())
        .collect();
    let mut tasks = BTreeMap::<InstanceId, Vec<RecordEntry>>::new();
    for record in reader::list(&store, one.as_ref()).await?.records {
        let id = &record.key.instance_id;
        let is_named = globs.iter().all(|glob| glob.is_match(id.as_str()));
        let is_behind = query.after.as_ref().is_none_or(|after| id > after);
        // What was captured before shows nothing that was printed since.
        let is_late = period.since.is_none_or(|since| since <= record.stored_at);
        if is_named && is_behind && is_late {
            tasks.entry(id.clone()).or_default().push(record);
        }
    }
    Ok(tasks.into_iter().collect())
}

impl Going {
    /// The page, part by part.
    pub fn into_parts(self) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
        stream::unfold(self, async |mut going| {
            let part = going.part().await?;
            Some((Ok(Frame::data(Bytes::from(part))), going))
        })
    }

    async fn part(&mut self) -> Option<String> {
        match self.next {
            Next::Head => {
                self.next = Next::Instances;
                Some(self.page.part(Part::Head))
            }
            Next::Instances => Some(self.instances().await),
            Next::Nothing => None,
        }
    }

    /// What is found next, or the end of the page.
    async fn instances(&mut self) -> String {
        loop {
            let is_full = self.searched.lines >= MAX_LINES && !self.names.is_empty();
            let left = TIME.saturating_sub(self.begun.elapsed());
            let ended = if is_full || (left.is_zero() && self.last.is_some()) {
                Ended::Paused {
                    after: self.last.clone(),
                }
            } else {
                let wait = match self.last {
                    Some(_) => left,
                    None => self.patience,
                };
                match tokio::time::timeout(wait, self.results.next()).await {
                    Ok(Some(Ok(found))) => {
                        let id = self.names.pop_front();
                        if let Some(id) = id {
                            let logs = self.add(&found);
                            self.last = Some(id.clone());
                            if !logs.is_empty() {
                                let left_out = found.left_out;
                                return self.page.part(Part::Instance(&id, &logs, left_out));
                            }
                        }
                        continue;
                    }
                    Ok(Some(Err(error))) => Ended::Failed(format!("{error:#}")),
                    Ok(None) if self.names.is_empty() => Ended::Through,
                    Ok(None) => Ended::Failed(
                        "a part of it failed; the terminal of `console-archive serve` says why"
                            .into(),
                    ),
                    Err(_) if self.last.is_some() => continue,
                    Err(_) => Ended::Failed(format!(
                        "the archive did not answer within {} s; --timeout gives it longer",
                        self.patience.as_secs()
                    )),
                }
            };
            self.next = Next::Nothing;
            let time = self.begun.elapsed();
            return self.page.part(Part::End(&self.searched, &ended, time));
        }
    }

    fn add(&mut self, found: &Found) -> Vec<InLog> {
        let searched = &mut self.searched;
        searched.instances += 1;
        searched.logs += found.logs;
        searched.records += found.records;
        searched.damaged.extend_from_slice(&found.damaged);
        let mut logs = Vec::new();
        for printed in &found.printed {
            let mut log = InLog {
                captured_at: printed.captured_at,
                // Records of old boots may be left out, and those of the newest one never.
                number: printed
                    .boot
                    .map(|index| index as isize + 1 - found.boots as isize),
                ..InLog::default()
            };
            for printed in printed.text.split(|byte| *byte == b'\n') {
                let Ok(Printed { data }) = serde_json::from_slice(printed) else {
                    continue;
                };
                let (Some(number), Some(line)) = (data.line_number, data.lines) else {
                    continue;
                };
                log.boot_id = data.boot_id;
                let places = data.submatches.into_iter();
                log.hits.push(Hit {
                    number,
                    text: line.text,
                    matches: places.map(|place| place.start..place.end).collect(),
                    is_cut: data.is_cut,
                });
            }
            if log.hits.len() > MAX_OF_BOOT {
                searched.cut += 1;
                log.hits.truncate(MAX_OF_BOOT);
            }
            searched.lines += log.hits.len();
            logs.push(log);
        }
        logs
    }
}
