//! A request → an answer.

use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use ecs_console_archiver::archive::key::{RecordKey, ScreenshotKey};
use ecs_console_archiver::archive::reader::{self, ReadError};
use ecs_console_archiver::archive::screenshot;
use ecs_console_archiver::model::ending::Ending;
use ecs_console_archiver::model::ids::InstanceId;
use ecs_console_archiver::reading::compare::Manner;
use ecs_console_archiver::reading::encoding::EncodingChoice;
use ecs_console_archiver::reading::select::Selection;
use ecs_console_archiver::retry::{self, Deadline, Retrying};
use ecs_console_archiver::store::{self, Store as _};
use http::{Request, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use super::super::diff::{self, Baseline};
use super::super::show::screen;
use super::address::{self, Address, DiffQuery, FleetQuery, NoPage, View};
use super::answer::{Answer, Body};
use super::fleet;
use super::gate::{self, Admitted, Refusal};
use super::pages::{self, Pictures, Site, boot::BootPage};
use super::search;
use super::state::{Instance, State};
use crate::boots::{Summary, hide_secrets};
use crate::exit::WrongInput;
use crate::output;

/// A boot of which nothing came for so long is not looked for any more.
const LIVE: SignedDuration = SignedDuration::from_mins(30);
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
        let _turn = self.turns.acquire().await;
        let address = match address {
            Ok(address) => address,
            Err(NoPage::Unknown) => return self.nothing("There is no such page."),
            Err(NoPage::Wrong(why)) => {
                let page = pages::failure(&self.site(), "This address cannot be used", &[why]);
                return Answer::page(StatusCode::BAD_REQUEST, page);
            }
        };
        let (shown, time_up) = retry::noting_time_up(async {
            let shown = self.page(address).await;
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
                let seconds = self.context.time().as_secs();
                told.push(format!(
                    "It was tried for {seconds} s; --timeout gives it longer."
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

    async fn page(&self, address: Address) -> Result<Answer> {
        match address {
            Address::Style => Ok(Answer::asset("text/css; charset=utf-8", pages::style())),
            Address::Script => Ok(Answer::asset(
                "text/javascript; charset=utf-8",
                pages::SCRIPT,
            )),
            Address::Fleet(query) => self.fleet(query).await,
            Address::Search(query) if query.text.is_empty() => {
                let page = pages::search::empty(&self.site(), &query);
                Ok(Answer::page(StatusCode::OK, page))
            }
            Address::Search(query) => {
                let turn = Arc::clone(&self.searches).acquire_owned().await?;
                let site = self.site();
                let page = |query, instances| pages::search::SearchPage {
                    site,
                    query,
                    instances,
                };
                let going = search::begin(query, &self.archive, self.context, page, turn).await?;
                Ok(Answer::page_of(going.into_parts()))
            }
            Address::Instance(id) => {
                let instance = self.instance(&id).await?;
                if instance.is_empty() {
                    return Ok(self.nothing(&format!("{id} has no record in this archive.")));
                }
                let page = pages::instance::page(&self.site(), &instance);
                Ok(Answer::page(StatusCode::OK, page))
            }
            Address::Boot(id, selection, view) => self.boot(&id, &selection, view).await,
            Address::Screen(id, selection) => {
                let instance = self.instance(&id).await?;
                let index = match found(&instance, &selection) {
                    Ok(index) => index,
                    Err(told) => return Ok(self.nothing(&told)),
                };
                let shown = Arc::clone(&instance);
                let screen = tokio::task::spawn_blocking(move || {
                    screen::of(&shown.boots[index], EncodingChoice::Auto)
                });
                let page = pages::boot::screen(&self.site(), &instance, index, &screen.await??);
                Ok(Answer::page(StatusCode::OK, page))
            }
            Address::Diff(id, selection, query) => self.diff(&id, &selection, query).await,
            Address::Log(id, selection) => {
                let instance = self.instance(&id).await?;
                Ok(match found(&instance, &selection) {
                    Ok(index) => {
                        let boot = &instance.boots[index];
                        Answer::download(&format!("{id}-{}.log", boot.id), boot.log.clone())
                    }
                    Err(told) => self.nothing(&told),
                })
            }
            Address::OfRecord(id, name) => {
                let instance = self.instance(&id).await?;
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

    async fn instance(&self, id: &InstanceId) -> Result<Arc<Instance>> {
        self.context.reads();
        self.archive.instance(id, self.context.time()).await
    }

    async fn fleet(&self, query: FleetQuery) -> Result<Answer> {
        let fleet = fleet::read(&query, &self.archive, self.context).await?;
        let page = pages::fleet::page(&self.site(), &query, &fleet);
        Ok(Answer::page(StatusCode::OK, page))
    }

    async fn boot(&self, id: &InstanceId, selection: &Selection, view: View) -> Result<Answer> {
        if let Some(live) = &self.live {
            self.archive.look(id, live, self.context).await;
        }
        let instance = self.instance(id).await?;
        let index = match found(&instance, selection) {
            Ok(index) => index,
            Err(told) => return Ok(self.nothing(&told)),
        };
        let boot_id = &instance.boots[index].id;
        if !matches!(selection, Selection::Id(_, 0)) {
            // A number is another boot's when the next one comes.
            let path = address::boot(id, boot_id);
            return Ok(Answer::redirect(&view.address(&path, |_| {})));
        }
        let (sender, parts) = mpsc::channel(PARTS_AHEAD);
        let (site, is_live) = (self.site(), is_live(&instance, index));
        tokio::task::spawn_blocking(move || {
            let page = BootPage::new(&site, &instance, index, view).live(is_live);
            // A browser that has left needs no more.
            page.write(&mut |part| sender.blocking_send(Bytes::from(part)).is_ok());
        });
        Ok(Answer::growing_page(parts))
    }

    async fn diff(
        &self,
        id: &InstanceId,
        selection: &Selection,
        query: DiffQuery,
    ) -> Result<Answer> {
        let instance = self.instance(id).await?;
        let (boots, site) = (&instance.boots, self.site());
        let b = match found(&instance, selection) {
            Ok(index) => index,
            Err(told) => return Ok(self.nothing(&told)),
        };
        let baseline = query.baseline();
        let a = match &baseline {
            Baseline::Boot(selection) => match found(&instance, selection) {
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
        let is_by_id = |selection: &Selection| matches!(selection, Selection::Id(_, 0));
        if !is_by_id(selection) || !matches!(&baseline, Baseline::Boot(with) if is_by_id(with)) {
            // What is good now is another one when the next boot comes.
            let path = format!("{}/diff", address::boot(id, &boots[b].id));
            let address = query.address(&path, |query| query.with = Some(boots[a].id.clone()));
            return Ok(Answer::redirect(&address));
        }
        let redact = self.archive.redact;
        let page = tokio::task::spawn_blocking(move || {
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
                let mut plain = opened.plain;
                hide_secrets(&mut plain, self.archive.redact);
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

/// Whether a boot may still print: it is the newest and has no end, and was captured not long ago.
fn is_live(instance: &Instance, index: usize) -> bool {
    let boot = &instance.boots[index];
    let is_newest = index + 1 == instance.boots.len();
    let captured = boot.captures.last().map(|capture| capture.captured_at);
    is_newest
        && boot.ending(true) == Ending::Running
        && captured.is_some_and(|at| Timestamp::now().duration_since(at) < LIVE)
}

/// The boot that is asked for, or what to tell.
fn found(instance: &Instance, selection: &Selection) -> Result<usize, String> {
    let ids = instance.boots.iter().map(|boot| boot.id.as_str());
    let found = selection.find(ids);
    found.map_err(|error| format!("{}: {error}", instance.id))
}
