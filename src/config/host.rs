//! Settings → the host, and who may send HTTP requests.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use url::Url;

use super::{ConfigError, Environment, Problems, keys};
use crate::credentials::ManagedSecret;
use crate::intake::webhook::{WebhookPolicy, tokens};
use crate::model::credentials::Secret;
use crate::model::ids::RegionId;

/// The setting of a token that a secrets manager keeps.
const TOKEN_ARN: &str = "WEBHOOK_TOKEN_ARN";

/// Who may send HTTP requests, and the secret with the tokens if a secrets manager keeps it.
pub(super) fn webhook(
    environment: &Environment,
    problems: &mut Problems,
) -> Option<(WebhookPolicy, Option<ManagedSecret>)> {
    let url = match environment.get("WEBHOOK_URL") {
        Some(text) => problems.note("WEBHOOK_URL", webhook_url(text)).map(Some),
        None => Some(None),
    };
    let tokens = match environment.get("WEBHOOK_TOKEN") {
        Some(text) => problems.note("WEBHOOK_TOKEN", tokens::parse(text)),
        None => Some(Vec::new()),
    };
    let secret = match environment.get(TOKEN_ARN) {
        Some(_) if environment.get("WEBHOOK_TOKEN").is_some() => problems.note(
            TOKEN_ARN,
            Err("set together with WEBHOOK_TOKEN; a token comes from one of them: unset the other"),
        ),
        Some(text) => keys::secret(TOKEN_ARN, text, environment, problems).map(Some),
        None => Some(None),
    };
    let accounts = match environment.get("WEBHOOK_ACCOUNTS") {
        Some(text) => problems.note("WEBHOOK_ACCOUNTS", account_list(text)),
        None => Some(own_accounts(environment)),
    };
    let allows_unsigned = match environment.get("WEBHOOK_ALLOW_UNSIGNED") {
        None | Some("false") => Some(false),
        Some("true") => Some(true),
        Some(_) => problems.note("WEBHOOK_ALLOW_UNSIGNED", Err("expected true or false")),
    };
    let region = environment.get("ALIBABA_CLOUD_REGION_ID");
    let policy = WebhookPolicy {
        tokens: tokens?,
        url: url?,
        accounts: accounts?,
        region: region.and_then(|text| RegionId::parse(text).ok()),
        allows_unsigned: allows_unsigned?,
    };
    let secret = secret?;
    let policy = contradictions(policy, secret.is_some(), environment, problems)?;
    Some((policy, secret))
}

/// Finds settings that are valid alone and contradict each other.
fn contradictions(
    mut policy: WebhookPolicy,
    has_secret: bool,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<WebhookPolicy> {
    let has_token = has_secret || !policy.tokens.is_empty();
    let has_url = policy.url.is_some();
    let names_accounts = environment.get("WEBHOOK_ACCOUNTS").is_some();
    if policy.allows_unsigned && (has_token || has_url) {
        let other = if has_secret {
            TOKEN_ARN
        } else if has_token {
            "WEBHOOK_TOKEN"
        } else {
            "WEBHOOK_URL"
        };
        let why = format!(
            "true accepts pushes from anyone, and {other} requires proof; unset one of them"
        );
        return problems.note("WEBHOOK_ALLOW_UNSIGNED", Err(why));
    }
    if names_accounts && !has_url {
        let why = "only the accounts of signed pushes can be checked; set WEBHOOK_URL, too";
        return problems.note("WEBHOOK_ACCOUNTS", Err(why));
    }
    if has_url && !has_token && policy.accounts.is_empty() {
        let why = "not set; EventBridge signs for every customer: set the IDs of the accounts whose \
                   events are expected, or WEBHOOK_TOKEN as well";
        return problems.note("WEBHOOK_ACCOUNTS", Err(why));
    }
    // A token already identifies the sender's rule. So the function's own account must not exclude
    // events of other accounts that the rule forwards.
    if has_token && !names_accounts {
        policy.accounts.clear();
    }
    let authorizes_nobody = !has_token && !has_url && !policy.allows_unsigned;
    if authorizes_nobody && environment.is_receiver() {
        let why = "not set, so every push would be unauthorized: set it to the token that \
                   EventBridge is configured with, or set WEBHOOK_TOKEN_ARN, WEBHOOK_URL, or \
                   WEBHOOK_ALLOW_UNSIGNED=true where a proxy in front authenticates senders";
        return problems.note("WEBHOOK_TOKEN", Err(why));
    }
    Some(policy)
}

fn webhook_url(text: &str) -> Result<Secret, &'static str> {
    let is_address = Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    is_address
        .then(|| Secret::new(text))
        .ok_or("expected the address EventBridge is configured with, letter by letter")
}

fn account_list(text: &str) -> Result<BTreeSet<String>, String> {
    let is_account =
        |id: &str| (1..=32).contains(&id.len()) && id.bytes().all(|digit| digit.is_ascii_digit());
    let mut accounts = BTreeSet::new();
    for id in text.split(',').map(str::trim) {
        if !is_account(id) {
            return Err(format!(
                "{id:?} is not the ID of an account; expected digits, with commas between accounts"
            ));
        }
        accounts.insert(id.to_owned());
    }
    Ok(accounts)
}

/// The account of the assumed role, and the account of Function Compute.
fn own_accounts(environment: &Environment) -> BTreeSet<String> {
    let of_role = |arn: &str| {
        arn.strip_prefix("acs:ram::")?
            .split(':')
            .next()
            .map(str::to_owned)
    };
    let role = environment.get("ALIBABA_CLOUD_ROLE_ARN").and_then(of_role);
    let host = environment.get("FC_ACCOUNT_ID").map(str::to_owned);
    let ids = role.into_iter().chain(host);
    ids.filter(|id| account_list(id).is_ok()).collect()
}

/// The host that this process runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// AWS Lambda. It delivers events through its Runtime API.
    Lambda,
    /// Function Compute. It sends its requests to this port.
    FunctionCompute {
        /// Port, on every address of the machine.
        port: u16,
    },
    /// Any other machine. It receives webhooks itself.
    Webhook {
        /// Address to listen on.
        listen: SocketAddr,
    },
}

/// Where events are kept that fail permanently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedEvents {
    /// The platform keeps them: in a dead-letter queue, or in another destination for failures.
    Platform,
    /// The archive keeps them, below `failed/`.
    Archive,
}

impl Host {
    /// Determines the host from the variables that it sets.
    ///
    /// # Errors
    /// [`ConfigError`] if it is not a known host and no address is set.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        if let Some(address) = environment.get("AWS_LAMBDA_RUNTIME_API") {
            lambda(address, environment, &mut problems);
            return match problems.0.is_empty() {
                true => Ok(Self::Lambda),
                false => Err(ConfigError(problems.0)),
            };
        }
        let host = if let Some(text) = environment.get("LISTEN_ADDR") {
            let why = format!("{text:?} is not an address and port such as 0.0.0.0:8080");
            let listen = problems.note("LISTEN_ADDR", text.parse().map_err(|_| why));
            listen.map(|listen| Self::Webhook { listen })
        } else if environment.is_function_compute() {
            let port = ["FC_CUSTOM_LISTEN_PORT", "FC_SERVER_PORT"]
                .into_iter()
                .find_map(|name| environment.get(name).map(|text| (name, text)));
            let port = match port {
                None => Some(FC_PORT),
                Some((name, text)) => {
                    let why = format!("{text:?} is not a port");
                    problems.note(name, text.parse().map_err(|_| why))
                }
            };
            port.map(|port| Self::FunctionCompute { port })
        } else {
            let why = "not set; this is neither AWS Lambda nor Function Compute: set the address \
                       to receive webhooks on, such as 0.0.0.0:8080";
            problems.note("LISTEN_ADDR", Err(why))
        };
        host.ok_or(ConfigError(problems.0))
    }
}

/// Checks variables that the client of the Lambda runtime reads itself. It panics if they are
/// wrong.
fn lambda(address: &str, environment: &Environment, problems: &mut Problems) {
    let uri = address.parse::<http::Uri>().ok();
    let has_authority = uri.is_some_and(|uri| uri.authority().is_some());
    let why = format!("{address:?} is not an address such as 127.0.0.1:9001; AWS Lambda sets it");
    problems.note(
        "AWS_LAMBDA_RUNTIME_API",
        has_authority.then_some(()).ok_or(why),
    );
    let set = "AWS Lambda sets it beside AWS_LAMBDA_RUNTIME_API; elsewhere, set neither";
    problems.required(environment, "AWS_LAMBDA_FUNCTION_NAME", set);
    problems.required(environment, "AWS_LAMBDA_FUNCTION_VERSION", set);
    let name = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";
    if let Some(text) = problems.required(environment, name, set) {
        let why = format!("{text:?} is not a number of MiB; AWS Lambda sets it");
        problems.note(name, text.parse::<i32>().map_err(|_| why));
    }
}

/// Default port of Function Compute's custom runtimes.
const FC_PORT: u16 = 9000;
