//! Addresses ⇄ what they ask for. Pure.

use std::str::FromStr;

use clap::ValueEnum as _;
use ecs_console_archiver::archive::key::ScreenshotKey;
use ecs_console_archiver::archive::reader::Selector;
use ecs_console_archiver::model::ending::Ending;
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::reading::findings::Severity;
use ecs_console_archiver::reading::select::Selection;
use url::form_urlencoded::{self, Serializer};

use super::super::diff::Baseline;
use super::super::show::printer::TimeForm;
use crate::time::Bound;

/// What an address asks for.
#[derive(Debug)]
pub enum Address {
    Fleet(FleetQuery),
    Search(SearchQuery),
    Instance(InstanceId),
    Boot(InstanceId, Selection, View),
    /// What a terminal shows at the end of a boot.
    Screen(InstanceId, Selection),
    /// What changed to a boot.
    Diff(InstanceId, Selection, DiffQuery),
    /// The whole log of a boot, as a file.
    Log(InstanceId, Selection),
    /// The boot that a record shows last.
    OfRecord(InstanceId, String),
    /// A record, as a file.
    Record(InstanceId, String),
    /// A screenshot, as a picture.
    Screenshot(ScreenshotKey),
    Style,
    Script,
}

/// An address that leads nowhere.
#[derive(Debug, PartialEq, Eq)]
pub enum NoPage {
    Unknown,
    /// A value of the query cannot be used, and why.
    Wrong(String),
}

/// Which captures of the fleet are shown. Texts are as they were given, for links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetQuery {
    pub since: Option<String>,
    pub until: Option<String>,
    pub instance: Option<String>,
    pub region: Option<RegionId>,
    pub ending: Option<Ending>,
    /// What is as bad, or worse.
    pub severity: Option<Severity>,
    pub signature: Option<String>,
    /// From 1 on.
    pub page: usize,
}

/// What is searched for, and where. Texts are as they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchQuery {
    pub text: String,
    pub is_regex: bool,
    pub instance: Option<String>,
    pub since: Option<String>,
    pub until: Option<String>,
    /// The search goes on behind this instance.
    pub after: Option<InstanceId>,
}

/// With what a boot is compared, and how that is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiffQuery {
    /// As it was given: `good` if it was not.
    pub with: Option<String>,
    pub is_moved_shown: bool,
    pub is_unfolded: bool,
}

/// How the log of a boot is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    pub time: TimeForm,
    pub is_wrapped: bool,
    /// The first line of the page, where a log has several.
    pub from: usize,
    /// Lines that are marked.
    pub marked: Option<(usize, usize)>,
    /// Only what stands behind this line, for who has the rest. No link has it.
    pub after: usize,
}

impl Default for View {
    fn default() -> Self {
        Self {
            time: TimeForm::Raw,
            is_wrapped: true,
            from: 1,
            marked: None,
            after: 0,
        }
    }
}

/// The members of a query. The last of several with one name counts.
fn values(query: &str) -> impl Iterator<Item = (String, String)> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    pairs
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
}

/// The token that a query has.
pub fn token(query: &str) -> Option<String> {
    let mut values = values(query).filter(|(name, _)| name == "token");
    values.next().map(|(_, token)| token)
}

fn wrong(name: &str, error: impl ToString) -> NoPage {
    NoPage::Wrong(format!("{name}: {}", error.to_string()))
}

impl Address {
    /// Reads the path and the query of a request.
    ///
    /// # Errors
    /// [`NoPage`].
    pub fn parse(path: &str, query: &str) -> Result<Self, NoPage> {
        let segments: Vec<_> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        let instance_id = |text: &str| InstanceId::parse(text).map_err(|_| NoPage::Unknown);
        let boot = |text: &str| text.parse::<Selection>().map_err(|_| NoPage::Unknown);
        let record = |text: &str| match Selector::name(text) {
            Some(_) => Ok(text.to_owned()),
            None => Err(NoPage::Unknown),
        };
        Ok(match segments[..] {
            [""] => Self::Fleet(FleetQuery::parse(query)?),
            ["search"] => Self::Search(SearchQuery::parse(query)?),
            ["style.css"] => Self::Style,
            ["script.js"] => Self::Script,
            ["i", id] => Self::Instance(instance_id(id)?),
            ["i", id, "b", of] => Self::Boot(instance_id(id)?, boot(of)?, View::parse(query)?),
            ["i", id, "b", of, "screen"] => Self::Screen(instance_id(id)?, boot(of)?),
            ["i", id, "b", of, "diff"] => {
                Self::Diff(instance_id(id)?, boot(of)?, DiffQuery::parse(query)?)
            }
            ["i", id, "b", of, "log"] => Self::Log(instance_id(id)?, boot(of)?),
            ["i", id, "r", name] => Self::OfRecord(instance_id(id)?, record(name)?),
            ["i", id, "r", name, "raw"] => Self::Record(instance_id(id)?, record(name)?),
            ["i", id, "s", name] => {
                let key = ScreenshotKey::parse(&format!("{id}/{name}"));
                Self::Screenshot(key.ok_or(NoPage::Unknown)?)
            }
            _ => return Err(NoPage::Unknown),
        })
    }

    /// Whether it is the same for everyone, and has nothing of the archive.
    pub fn is_asset(&self) -> bool {
        matches!(self, Self::Style | Self::Script)
    }
}

/// The page of an instance.
pub fn instance(instance_id: &InstanceId) -> String {
    format!("/i/{instance_id}")
}

/// The page of a boot, by its ID.
pub fn boot(instance_id: &InstanceId, boot_id: &str) -> String {
    format!("/i/{instance_id}/b/{boot_id}")
}

/// A record, by its name.
pub fn record(instance_id: &InstanceId, name: &str) -> String {
    format!("/i/{instance_id}/r/{name}")
}

/// A screenshot, as a picture.
pub fn screenshot(key: &ScreenshotKey) -> String {
    format!("/i/{}/s/{}", key.instance_id, key.name())
}

fn with_query(path: &str, pairs: &[(&str, Option<String>)]) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in pairs {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    match query.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

impl FleetQuery {
    fn parse(query: &str) -> Result<Self, NoPage> {
        let mut parsed = Self {
            page: 1,
            ..Self::default()
        };
        for (name, value) in values(query) {
            match name.as_str() {
                "since" => parsed.since = Some(checked_time(&name, value)?),
                "until" => parsed.until = Some(checked_time(&name, value)?),
                "instance" => parsed.instance = Some(checked_glob(&name, value)?),
                "region" => {
                    let region = RegionId::parse(&value).map_err(|error| wrong(&name, error))?;
                    parsed.region = Some(region);
                }
                "ending" => {
                    parsed.ending = Some(value.parse().map_err(|error| wrong(&name, error))?);
                }
                "severity" => {
                    let all = [
                        Severity::Fatal,
                        Severity::Error,
                        Severity::Warning,
                        Severity::Info,
                    ];
                    let found = all.into_iter().find(|one| one.as_str() == value);
                    let expected = "expected fatal, error, warning or info";
                    parsed.severity = Some(found.ok_or_else(|| wrong(&name, expected))?);
                }
                "signature" => parsed.signature = Some(value),
                "page" => {
                    let number = value.parse().ok().filter(|number| *number > 0);
                    parsed.page = number.ok_or_else(|| wrong(&name, "expected a number"))?;
                }
                _ => {}
            }
        }
        Ok(parsed)
    }

    /// Its address, on the first page unless it is changed.
    pub fn address(&self, change: impl FnOnce(&mut Self)) -> String {
        let mut query = Self {
            page: 1,
            ..self.clone()
        };
        change(&mut query);
        let text = |text: &str| text.to_owned();
        with_query(
            "/",
            &[
                ("since", query.since),
                ("until", query.until),
                ("instance", query.instance),
                ("region", query.region.map(|region| region.to_string())),
                ("ending", query.ending.map(|ending| text(ending.as_str()))),
                ("severity", query.severity.map(|one| text(one.as_str()))),
                ("signature", query.signature),
                ("page", (query.page > 1).then(|| query.page.to_string())),
            ],
        )
    }
}

fn checked_time(name: &str, value: String) -> Result<String, NoPage> {
    Bound::from_str(&value).map_err(|error| wrong(name, error))?;
    Ok(value)
}

fn checked_glob(name: &str, value: String) -> Result<String, NoPage> {
    super::super::grep::glob(&value).map_err(|error| wrong(name, error))?;
    Ok(value)
}

impl SearchQuery {
    fn parse(query: &str) -> Result<Self, NoPage> {
        let mut parsed = Self::default();
        for (name, value) in values(query) {
            match name.as_str() {
                "q" => parsed.text = value,
                "regex" => parsed.is_regex = value == "on",
                "instance" => parsed.instance = Some(checked_glob(&name, value)?),
                "since" => parsed.since = Some(checked_time(&name, value)?),
                "until" => parsed.until = Some(checked_time(&name, value)?),
                "after" => {
                    let id = InstanceId::parse(&value).map_err(|error| wrong(&name, error))?;
                    parsed.after = Some(id);
                }
                _ => {}
            }
        }
        Ok(parsed)
    }

    /// Its address.
    pub fn address(&self, change: impl FnOnce(&mut Self)) -> String {
        let mut query = self.clone();
        change(&mut query);
        with_query(
            "/search",
            &[
                ("q", Some(query.text)),
                ("regex", query.is_regex.then(|| "on".to_owned())),
                ("instance", query.instance),
                ("since", query.since),
                ("until", query.until),
                ("after", query.after.map(|id| id.to_string())),
            ],
        )
    }
}

impl DiffQuery {
    fn parse(query: &str) -> Result<Self, NoPage> {
        let mut parsed = Self::default();
        for (name, value) in values(query) {
            match name.as_str() {
                "with" => {
                    let checked = value.parse::<Baseline>();
                    checked.map_err(|error| wrong(&name, error))?;
                    parsed.with = Some(value);
                }
                "moved" => parsed.is_moved_shown = value == "on",
                "unfold" => parsed.is_unfolded = value == "on",
                _ => {}
            }
        }
        Ok(parsed)
    }

    /// With what the boot is compared.
    pub fn baseline(&self) -> Baseline {
        let with = self.with.as_deref().unwrap_or_default();
        with.parse().unwrap_or(Baseline::Good)
    }

    /// What stands behind a path to show it.
    pub fn address(&self, path: &str, change: impl FnOnce(&mut Self)) -> String {
        let mut query = self.clone();
        change(&mut query);
        let on = |is_on: bool| is_on.then(|| "on".to_owned());
        with_query(
            path,
            &[
                ("with", query.with),
                ("moved", on(query.is_moved_shown)),
                ("unfold", on(query.is_unfolded)),
            ],
        )
    }
}

impl View {
    fn parse(query: &str) -> Result<Self, NoPage> {
        let mut view = Self::default();
        for (name, value) in values(query) {
            match name.as_str() {
                "time" => {
                    view.time =
                        TimeForm::from_str(&value, true).map_err(|error| wrong(&name, error))?;
                }
                "wrap" => view.is_wrapped = value != "off",
                "from" => {
                    let number = value.parse().ok().filter(|number| *number > 0);
                    view.from = number.ok_or_else(|| wrong(&name, "expected a number"))?;
                }
                "after" => {
                    let number = value.parse();
                    view.after = number.map_err(|_| wrong(&name, "expected a number"))?;
                }
                "lines" => {
                    let (first, last) = value.split_once('-').unwrap_or((&value, &value));
                    let marked = first.parse().ok().zip(last.parse().ok());
                    let marked = marked.filter(|(first, last)| first <= last);
                    view.marked =
                        Some(marked.ok_or_else(|| wrong(&name, "expected lines such as 120-130"))?);
                }
                _ => {}
            }
        }
        Ok(view)
    }

    /// What stands behind a path to show it.
    pub fn address(&self, path: &str, change: impl FnOnce(&mut Self)) -> String {
        let mut view = *self;
        change(&mut view);
        let time = view.time.to_possible_value();
        let time = time.filter(|_| view.time != TimeForm::Raw);
        with_query(
            path,
            &[
                ("time", time.map(|time| time.get_name().to_owned())),
                ("wrap", (!view.is_wrapped).then(|| "off".to_owned())),
                ("from", (view.from > 1).then(|| view.from.to_string())),
                (
                    "lines",
                    view.marked.map(|(first, last)| format!("{first}-{last}")),
                ),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        let query = FleetQuery {
            since: Some("-7d".into()),
            instance: Some("i-bp1*".into()),
            region: Some(RegionId::parse("cn-hangzhou").unwrap()),
            ending: Some(Ending::OutOfMemory),
            severity: Some(Severity::Error),
            signature: Some("unit-failed:a&b=<c> ü".into()),
            page: 3,
            ..FleetQuery::default()
        };
        let address = query.address(|changed| changed.page = 3);
        let (path, text) = address.split_once('?').unwrap();
        let Ok(Address::Fleet(read)) = Address::parse(path, text) else {
            panic!("{address}");
        };
        assert_eq!(read, query);
        let view = View {
            time: TimeForm::Wall,
            is_wrapped: false,
            from: 200_001,
            marked: Some((7, 9)),
            after: 0,
        };
        let address = view.address("/", |_| {});
        assert_eq!(View::parse(address.split_once('?').unwrap().1), Ok(view));
        assert_eq!(View::default().address("/x", |_| {}), "/x");
    }

    #[test]
    fn other_addresses_lead_nowhere() {
        for path in [
            "/x",
            "//",
            "/i",
            "/i/",
            "/i/../x",
            "/i/%2e%2e",
            "/i/i-a1%00",
            "/i/i-a1/",
            "/i/i-a1/b/",
            "/i/i-a1/b/x",
            "/i/i-a1/r/x",
            "/i/i-a1/r/..%2f",
            "/style.css/",
            "/i/i-a1/b/latest/raw",
            "/etc/passwd",
        ] {
            assert_eq!(
                Address::parse(path, "").unwrap_err(),
                NoPage::Unknown,
                "{path}"
            );
        }
        for query in [
            "since=noon",
            "ending=x",
            "severity=bad",
            "page=0",
            "page=x",
            "region=%20",
            "instance=%5b",
        ] {
            let wrong = Address::parse("/", query).unwrap_err();
            assert!(matches!(wrong, NoPage::Wrong(_)), "{query}: {wrong:?}");
        }
        for query in ["time=x", "from=0", "lines=9-7", "lines=x"] {
            let wrong = Address::parse("/i/i-a1/b/latest", query).unwrap_err();
            assert!(matches!(wrong, NoPage::Wrong(_)), "{query}: {wrong:?}");
        }
    }
}
