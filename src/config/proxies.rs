//! Settings → the proxies that requests go through. Only here is the environment asked for them.

use url::Url;

use super::{Environment, Problems};
use crate::http::Proxies;

/// Both spellings are in use; the one in upper case goes first, and `ALL_PROXY` last.
const HTTP: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
const HTTPS: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// `None` is a wrong setting.
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
    // Wherever the metadata service is, a proxy would answer for another machine.
    let metadata = environment.get("ECS_METADATA_ENDPOINT_URL");
    let metadata = metadata.and_then(|text| Url::parse(text).ok());
    Some(match metadata {
        Some(metadata) => proxies.without(&metadata),
        None => proxies,
    })
}

/// It is not quoted: it may hold a password. Without a scheme it is `http://`, as for curl.
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
