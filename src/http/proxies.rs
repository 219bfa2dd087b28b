//! Selects the proxy for an address. Every request uses this one place. Pure.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

/// The proxies of the environment, with the same rules as curl and the SDKs.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http://` addresses.
    pub http: Option<Url>,
    /// For `https://` addresses. The proxy is asked to tunnel them with `CONNECT`.
    pub https: Option<Url>,
    /// Addresses that are reached without a proxy.
    exceptions: Vec<Exception>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    /// `*`
    Everything,
    /// A host and every name below it. If there is a port, only that port.
    Domain(String, Option<u16>),
    /// An address or a network. If there is a port, only that port.
    Network(IpNet, Option<u16>),
}

/// The metadata services of Alibaba Cloud and AWS. They answer about the machine that asks, so a
/// proxy would get answers about itself.
const METADATA: [&str; 3] = ["100.100.100.200", "169.254.0.0/16", "fd00:ec2::/32"];

/// Leaves out the addresses, because they may contain passwords.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |url: &Option<Url>| Some(url.as_ref()?.host_str()?.to_owned());
        f.debug_struct("Proxies")
            .field("http", &host(&self.http))
            .field("https", &host(&self.https))
            .field("exceptions", &self.exceptions)
            .finish()
    }
}

impl Proxies {
    /// Builds the rules. `no_proxy` lists exceptions:
    /// `example.com,.internal,10.0.0.0/8,[::1]:8080,*`. Like curl, it ignores words of any other
    /// form.
    pub fn new(http: Option<Url>, https: Option<Url>, no_proxy: &str) -> Self {
        let words = no_proxy.split([',', ' ']).map(str::trim);
        let words = words.filter(|word| !word.is_empty()).chain(METADATA);
        Self {
            http,
            https,
            exceptions: words.filter_map(Exception::parse).collect(),
        }
    }

    /// Adds the host of this address to the exceptions.
    pub fn without(mut self, url: &Url) -> Self {
        let host = url.host_str().and_then(Exception::parse);
        self.exceptions.extend(host);
        self
    }

    /// Returns the proxy for an address. `None` for loopback, the metadata services and the
    /// exceptions.
    pub fn before(&self, url: &Url) -> Option<&Url> {
        let proxy = match url.scheme() {
            "http" => self.http.as_ref(),
            "https" => self.https.as_ref(),
            _ => None,
        }?;
        let is_excepted = is_loopback(url) || self.exceptions.iter().any(|e| e.covers(url));
        (!is_excepted).then_some(proxy)
    }

    pub(super) fn into_rule(self) -> reqwest::Proxy {
        reqwest::Proxy::custom(move |url| self.before(url).cloned())
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}

impl Exception {
    fn parse(word: &str) -> Option<Self> {
        if word == "*" {
            return Some(Self::Everything);
        }
        let unbracketed = |text: &str| text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        if let Some(address) = unbracketed(word) {
            return Some(Self::Network(address.into(), None));
        }
        if let Some((address, bits)) = word.split_once('/') {
            let network = IpNet::new(unbracketed(address)?, bits.parse().ok()?);
            return Some(Self::Network(network.ok()?, None));
        }
        let (host, port) = match word.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (word, None),
        };
        if let Some(address) = unbracketed(host) {
            return Some(Self::Network(address.into(), port));
        }
        let name = host.trim_start_matches("*.").trim_matches('.');
        let name = name.to_ascii_lowercase();
        (!name.is_empty()).then_some(Self::Domain(name, port))
    }

    fn covers(&self, url: &Url) -> bool {
        let is_port =
            |port: &Option<u16>| port.is_none_or(|port| url.port_or_known_default() == Some(port));
        match self {
            Self::Everything => true,
            Self::Domain(name, port) => url.domain().is_some_and(|host| {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let below = host.strip_suffix(name.as_str());
                below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) && is_port(port)
            }),
            Self::Network(network, port) => {
                let address = match url.host() {
                    Some(Host::Ipv4(address)) => IpAddr::V4(address),
                    Some(Host::Ipv6(address)) => address.to_canonical(),
                    _ => return false,
                };
                network.contains(&address) && is_port(port)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(no_proxy: &str) -> Proxies {
        let url = |text| Url::parse(text).ok();
        let secure = url("http://user:hush-p@secure.example:3128");
        Proxies::new(url("http://plain.example:3128"), secure, no_proxy)
    }

    fn host(proxies: &Proxies, url: &str) -> String {
        let proxy = proxies.before(&Url::parse(url).unwrap());
        let host = proxy.and_then(Url::host_str).unwrap_or("none");
        host.trim_end_matches(".example").to_owned()
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let proxies = proxies("");
        assert_eq!(host(&proxies, "http://ecs.aliyuncs.com/"), "plain");
        assert_eq!(host(&proxies, "https://ecs.aliyuncs.com/"), "secure");
        assert_eq!(
            host(&Proxies::default(), "https://ecs.aliyuncs.com/"),
            "none"
        );
    }

    #[test]
    fn loopback_and_metadata_services_are_never_asked_through_a_proxy() {
        for url in [
            "http://100.100.100.200/latest/api/token",
            "http://169.254.169.254/latest/api/token",
            "http://169.254.170.2/v2/credentials",
            "http://[fd00:ec2::254]/latest",
            "http://localhost:8580/",
            "http://b.LOCALHOST:8580/",
            "http://localhost./",
            "http://127.0.0.1:8630/creds",
            "https://127.9.9.9/",
            "http://[::1]:1/",
            "http://[::ffff:127.0.0.1]/",
            "http://0177.0.0.1/",
        ] {
            assert_eq!(host(&proxies(""), url), "none", "{url}");
            assert_eq!(host(&proxies("example.com"), url), "none", "{url}");
        }
        let near = ["http://100.100.100.201/", "http://localhost.example.com/"];
        for url in near {
            assert_eq!(host(&proxies(""), url), "plain", "{url}");
        }
        let metadata = Url::parse("http://metadata.internal:80/").unwrap();
        let proxies = proxies("").without(&metadata);
        assert_eq!(host(&proxies, "http://metadata.internal/latest"), "none");
    }

    #[test]
    fn exceptions_are_hosts_domains_addresses_and_networks() {
        let no_proxy = "example.com, .internal *.corp,10.0.0.0/8,192.0.2.7,[2001:db8::]/32,\
                        with.port:8443,UPPER.org,198.51.100.1:80";
        for (url, proxy) in [
            ("https://example.com/", "none"),
            ("https://s3.example.com/", "none"),
            ("https://notexample.com/", "secure"),
            ("https://a.internal/", "none"),
            ("https://a.corp/", "none"),
            ("https://upper.org/", "none"),
            ("https://10.200.0.1/", "none"),
            ("https://[::ffff:10.200.0.1]/", "none"),
            ("https://11.0.0.1/", "secure"),
            ("https://192.0.2.7/", "none"),
            ("https://192.0.2.8/", "secure"),
            ("https://[2001:db8::7]/", "none"),
            ("https://[2001:db9::7]/", "secure"),
            ("https://with.port:8443/", "none"),
            ("https://with.port/", "secure"),
            ("http://198.51.100.1/", "none"),
            ("https://198.51.100.1/", "secure"),
        ] {
            assert_eq!(host(&proxies(no_proxy), url), proxy, "{url}");
        }
        assert_eq!(host(&proxies("*"), "https://example.com/"), "none");
        let unreadable = proxies("10.0.0.0/99,2001:db8::/129,:,[,/8");
        for url in ["https://a.b/", "https://10.0.0.0/", "https://[2001:db8::]/"] {
            assert_eq!(host(&unreadable, url), "secure", "{url}");
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let shown = format!("{:?}", proxies(""));
        assert!(
            shown.contains("secure") && !shown.contains("hush"),
            "{shown}"
        );
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_exceptions_never_panic(no_proxy: String) {
            let _ = host(&proxies(&no_proxy), "https://10.0.0.1:1/");
        }
    }
}
