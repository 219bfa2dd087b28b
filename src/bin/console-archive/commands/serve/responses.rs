//! A request → an answer.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use bytes::Bytes;
use ecs_console_archiver::archive::key::{RecordKey, ScreenshotKey};
use ecs_console_archiver::archive::reader::{self, ReadError, Selector};
use ecs_console_archiver::archive::screenshot;
use ecs_console_archiver::config::Redact;
use ecs_console_archiver::model::ending::Ending;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::compare::Manner;
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::findings::secrets;
use ecs_console_archiver::reading::select::Selection;
use ecs_console_archiver::retry::{self, Deadline, Retrying};
use ecs_console_archiver::store::{self, Store as _};
use futures_util::FutureExt as _;
use http::header::CONNECTION;
use http::{Request, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::super::diff::{self, Baseline};
use super::super::show::screen;
use super::address::{self, Address, DiffQuery, FleetQuery, NoPage, View};
use super::answer::{Answer, Body};
use super::fleet;
use super::gate::{self, Admitted, Refusal};
use super::pages::{self, Pictures, Site, boot::BootPage};
use super::search;
use super::state::{Instance, State};
use crate::boots::{Summary, console_before, hide_secrets_behind};
use crate::exit::WrongInput;
use crate::output;

/// A boot of which nothing came for so long is not looked for any more.
const LIVE: SignedDuration = SignedDuration::from_mins(30);
/// Records that cannot be read, of which a page without a boot tells.
const TOLD: usize = 3;
/// Parts of a page that wait for the browser.
const PARTS_AHEAD: usize = 4;

impl State<'_> {
    /// Answers a request.
    pub async fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        let uri = request.uri();
        let (path, query) = (uri.path(), uri.query().unwrap_or_default());
        let address = Address::parse(path, query);
        let is_asset = address.as_ref().is_ok_and(Address::is_asset);
        let token = address::token(query);
        let answer = match self.gate.admit(request, token.as_deref(), is_asset) {
            Err(refusal) => {
                let is_of_person = address.is_ok() && gate::is_of_person(request.headers());
                self.refuse(&refusal, path, is_of_person)
            }
            Ok(Admitted::Entering { cookie }) => Answer::redirect("/").with_cookie(cookie),
            // The printed address again, from its history.
            Ok(Admitted::Pages) if token.is_some() => Answer::redirect("/"),
            Ok(Admitted::Pages | Admitted::Asset) => self.show(address).await,
        };
        // Who was not let in holds no connection.
        let answer = match self.gate.has_session(request.headers()) {
            true => answer,
            false => answer.with(CONNECTION, "close"),
        };
        answer.into_response()
    }

    fn site(&self) -> Site {
        Site {
            archive_url: self.archive.store.url(""),
            zone: self.context.time_zone.clone(),
            is_file: false,
            pictures: Pictures::new(),
        }
    }

    /// `is_of_person`: a page was asked for by somebody who looks at it. Browsers ask for more by themselves.
    fn refuse(&self, refusal: &Refusal, path: &str, is_of_person: bool) -> Answer {
        if refusal.needs_address && is_of_person {
            match self.gate.renewed_address() {
                Ok(None) => {}
                Ok(Some(address)) => {
                    // Nobody reads what is printed any more: then nobody else is let in.
                    let _ = super::tell_again(&address, &self.archive.store.url(""), self.context);
                }
                Err(error) => output::error(format_args!("there is no new address: {error}")),
            }
        }
        // Only of this server: a path that begins with two slashes names another.
        let again = Address::parse(path, "").is_ok().then_some(path);
        let page = pages::refusal(refusal.told, refusal.needs_address, again);
        let answer = Answer::page(refusal.status, page);
        match refusal.allow() {
            Some((name, value)) => answer.with(name, value.to_str().unwrap_or_default()),
            None => answer,
        }
    }

    async fn show(&self, address: Result<Address, NoPage>) -> Answer {
        let address = match address {
            Ok(address) => address,
            Err(NoPage::Unknown) => return self.nothing("There is no such page."),
            Err(NoPage::Wrong(why)) => {
                let page = pages::failure(&self.site(), "This address cannot be used", &[why]);
                return Answer::page(StatusCode::BAD_REQUEST, page);
            }
        };
        let shown = self.try_to_show(address);
        caught(shown).await.unwrap_or_else(|| fault(&self.site()))
    }

    async fn try_to_show(&self, address: Address) -> Answer {
        // A search that waits for others keeps no page.
        let search = match &address {
            Address::Search(query) if !query.text.is_empty() => {
                let searches = Arc::clone(&self.searches);
                searches.acquire_owned().await.ok()
            }
            _ => None,
        };
        let turn = match address.is_asset() {
            true => None, // It waits for nothing.
            false => Arc::clone(&self.turns).acquire_owned().await.ok(),
        };
        let turn = Turn(turn.into());
        let begun = Instant::now();
        let (shown, time_up) = retry::noting_time_up(async {
            let shown = self.page(address, &turn, search).await;
            (shown, retry::take_time_up())
        })
        .await;
        let error = match shown {
            Ok(answer) => return answer,
            Err(error) => error,
        };
        let mut told = vec![format!("{error:#}")];
        told.extend(self.context.advice(&error));
        let status = match time_up {
            Some(_) => {
                let seconds = begun.elapsed().as_secs_f64();
                told.push(format!(
                    "It was tried for {seconds:.1} s; --timeout gives it longer."
                ));
                StatusCode::GATEWAY_TIMEOUT
            }
            None if error.is::<WrongInput>() => StatusCode::BAD_REQUEST,
            None => StatusCode::BAD_GATEWAY,
        };
        let title = match status {
            StatusCode::BAD_REQUEST => "This address cannot be used",
            _ => "The archive did not answer",
        };
        Answer::page(status, pages::failure(&self.site(), title, &told))
    }

    fn nothing(&self, told: &str) -> Answer {
        let page = pages::failure(&self.site(), "There is nothing here", &[told.to_owned()]);
        Answer::page(StatusCode::NOT_FOUND, page)
    }

    async fn page(
        &self,
        address: Address,
        turn: &Turn,
        search: Option<OwnedSemaphorePermit>,
    ) -> Result<Answer> {
        match address {
            Address::Style => Ok(Answer::asset("text/css; charset=utf-8", pages::style())),
            Address::Script => Ok(Answer::asset(
                "text/javascript; charset=utf-8",
                pages::SCRIPT,
            )),
            Address::Fleet(query) => self.fleet(query).await,
            Address::Search(query) => {
                let Some(search) = search else {
                    let page = pages::search::empty(&self.site(), &query);
                    return Ok(Answer::page(StatusCode::OK, page));
                };
                let site = self.site();
                let page = |query, instances| pages::search::SearchPage {
                    site,
                    query,
                    instances,
                };
                let going = search::begin(query, &self.archive, self.context, page, search).await?;
                Ok(Answer::page_of(going.into_parts()))
            }
            Address::Instance(id) => {
                let instance = self.instance(&id, turn).await?;
                if instance.is_empty() {
                    return Ok(self.nothing(&format!("{id} has no record in this archive.")));
                }
                let page = pages::instance::page(&self.site(), &instance);
                Ok(Answer::page(StatusCode::OK, page))
            }
            Address::Boot(id, selection, view) => self.boot(&id, &selection, view, turn).await,
            Address::Screen(id, selection) => {
                let instance = self.instance(&id, turn).await?;
                let index = match self.found(&instance, &selection) {
                    Ok(index) => index,
                    Err(told) => return Ok(self.nothing(&told)),
                };
                let shown = Arc::clone(&instance);
                let screen = turn
                    .blocking(move || screen::of(&shown.boots[index], EncodingChoice::Auto))
                    .await?;
                let page = pages::boot::screen(&self.site(), &instance, index, &screen?);
                Ok(Answer::page(StatusCode::OK, page))
            }
            Address::Diff(id, selection, query) => self.diff(&id, &selection, query, turn).await,
            Address::Log(id, selection) => {
                let instance = self.instance(&id, turn).await?;
                Ok(match self.found(&instance, &selection) {
                    Ok(index) => {
                        let boot = &instance.boots[index];
                        Answer::download(&format!("{id}-{}.log", boot.id), boot.log.clone())
                    }
                    Err(told) => self.nothing(&told),
                })
            }
            Address::OfRecord(id, name) => {
                let instance = self.instance(&id, turn).await?;
                let has = |boot: &ecs_console_archiver::reading::stitch::Boot| {
                    boot.captures.iter().any(|capture| capture.name == name)
                };
                Ok(match instance.boots.iter().rfind(|boot| has(boot)) {
                    Some(boot) => Answer::redirect(&address::boot(&id, &boot.id)),
                    None => self.nothing(&format!("No boot of {id} is shown by a record {name}.")),
                })
            }
            Address::Record(id, name) => self.record(&id, &name).await,
            Address::Screenshot(key) => self.screenshot(&key).await,
        }
    }

    async fn instance(&self, id: &InstanceId, turn: &Turn) -> Result<Arc<Instance>> {
        self.context.reads();
        self.archive.instance(id, self.context.time(), turn).await
    }

    /// The boot that is asked for, or what to tell.
    fn found(&self, instance: &Instance, selection: &Selection) -> Result<usize, String> {
        let ids = instance.boots.iter().map(|boot| boot.id.as_str());
        selection.find(ids).or_else(|error| {
            let known = match selection {
                Selection::Id(name, 0) => self.archive.boot_of_unstored(instance, name),
                _ => None,
            };
            let left_out = instance.left_out.iter().take(TOLD);
            let left_out: String = left_out.map(|why| format!("; left out: {why}")).collect();
            known.ok_or_else(|| format!("{}: {error}{left_out}", instance.id))
        })
    }

    async fn fleet(&self, query: FleetQuery) -> Result<Answer> {
        let fleet = fleet::read(&query, &self.archive, self.context).await?;
        let page = pages::fleet::page(&self.site(), &query, &fleet);
        Ok(Answer::page(StatusCode::OK, page))
    }

    async fn boot(
        &self,
        id: &InstanceId,
        selection: &Selection,
        view: View,
        turn: &Turn,
    ) -> Result<Answer> {
        let mut instance = self.instance(id, turn).await?;
        if let Some(live) = &self.live
            && may_grow(&instance, selection)
            && self.archive.look(id, live, self.context.time()).await
        {
            instance = self.instance(id, turn).await?;
        }
        let index = match self.found(&instance, selection) {
            Ok(index) => index,
            Err(told) => return Ok(self.nothing(&told)),
        };
        let boot_id = &instance.boots[index].id;
        if !is_by_id(selection, boot_id) {
            // A number is another boot's when the next one comes.
            let path = address::boot(id, boot_id);
            return Ok(Answer::redirect(&view.address(&path, |_| {})));
        }
        let (sender, parts) = mpsc::channel(PARTS_AHEAD);
        let (site, is_live) = (self.site(), is_live(&instance, index));
        tokio::task::spawn_blocking(move || {
            let page = BootPage::new(&site, &instance, index, view).live(is_live);
            // A browser that has left needs no more.
            let mut take = |part| sender.blocking_send(Bytes::from(part)).is_ok();
            let written = catch_unwind(AssertUnwindSafe(|| page.write(&mut take)));
            if written.is_err() {
                take(pages::broken_off().into_string());
            }
        });
        Ok(Answer::growing_page(parts))
    }

    async fn diff(
        &self,
        id: &InstanceId,
        selection: &Selection,
        query: DiffQuery,
        turn: &Turn,
    ) -> Result<Answer> {
        let instance = self.instance(id, turn).await?;
        let (boots, site) = (&instance.boots, self.site());
        let b = match self.found(&instance, selection) {
            Ok(index) => index,
            Err(told) => return Ok(self.nothing(&told)),
        };
        let baseline = query.baseline();
        let a = match &baseline {
            Baseline::Boot(selection) => match self.found(&instance, selection) {
                Ok(index) => Some(index),
                Err(told) => return Ok(self.nothing(&told)),
            },
            Baseline::Previous => b.checked_sub(1),
            Baseline::Good => diff::last_good(boots, b),
        };
        let Some(a) = a else {
            let told = match baseline {
                _ if boots.len() == 1 => "This instance has only one boot so far.",
                Baseline::Previous => "No boot is known before this one.",
                _ => "No other boot is known that reached its login prompt.",
            };
            let page = pages::diff::none(&site, &instance, b, told);
            return Ok(Answer::page(StatusCode::NOT_FOUND, page));
        };
        let is_of = |baseline: &Baseline| matches!(baseline, Baseline::Boot(with) if is_by_id(with, &boots[a].id));
        if !is_by_id(selection, &boots[b].id) || !is_of(&baseline) {
            // What is good now is another one when the next boot comes.
            let path = format!("{}/diff", address::boot(id, &boots[b].id));
            let address = query.address(&path, |query| query.with = Some(boots[a].id.clone()));
            return Ok(Answer::redirect(&address));
        }
        let redact = self.archive.redact;
        let page = turn.blocking(move || {
            let log = |index| diff::boot_log(&Summary::new(&instance.boots, index), &instance.id);
            let (mut log_a, mut log_b) = (log(a), log(b));
            // Their secrets are masked already, and counted here.
            let (auto, manner) = (EncodingChoice::Auto, Manner::default());
            let compared = diff::compare(&mut log_a, &mut log_b, auto, manner, redact);
            let (compared, is_coarse) = compared?;
            let pair = pages::diff::Pair {
                instance: &instance,
                a,
                b,
                logs: (&log_a, &log_b),
                compared: &compared,
                is_coarse,
            };
            anyhow::Ok(pages::diff::page(&site, &pair, &query))
        });
        Ok(Answer::page(StatusCode::OK, page.await??))
    }

    async fn screenshot(&self, key: &ScreenshotKey) -> Result<Answer> {
        let store = Retrying::new(&self.archive.store, Deadline::after(self.context.time()));
        self.context.reads();
        let Some(object) = store::get_listed(&store, &key.to_string()).await? else {
            return Ok(self.nothing("There is no such screenshot."));
        };
        let faults = screenshot::faults(key, &object);
        if faults.is_empty() {
            return Ok(Answer::picture(key.format, object.body));
        }
        let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
        let page = pages::failure(&self.site(), "The screenshot is damaged", &told);
        Ok(Answer::page(StatusCode::BAD_GATEWAY, page))
    }

    async fn record(&self, id: &InstanceId, name: &str) -> Result<Answer> {
        let store = Retrying::new(&self.archive.store, Deadline::after(self.context.time()));
        let key = RecordKey::parse(&format!("{id}/{name}.log.gz"));
        let Some(key) = key else {
            return Ok(self.nothing("There is no such record."));
        };
        self.context.reads();
        match reader::open(&store, &key).await {
            Ok(opened) => {
                let (mut plain, redact) = (opened.plain, self.archive.redact);
                let before = match Selector::name(name) {
                    Some(named) if redact != Redact::Off && secrets::may_go_on(&plain) => {
                        let listing = reader::list(&store, Some(id)).await?;
                        listing.find(&named, 1)
                    }
                    _ => None,
                };
                let before = match before {
                    // What it says of secrets is needed: nothing is shown without it.
                    Some(before) => console_before(&store, &before).await?,
                    None => Vec::new(),
                };
                hide_secrets_behind(&before, &mut plain, redact);
                Ok(Answer::download(&format!("{id}-{name}.log"), plain))
            }
            Err(ReadError::Gone(_)) => Ok(self.nothing("There is no such record.")),
            Err(error @ ReadError::Damaged(_)) => {
                let told = format!(
                    "{error}; `console-archive get --at {name} --damaged {id}` prints what can be read of it"
                );
                let page = pages::failure(&self.site(), "The record is damaged", &[told]);
                Ok(Answer::page(StatusCode::BAD_GATEWAY, page))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A turn among the requests that are answered at once. Work that no longer has a client holds it until it ends.
pub struct Turn(Arc<Option<OwnedSemaphorePermit>>);

impl Turn {
    /// Does work that takes long. A panic in it goes on here.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let turn = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(error) => error.into(),
        })
    }
}

/// What comes of this. `None` if it panics: other pages are answered all the same.
async fn caught<T>(work: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(work).catch_unwind().await.ok()
}

/// What is answered where this program has failed, which has told of it already.
fn fault(site: &Site) -> Answer {
    let told = "This is a fault of the program. The terminal of `console-archive serve` says what it is; please report it.";
    let page = pages::failure(site, "This page could not be made", &[told.to_owned()]);
    Answer::page(StatusCode::INTERNAL_SERVER_ERROR, page)
}

/// Whether a boot may still print: it is the newest and has no end, and was captured not long ago.
fn is_live(instance: &Instance, index: usize) -> bool {
    let boot = &instance.boots[index];
    let is_newest = index + 1 == instance.boots.len();
    let captured = boot.captures.last().map(|capture| capture.captured_at);
    is_newest
        && boot.ending(true) == Ending::Running
        && captured.is_some_and(|at| Timestamp::now().duration_since(at) < LIVE)
}

/// Whether ECS may have more of a boot that is asked for: of the newest one until it has ended, and of one that the
/// archive does not know.
fn may_grow(instance: &Instance, selection: &Selection) -> bool {
    let ids = instance.boots.iter().map(|boot| boot.id.as_str());
    let Ok(index) = selection.find(ids) else {
        return true;
    };
    let is_newest = index + 1 == instance.boots.len();
    let is_latest = matches!(selection, Selection::Back(0));
    is_newest && (is_latest || instance.boots[index].ending(true) == Ending::Running)
}

/// Whether a boot is named by its own ID, which is the same for ever.
fn is_by_id(selection: &Selection, boot_id: &str) -> bool {
    matches!(selection, Selection::Id(id, 0) if id == boot_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fault_of_one_page_ends_no_other() {
        let turns = Arc::new(tokio::sync::Semaphore::new(1));
        let turn = Arc::clone(&turns).acquire_owned().await.ok();
        let turn = Turn(turn.into());
        assert_eq!(caught(async { 1 }).await, Some(1));
        assert_eq!(
            caught(async { [1][turns.available_permits() + 1] }).await,
            None
        );
        let failing = turn.blocking(|| -> u8 { panic!("as a fault does") });
        assert!(caught(failing).await.is_none());
        let done = caught(turn.blocking(|| 2)).await;
        assert_eq!(done.unwrap().unwrap(), 2);
    }

    /// A client that leaves ends the wait for what it asked for, and not the work.
    #[tokio::test]
    async fn work_holds_its_turn_until_it_ends() {
        let turns = Arc::new(tokio::sync::Semaphore::new(1));
        let turn = Arc::clone(&turns).acquire_owned().await.ok();
        let turn = Turn(turn.into());
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (end, may_end) = std::sync::mpsc::channel::<()>();
        let mut working = Box::pin(turn.blocking(move || {
            begun.send(()).unwrap();
            may_end.recv().unwrap();
        }));
        tokio::select! {
            _ = &mut working => panic!("it is told to end later"),
            begun = has_begun => begun.unwrap(),
        }
        drop(working);
        drop(turn);
        assert_eq!(turns.available_permits(), 0);
        end.send(()).unwrap();
        let _free = turns.acquire().await.unwrap();
    }
}
