//! The event that starts a sweep, which is also the message from one invocation to the next: what to
//! sweep, where to continue, and what was done. Pure.

use std::collections::BTreeSet;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::archive::key::ConsoleDigest;
use crate::capture::CaptureError;
use crate::model::finding::Severity;
use crate::model::ids::{InstanceId, RegionId};
use crate::model::outcome::{Outcome, Stored, Tally};

/// Version of the messages that this program writes. A reader ignores unknown members, so that a
/// roll-out loses no message. Only a change that this does not cover needs a new number.
const VERSION: u32 = 1;
/// Most instances that are captured at once: each takes memory for its console.
pub const MAX_CONCURRENCY: u8 = 64;
/// Most bytes of a failure's message, and of a token. Those that this program writes, and those of ECS, are shorter.
const MAX_TEXT: usize = 4096;
/// How many failures are listed. The others are only counted.
const MAX_FAILURES: usize = 20;

/// What to sweep, how fast, and where to continue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sweep {
    /// Version of the message.
    version: u32,
    /// Regions to sweep.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub regions: BTreeSet<RegionId>,
    /// Every region the account can use.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all_regions: bool,
    /// Instances captured at once.
    pub concurrency: u8,
    /// Upper limit of instances begun per second. ECS throttles by account and region.
    pub per_second: u16,
    /// Where an unfinished sweep continues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<Cursor>,
    /// What it did before that.
    pub done: Tally,
}

/// Where an unfinished sweep continues: the region, the page, and the instances done of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Regions before it are done.
    pub region_id: RegionId,
    /// ECS's token of the page; `None` for the region's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// IDs of the instances of the page that are done. A count would not do, because the page may
    /// have other instances when ECS lists it again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub done: BTreeSet<InstanceId>,
    /// The region began again because ECS refused a token. The second time the region fails, because
    /// the sweep would never end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_begun_anew: bool,
    /// Pages of the region that are done.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pages: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The members of a message of any version.
#[derive(Deserialize)]
struct Members {
    #[serde(default)]
    regions: BTreeSet<RegionId>,
    #[serde(default)]
    all_regions: bool,
    #[serde(default = "default_concurrency")]
    concurrency: u8,
    #[serde(default = "default_per_second")]
    per_second: u16,
    #[serde(default)]
    resume: Option<Cursor>,
    #[serde(default)]
    done: Tally,
}

/// Members that a person may write. Only this program writes the others.
const TYPED: [&str; 4] = ["regions", "all_regions", "concurrency", "per_second"];
/// Members by which a message of this program is known, in every version. It may have members of a
/// later version.
const SENT: [&str; 3] = ["version", "done", "resume"];

impl<'de> Deserialize<'de> for Sweep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let Value::Object(object) = &value else {
            return Err(D::Error::custom("expected a JSON object"));
        };
        let is_sent = SENT.iter().any(|member| object.contains_key(*member));
        // A misspelt member would silently sweep other regions, or faster.
        let unknown = object.keys().find(|name| !TYPED.contains(&name.as_str()));
        if let (false, Some(unknown)) = (is_sent, unknown) {
            return Err(D::Error::unknown_field(unknown, &TYPED));
        }
        let Members {
            regions,
            all_regions,
            concurrency,
            per_second,
            resume,
            mut done,
        } = Members::deserialize(value).map_err(D::Error::custom)?;
        if concurrency > MAX_CONCURRENCY {
            let why = format!("concurrency is {concurrency}; at most {MAX_CONCURRENCY} at once");
            return Err(D::Error::custom(why));
        }
        done.failures.truncate(MAX_FAILURES);
        let is_long = |text: &String| text.len() > MAX_TEXT;
        let token = resume
            .as_ref()
            .and_then(|cursor| cursor.next_token.as_ref());
        if let Some(text) = done.failures.iter().chain(token).find(|text| is_long(text)) {
            let bytes = text.len();
            let why = format!("a text of {bytes} bytes is none that a sweep wrote");
            return Err(D::Error::custom(why));
        }
        if let Some(cursor) = &resume
            && !all_regions
            && !regions.is_empty()
            && !regions.contains(&cursor.region_id)
        {
            let region_id = &cursor.region_id;
            let why = format!("it continues in {region_id}, which is not among its regions");
            return Err(D::Error::custom(why));
        }
        Ok(Self {
            version: VERSION,
            regions,
            all_regions,
            concurrency,
            per_second,
            resume,
            done,
        })
    }
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
            version: VERSION,
            regions,
            all_regions,
            concurrency: default_concurrency(),
            per_second: default_per_second(),
            resume: None,
            done: Tally::default(),
        }
    }

    /// What tells this part of a sweep from the others, if one came before it. A copy has the same name.
    pub fn name(&self) -> Option<String> {
        let cursor = self.resume.as_ref()?;
        let rest = serde_json::to_vec(&(cursor, &self.done, &self.regions)).ok()?;
        Some(format!("sweep {}", ConsoleDigest::of(&rest)))
    }

    /// The same sweep from its begin, with nothing done.
    pub fn anew(&self) -> Self {
        Self {
            resume: None,
            done: Tally::default(),
            ..self.clone()
        }
    }
}

impl Cursor {
    /// The beginning of a region.
    pub(crate) fn start(region_id: RegionId) -> Self {
        Self {
            region_id,
            next_token: None,
            done: BTreeSet::new(),
            is_begun_anew: false,
            pages: 0,
        }
    }
}

/// Counts one more. A message may claim any count, so the count saturates.
fn add_one(count: &mut u64) {
    *count = count.saturating_add(1);
}

impl Tally {
    pub(crate) fn end_region(&mut self) {
        add_one(&mut self.regions);
    }

    /// Whether any instance was captured, or had no console.
    pub(crate) fn has_success(&self) -> bool {
        self.stored > 0 || self.already_stored > 0 || self.no_console > 0
    }

    pub(crate) fn fail(&mut self, what: &str, error: &CaptureError) {
        self.note_failure(|| format!("{what}: {error}"));
    }

    /// Counts an instance whose ID is not known to be one, and that was not captured therefore.
    pub(super) fn leave_out(&mut self, id: &str) {
        add_one(&mut self.instances);
        self.note_failure(|| format!("{id:?} is not the ID of an instance, and was left out"));
    }

    fn note_failure(&mut self, message: impl FnOnce() -> String) {
        add_one(&mut self.failed);
        if self.failures.len() < MAX_FAILURES {
            let mut message = message();
            message.truncate(message.floor_char_boundary(MAX_TEXT));
            self.failures.push(message);
        }
    }

    pub(crate) fn count(
        &mut self,
        instance_id: &InstanceId,
        served: &Result<Outcome, CaptureError>,
    ) {
        add_one(&mut self.instances);
        if let Ok(
            Outcome::Stored(Stored { screenshots, .. })
            | Outcome::AlreadyStored(Stored { screenshots, .. })
            | Outcome::NoConsole { screenshots, .. },
        ) = served
            && !screenshots.is_empty()
        {
            add_one(&mut self.with_screenshot);
        }
        match served {
            Ok(Outcome::Stored(stored)) => {
                add_one(&mut self.stored);
                match stored.findings.iter().map(|one| one.severity).max() {
                    Some(Severity::Fatal) => add_one(&mut self.with_fatal),
                    Some(Severity::Error) => add_one(&mut self.with_error),
                    Some(Severity::Warning | Severity::Info) | None => {}
                }
            }
            Ok(Outcome::AlreadyStored(_)) => add_one(&mut self.already_stored),
            Ok(_) => add_one(&mut self.no_console),
            Err(error) => self.fail(instance_id.as_str(), error),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: &str) -> Result<Sweep, serde_json::Error> {
        serde_json::from_str(json)
    }

    fn id(text: &str) -> InstanceId {
        InstanceId::parse(text).unwrap()
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
            r#"{"regions": ["cn-beijing"], "per_seconds": 1}"#,
            r#"{"per_second": -1}"#,
            r#"{"concurrency": 10000}"#,
            r#"{"concurrency": 65}"#,
            r#"{"version": 1, "per_second": -1}"#,
            r#"{"resume": {"region_id": "evil.example/"}}"#,
            r#"{"resume": {"region_id": "cn-a", "done": ["../x"]}}"#,
            "5",
            "[]",
            "null",
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_message_brings_no_more_text_than_a_sweep_writes() {
        let with = |token: &str, failures: Vec<String>| {
            let message = json!({"version": 1, "done": Tally { failures, ..Tally::default() },
                "resume": {"region_id": "cn-a", "next_token": token}});
            read(&message.to_string())
        };
        let many = vec!["i-a: down".to_owned(); 1000];
        assert_eq!(with("t", many).unwrap().done.failures.len(), MAX_FAILURES);
        let long = "x".repeat(MAX_TEXT + 1);
        assert!(with("t", vec![long.clone()]).is_err());
        assert!(with(&long, Vec::new()).is_err());
        assert!(with(&long[1..], Vec::new()).is_ok());
    }

    #[test]
    fn a_count_that_a_message_claims_never_overflows() {
        let mut tally = Tally {
            regions: u64::MAX,
            instances: u64::MAX,
            stored: u64::MAX,
            already_stored: u64::MAX,
            no_console: u64::MAX,
            failed: u64::MAX,
            with_fatal: u64::MAX,
            with_screenshot: u64::MAX,
            with_error: u64::MAX,
            failures: Vec::new(),
        };
        let before = tally.clone();
        tally.end_region();
        tally.count(
            &id("i-a"),
            &Ok(Outcome::Ignored {
                reason: "r",
                message: String::new(),
            }),
        );
        tally.fail("i-b", &CaptureError::NoRegion);
        assert_eq!(tally.failures.len(), 1);
        tally.failures.clear();
        assert_eq!(tally, before);
        assert!(tally.has_success());
    }

    #[test]
    fn any_instance_that_was_served_is_a_success_and_a_failure_is_none() {
        let failed = Tally {
            regions: 1,
            instances: 1,
            failed: 1,
            ..Tally::default()
        };
        assert!(!failed.has_success());
        let with = |change: fn(&mut Tally)| {
            let mut tally = failed.clone();
            change(&mut tally);
            tally
        };
        for served in [
            with(|tally| tally.stored = 1),
            with(|tally| tally.already_stored = 1),
            with(|tally| tally.no_console = 1),
        ] {
            assert!(served.has_success(), "{served:?}");
        }
    }

    #[test]
    fn a_sweep_that_goes_on_in_a_region_it_does_not_have_is_refused() {
        let error = read(r#"{"regions": ["cn-hangzhou"], "resume": {"region_id": "zz-zz"}}"#);
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("zz-zz, which is not among its regions"),
            "{error}"
        );
    }

    #[test]
    fn a_message_in_flight_is_read_back_as_it_was_sent() {
        let region = RegionId::parse("cn-beijing").unwrap();
        let mut sweep = Sweep::new(BTreeSet::from([region.clone()]), false);
        sweep.done.stored = 7;
        sweep.resume = Some(Cursor {
            next_token: Some("t".into()),
            done: BTreeSet::from([id("i-a"), id("i-b")]),
            is_begun_anew: true,
            pages: 12,
            ..Cursor::start(region)
        });
        let json = serde_json::to_string(&sweep).unwrap();
        assert!(json.contains(r#""version":1"#), "{json}");
        assert_eq!(read(&json).unwrap(), sweep);
    }

    /// A message of the version without a number.
    #[test]
    fn a_message_of_the_version_before_goes_on_at_its_page() {
        let message = json!({
            "regions": ["cn-beijing", "cn-hangzhou"], "concurrency": 8, "per_second": 5,
            "resume": {"region_id": "cn-beijing", "next_token": "caeba0bbb2be03f84eb48b699f0a4883"},
            "done": {"regions": 0, "instances": 100, "stored": 90, "already_stored": 6,
                     "no_console": 3, "failed": 1, "failures": ["i-a: ECS refused access"]},
        });
        let sweep = read(&message.to_string()).unwrap();
        let cursor = sweep.resume.unwrap();
        assert_eq!(cursor.region_id.as_str(), "cn-beijing");
        assert!(cursor.next_token.is_some() && cursor.done.is_empty());
        assert_eq!((sweep.done.instances, sweep.done.failures.len()), (100, 1));
        // Before the first page was done.
        let begun = json!({"all_regions": true, "concurrency": 8, "per_second": 5,
            "resume": {"region_id": "cn-beijing"}, "done": {"regions": 0, "instances": 0,
            "stored": 0, "already_stored": 0, "no_console": 0, "failed": 0}});
        assert!(read(&begun.to_string()).unwrap().resume.is_some());
    }

    #[test]
    fn members_of_a_later_version_are_passed_over() {
        let message = json!({
            "version": 9, "regions": ["cn-beijing"], "priority": "low",
            "resume": {"region_id": "cn-beijing", "shard": 3}, "done": {"regions": 0,
            "instances": 1, "stored": 1, "already_stored": 0, "no_console": 0, "failed": 0,
            "bytes": 12},
        });
        assert_eq!(read(&message.to_string()).unwrap().done.instances, 1);
    }
}
