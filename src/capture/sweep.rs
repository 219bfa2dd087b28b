//! A sweep captures the console of every instance in whole regions, also of those whose event was
//! missed.
//!
//! Each invocation makes progress, if need be within a page. If it cannot, it fails, and the error
//! says which time-out to set.

mod message; // the rest of a sweep, from one invocation to the next (pure)
mod pages; // the pages that are swept at the same time (pure)

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::capture::room::MAX_SCREENSHOTS;
use crate::capture::{Archiver, CaptureError, Following, HTTP_CAPTURE_TIME, Progress, send};
use crate::model::event::{Cause, InstanceEvent};
use crate::model::ids::{InstanceId, RegionId};
use crate::model::outcome::Outcome;
pub use crate::model::outcome::Tally;
use crate::retry::{Deadline, Retrying};
use crate::source::ecs::response::EcsError;
use crate::source::{ConsoleSource, Fleet, InstancesPage};
use crate::store::Store;
pub use message::{Cursor, MAX_CONCURRENCY, Sweep};
use pages::Pages;

/// Part of an invocation's time for sending on the rest of the sweep, at most a quarter of it.
const END_RESERVE: Duration = Duration::from_secs(5);
/// No capture begins in this part of the time before that, at most a quarter of it, so that captures
/// end by themselves and are not cut off.
const BEGIN_RESERVE: Duration = Duration::from_secs(2);
/// Longest time for one instance.
const INSTANCE_TIME: Duration = Duration::from_secs(60);
/// Longest time for its picture after that: enough for the 10 s that ECS wants between two of them, twice.
const SCREENSHOT_TIME: Duration = Duration::from_secs(30);
/// An instance that begins late by less than this, because the thread was busy, makes no other one later. So
/// the rate holds on average, and no more begin at once than those of this time.
const CATCH_UP: Duration = Duration::from_millis(100);
/// An instance that fails although it had this much time counts as failed. With less time, the next
/// invocation tries it again.
const FAIR_TIME: Duration = Duration::from_secs(10);

/// Progress of a sweep.
#[derive(Debug)]
pub enum SweepProgress<'a> {
    /// A region begins. ECS may say how many instances it has.
    Region(&'a RegionId, Option<u64>),
    /// An instance is done.
    Instance(&'a InstanceId, &'a Result<Outcome, CaptureError>),
    /// A page is done, or the sweep ends early. This sweep does the rest.
    Left(&'a Sweep),
}

/// How a sweep ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swept {
    /// Every region was listed to its end.
    Whole(Tally),
    /// The time is over, or someone stopped it. This sweep does the rest. If the time is over, it
    /// made progress.
    Unfinished(Box<Sweep>),
}

/// A sweep made no progress. Sent again, it would make none again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the sweep captured nothing in the {:.1} s it had{}: give the function a time-out of 60 s or \
     more; over HTTP a sweep has {:.1} s, so send it to the function itself",
    .time.as_secs_f32(),
    .cause.as_deref().map(|cause| format!(" ({cause})")).unwrap_or_default(),
    HTTP_CAPTURE_TIME.as_secs_f32()
)]
pub struct NoProgress {
    /// The time it had.
    pub time: Duration,
    /// The failure of the last instance, if one began.
    pub cause: Option<String>,
}

/// One invocation's part of a sweep.
struct Part<'a> {
    sweep: Sweep,
    pace: Pace,
    /// No instance begins later.
    begin_by: Deadline,
    /// No instance begins after this is cancelled.
    stop: &'a CancellationToken,
    /// The answer must be ready by then.
    end: Deadline,
    has_progressed: bool,
    first_failure: Option<CaptureError>,
    /// Why an instance is left to the next invocation.
    last_left: Option<String>,
    tell: &'a (dyn Fn(SweepProgress<'_>) + Sync),
}

impl Part<'_> {
    /// Whether nothing may begin any more.
    fn is_over(&self) -> bool {
        self.begin_by.remaining().is_zero() || self.stop.is_cancelled()
    }

    /// Waits until an instance may begin. Returns whether it may.
    async fn turn(&mut self) -> bool {
        let turn = tokio::time::timeout(self.begin_by.remaining(), self.pace.turn());
        let turn = self.stop.run_until_cancelled(turn).await;
        matches!(turn, Some(Ok(_)))
    }

    /// Counts an instance. Returns whether it is done. If not, the next invocation tries it again.
    fn is_served(
        &mut self,
        instance_id: &InstanceId,
        served: Result<Outcome, CaptureError>,
        had: Duration,
    ) -> bool {
        if let Err(error) = &served
            && error.is_transient()
            && had < FAIR_TIME
        {
            self.last_left = Some(format!("{instance_id}: {error}"));
            return false;
        }
        (self.tell)(SweepProgress::Instance(instance_id, &served));
        self.sweep.done.count(instance_id, &served);
        self.has_progressed = true;
        if let Err(error) = served {
            self.first_failure.get_or_insert(error);
        }
        true
    }

    /// An instance has ended.
    fn end_instance(
        &mut self,
        pages: &mut Pages,
        instance_id: InstanceId,
        served: Result<Outcome, CaptureError>,
        had: Duration,
    ) {
        if self.is_served(&instance_id, served, had) {
            pages.finish(instance_id);
            self.end_pages(pages);
        }
    }

    /// Goes on behind pages that are done.
    fn end_pages(&mut self, pages: &mut Pages) {
        while let Some(unknown_ids) = pages.end_page() {
            self.has_progressed = true;
            unknown_ids
                .iter()
                .for_each(|id| self.sweep.done.leave_out(id));
            if pages.cursor().next_token.is_some() {
                self.sweep.resume = Some(pages.cursor().clone());
                (self.tell)(SweepProgress::Left(&self.sweep));
                self.sweep.resume = None;
            }
        }
    }

    /// ECS does not list the page at the cursor: the region fails, or the next invocation tries again.
    fn unlisted(&mut self, error: EcsError, cursor: Cursor) -> Reached {
        if error.is_transient() && self.end.remaining() < FAIR_TIME {
            self.last_left = Some(error.to_string());
            return Reached::OutOfTime(cursor);
        }
        let error = CaptureError::from(error);
        self.sweep.done.fail(cursor.region_id.as_str(), &error);
        self.first_failure.get_or_insert(error);
        self.has_progressed = true;
        Reached::End
    }
}

/// What goes on at the same time.
enum Task {
    /// Lists the page with this token.
    List(String),
    Capture(InstanceId),
    /// Takes the picture of one whose console was asked for.
    Screen(InstanceId, Box<Following>),
}

/// What has ended.
enum Done {
    Listed(Result<InstancesPage, EcsError>),
    /// ECS was asked for the console, and a picture is to come.
    Asked(InstanceId, Box<Following>),
    /// With the time that the instance had.
    Captured(InstanceId, Result<Outcome, CaptureError>, Duration),
    /// The same, of one that had its picture taken.
    Pictured(InstanceId, Result<Outcome, CaptureError>, Duration),
}

/// How far a region was swept.
enum Reached {
    /// To its end.
    End,
    /// The next invocation continues here.
    OutOfTime(Cursor),
}

impl<C: ConsoleSource + Fleet + Sync, S: Store> Archiver<C, S> {
    /// Sweeps until it is done, the deadline is near or someone stops it. Then it finishes the
    /// instances that have begun, and begins no other. It counts instances and regions that fail, and
    /// sweeps the others.
    ///
    /// # Errors
    /// [`CaptureError`] when nothing could be swept: no region is known, all failed, or the time
    /// was too short for one instance.
    pub async fn sweep(
        &self,
        sweep: Sweep,
        deadline: Deadline,
        stop: &CancellationToken,
        tell: &(dyn Fn(SweepProgress<'_>) + Sync),
    ) -> Result<Swept, CaptureError> {
        let time = deadline.remaining();
        let end = deadline.with_reserve(END_RESERVE);
        let mut part = Part {
            pace: Pace::new(sweep.per_second),
            begin_by: end.with_reserve(BEGIN_RESERVE),
            stop,
            end,
            has_progressed: false,
            first_failure: None,
            last_left: None,
            tell,
            sweep,
        };
        let regions = self.regions_of(&part.sweep, end).await?;
        let mut resume = part.sweep.resume.take();
        let begun = resume.as_ref().map(|cursor| cursor.region_id.clone());
        let is_left = |id: &RegionId| Some(id) >= begun.as_ref();
        if let Some(gone) = begun.as_ref().filter(|_| !regions.iter().any(is_left))
            && part.sweep.done.regions == 0
        {
            // Nothing was done before, and nothing is left to do.
            return Err(CaptureError::RegionGone(gone.clone()));
        }
        let left = regions.into_iter().filter(is_left);
        for region_id in left {
            let resumed = resume.take().filter(|cursor| cursor.region_id == region_id);
            let cursor = resumed.unwrap_or_else(|| Cursor::start(region_id));
            if let Reached::OutOfTime(cursor) = self.sweep_region(&mut part, cursor).await {
                if !part.has_progressed && !stop.is_cancelled() {
                    let cause = part.last_left;
                    return Err(NoProgress { time, cause }.into());
                }
                part.sweep.resume = Some(cursor);
                tell(SweepProgress::Left(&part.sweep));
                return Ok(Swept::Unfinished(Box::new(part.sweep)));
            }
        }
        let done = part.sweep.done;
        match part.first_failure {
            Some(error) if !done.has_success() => Err(error),
            _ => Ok(Swept::Whole(done)),
        }
    }

    async fn sweep_region(&self, part: &mut Part<'_>, mut cursor: Cursor) -> Reached {
        if part.is_over() {
            return Reached::OutOfTime(cursor);
        }
        let page = match self.first_page(part.end, &mut cursor).await {
            Ok(page) => page,
            Err(error) => return part.unlisted(error, cursor),
        };
        (part.tell)(SweepProgress::Region(&cursor.region_id, page.total));
        let region_id = cursor.region_id.clone();
        let mut pages = Pages::at(cursor, page);
        part.end_pages(&mut pages);
        let end = part.end;
        let run = |task| async {
            match task {
                Task::List(token) => Done::Listed(self.page(end, &region_id, Some(&token)).await),
                Task::Capture(instance_id) => {
                    let time = end.or_earlier(Deadline::after(INSTANCE_TIME));
                    let event = event(&instance_id, region_id.clone());
                    let had = time.remaining();
                    let begun = self.begin(event, time).await;
                    self.tell_people(end).await;
                    match begun {
                        Ok(Progress::Following(following)) => Done::Asked(instance_id, following),
                        Ok(Progress::Done(outcome)) => {
                            Done::Captured(instance_id, Ok(outcome), had)
                        }
                        Err(error) => Done::Captured(instance_id, Err(error), had),
                    }
                }
                Task::Screen(instance_id, following) => {
                    let time = end.or_earlier(Deadline::after(SCREENSHOT_TIME));
                    let had = time.remaining();
                    let served = self.finish(following, time).await;
                    Done::Pictured(instance_id, served, had)
                }
            }
        };
        let at_once = usize::from(part.sweep.concurrency.max(1));
        let begin_in_a_second = usize::from(part.sweep.per_second);
        let (mut tasks, mut captures) = (FuturesUnordered::new(), 0);
        // Consoles do not wait for pictures.
        let (mut to_screen, mut screens) = (VecDeque::new(), 0);
        let mut unlisted = None;
        loop {
            if !part.is_over()
                && let Some(token) = pages.take_token(begin_in_a_second)
            {
                tasks.push(run(Task::List(token)));
            }
            while (screens < MAX_SCREENSHOTS || part.is_over())
                && let Some((instance_id, following)) = to_screen.pop_front()
            {
                screens += 1;
                tasks.push(run(Task::Screen(instance_id, following)));
            }
            let may_begin = pages.has_waiting() && captures < at_once && !part.is_over();
            tokio::select! {
                biased;
                Some(done) = tasks.next() => match done {
                    Done::Listed(Ok(page)) => {
                        unlisted = pages.endless(&page);
                        pages.add(page);
                        if unlisted.is_some() {
                            pages.list_no_more();
                        }
                        part.end_pages(&mut pages);
                    }
                    Done::Listed(Err(error)) => unlisted = Some(error),
                    Done::Asked(instance_id, following) => {
                        captures -= 1;
                        to_screen.push_back((instance_id, following));
                    }
                    Done::Captured(instance_id, served, had) => {
                        captures -= 1;
                        part.end_instance(&mut pages, instance_id, served, had);
                    }
                    Done::Pictured(instance_id, served, had) => {
                        screens -= 1;
                        part.end_instance(&mut pages, instance_id, served, had);
                    }
                },
                is_ours = part.turn(), if may_begin => {
                    let begun = pages.begin().filter(|_| is_ours);
                    captures += usize::from(begun.is_some());
                    tasks.extend(begun.map(|instance_id| run(Task::Capture(instance_id))));
                }
                else => break,
            }
        }
        drop(tasks);
        match unlisted {
            // The pages before it are done.
            Some(error) if pages.is_between() => part.unlisted(error, pages.cursor().clone()),
            None if pages.is_done() => {
                part.sweep.done.end_region();
                Reached::End
            }
            _ => Reached::OutOfTime(pages.cursor().clone()),
        }
    }

    /// The page at the cursor. If its token is too old, the region begins again, once. Stored records
    /// stay.
    async fn first_page(
        &self,
        end: Deadline,
        cursor: &mut Cursor,
    ) -> Result<InstancesPage, EcsError> {
        let token = cursor.next_token.as_deref();
        match self.page(end, &cursor.region_id, token).await {
            Err(EcsError::Rejected { .. }) if token.is_some() && !cursor.is_begun_anew => {
                *cursor = Cursor {
                    is_begun_anew: true,
                    ..Cursor::start(cursor.region_id.clone())
                };
                self.page(end, &cursor.region_id, None).await
            }
            page => page,
        }
    }

    async fn page(
        &self,
        end: Deadline,
        region_id: &RegionId,
        token: Option<&str>,
    ) -> Result<InstancesPage, EcsError> {
        let fleet = Retrying::new(&self.source, end);
        let page = fleet.instances(region_id, token).await?;
        if page.next_token.is_some() && page.next_token.as_deref() == token {
            return Err(EcsError::Unreadable {
                status: 200,
                reason: "the next page of instances is this page".into(),
            });
        }
        Ok(page)
    }

    /// Sends the rest of a sweep to the queue, or returns it to the sender.
    pub(crate) async fn go_on(
        &self,
        swept: Swept,
        deadline: Deadline,
    ) -> Result<Outcome, CaptureError> {
        let sweep = match swept {
            Swept::Whole(done) => return Ok(Outcome::Swept { done, resume: None }),
            Swept::Unfinished(sweep) => sweep,
        };
        if self.follow_queue.is_none() {
            warn!(
                "the sweep is not finished: give the function more time, set FOLLOW_QUEUE_URL, or \
                 send what it answers as `resume`"
            );
        }
        self.send_on(*sweep, deadline).await
    }

    /// Sends a sweep to the queue that came over HTTP and needs more time than an answer may take.
    ///
    /// # Errors
    /// `error`, the reason, if there is no queue. Else the error of the queue.
    pub(crate) async fn defer_sweep(
        &self,
        sweep: Sweep,
        error: CaptureError,
        deadline: Deadline,
    ) -> Result<Outcome, CaptureError> {
        if self.follow_queue.is_none() {
            return Err(error);
        }
        warn!("the sweep goes to the follow queue: {error}");
        self.send_on(sweep, deadline).await
    }

    async fn send_on(&self, sweep: Sweep, deadline: Deadline) -> Result<Outcome, CaptureError> {
        let event = json!({ "sweep": sweep });
        if let Some(queue) = self.follow_queue.as_deref() {
            send(queue, &event, Duration::ZERO, deadline).await?;
        }
        Ok(Outcome::Swept {
            done: sweep.done,
            resume: Some(event),
        })
    }

    async fn regions_of(
        &self,
        sweep: &Sweep,
        deadline: Deadline,
    ) -> Result<BTreeSet<RegionId>, CaptureError> {
        let mut regions = sweep.regions.clone();
        if sweep.all_regions {
            // Any region's endpoint lists them all.
            let hangzhou = RegionId::parse("cn-hangzhou").ok();
            let asked_in = self.default_region.as_ref().or(hangzhou.as_ref());
            let fleet = Retrying::new(&self.source, deadline);
            let asked_in = asked_in.ok_or(CaptureError::NoRegion)?;
            regions.extend(fleet.regions(asked_in).await?);
        } else if regions.is_empty() {
            regions.extend(self.default_region.clone());
        }
        if regions.is_empty() {
            return Err(CaptureError::NoRegion);
        }
        Ok(regions)
    }
}

fn event(instance_id: &InstanceId, region_id: RegionId) -> InstanceEvent {
    InstanceEvent {
        region_id: Some(region_id),
        ..InstanceEvent::new(instance_id.clone(), Cause::Sweep)
    }
}

/// When the next instance may begin.
struct Pace {
    period: Duration,
    next: Instant,
}

impl Pace {
    fn new(per_second: u16) -> Self {
        Self {
            period: Duration::from_secs(1) / u32::from(per_second.max(1)),
            next: Instant::now(),
        }
    }

    /// Waits until an instance may begin.
    async fn turn(&mut self) {
        tokio::time::sleep_until(self.next).await;
        let late = Instant::now().saturating_duration_since(self.next);
        self.next += self.period + late.saturating_sub(CATCH_UP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of 400 turns at 200 a second come in the first two seconds, if the thread is busy for this
    /// long before every tenth of them.
    async fn turns_in_two_seconds(busy: Duration) -> usize {
        let (mut pace, began) = (Pace::new(200), Instant::now());
        let mut in_time = 0;
        for turn in 0..400 {
            if turn % 10 == 9 {
                tokio::time::advance(busy).await;
            }
            pace.turn().await;
            in_time += usize::from(began.elapsed() < Duration::from_secs(2));
        }
        in_time
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_is_busy_now_and_then_makes_a_sweep_no_slower() {
        for busy_ms in [0, 6, 20, 40] {
            let in_time = turns_in_two_seconds(Duration::from_millis(busy_ms)).await;
            assert!(in_time > 390, "{busy_ms} ms: {in_time}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_missed_for_long_does_not_come_at_once() {
        let mut pace = Pace::new(200);
        pace.turn().await;
        tokio::time::advance(Duration::from_secs(60)).await;
        let mut at_once = 0;
        while tokio::time::timeout(Duration::ZERO, pace.turn())
            .await
            .is_ok()
        {
            at_once += 1;
        }
        assert_eq!(at_once, 21, "those of 100 ms, and the one that is due");
    }
}
