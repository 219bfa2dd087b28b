//! A sweep: what the events do for one instance, for every instance of whole regions. It also keeps
//! what a missed event left out.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::{Interval, MissedTickBehavior};

use crate::capture::{Archiver, CaptureError};
use crate::ecs::response::EcsError;
use crate::ecs::{ConsoleSource, Fleet};
use crate::event::{Cause, InstanceEvent};
use crate::ids::{InstanceId, RegionId};
use crate::outcome::Outcome;
use crate::retry::{Deadline, Retrying};
use crate::store::Store;

/// Kept of an invocation's time: no page is begun with less. A page of 100 instances takes 20 s at
/// five a second, and the last of them some more.
const PAGE_RESERVE: Duration = Duration::from_secs(30);
/// Longest one instance is tried.
const INSTANCE_TIME: Duration = Duration::from_secs(60);
/// Failures that are told one by one; the others are counted.
const MAX_FAILURES: usize = 20;

/// What to sweep, how fast, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// These regions.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub regions: BTreeSet<RegionId>,
    /// Every region the account can use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all_regions: bool,
    /// Instances captured at once.
    #[serde(default = "default_concurrency")]
    pub concurrency: u8,
    /// Instances begun in a second, at most: ECS throttles by account and region.
    #[serde(default = "default_per_second")]
    pub per_second: u16,
    /// Where an unfinished sweep goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Cursor>,
    /// What it did before that.
    #[serde(default)]
    pub done: Tally,
}

/// The page that comes next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// Regions before it are done.
    pub region_id: RegionId,
    /// Pages before it are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Regions that were listed to their end.
    pub regions: u64,
    /// Instances that were asked for.
    pub instances: u64,
    /// Consoles that were not in the archive and now are.
    pub stored: u64,
    /// Consoles the archive had.
    pub already_stored: u64,
    /// Instances without a console.
    pub no_console: u64,
    /// Instances and regions that failed.
    pub failed: u64,
    /// The first of those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
}

/// What a sweep tells while it goes on.
#[derive(Debug)]
pub enum News<'a> {
    /// A region is begun; how many instances it has, where ECS says it.
    Region(&'a RegionId, Option<u64>),
    /// An instance is done.
    Instance(&'a InstanceId, &'a Result<Outcome, CaptureError>),
    /// A page is done; this sweep does what is left.
    Page(&'a Sweep),
}

fn default_concurrency() -> u8 {
    8
}

fn default_per_second() -> u16 {
    5
}

impl Sweep {
    /// A sweep over these regions, or over all.
    pub fn new(regions: BTreeSet<RegionId>, all_regions: bool) -> Self {
        Self {
            regions,
            all_regions,
            concurrency: default_concurrency(),
            per_second: default_per_second(),
            resume: None,
            done: Tally::default(),
        }
    }
}

impl Tally {
    fn fail(&mut self, what: &str, error: &CaptureError) {
        self.failed += 1;
        if self.failures.len() < MAX_FAILURES {
            self.failures.push(format!("{what}: {error}"));
        }
    }

    fn count(&mut self, instance_id: &InstanceId, served: &Result<Outcome, CaptureError>) {
        self.instances += 1;
        match served {
            Ok(Outcome::Stored(_)) => self.stored += 1,
            Ok(Outcome::AlreadyStored(_)) => self.already_stored += 1,
            Ok(_) => self.no_console += 1,
            Err(error) => self.fail(instance_id.as_str(), error),
        }
    }
}

/// How a sweep ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swept {
    /// Every region was listed to its end.
    Whole(Tally),
    /// The time is over; this sweep does what is left.
    Unfinished(Box<Sweep>),
}

impl<C: ConsoleSource + Fleet + Sync, S: Store> Archiver<C, S> {
    /// Sweeps until it is done or the deadline nears. Instances and regions that fail are counted,
    /// and the others still swept.
    ///
    /// # Errors
    /// [`CaptureError`] when nothing could be swept: no region is known, or all failed.
    pub async fn sweep(
        &self,
        mut sweep: Sweep,
        deadline: Deadline,
        news: &(dyn Fn(News<'_>) + Sync),
    ) -> Result<Swept, CaptureError> {
        let mut first_failure = None;
        let regions = self.regions_of(&sweep, deadline).await?;
        let begun = sweep.resume.as_ref().map(|cursor| &cursor.region_id);
        let left: Vec<_> = regions.into_iter().filter(|id| Some(id) >= begun).collect();
        let pace = pace(sweep.per_second);
        for region_id in left {
            let resumed = sweep.resume.take().filter(|c| c.region_id == region_id);
            let mut next_token = resumed.and_then(|cursor| cursor.next_token);
            let mut is_first_page = true;
            loop {
                if deadline.remaining() < PAGE_RESERVE {
                    sweep.resume = Some(Cursor {
                        region_id,
                        next_token,
                    });
                    return Ok(Swept::Unfinished(Box::new(sweep)));
                }
                let fleet = Retrying::new(&self.source, deadline);
                let page = match fleet.instances(&region_id, next_token.as_deref()).await {
                    Ok(page) => page,
                    // A token that is too old begins the region anew; what is stored stays.
                    Err(EcsError::Rejected { .. }) if next_token.is_some() && is_first_page => {
                        next_token = None;
                        continue;
                    }
                    Err(error) => {
                        let error = CaptureError::from(error);
                        sweep.done.fail(region_id.as_str(), &error);
                        first_failure.get_or_insert(error);
                        break;
                    }
                };
                if is_first_page {
                    news(News::Region(&region_id, page.total));
                    is_first_page = false;
                }
                let captures = page.instance_ids.into_iter().map(|instance_id| {
                    let (pace, region_id) = (&pace, region_id.clone());
                    async move {
                        pace.lock().await.tick().await;
                        let time = deadline.or_earlier(Deadline::after(INSTANCE_TIME));
                        let event = swept(instance_id.clone(), region_id);
                        (instance_id, self.capture(event, time).await)
                    }
                });
                let mut captures =
                    stream::iter(captures).buffer_unordered(usize::from(sweep.concurrency.max(1)));
                while let Some((instance_id, served)) = captures.next().await {
                    news(News::Instance(&instance_id, &served));
                    sweep.done.count(&instance_id, &served);
                    if let Err(error) = served {
                        first_failure.get_or_insert(error);
                    }
                }
                drop(captures);
                next_token = page.next_token;
                if next_token.is_none() {
                    sweep.done.regions += 1;
                    break;
                }
                sweep.resume = Some(Cursor {
                    region_id: region_id.clone(),
                    next_token: next_token.clone(),
                });
                news(News::Page(&sweep));
                sweep.resume = None;
            }
        }
        let done = sweep.done;
        match first_failure {
            Some(error) if done.stored + done.already_stored + done.no_console == 0 => Err(error),
            _ => Ok(Swept::Whole(done)),
        }
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

fn swept(instance_id: InstanceId, region_id: RegionId) -> InstanceEvent {
    InstanceEvent {
        instance_id,
        region_id: Some(region_id),
        account_id: None,
        cause: Cause::Sweep,
        event_id: None,
        occurred_at: None::<Timestamp>,
    }
}

/// A tick for each instance that may begin.
fn pace(per_second: u16) -> Mutex<Interval> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / u32::from(per_second.max(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Mutex::new(ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Sweep, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let sweep = read(r#"{"regions": ["cn-beijing"]}"#).unwrap();
        let beijing = RegionId::parse("cn-beijing").unwrap();
        assert_eq!(sweep, Sweep::new(BTreeSet::from([beijing]), false));
        assert!(read(r#"{"all_regions": true}"#).unwrap().all_regions);
    }

    #[test]
    fn wrong_members_are_refused() {
        for json in [
            r#"{"regions": ["evil.example/"]}"#,
            r#"{"regions": "cn-beijing"}"#,
            r#"{"region": "cn-beijing"}"#,
            r#"{"per_second": -1}"#,
            r#"{"concurrency": 10000}"#,
            "5",
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
