//! Settings → proxies. Only this file reads their environment variables.

use url::Url;

use super::{Environment, Problems};
use crate::http::Proxies;

/// Both spellings are in use. Upper case has precedence over lower case, and `ALL_PROXY` comes
/// last.
const HTTP: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
const HTTPS: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// `None` for an invalid setting.
pub(super) fn proxies(environment: &Environment, problems: &mut Problems) -> Option<Proxies> {
    let mut proxy = |names: [&'static str; 4]| {
        let set = names
            .into_iter()
            .find_map(|name| Some((name, environment.get(name)?)));
        match set {
            Some((name, text)) => problems.note(name, address(text)).map(Some),
            None => Some(None),
        }
    };
    let (http, https) = (proxy(HTTP), proxy(HTTPS));
    let no_proxy = NO_PROXY
        .into_iter()
        .find_map(|name| environment.get(name))
        .unwrap_or_default();
    let proxies = Proxies::new(http?, https?, no_proxy);
    // The metadata service answers about the machine that asks, so a proxy would get answers about
    // itself.
    let metadata = environment.get("ECS_METADATA_ENDPOINT_URL");
    let metadata = metadata.and_then(|text| Url::parse(text).ok());
    Some(match metadata {
        Some(metadata) => proxies.without(&metadata),
        None => proxies,
    })
}

/// Parses a proxy's address. Without a scheme it is `http://`, as for curl. Does not quote it,
/// because it may contain a password.
fn address(text: &str) -> Result<Url, &'static str> {
    let text = text.trim();
    let url = if text.contains("://") {
        Url::parse(text)
    } else {
        Url::parse(&format!("http://{text}"))
    };
    let usable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    url.ok()
        .filter(usable)
        .ok_or("expected the address of an HTTP proxy, such as http://proxy.example.com:3128")
}
