//! Who may see the pages: a browser on this machine, whose user has the address that was printed.
//!
//! Others share loopback: other users of the machine, and whatever a page of the web makes a browser ask for. So the
//! host of a request must be this one (a name of an attacker may lead to 127.0.0.1), the sender must have the token that
//! was printed, and pages of other places get nothing.

use std::cell::RefCell;

use anyhow::Result;
use http::header::{ALLOW, COOKIE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use subtle::ConstantTimeEq as _;

/// Bytes of a token, and of a session.
const SECRET_BYTES: usize = 32;
/// The port of addresses that name none.
const HTTP_PORT: u16 = 80;

/// Decides who is let in.
pub struct Gate {
    port: u16,
    /// What a request may say of where it goes.
    hosts: Vec<String>,
    /// What the cookie of those has who were let in.
    session: String,
    /// What the address has that lets in, until it is used.
    token: RefCell<Token>,
}

struct Token {
    text: String,
    is_used: bool,
}

/// A request that is not answered with anything of the archive.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    /// What is wrong with it.
    pub told: &'static str,
    /// Whether whoever sent it might be let in, if they had the address.
    pub needs_address: bool,
}

/// What a request may have.
#[derive(Debug, PartialEq, Eq)]
pub enum Admitted {
    /// The pages.
    Pages,
    /// It came with the token. It gets the cookie, and the clean address.
    Entering { cookie: HeaderValue },
    /// What is the same for everyone, and has nothing of the archive.
    Asset,
}

fn secret() -> Result<String> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(hex::encode(bytes))
}

fn is_equal(a: &[u8], b: &str) -> bool {
    a.ct_eq(b.as_bytes()).into()
}

/// Browsers leave out the port that is the usual one of HTTP.
fn hosts(port: u16) -> Vec<String> {
    let names = ["127.0.0.1", "[::1]", "localhost"];
    let mut hosts: Vec<_> = names.map(|host| format!("{host}:{port}")).into();
    if port == HTTP_PORT {
        hosts.extend(names.map(str::to_owned));
    }
    hosts
}

impl Gate {
    /// For what listens on this port.
    ///
    /// # Errors
    /// The machine has no random bytes.
    pub fn new(port: u16) -> Result<Self> {
        Ok(Self {
            port,
            hosts: hosts(port),
            session: secret()?,
            token: RefCell::new(Token {
                text: secret()?,
                is_used: false,
            }),
        })
    }

    /// The address that lets in, once.
    pub fn address(&self) -> String {
        let token = &self.token.borrow().text;
        format!("http://127.0.0.1:{}/?token={token}", self.port)
    }

    /// A new address, if the last one was used. Whoever is refused sees it only where the first one was printed.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn renewed_address(&self) -> Result<Option<String>> {
        if !self.token.borrow().is_used {
            return Ok(None);
        }
        *self.token.borrow_mut() = Token {
            text: secret()?,
            is_used: false,
        };
        Ok(Some(self.address()))
    }

    /// Cookies are of a host, whatever its port, and each server has its own.
    fn cookie_name(&self) -> String {
        format!("console-archive-{}", self.port)
    }

    /// Decides about a request. `token` is the one of its address; `is_asset`, whether it asks for what is the same for
    /// everyone.
    ///
    /// # Errors
    /// A [`Refusal`] says what to answer instead.
    pub fn admit<B>(
        &self,
        request: &Request<B>,
        token: Option<&str>,
        is_asset: bool,
    ) -> Result<Admitted, Refusal> {
        let refused = |status, told| Refusal {
            status,
            told,
            needs_address: false,
        };
        let headers = request.headers();
        if request.uri().authority().is_some() || !self.is_for_this_host(headers) {
            return Err(refused(
                StatusCode::MISDIRECTED_REQUEST,
                "This is not the host that is served here.",
            ));
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(refused(
                StatusCode::METHOD_NOT_ALLOWED,
                "Pages are only read here: with GET or HEAD.",
            ));
        }
        if !may_ask(headers) {
            return Err(refused(
                StatusCode::FORBIDDEN,
                "A page of another place asked for this.",
            ));
        }
        if is_asset {
            return Ok(Admitted::Asset);
        }
        if let Some(token) = token
            && let Some(cookie) = self.enter(token)
        {
            return Ok(Admitted::Entering { cookie });
        }
        match self.has_session(headers) {
            true => Ok(Admitted::Pages),
            false => Err(Refusal {
                needs_address: true,
                ..refused(
                    StatusCode::FORBIDDEN,
                    "These pages are for whoever started the command.",
                )
            }),
        }
    }

    fn is_for_this_host(&self, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return false;
        };
        let is_host = |own: &String| host.as_bytes().eq_ignore_ascii_case(own.as_bytes());
        self.hosts.iter().any(is_host)
    }

    /// The cookie, if the token is right and was not used.
    fn enter(&self, token: &str) -> Option<HeaderValue> {
        let mut own = self.token.borrow_mut();
        if own.is_used || !is_equal(token.as_bytes(), &own.text) {
            return None;
        }
        own.is_used = true;
        let (name, session) = (self.cookie_name(), &self.session);
        HeaderValue::from_str(&format!(
            "{name}={session}; HttpOnly; SameSite=Strict; Path=/"
        ))
        .ok()
    }

    /// Whether a request has the cookie. Other ports of this machine set cookies, too, which browsers send along: whatever
    /// bytes those have, this one counts.
    pub fn has_session(&self, headers: &HeaderMap) -> bool {
        let name = self.cookie_name();
        headers
            .get_all(COOKIE)
            .iter()
            .flat_map(|cookies| cookies.as_bytes().split(|byte| *byte == b';'))
            .any(|cookie| {
                let cookie = cookie.trim_ascii().strip_prefix(name.as_bytes());
                let value = cookie.and_then(|rest| rest.strip_prefix(b"="));
                value.is_some_and(|value| is_equal(value, &self.session))
            })
    }
}

/// Whether a browser says nothing against it. Another place may only lead a person here: then the browser sends no
/// cookie along, and the page is not framed. Another port of this machine is the same site for a browser, and may be
/// somebody else's.
fn may_ask(headers: &HeaderMap) -> bool {
    let said = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    match said("sec-fetch-site") {
        None | Some(b"same-origin" | b"none") => true,
        Some(_) => {
            said("sec-fetch-mode") == Some(b"navigate")
                && said("sec-fetch-dest") == Some(b"document")
        }
    }
}

/// Whether a person asks for a page, as far as the browser says it: not for an icon, or ahead of the person.
pub fn is_of_person(headers: &HeaderMap) -> bool {
    let said = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    said("sec-purpose").is_none() && matches!(said("sec-fetch-mode"), None | Some(b"navigate"))
}

impl Refusal {
    /// The header that the answer must have.
    pub fn allow(&self) -> Option<(http::HeaderName, HeaderValue)> {
        (self.status == StatusCode::METHOD_NOT_ALLOWED)
            .then_some((ALLOW, HeaderValue::from_static("GET, HEAD")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Gate {
        Gate::new(8590).unwrap()
    }

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    /// The headers of somebody who was let in.
    fn cookie(gate: &Gate) -> String {
        let token = gate.token.borrow().text.clone();
        let entered = gate.admit(&request(&[("host", "localhost:8590")]), Some(&token), false);
        let Ok(Admitted::Entering { cookie }) = entered else {
            panic!("{entered:?}");
        };
        let cookie = cookie.to_str().unwrap().to_owned();
        assert!(
            cookie.ends_with("; HttpOnly; SameSite=Strict; Path=/"),
            "{cookie}"
        );
        cookie.split(';').next().unwrap().to_owned()
    }

    #[test]
    fn a_token_lets_in_once() {
        let gate = gate();
        let first = gate.address();
        let token = first.split_once("token=").unwrap().1;
        assert_eq!(gate.renewed_address().unwrap(), None, "it was not used yet");
        let cookie = cookie(&gate);
        let again = gate.admit(&request(&[("host", "127.0.0.1:8590")]), Some(token), false);
        assert_eq!(again.unwrap_err().status, StatusCode::FORBIDDEN);
        let with = request(&[
            ("host", "127.0.0.1:8590"),
            ("cookie", &format!("a=b; {cookie}")),
        ]);
        assert_eq!(gate.admit(&with, None, false), Ok(Admitted::Pages));
        let second = gate.renewed_address().unwrap().unwrap();
        assert_ne!(first, second);
    }

    /// Such as another server on this machine may set: browsers send them to all ports.
    #[test]
    fn cookies_of_others_shut_nobody_out() {
        let gate = gate();
        let cookie = cookie(&gate);
        for others in [
            &b"x=\xc3\xa9; "[..],
            b"x=\xff;",
            b";;= ;",
            b"console-archive-8590=x; ",
        ] {
            let value = [others, cookie.as_bytes(), b"; y=\xe9"].concat();
            let mut with = request(&[("host", "127.0.0.1:8590")]);
            let value = HeaderValue::from_bytes(&value).unwrap();
            with.headers_mut().insert(COOKIE, value);
            assert_eq!(
                gate.admit(&with, None, false),
                Ok(Admitted::Pages),
                "{others:?}"
            );
        }
    }

    #[test]
    fn a_host_without_a_port_is_that_of_port_80() {
        let status = |port, host: &str| {
            let admitted = Gate::new(port)
                .unwrap()
                .admit(&request(&[("host", host)]), None, true);
            admitted.map_or_else(|refusal| refusal.status.as_u16(), |_| 200)
        };
        for host in ["127.0.0.1", "localhost", "[::1]", "127.0.0.1:80"] {
            assert_eq!(status(80, host), 200, "{host}");
        }
        assert_eq!(status(80, "evil.example"), 421);
        assert_eq!(status(8590, "127.0.0.1"), 421);
    }

    #[test]
    fn other_hosts_places_and_methods_get_nothing() {
        let gate = gate();
        let cookie = cookie(&gate);
        let own = ("host", "127.0.0.1:8590");
        let with = ("cookie", cookie.as_str());
        let status = |headers: &[(&str, &str)]| match gate.admit(&request(headers), None, false) {
            Ok(_) => 200,
            Err(refusal) => refusal.status.as_u16(),
        };
        for host in [
            "evil.example",
            "evil.example:8590",
            "localhost",
            "localhost.:8590",
            "127.1:8590",
            "127.0.0.1",
            "127.0.0.1:8591",
            "0.0.0.0:8590",
            "[::1]",
            "",
            "127.0.0.1:8590,evil",
        ] {
            assert_eq!(status(&[("host", host), with]), 421, "{host}");
        }
        assert_eq!(status(&[with]), 421, "no host");
        assert_eq!(status(&[own, own, with]), 421, "two hosts");
        for host in ["127.0.0.1:8590", "[::1]:8590", "LOCALHOST:8590"] {
            assert_eq!(status(&[("host", host), with]), 200, "{host}");
        }
        for (site, mode, dest, expected) in [
            ("cross-site", "no-cors", "image", 403),
            ("cross-site", "navigate", "iframe", 403),
            ("same-site", "cors", "empty", 403),
            ("cross-site", "navigate", "document", 200),
            ("same-origin", "cors", "empty", 200),
            ("none", "navigate", "document", 200),
        ] {
            let fetch = [
                ("sec-fetch-site", site),
                ("sec-fetch-mode", mode),
                ("sec-fetch-dest", dest),
            ];
            assert_eq!(
                status(&[&[own, with], &fetch[..]].concat()),
                expected,
                "{site} {mode} {dest}"
            );
        }
        for wrong in [
            "console-archive-8590=",
            "console-archive-8591=x",
            "console-archive-8590=0123",
        ] {
            assert_eq!(status(&[own, ("cookie", wrong)]), 403, "{wrong}");
        }
        let posted = Request::builder()
            .method("POST")
            .header("host", "localhost:8590");
        let refused = gate.admit(
            &posted.header("cookie", &cookie).body(()).unwrap(),
            None,
            false,
        );
        assert_eq!(refused.unwrap_err().status, 405);
        let absolute = Request::builder()
            .uri("http://127.0.0.1:8590/")
            .header("host", "127.0.0.1:8590");
        let refused = gate.admit(
            &absolute.header("cookie", &cookie).body(()).unwrap(),
            None,
            false,
        );
        assert_eq!(refused.unwrap_err().status, 421);
    }
}
