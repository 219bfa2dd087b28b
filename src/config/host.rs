//! Settings → which host this is, and whose HTTP requests it serves.

use url::Url;

use super::{ConfigError, Environment, Problems};
use crate::credentials::Secret;
use crate::host::Host;
use crate::webhook::WebhookPolicy;

pub(super) fn webhook(environment: &Environment, problems: &mut Problems) -> Option<WebhookPolicy> {
    let url = environment.get("WEBHOOK_URL");
    let is_address = |text: &str| {
        Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    };
    if let Some(text) = url {
        let why = "expected the address EventBridge is configured with, letter by letter";
        problems.note("WEBHOOK_URL", is_address(text).then_some(()).ok_or(why))?;
    }
    let allows_unsigned = match environment.get("WEBHOOK_ALLOW_UNSIGNED") {
        None | Some("false") => Some(false),
        Some("true") => Some(true),
        Some(_) => problems.note("WEBHOOK_ALLOW_UNSIGNED", Err("expected true or false")),
    };
    let tokens: Vec<_> = (environment.get("WEBHOOK_TOKEN").into_iter())
        .flat_map(|text| text.split(','))
        .collect();
    if tokens.contains(&"") {
        // Whoever sends none would be let in.
        let why = "a token is empty; expected one, or two with a comma between them";
        problems.note::<()>("WEBHOOK_TOKEN", Err(why))?;
    }
    Some(WebhookPolicy {
        tokens: tokens.into_iter().map(Secret::new).collect(),
        url: url.map(str::to_owned),
        allows_unsigned: allows_unsigned?,
    })
}

impl Host {
    /// Which host this is, by what it sets.
    ///
    /// # Errors
    /// [`ConfigError`] where it is none of those known.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        if environment.get("AWS_LAMBDA_RUNTIME_API").is_some() {
            return Ok(Self::Lambda);
        }
        let host = if let Some(text) = environment.get("LISTEN_ADDR") {
            let why = format!("{text:?} is no address and port such as 0.0.0.0:8080");
            let listen = problems.note("LISTEN_ADDR", text.parse().map_err(|_| why));
            listen.map(|listen| Self::Webhook { listen })
        } else if environment.is_function_compute() {
            let port = ["FC_CUSTOM_LISTEN_PORT", "FC_SERVER_PORT"]
                .into_iter()
                .find_map(|name| environment.get(name).map(|text| (name, text)));
            let port = match port {
                None => Some(FC_PORT),
                Some((name, text)) => {
                    let why = format!("{text:?} is no port");
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

/// What Function Compute takes where it says nothing else.
const FC_PORT: u16 = 9000;
