//! An ECS API on loopback, with what the program asks of STS and Function Compute beside it. It verifies
//! signatures, times and nonces, serves consoles from a folder, accepts asynchronous invocations, and makes
//! the faults that it is told to. It is used to try the program without an account, and in its tests.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tracing::info;

mod answer;
mod fault;
mod guest;
mod verify;

use answer::{Answer, Body, Broken, request_id};
pub use fault::{Fault, FaultPlan, InvalidFault};
pub use guest::{Cache, Guest, Reports};
use verify::{Action, ApiCall, Format, Refusal};

use crate::clock::iso_second;
use crate::credentials::Expiring;
use crate::lock::lock;
use crate::model::credentials::{Credentials, Secret};
use crate::model::ids::{AccountId, InstanceId, RegionId};

/// What the simulator serves, and to whom.
#[derive(Debug, Clone)]
pub struct SimulatorConfig {
    /// Address to listen on. Port 0 selects a free port.
    pub listen: SocketAddr,
    /// A folder. A file `{instance_id}.log` is a console, and its modification time becomes
    /// `LastUpdateTime`. A file `{instance_id}.error` has a status and a code, such as `405
    /// NotSupported`. A file `{instance_id}.answer` is the raw body of an answer. A file `{instance_id}.jpg` or
    /// `{instance_id}.png` is what the screen shows.
    pub consoles: Option<PathBuf>,
    /// The only valid key. If it has a token, requests must have it too.
    pub credentials: Credentials,
}

/// What ECS has for an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Console {
    /// A console output.
    Output {
        /// The bytes.
        plain: Vec<u8>,
        /// `LastUpdateTime`. `None` omits it from the answer.
        last_update_time: Option<String>,
    },
    /// An error of the API.
    Error {
        /// HTTP status.
        status: u16,
        /// Error code.
        code: String,
    },
    /// A raw answer: a console that is not encoded as documented, or the page of a gateway.
    Answer {
        /// HTTP status.
        status: u16,
        /// The body.
        body: Vec<u8>,
    },
}

/// What ECS answers about the screen of an instance.
///
/// Sources: the page of `GetInstanceScreenshot` (help.aliyun.com/zh/ecs/developer-reference/api-getinstancescreenshot): its
/// sample `{"RequestId":"473469C7-…","InstanceId":"i-bp1gbz20g229bvu5****","Screenshot":"iVBORw0KGgoA...AAABJRU5ErkJggg=="}`,
/// which begins and ends as a PNG does, although it says JPG; its XML sample `<GetInstanceScreenshotResponse>`; its error
/// codes 400 `MissingParameter`, 404 `InvalidParameter`, 405 `IncorrectInstanceStatus`, 405 `NotSupported`, 429 `Throttling`;
/// and that calls for one instance must be 10 s apart. The bodies of errors are those of `GetInstanceConsoleOutput`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Screen {
    /// A picture, or other bytes in its place.
    Picture(Vec<u8>),
    /// An error of the API.
    Error {
        /// HTTP status.
        status: u16,
        /// Error code.
        code: String,
    },
}

/// ECS takes pictures of one instance at least so far apart.
const SCREENSHOTS_APART: SignedDuration = SignedDuration::from_secs(10);

/// Longest body of a request that is read: more than the payload of an invocation may have.
const MAX_BODY_BYTES: usize = 256 << 10;

/// The region of instances that have no other.
const REGION: &str = "cn-hangzhou";
/// The account of the key, and of sessions without a role.
pub const ACCOUNT: &str = "1690700000000030";

/// A simulator. It runs until it is dropped.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    config: SimulatorConfig,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    consoles: BTreeMap<InstanceId, VecDeque<Console>>,
    /// What screens show, one after the other. The last one stays.
    screens: BTreeMap<InstanceId, VecDeque<Screen>>,
    /// When the last picture of each instance was taken, by a clock that nobody sets.
    pictured: BTreeMap<InstanceId, tokio::time::Instant>,
    /// Instances whose displays were woken.
    woken: BTreeSet<InstanceId>,
    /// Guests, with the time at which each started.
    guests: BTreeMap<InstanceId, (Guest, Timestamp)>,
    /// Time since the guests started, if it does not follow this machine's clock.
    guest_time: Option<Duration>,
    /// Regions of the instances that are not in [`REGION`].
    regions: BTreeMap<InstanceId, RegionId>,
    /// Accounts of the instances. Instances that are not here exist in every account.
    accounts: BTreeMap<InstanceId, AccountId>,
    /// Accounts of the keys that are not of [`ACCOUNT`], by the ID of the key.
    key_accounts: BTreeMap<String, AccountId>,
    /// The roles that were assumed.
    assumed: Vec<AssumedRole>,
    /// Largest number of instances in a page, if it is smaller than requested.
    page_size: Option<usize>,
    /// Temporary keys that were issued.
    sessions: Vec<Expiring>,
    /// OIDC tokens that are accepted for a role.
    oidc_tokens: HashSet<String>,
    faults: VecDeque<Fault>,
    nonces: HashSet<String>,
    /// Asynchronous invocations that were accepted and not taken yet.
    invocations: VecDeque<Invocation>,
    /// What the next invocations meet.
    invocation_faults: VecDeque<InvocationFault>,
    /// The only function that exists. `None`: every one does.
    function: Option<String>,
    answered: Vec<Answered>,
    clock_ahead: SignedDuration,
}

impl State {
    fn console(&mut self, instance_id: &InstanceId, takes: bool) -> Option<Console> {
        if let Some((guest, began_at)) = self.guests.get(instance_id) {
            let since = Timestamp::now().duration_since(*began_at);
            let since = since.max(SignedDuration::ZERO).unsigned_abs();
            return Some(guest.answer(self.guest_time.unwrap_or(since), *began_at));
        }
        let consoles = self.consoles.get_mut(instance_id)?;
        if takes && consoles.len() > 1 {
            consoles.pop_front()
        } else {
            consoles.front().cloned()
        }
    }
}

/// A role that was assumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssumedRole {
    /// `acs:ram::{account}:role/{name}`.
    pub arn: String,
    /// Whether a session policy restricts the session.
    pub has_policy: bool,
}

/// An asynchronous invocation that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// Name of the function.
    pub function_name: String,
    /// Time after which it is to be invoked, in seconds.
    pub delay_seconds: u64,
    /// The payload.
    pub body: String,
    /// ID of the key that signed the request.
    pub access_key_id: String,
}

/// How an asynchronous invocation fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvocationFault {
    /// None: it is accepted, and the next fault is for a later one.
    None,
    /// It is refused with this status and error code.
    Refused(u16, &'static str),
    /// It is accepted, and the answer breaks as by this fault.
    Broken(Fault),
}

/// A request, and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Its operation. Empty if the request could not be verified.
    pub action: String,
    /// The instance in the request. Empty if there is none.
    pub instance_id: String,
    /// The status, the error code or the fault.
    pub answer: String,
}

impl Simulator {
    /// Starts the simulator.
    ///
    /// # Errors
    /// If it cannot listen on the address.
    pub async fn start(config: SimulatorConfig) -> std::io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            config,
            state: Mutex::default(),
        });
        let server = tokio::spawn(serve(listener, shared.clone()));
        Ok(Self {
            address,
            shared,
            server,
        })
    }

    /// The value for `ECS_ENDPOINT_URL`.
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the console of an instance. It replaces the file in the folder.
    pub fn set_console(&self, instance_id: &InstanceId, console: Console) {
        self.set_consoles(instance_id, [console]);
    }

    /// Sets several consoles. Each answer uses the next one, and the last one stays. Use it to
    /// count captures. ECS's cache does not behave like this; [`set_guest`](Self::set_guest) does.
    pub fn set_consoles(
        &self,
        instance_id: &InstanceId,
        consoles: impl IntoIterator<Item = Console>,
    ) {
        let consoles = consoles.into_iter().collect();
        let mut state = self.shared.state();
        state.consoles.insert(instance_id.clone(), consoles);
    }

    /// Sets what the screen of an instance shows. It replaces the file in the folder.
    pub fn set_screen(&self, instance_id: &InstanceId, screen: Screen) {
        self.set_screens(instance_id, [screen]);
    }

    /// Sets several. Each picture that is taken is of the next one, and the last one stays.
    pub fn set_screens(&self, instance_id: &InstanceId, screens: impl IntoIterator<Item = Screen>) {
        let screens = screens.into_iter().collect();
        let mut state = self.shared.state();
        state.screens.insert(instance_id.clone(), screens);
    }

    /// Forgets when pictures were taken, as if 10 s had passed.
    pub fn forget_pictures(&self) {
        self.shared.state().pictured.clear();
    }

    /// The instances whose displays were woken.
    pub fn woken(&self) -> Vec<InstanceId> {
        self.shared.state().woken.iter().cloned().collect()
    }

    /// Starts a guest on an instance now. It replaces any other console of the instance.
    pub fn set_guest(&self, instance_id: &InstanceId, guest: Guest) {
        self.set_guest_that_began(instance_id, guest, Timestamp::now());
    }

    /// Like [`set_guest`](Self::set_guest), for a guest that started at this time.
    pub fn set_guest_that_began(&self, id: &InstanceId, guest: Guest, began_at: Timestamp) {
        let mut state = self.shared.state();
        state.guests.insert(id.clone(), (guest, began_at));
    }

    /// Stops the clock of all guests at this time after they started.
    pub fn set_guest_time(&self, since_beginning: Duration) {
        self.shared.state().guest_time = Some(since_beginning);
    }

    /// Moves an instance to another region. Its console is still returned in every region.
    pub fn set_region(&self, instance_id: &InstanceId, region_id: &RegionId) {
        let mut state = self.shared.state();
        state.regions.insert(instance_id.clone(), region_id.clone());
    }

    /// Moves an instance to an account. Keys of other accounts do not find it.
    pub fn set_account(&self, instance_id: &InstanceId, account_id: &AccountId) {
        let mut state = self.shared.state();
        let moved = (instance_id.clone(), account_id.clone());
        state.accounts.extend([moved]);
    }

    /// The roles that were assumed, in order.
    pub fn assumed_roles(&self) -> Vec<AssumedRole> {
        self.shared.state().assumed.clone()
    }

    /// Limits the number of instances in a page.
    pub fn set_page_size(&self, instances: usize) {
        self.shared.state().page_size = Some(instances);
    }

    /// Issues temporary keys that expire after `life`, as for a role.
    pub fn open_session(&self, life: SignedDuration) -> Expiring {
        self.shared.open_session(life)
    }

    /// Expires all temporary keys.
    pub fn end_sessions(&self) {
        for session in &mut self.shared.state().sessions {
            session.expires_at = Some(Timestamp::UNIX_EPOCH);
        }
    }

    /// Makes all temporary keys unknown, as after a change of the role.
    pub fn revoke_sessions(&self) {
        self.shared.state().sessions.clear();
    }

    /// Accepts this OIDC token for any role.
    pub fn trust_oidc_token(&self, token: &str) {
        self.shared.state().oidc_tokens.insert(token.to_owned());
    }

    /// Adds faults. Each request takes the next one.
    pub fn plan_faults(&self, plan: &FaultPlan) {
        self.shared.state().faults.extend(plan.faults());
    }

    /// Removes the faults that are left.
    pub fn clear_faults(&self) {
        self.shared.state().faults.clear();
    }

    /// The oldest asynchronous invocation that was accepted and not taken yet.
    pub fn take_invocation(&self) -> Option<Invocation> {
        self.shared.state().invocations.pop_front()
    }

    /// Adds faults of asynchronous invocations. Each takes the next one.
    pub fn plan_invocation_faults(&self, faults: impl IntoIterator<Item = InvocationFault>) {
        self.shared.state().invocation_faults.extend(faults);
    }

    /// Makes this the only function that exists.
    pub fn set_function(&self, name: &str) {
        self.shared.state().function = Some(name.to_owned());
    }

    /// Sets the simulator's clock ahead of this machine's.
    pub fn set_clock_ahead(&self, ahead: SignedDuration) {
        self.shared.state().clock_ahead = ahead;
    }

    /// The answers so far, in order.
    pub fn answered(&self) -> Vec<Answered> {
        self.shared.state().answered.clone()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Lifetime of a role's keys.
const SESSION_LIFE: SignedDuration = SignedDuration::from_hours(1);

impl Shared {
    fn open_session(&self, life: SignedDuration) -> Expiring {
        let session = Expiring {
            credentials: Credentials {
                access_key_id: format!("STS.{}", request_id()),
                access_key_secret: Secret::new(format!("session-secret-{}", request_id())),
                security_token: Some(Secret::new(format!("session+token/{}=~*", request_id()))),
            },
            expires_at: Some(Timestamp::now() + life),
        };
        self.state().sessions.push(session.clone());
        session
    }

    /// STS accepts an OIDC token without a signature.
    fn assume_role_with_oidc(&self, form: &[u8]) -> Answer {
        let form: BTreeMap<String, String> =
            url::form_urlencoded::parse(form).into_owned().collect();
        let has = |name: &str| form.get(name).is_some_and(|value| !value.is_empty());
        let needed = ["RoleArn", "OIDCProviderArn", "RoleSessionName", "OIDCToken"];
        if !needed.into_iter().all(has) {
            return Refusal::new(400, "MissingParameter", Format::Json).answer();
        }
        if !self.state().oidc_tokens.contains(&form["OIDCToken"]) {
            return Refusal::new(400, "AuthenticationFail.OIDCToken.Invalid", Format::Json)
                .answer();
        }
        self.role_session(&form["RoleArn"], has("Policy"))
    }

    /// The account of a key: for the session of a role, the role's account; otherwise [`ACCOUNT`].
    fn account_of(&self, access_key_id: &str) -> String {
        let state = self.state();
        let account_id = state.key_accounts.get(access_key_id);
        account_id.map_or(ACCOUNT, AccountId::as_str).to_owned()
    }

    /// Answers like STS (reference of "GetCallerIdentity").
    fn identity(&self, access_key_id: &str) -> Answer {
        let account_id = self.account_of(access_key_id);
        Answer::json(&json!({
            "RequestId": request_id(), "IdentityType": "RAMUser", "AccountId": account_id,
            "PrincipalId": "1", "UserId": "1", "Arn": format!("acs:ram::{account_id}:user/a"),
        }))
    }

    fn role_session(&self, role_arn: &str, has_policy: bool) -> Answer {
        let account_id = role_arn.split(':').nth(3).map(AccountId::parse);
        let Some(Ok(account_id)) = account_id else {
            return Refusal::new(400, "InvalidParameter.RoleArn", Format::Json).answer();
        };
        if role_arn.ends_with("/unknown") {
            return Refusal::new(404, "EntityNotExist.Role", Format::Json).answer();
        }
        let Expiring {
            credentials,
            expires_at,
        } = self.open_session(SESSION_LIFE);
        {
            let mut state = self.state();
            let key = (credentials.access_key_id.clone(), account_id);
            state.key_accounts.extend([key]);
            state.assumed.push(AssumedRole {
                arn: role_arn.to_owned(),
                has_policy,
            });
        }
        let token = credentials.security_token.as_ref();
        Answer::json(&json!({
            "RequestId": request_id(),
            "AssumedRoleUser": {"Arn": role_arn, "AssumedRoleId": "1:session"},
            "Credentials": {
                "AccessKeyId": credentials.access_key_id,
                "AccessKeySecret": credentials.access_key_secret.expose(),
                "SecurityToken": token.map(|token| token.expose()),
                "Expiration": expires_at.map(iso_second),
            },
        }))
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new(); // Closes its connections when the server ends.
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        // The end of a long answer must not wait for an acknowledgement of the rest.
        let _ = stream.set_nodelay(true);
        connections.spawn(serve_connection(stream, shared.clone()));
    }
}

async fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    // A second handle of the socket, so that a fault can reset it.
    let Ok((stream, socket)) = stream.into_std().and_then(|stream| {
        let socket = socket2::Socket::from(stream.try_clone()?);
        Ok((TcpStream::from_std(stream)?, Arc::new(socket)))
    }) else {
        return;
    };
    let service = service_fn(move |request| {
        let (shared, socket) = (shared.clone(), socket.clone());
        async move { shared.answer(request, &socket).await }
    });
    // A client that disconnects, and every fault that breaks the connection, ends here.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Shared {
    async fn answer(
        &self,
        request: Request<Incoming>,
        socket: &socket2::Socket,
    ) -> Result<Response<Body>, Broken> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_BODY_BYTES).collect().await;
        let request = Request::from_parts(head, body.map_err(|_| Broken)?.to_bytes());
        let now = Timestamp::now() + self.state().clock_ahead;
        let mut response = self.answer_at(now, &request, socket).await?;
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&now);
        if let Some(date) = date.ok().and_then(|date| date.parse().ok()) {
            response.headers_mut().insert("date", date);
        }
        Ok(response)
    }

    async fn answer_at(
        &self,
        now: Timestamp,
        request: &Request<Bytes>,
        socket: &socket2::Socket,
    ) -> Result<Response<Body>, Broken> {
        let query = request.uri().query().unwrap_or_default();
        if query
            .split('&')
            .any(|pair| pair == "Action=AssumeRoleWithOIDC")
        {
            let answer = self.assume_role_with_oidc(request.body());
            info!("AssumeRoleWithOIDC -> {}", answer.summary());
            return Ok(answer.into_response());
        }
        let mut known = vec![Expiring {
            credentials: self.config.credentials.clone(),
            expires_at: None,
        }];
        known.extend(self.state().sessions.iter().cloned());
        let call = verify::call(request, &known, now);
        let is_invocation = |call: &ApiCall| matches!(call.action, Action::InvokeFunction { .. });
        let fault = if call.as_ref().is_ok_and(is_invocation) {
            let fault = self.state().invocation_faults.pop_front();
            match fault {
                None | Some(InvocationFault::None) => None,
                Some(InvocationFault::Broken(fault)) => Some(fault),
                Some(InvocationFault::Refused(status, code)) => {
                    let answer = Refusal::new(status, code, Format::Json).answer();
                    self.log(call.as_ref().ok(), answer.summary());
                    return Ok(answer.into_response());
                }
            }
        } else {
            self.state().faults.pop_front()
        };
        let answer = match (&call, fault.filter(|fault| *fault != Fault::None)) {
            (Ok(call), Some(fault)) => {
                self.log(Some(call), fault.to_string());
                let whole = self.whole(call, fault.is_harmless());
                return fault.answer(whole, socket).await;
            }
            (Ok(call), None) => self.whole(call, true),
            (Err(refusal), _) => refusal.answer(),
        };
        self.log(call.as_ref().ok(), answer.summary());
        Ok(answer.into_response())
    }

    fn log(&self, call: Option<&ApiCall>, answer: String) {
        let action = call.map_or("", |call| call.action.name());
        let instance_id = call.map_or("", |call| call.action.instance_id());
        info!("{action} {} -> {answer}", instance_id.escape_debug());
        self.state().answered.push(Answered {
            action: action.to_owned(),
            instance_id: instance_id.to_owned(),
            answer,
        });
    }

    /// `takes`: removes this console from several that are set in sequence.
    fn whole(&self, call: &ApiCall, takes: bool) -> Answer {
        if !self.state().nonces.insert(call.nonce.clone()) {
            return Refusal::new(400, "SignatureNonceUsed", call.format).answer();
        }
        match (&call.action, call.format) {
            (Action::GetInstanceConsoleOutput { instance_id }, format) => {
                let account_id = self.account_of(&call.access_key_id);
                self.console(&account_id, instance_id, format, takes)
            }
            (
                Action::GetInstanceScreenshot {
                    instance_id,
                    wakes_up,
                },
                format,
            ) => {
                let account_id = self.account_of(&call.access_key_id);
                self.screenshot(&account_id, instance_id, *wakes_up, format)
            }
            (_, Format::Xml) => Refusal::new(400, "InvalidParameter.Format", Format::Xml).answer(),
            (
                Action::InvokeFunction {
                    function_name,
                    delay_seconds,
                    body,
                },
                _,
            ) => self.accept(Invocation {
                function_name: function_name.clone(),
                delay_seconds: *delay_seconds,
                body: body.clone(),
                access_key_id: call.access_key_id.clone(),
            }),
            (Action::DescribeRegions, _) => self.regions(),
            (Action::GetCallerIdentity, _) => self.identity(&call.access_key_id),
            (
                Action::AssumeRole {
                    role_arn,
                    has_policy,
                },
                _,
            ) => self.role_session(role_arn, *has_policy),
            (
                Action::DescribeInstances {
                    region_id,
                    max_results,
                    next_token,
                },
                _,
            ) => self.instances(region_id, *max_results, next_token),
        }
    }

    /// The instance of a request, if it exists in this account.
    fn instance(
        &self,
        account_id: &str,
        instance_id: &str,
        format: Format,
    ) -> Result<InstanceId, Answer> {
        let Ok(instance_id) = InstanceId::parse(instance_id) else {
            return Err(Refusal::new(404, "InvalidParameter", format).answer());
        };
        // ECS does not say that an instance belongs to another account.
        let owner = self.state().accounts.get(&instance_id).cloned();
        match owner.is_some_and(|owner| owner.as_str() != account_id) {
            true => Err(Refusal::new(404, "InvalidInstanceId.NotFound", format).answer()),
            false => Ok(instance_id),
        }
    }

    fn screenshot(
        &self,
        account_id: &str,
        instance_id: &str,
        wakes_up: bool,
        format: Format,
    ) -> Answer {
        let id = match self.instance(account_id, instance_id, format) {
            Ok(id) => id,
            Err(refusal) => return refusal,
        };
        let now = tokio::time::Instant::now();
        let mut state = self.state();
        let is_soon = |last: &tokio::time::Instant| {
            now.duration_since(*last) < SCREENSHOTS_APART.unsigned_abs()
        };
        if state.pictured.get(&id).is_some_and(is_soon) {
            return Refusal::new(429, "Throttling", format).answer();
        }
        let screens = state.screens.get_mut(&id);
        let set = screens.and_then(|screens| match screens.len() {
            0 | 1 => screens.front().cloned(),
            _ => screens.pop_front(),
        });
        let picture = match set.or_else(|| self.screen_in_folder(&id)) {
            // A machine that is known by its console has no screen here.
            None if state.console(&id, false).is_some()
                || self.console_in_folder(&id).is_some() =>
            {
                return Refusal::new(405, "NotSupported", format).answer();
            }
            None => return Refusal::new(404, "InvalidInstanceId.NotFound", format).answer(),
            Some(Screen::Error { status, code }) => {
                return Refusal::new(status, &code, format).answer();
            }
            Some(Screen::Picture(picture)) => picture,
        };
        state.pictured.insert(id.clone(), now);
        if wakes_up {
            state.woken.insert(id.clone());
        }
        Answer::screenshot(&id, &picture, format)
    }

    fn screen_in_folder(&self, instance_id: &InstanceId) -> Option<Screen> {
        let folder = self.config.consoles.as_ref()?;
        let read = |end| std::fs::read(folder.join(format!("{instance_id}.{end}"))).ok();
        ["jpg", "png"]
            .into_iter()
            .find_map(read)
            .map(Screen::Picture)
    }

    fn console(&self, account_id: &str, instance_id: &str, format: Format, takes: bool) -> Answer {
        let instance_id = match self.instance(account_id, instance_id, format) {
            Ok(instance_id) => instance_id,
            Err(refusal) => return refusal,
        };
        let cached = self.state().console(&instance_id, takes);
        match cached.or_else(|| self.console_in_folder(&instance_id)) {
            None => Refusal::new(404, "InvalidInstanceId.NotFound", format).answer(),
            Some(Console::Answer { status, body }) => Answer {
                status,
                code: String::new(),
                content_type: format.content_type(),
                retry_after_ms: None,
                function_request_id: None,
                body,
            },
            Some(Console::Error { status, code }) => Refusal::new(status, &code, format).answer(),
            Some(Console::Output {
                plain,
                last_update_time,
            }) => Answer::console(&instance_id, &plain, last_update_time.as_deref(), format),
        }
    }

    fn accept(&self, invocation: Invocation) -> Answer {
        let mut state = self.state();
        let function = state.function.as_ref();
        if function.is_some_and(|function| *function != invocation.function_name) {
            return Refusal::new(404, "FunctionNotFound", Format::Json).answer();
        }
        state.invocations.push_back(invocation);
        Answer::accepted()
    }

    fn regions(&self) -> Answer {
        let state = self.state();
        let others = state.regions.values().map(RegionId::as_str);
        let all: BTreeSet<_> = others.chain([REGION]).collect();
        let region = |id: &&str| json!({"RegionId": id});
        let regions: Vec<_> = all.iter().map(region).collect();
        Answer::json(&json!({"RequestId": request_id(), "Regions": {"Region": regions}}))
    }

    fn instances(&self, region_id: &str, max_results: usize, next_token: &str) -> Answer {
        let in_folder = self.instances_in_folder();
        let state = self.state();
        let is_here =
            |id: &&InstanceId| state.regions.get(id).map_or(REGION, RegionId::as_str) == region_id;
        let known = state.consoles.keys().chain(state.guests.keys());
        let all: BTreeSet<_> = known.chain(&in_folder).collect();
        let here: Vec<_> = all.into_iter().filter(is_here).collect();
        let page_size = max_results
            .min(state.page_size.unwrap_or(usize::MAX))
            .max(1);
        let rest = here.iter().filter(|id| id.as_str() > next_token);
        let page: Vec<_> = rest.clone().take(page_size).collect();
        let next_token = match page.last() {
            Some(last) if rest.count() > page.len() => last.as_str(),
            _ => "",
        };
        let instance = |id: &&&InstanceId| json!({"InstanceId": id, "RegionId": region_id});
        let instances: Vec<_> = page.iter().map(instance).collect();
        Answer::json(&json!({
            "RequestId": request_id(), "TotalCount": here.len(), "NextToken": next_token,
            "Instances": {"Instance": instances},
        }))
    }

    fn instances_in_folder(&self) -> Vec<InstanceId> {
        let folder = self.config.consoles.as_ref();
        let entries = folder.and_then(|folder| std::fs::read_dir(folder).ok());
        let instance_id = |entry: std::io::Result<std::fs::DirEntry>| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let ends = [".log", ".error", ".answer"];
            let id = ends.iter().find_map(|end| name.strip_suffix(end))?;
            InstanceId::parse(id).ok()
        };
        entries
            .into_iter()
            .flatten()
            .filter_map(instance_id)
            .collect()
    }

    fn console_in_folder(&self, instance_id: &InstanceId) -> Option<Console> {
        let folder = self.config.consoles.as_ref()?;
        let path = folder.join(format!("{instance_id}.log"));
        if let Ok(plain) = std::fs::read(&path) {
            let modified = std::fs::metadata(&path)
                .and_then(|metadata| metadata.modified())
                .ok();
            return Some(Console::Output {
                plain,
                last_update_time: modified
                    .and_then(|time| Timestamp::try_from(time).ok())
                    .map(beijing_time),
            });
        }
        if let Ok(body) = std::fs::read(folder.join(format!("{instance_id}.answer"))) {
            return Some(Console::Answer { status: 200, body });
        }
        let error = std::fs::read_to_string(folder.join(format!("{instance_id}.error"))).ok()?;
        let (status, code) = error.trim().split_once(' ')?;
        Some(Console::Error {
            status: status.parse().ok()?,
            code: code.to_owned(),
        })
    }
}

/// `LastUpdateTime` as in the newest documents: UTC+8, without a zone.
fn beijing_time(time: Timestamp) -> String {
    Offset::constant(8)
        .to_datetime(time)
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}
