//! Environment → [`Config`]. The only file that reads environment variables.

mod archive;
mod authorities;
#[cfg(feature = "cli")]
mod deployed;
mod host;
mod keys;
mod notify;
mod proxies;
mod queue;
mod secrets;

pub use host::{FailedEvents, Host};
pub use notify::NotifyConfig;
pub use queue::FollowQueue;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::alibaba::signature::SignatureVersion;
#[cfg(feature = "cli")]
use crate::credentials::aws_chain::AwsChain;
use crate::credentials::source::Source;
use crate::credentials::{AwsCaller, Identity, ManagedSecret};
use crate::http::HttpOptions;
use crate::intake::triggers::Triggers;
use crate::intake::webhook::WebhookPolicy;
use crate::log::LogConfig;
use crate::model::credentials::{Credentials, Secret, check_key};
use crate::model::ids::RegionId;
use crate::model::screenshot::{Screenshots, When};
use crate::printable;
use crate::queue::sqs::QueueConfig;
use crate::reading::findings::own::{self, OwnRules};
use crate::source::ecs::endpoint::{EcsEndpoint, EndpointTemplate};
use crate::store::bucket::BucketConfig;

/// Every variable that the program reads. `docs/settings.md` has a row for each.
pub const SETTINGS: [&str; 88] = [
    "ARCHIVE_URL",
    "ECS_ENDPOINT_URL",
    "ECS_SIGNATURE_VERSION",
    "ALIBABA_CLOUD_ACCESS_KEY_ARN",
    "ALIBABA_CLOUD_ACCESS_KEY_ID",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    "ALIBABA_CLOUD_SECURITY_TOKEN",
    "ALIBABA_CLOUD_ROLE_ARN",
    "ALIBABA_CLOUD_ROLE_SESSION_NAME",
    "ALIBABA_CLOUD_ROLE_SESSION_POLICY",
    "ALIBABA_CLOUD_ROLE_EXTERNAL_ID",
    "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
    "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
    "ALIBABA_CLOUD_OIDC_TOKEN_AUDIENCE",
    "ALIBABA_CLOUD_PROFILE",
    "ALIBABA_CLOUD_CLI_PROFILE_DISABLED",
    "ALIBABA_CLOUD_CREDENTIALS_FILE",
    "ALIBABA_CLOUD_ECS_METADATA",
    "ALIBABA_CLOUD_ECS_METADATA_DISABLED",
    "ALIBABA_CLOUD_IMDSV1_DISABLED",
    "ALIBABA_CLOUD_CREDENTIALS_URI",
    "ALIBABA_CLOUD_STS_REGION",
    "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED",
    "STS_ENDPOINT_URL",
    "ECS_METADATA_ENDPOINT_URL",
    "HOME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "AWS_ENDPOINT_URL_SSM",
    "AWS_ENDPOINT_URL_LAMBDA",
    "AWS_ENDPOINT_URL_SNS",
    "KMS_ENDPOINT_URL",
    "FC_FUNCTION_NAME",
    "FC_CUSTOM_LISTEN_PORT",
    "FC_SERVER_PORT",
    "FC_ACCOUNT_ID",
    "FC_REGION",
    "LISTEN_ADDR",
    "WEBHOOK_TOKEN",
    "WEBHOOK_TOKEN_ARN",
    "WEBHOOK_URL",
    "WEBHOOK_ACCOUNTS",
    "WEBHOOK_ALLOW_UNSIGNED",
    "ALIBABA_CLOUD_REGION_ID",
    "TRIGGER_STATES",
    "FOLLOW_SECONDS",
    "FOLLOW_QUEUE_URL",
    "FUNCTION_COMPUTE_ENDPOINT_URL",
    "ARCHIVE_PROFILE",
    "CATALOG",
    "REDACT",
    "SCREENSHOTS",
    "SCREENSHOTS_WAKE_UP",
    "OBJECT_LOCK_DAYS",
    "FINDINGS_RULES",
    "NOTIFY_URLS",
    "NOTIFY_URLS_ARN",
    "NOTIFY_SEVERITY",
    "FAILED_EVENTS",
    "FAILED_QUEUE_URL",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "AWS_S3_ADDRESSING_STYLE",
    "AWS_SERVER_SIDE_ENCRYPTION",
    "AWS_SSE_KMS_KEY_ID",
    "AWS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "AWS_LAMBDA_LOG_LEVEL",
    "AWS_LAMBDA_LOG_FORMAT",
    "RUST_LOG",
];

/// Settings of the machine, which hold for each archive.
#[cfg(feature = "cli")]
const OF_MACHINE: [&str; 11] = [
    "HOME",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "AWS_CA_BUNDLE",
    "SSL_CERT_FILE",
];

const FAILED_QUEUE: &str = "FAILED_QUEUE_URL";

/// Environment variables. An empty variable counts as not set.
#[derive(Clone)]
pub struct Environment {
    set: BTreeMap<&'static str, String>,
    /// Whether AWS credentials may also come from a person's profiles.
    #[cfg(feature = "cli")]
    is_command_line: bool,
}

/// Every invalid or missing setting, by name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(Vec<String>);

impl ConfigError {
    /// The same problems, each with where the settings are from.
    #[cfg(feature = "cli")]
    pub fn of(self, place: &str) -> Self {
        let problems = self.0.into_iter();
        Self(
            problems
                .map(|problem| format!("{place}: {problem}"))
                .collect(),
        )
    }

    /// The same problems of a setting that was given as this option.
    #[cfg(feature = "cli")]
    pub fn renamed(self, setting: &str, option: &str) -> Self {
        let problems = self.0.into_iter();
        Self(problems.map(|told| told.replace(setting, option)).collect())
    }

    /// One entry for each problem. It begins with the name of the setting and a colon.
    pub fn problems(&self) -> &[String] {
        &self.0
    }

    /// Both settings, or the problems of both. Whoever sets them reads all at once.
    ///
    /// # Errors
    /// [`ConfigError`] if one of them has problems.
    pub fn both<A, B>(one: Result<A, Self>, other: Result<B, Self>) -> Result<(A, B), Self> {
        match (one, other) {
            (Ok(one), Ok(other)) => Ok((one, other)),
            (Err(Self(mut all)), Err(Self(others))) => {
                let new: Vec<_> = others
                    .into_iter()
                    .filter(|other| !all.contains(other))
                    .collect();
                all.extend(new);
                Err(Self(all))
            }
            (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
        }
    }
}

/// All settings. `Debug` shows no secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where records are stored.
    pub archive: Archive,
    /// How to call ECS.
    pub ecs: EcsConfig,
    /// Which events lead to a capture.
    pub triggers: Triggers,
    /// How long a console is followed after its event.
    pub follow_budget: Duration,
    /// The queue that brings events back so that they are followed further.
    pub follow_queue: Option<FollowQueue>,
    /// Whether each record and marker gets a row in the catalog.
    pub has_catalog: bool,
    /// What becomes of secrets that a console shows.
    pub redact: Redact,
    /// Which screenshots are taken.
    pub screenshots: Screenshots,
    /// Days for which the store lets nobody remove a record, as far as it is known. 0 for none.
    pub object_lock_days: u32,
    /// Rules of one's own for findings.
    pub own_rules: Option<OwnRules>,
    /// Who is told of findings.
    pub notify: Option<NotifyConfig>,
    /// Where events are kept that fail permanently.
    pub failed_events: FailedEvents,
    /// The platform's queue of failed events, for redrives.
    pub failed_queue: Option<QueueConfig>,
    /// Who may send HTTP requests.
    pub webhook: WebhookPolicy,
    /// The secret with the tokens of HTTP requests, if a secrets manager keeps it.
    pub webhook_token: Option<ManagedSecret>,
    /// Proxies and certificate authorities.
    pub http: HttpOptions,
}

/// What becomes of secrets that a console shows: passwords, keys, tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Redact {
    /// They are stored, and masked wherever the command line shows a console.
    #[default]
    View,
    /// They are masked before the console is stored, and nobody can have them back.
    Store,
    /// They are stored and shown.
    Off,
}

/// What the settings say of the deployment itself. It has no value of a setting that may be secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deployment {
    /// Name of the function, where its platform tells it.
    pub name: Option<String>,
    /// Name of its platform. `None` for a receiver.
    pub platform: Option<&'static str>,
    /// Memory of the function, in MiB, where its platform tells it.
    pub memory_mib: Option<String>,
    /// Names of the settings that are set.
    pub settings: Vec<&'static str>,
    /// Who this is on AWS. `None` without AWS credentials.
    pub aws: Option<AwsCaller>,
}

/// The parts of the settings that `doctor` checks. Each is read even if others are invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sections {
    /// Where records are stored. `None` if its settings are invalid.
    pub archive: Option<Archive>,
    /// How to call ECS. `None` if its settings are invalid.
    pub ecs: Option<EcsConfig>,
    /// The follow queue, unless the function invokes itself. `None` if it is not set, or if its settings
    /// are invalid.
    pub follow_queue: Option<QueueConfig>,
    /// The follow queue is the function itself, and this process is not the function.
    pub function_invokes_itself: bool,
    /// The secret with the tokens of HTTP requests. `None` if a secrets manager keeps none, or if
    /// its settings are invalid.
    pub webhook_token: Option<ManagedSecret>,
    /// Who is told of findings. `None` if nobody is, or if its settings are invalid.
    pub notify: Option<NotifyConfig>,
    /// Whether any screenshots are taken. Not if its settings are invalid.
    pub takes_screenshots: bool,
    /// Proxies and certificate authorities, as far as their settings are valid.
    pub http: HttpOptions,
    /// Every problem with any setting.
    pub problems: Result<(), ConfigError>,
}

/// How to call ECS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcsConfig {
    /// The endpoint.
    pub endpoint: EcsEndpoint,
    /// The signature scheme.
    pub signature_version: SignatureVersion,
    /// Where the credentials come from.
    pub credentials: Source,
    /// How to find out the account of the credentials.
    pub identity: Identity,
    /// Region of events that name none.
    pub default_region: Option<RegionId>,
}

/// Where records are stored: the parsed `ARCHIVE_URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Archive {
    /// `s3://bucket/prefix` or `oss://bucket/prefix`.
    Bucket(Box<BucketConfig>),
    /// `file:///dir`.
    Directory(PathBuf),
}

impl Environment {
    /// Reads the variables of this process.
    pub fn of_process() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }

    /// Reads variables through a function.
    pub fn new(lookup: impl Fn(&'static str) -> Option<String>) -> Self {
        let set = |name| Some((name, lookup(name).filter(|value| !value.is_empty())?));
        Self {
            set: SETTINGS.into_iter().filter_map(set).collect(),
            #[cfg(feature = "cli")]
            is_command_line: false,
        }
    }

    /// Reads the variables for the command line, where AWS credentials and region may come from
    /// profiles.
    #[cfg(feature = "cli")]
    pub async fn of_command_line() -> Self {
        let mut environment = Self::of_process();
        environment.is_command_line = true;
        let is_set = ["AWS_REGION", "AWS_DEFAULT_REGION"].map(|name| environment.get(name));
        if is_set == [None, None] {
            let region = crate::credentials::aws_chain::profile_region().await;
            environment = environment.with("AWS_REGION", region);
        }
        environment
    }

    /// Reads the settings of another archive from the text of a file, as systemd and Docker read theirs: a line
    /// `NAME=value` for each, and lines that begin with `#`. Of this environment, only what is about the machine
    /// counts. So no key is mixed from two clouds.
    ///
    /// # Errors
    /// [`ConfigError`] names each line that is no setting.
    #[cfg(feature = "cli")]
    pub fn of_file(&self, text: &str) -> Result<Self, ConfigError> {
        let of_machine = self
            .set
            .iter()
            .filter(|(name, _)| OF_MACHINE.contains(name));
        let mut set: BTreeMap<_, _> = of_machine.map(|(n, v)| (*n, v.clone())).collect();
        let mut problems = Problems::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // The line may hold a secret, so it is not shown.
            let Some((name, value)) = line.split_once('=') else {
                let name = format!("line {number}");
                problems.note::<()>(&name, Err("expected NAME=value"));
                continue;
            };
            let name = name.strip_prefix("export ").unwrap_or(name).trim();
            let Some(name) = SETTINGS.into_iter().find(|setting| *setting == name) else {
                // Of another line, such as one of a key, nothing is shown.
                let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
                let wrong = match name.contains('_') && name.chars().all(is_name) {
                    true => format!("{name} is not the name of a setting"),
                    false => "its name is not the name of a setting".to_owned(),
                };
                problems.note::<()>(&format!("line {number}"), Err(wrong.as_str()));
                continue;
            };
            let quoted = ['"', '\''].iter().find_map(|quote| {
                let value = value.trim().strip_prefix(*quote)?;
                value.strip_suffix(*quote)
            });
            let value = quoted.unwrap_or(value.trim());
            match value.is_empty() {
                true => set.remove(name),
                false => set.insert(name, value.to_owned()),
            };
        }
        if !problems.0.is_empty() {
            return Err(ConfigError(problems.0));
        }
        Ok(Self {
            set,
            is_command_line: false,
        })
    }

    /// Replaces a variable by the value of a command line option, if the option is given.
    pub fn with(mut self, name: &'static str, value: Option<String>) -> Self {
        if let Some(value) = value {
            self.set.insert(name, value);
        }
        self
    }

    fn without(mut self, name: &'static str) -> Self {
        self.set.remove(name);
        self
    }

    /// Whether this process runs on AWS Lambda or Function Compute.
    fn is_function(&self) -> bool {
        self.get("AWS_LAMBDA_RUNTIME_API").is_some() || self.is_function_compute()
    }

    /// Whether this process receives webhooks itself, without a function host.
    fn is_receiver(&self) -> bool {
        self.get("LISTEN_ADDR").is_some() && self.get("AWS_LAMBDA_RUNTIME_API").is_none()
    }

    fn is_function_compute(&self) -> bool {
        [
            "FC_FUNCTION_NAME",
            "FC_CUSTOM_LISTEN_PORT",
            "FC_SERVER_PORT",
        ]
        .into_iter()
        .any(|name| self.get(name).is_some())
    }

    fn get(&self, name: &'static str) -> Option<&str> {
        debug_assert!(SETTINGS.contains(&name), "{name} is not among the settings");
        self.set.get(name).map(String::as_str)
    }
}

/// Collects all problems, so that one start reports every one.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn note<T>(&mut self, name: &str, result: Result<T, impl std::fmt::Display>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                // A value with a line break must not look like a second problem.
                let problem = printable::one_line(&format!("{name}: {error}")).into_owned();
                // The archive, the queue and ECS may lack the same key.
                if !self.0.contains(&problem) {
                    self.0.push(problem);
                }
                None
            }
        }
    }

    /// Reads a part of a key. `None` if it is not set, or if a request cannot carry it.
    fn key_part(
        &mut self,
        environment: &Environment,
        name: &'static str,
    ) -> Option<Option<String>> {
        let Some(text) = environment.get(name) else {
            return Some(None);
        };
        self.note(name, check_key(text))?;
        Some(Some(text.to_owned()))
    }

    fn required(
        &mut self,
        environment: &Environment,
        name: &'static str,
        hint: &str,
    ) -> Option<String> {
        self.note(
            name,
            environment
                .get(name)
                .map(str::to_owned)
                .ok_or(format!("not set; {hint}")),
        )
    }
}

impl Config {
    /// Reads and checks all settings of the function.
    ///
    /// # Errors
    /// [`ConfigError`] names every invalid or missing setting.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        let archive = archive::archive(environment, &mut problems);
        let ecs = ecs(environment, &mut problems);
        let triggers = match environment.get("TRIGGER_STATES") {
            Some(list) => problems.note("TRIGGER_STATES", Triggers::parse(list)),
            None => Some(Triggers::default()),
        };
        let follow_budget = match environment.get("FOLLOW_SECONDS") {
            Some(text) => problems.note("FOLLOW_SECONDS", follow_budget(text)),
            None => Some(Duration::ZERO),
        };
        let follow_queue = match environment.get("FOLLOW_QUEUE_URL") {
            Some(text) => queue::follow_queue(text, environment, &mut problems).map(Some),
            None => Some(None),
        };
        let has_catalog = archive::has_catalog(environment, &mut problems);
        let redact = archive::redact(environment, &mut problems);
        let screenshots = archive::screenshots(environment, redact, &mut problems);
        let object_lock_days = archive::object_lock_days(environment, &mut problems);
        let own_rules = own_rules(environment, &mut problems);
        let notify = notify::notify(environment, &mut problems);
        let failed_events = failed_events(environment, &mut problems);
        let failed_queue = match environment.get(FAILED_QUEUE) {
            Some(text) => {
                queue::sqs_queue(FAILED_QUEUE, text, environment, &mut problems).map(Some)
            }
            None => Some(None),
        };
        let webhook = host::webhook(environment, &mut problems);
        let http = http_options(environment, &mut problems);
        let read = || {
            let (webhook, webhook_token) = webhook?;
            Some(Self {
                archive: archive?,
                ecs: ecs?,
                triggers: triggers?,
                follow_budget: follow_budget?,
                follow_queue: follow_queue?,
                has_catalog: has_catalog?,
                redact: redact?,
                screenshots: screenshots?,
                object_lock_days: object_lock_days?,
                own_rules: own_rules?,
                notify: notify?,
                failed_events: failed_events?,
                failed_queue: failed_queue?,
                webhook,
                webhook_token,
                http: http?,
            })
        };
        match read() {
            Some(config) if problems.0.is_empty() => Ok(config),
            _ => Err(ConfigError(problems.0)),
        }
    }
}

impl Sections {
    /// Reads and checks all settings.
    pub fn from_environment(environment: &Environment) -> Self {
        let function_invokes_itself = environment.get("FOLLOW_QUEUE_URL") == Some(queue::SELF)
            && !environment.is_function_compute();
        let without;
        let environment = if function_invokes_itself {
            // They are the function's settings, and good ones there.
            without = environment.clone().without("FOLLOW_QUEUE_URL");
            &without
        } else {
            environment
        };
        // Reading all settings together reports the problems of each part.
        let problems = Config::from_environment(environment).map(drop);
        let mut named = Problems::default();
        let sqs = |url| match queue::follow_queue(url, environment, &mut named)? {
            FollowQueue::Sqs(config) => Some(*config),
            FollowQueue::FunctionCompute(_) => None,
        };
        Self {
            follow_queue: environment.get("FOLLOW_QUEUE_URL").and_then(sqs),
            function_invokes_itself,
            archive: archive::archive(environment, &mut named),
            ecs: ecs(environment, &mut named),
            webhook_token: host::webhook(environment, &mut named).and_then(|(_, secret)| secret),
            notify: notify::notify(environment, &mut named).flatten(),
            takes_screenshots: {
                let redact = archive::redact(environment, &mut named);
                let taken = archive::screenshots(environment, redact, &mut named);
                taken.is_some_and(|taken| taken.when != When::Never)
            },
            http: http_options(environment, &mut named).unwrap_or_default(),
            problems,
        }
    }
}

impl HttpOptions {
    /// Reads and checks the settings of proxies and certificate authorities.
    ///
    /// # Errors
    /// [`ConfigError`] names every invalid setting.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        match http_options(environment, &mut problems) {
            Some(options) if problems.0.is_empty() => Ok(options),
            _ => Err(ConfigError(problems.0)),
        }
    }
}

fn http_options(environment: &Environment, problems: &mut Problems) -> Option<HttpOptions> {
    let proxies = proxies::proxies(environment, problems);
    let extra_roots = authorities::extra_roots(environment, problems);
    Some(HttpOptions {
        proxies: proxies?,
        extra_roots: extra_roots?,
    })
}

impl QueueConfig {
    /// Reads and checks the settings for a queue at this address.
    ///
    /// # Errors
    /// [`ConfigError`] names every invalid or missing setting.
    pub fn from_environment(url: &str, environment: &Environment) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        match queue::sqs_queue("--queue-url", url, environment, &mut problems) {
            Some(queue) if problems.0.is_empty() => Ok(queue),
            _ => Err(ConfigError(problems.0)),
        }
    }
}

impl Archive {
    /// Reads and checks the settings for reading the archive.
    ///
    /// # Errors
    /// [`ConfigError`] names every invalid or missing setting.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        match archive::archive(environment, &mut problems) {
            Some(archive) if problems.0.is_empty() => Ok(archive),
            _ => Err(ConfigError(problems.0)),
        }
    }

    /// Reads whether the archive has a catalog.
    ///
    /// # Errors
    /// [`ConfigError`] if `CATALOG` is invalid.
    #[cfg(feature = "cli")]
    pub fn has_catalog(environment: &Environment) -> Result<bool, ConfigError> {
        let mut problems = Problems::default();
        archive::has_catalog(environment, &mut problems).ok_or(ConfigError(problems.0))
    }
}

impl Config {
    /// What whoever deployed the function may not have thought of.
    pub fn warning(&self) -> Option<String> {
        let days = self.object_lock_days;
        let is_locked_in = days > 0 && self.redact == Redact::View;
        is_locked_in.then(|| {
            format!(
                "nobody can remove a record for {days} days, and so no password or key in it: set REDACT=store to mask \
                 them before they are stored, or REDACT=off if they may be there"
            )
        })
    }
}

/// Rules of one's own for findings: the file that `FINDINGS_RULES` names. `None` if it names a file that cannot be used.
fn own_rules(environment: &Environment, problems: &mut Problems) -> Option<Option<OwnRules>> {
    const NAME: &str = "FINDINGS_RULES";
    let Some(path) = environment.get(NAME) else {
        return Some(None);
    };
    let read = || -> Result<OwnRules, String> {
        let told = |error| format!("{path}: {error}");
        // To open a pipe would wait for who writes to it, and a device need not end.
        if !std::fs::metadata(path).map_err(told)?.is_file() {
            return Err(format!("{path} is not a file"));
        }
        let file = std::fs::File::open(path).map_err(told)?;
        let (mut text, most) = (String::new(), own::MAX_BYTES);
        let read = file.take(most + 1).read_to_string(&mut text);
        read.map_err(told)?;
        if text.len() as u64 > most {
            return Err(format!("{path} has more than {most} bytes"));
        }
        own::read(&text).map_err(|error| format!("{path} has rules that cannot be used: {error}"))
    };
    problems.note(NAME, read()).map(Some)
}

/// Looks for findings by the rules of this program and those of the file in `FINDINGS_RULES`, from now on.
///
/// # Errors
/// [`ConfigError`] if the file cannot be used.
#[cfg(feature = "cli")]
pub fn use_own_rules(environment: &Environment) -> Result<(), ConfigError> {
    let mut problems = Problems::default();
    let rules = own_rules(environment, &mut problems).ok_or(ConfigError(problems.0))?;
    rules.into_iter().for_each(OwnRules::make_current);
    Ok(())
}

impl Redact {
    /// Reads what becomes of secrets.
    ///
    /// # Errors
    /// [`ConfigError`] if `REDACT` is invalid.
    #[cfg(feature = "cli")]
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        archive::redact(environment, &mut problems).ok_or(ConfigError(problems.0))
    }
}

impl LogConfig {
    /// Reads level and format. An unknown level counts as `info`, so that the log is not lost
    /// because of its own setting.
    pub fn from_environment(environment: &Environment) -> Self {
        let level = environment
            .get("AWS_LAMBDA_LOG_LEVEL")
            .or(environment.get("RUST_LOG"));
        Self {
            level: level
                .and_then(|word| word.parse().ok())
                .unwrap_or(tracing::Level::INFO),
            json: environment
                .get("AWS_LAMBDA_LOG_FORMAT")
                .is_some_and(|format| format.eq_ignore_ascii_case("json")),
            without: None,
        }
    }
}

fn failed_events(environment: &Environment, problems: &mut Problems) -> Option<FailedEvents> {
    let on_lambda = environment.get("AWS_LAMBDA_RUNTIME_API").is_some();
    match environment.get("FAILED_EVENTS") {
        Some("archive") => Some(FailedEvents::Archive),
        Some("platform") => Some(FailedEvents::Platform),
        Some(other) => {
            let why = format!("{other:?} is unknown; expected archive or platform");
            problems.note("FAILED_EVENTS", Err(why))
        }
        None if on_lambda => Some(FailedEvents::Platform),
        None => Some(FailedEvents::Archive),
    }
}

/// Longest time for which a console may be followed, in seconds.
const MAX_FOLLOW_SECONDS: u64 = 3600;

fn follow_budget(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if seconds <= MAX_FOLLOW_SECONDS => Ok(Duration::from_secs(seconds)),
        _ => Err(format!(
            "{text:?} is not a number of seconds from 0 to {MAX_FOLLOW_SECONDS}"
        )),
    }
}

/// The source of AWS credentials: the environment. On the command line also a person's profiles.
fn aws_credentials(environment: &Environment, problems: &mut Problems) -> Option<Source> {
    #[cfg(feature = "cli")]
    if environment.is_command_line
        && ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| environment.get(name))
            == [None, None]
    {
        let region = environment.get("AWS_REGION");
        let region = region.or(environment.get("AWS_DEFAULT_REGION"));
        return Some(Source::AwsChain(AwsChain {
            profile: environment
                .get("AWS_PROFILE")
                .unwrap_or("default")
                .to_owned(),
            region: region.map(str::to_owned),
        }));
    }
    let hint = "the key that signs requests to AWS; on AWS Lambda the role sets it";
    let access_key_id = problems.required(environment, "AWS_ACCESS_KEY_ID", hint);
    let hint = "the secret of AWS_ACCESS_KEY_ID";
    let secret = problems.required(environment, "AWS_SECRET_ACCESS_KEY", hint);
    let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    let parts = names.map(|name| problems.key_part(environment, name));
    let token = problems.key_part(environment, "AWS_SESSION_TOKEN")?;
    if parts.contains(&None) {
        return None;
    }
    Some(Source::Static(Credentials {
        access_key_id: access_key_id?,
        access_key_secret: Secret::new(secret?),
        security_token: token.map(Secret::new),
    }))
}

impl Deployment {
    /// Reads the settings of a deployment on this host. Leaves out what is missing or wrong: reading
    /// [`Config`] reports that.
    pub fn on(host: Host, environment: &Environment) -> Self {
        let get = |name| environment.get(name).map(str::to_owned);
        let (name, platform) = match host {
            Host::Lambda => (get("AWS_LAMBDA_FUNCTION_NAME"), Some("AWS Lambda")),
            Host::FunctionCompute { .. } => (get("FC_FUNCTION_NAME"), Some("Function Compute")),
            Host::Webhook { .. } => (None, None),
        };
        // Many deployments need no AWS.
        let mut unused = Problems::default();
        let has_key = environment.get("AWS_ACCESS_KEY_ID").is_some();
        let credentials = has_key
            .then(|| aws_credentials(environment, &mut unused))
            .flatten();
        let region = aws_region(environment, &mut unused);
        let endpoint_url = get("AWS_ENDPOINT_URL_STS").or(get("AWS_ENDPOINT_URL"));
        let aws = credentials.zip(region);
        Self {
            name,
            platform,
            memory_mib: get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"),
            settings: environment.set.keys().copied().collect(),
            aws: aws.map(|(credentials, region)| AwsCaller {
                credentials,
                region,
                endpoint_url,
            }),
        }
    }
}

fn aws_region(environment: &Environment, problems: &mut Problems) -> Option<String> {
    let region = environment
        .get("AWS_REGION")
        .or(environment.get("AWS_DEFAULT_REGION"))
        .map(str::to_owned);
    let hint = "not set; the region of the bucket or queue";
    problems.note("AWS_REGION", region.ok_or(hint))
}

fn ecs(environment: &Environment, problems: &mut Problems) -> Option<EcsConfig> {
    let credentials = keys::alibaba(environment, problems);
    let endpoint = match environment.get("ECS_ENDPOINT_URL") {
        Some(text) => problems
            .note("ECS_ENDPOINT_URL", EndpointTemplate::parse(text))
            .map(EcsEndpoint::Template),
        None => Some(EcsEndpoint::Public),
    };
    let signature_version = match environment.get("ECS_SIGNATURE_VERSION") {
        None | Some("ACS3-HMAC-SHA256") => Some(SignatureVersion::Acs3),
        Some("1.0") => Some(SignatureVersion::V1),
        Some(other) => problems.note(
            "ECS_SIGNATURE_VERSION",
            Err(format!(
                "{other:?} is unknown; expected ACS3-HMAC-SHA256 (the default) or 1.0"
            )),
        ),
    };
    let default_region = keys::default_region(environment, problems);
    let identity = keys::identity(environment, problems);
    Some(EcsConfig {
        endpoint: endpoint?,
        signature_version: signature_version?,
        credentials: credentials?,
        identity: identity?,
        default_region: default_region?,
    })
}
