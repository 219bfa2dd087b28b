//! Who is told: entries of the setting → targets. Pure.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use url::{Host, Url};

use crate::archive::key::{ConsoleDigest, ShortDigest};
use crate::aws::partition;
use crate::model::credentials::Secret;

/// Most targets: each notice is sent to all of them while an event waits.
const MAX_TARGETS: usize = 10;
/// Lengths of a webhook's key, in bytes, as Standard Webhooks has them ("between 24 bytes (192 bits) and 64 bytes (512
/// bits)").
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// A part of an address that is shorter is none: `send`, `v2`.
const SHORTEST_SECRET: usize = 6;
/// How often a text is spelled out that a receiver repeats: an address, within JSON, within JSON or HTML.
const MOST_SPELLINGS: usize = 3;
/// How the secret of a webhook begins, as Standard Webhooks writes it.
const KEY_PREFIX: &str = "whsec_";

/// Who is told. `Debug` and `Display` show no secret part.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// How it is told.
    pub kind: Kind,
    /// Its address; of a topic, its ARN. Addresses of chats have tokens in them.
    address: Secret,
    /// Names it in keys of the archive. It does not change with the secret that signs.
    pub id: ShortDigest,
}

/// How a target is told.
#[derive(Clone, PartialEq, Eq)]
pub enum Kind {
    /// Plain JSON, signed as Standard Webhooks asks.
    Webhook {
        /// The key that signs.
        key: Vec<u8>,
    },
    /// An incoming webhook of Slack, or of a chat that understands its messages.
    Slack,
    /// A custom robot of DingTalk.
    DingTalk {
        /// Signs, if the robot asks for it.
        secret: Option<Secret>,
    },
    /// A custom bot of Feishu or Lark.
    Feishu {
        /// Signs, if the bot asks for it.
        secret: Option<Secret>,
    },
    /// A topic of Amazon SNS.
    Sns {
        /// Region of the topic.
        region: String,
        /// Address of the service there.
        endpoint: Url,
    },
}

/// Why an entry is not a target. It quotes nothing of the entry, which may hold a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {entry}: {why}")]
pub struct InvalidTarget {
    entry: usize,
    why: String,
}

const FORMS: &str = "expected webhook+https://…#whsec_…, slack+https://…, dingtalk+https://…#SEC…, \
                     feishu+https://…#SECRET or the ARN of an SNS topic";

/// Reads a list of targets, with spaces or line breaks between.
///
/// # Errors
/// [`InvalidTarget`] for the first entry that is none.
pub fn parse(list: &str) -> Result<Vec<Target>, InvalidTarget> {
    let mut targets: Vec<Target> = Vec::new();
    for (entry, text) in (1..).zip(list.split_whitespace()) {
        let invalid = |why: String| InvalidTarget { entry, why };
        let target = Target::parse(text).map_err(invalid)?;
        if targets.iter().any(|other| other.id == target.id) {
            return Err(invalid("its address is there twice".into()));
        }
        if targets.len() == MAX_TARGETS {
            return Err(invalid(format!("there may be {MAX_TARGETS} at most")));
        }
        targets.push(target);
    }
    match targets.is_empty() {
        true => Err(InvalidTarget {
            entry: 1,
            why: format!("missing; {FORMS}"),
        }),
        false => Ok(targets),
    }
}

impl Target {
    fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("arn:") {
            return Self::topic(text);
        }
        let (word, address) = text.split_once('+').ok_or(FORMS)?;
        // The rest of an entry without its kind may hold a token, so only known words are looked at.
        let secret_of = |url: &Url| url.fragment().map(percent_decoded).map(Secret::new);
        let url = || https(address);
        let (kind, mut url) = match word {
            "webhook" => {
                let url = url()?;
                let key = url.fragment().and_then(webhook_key).ok_or(
                    "a webhook needs the key that signs behind its address: #whsec_ and 24 to 64 bytes in Base64",
                )?;
                (Kind::Webhook { key }, url)
            }
            "slack" => {
                let url = url()?;
                if url.fragment().is_some() {
                    return Err(
                        "Slack takes no signature: leave out # and what stands behind it".into(),
                    );
                }
                (Kind::Slack, url)
            }
            "dingtalk" => {
                let url = url()?;
                let secret = secret_of(&url);
                if secret
                    .as_ref()
                    .is_some_and(|secret| !secret.expose().starts_with("SEC"))
                {
                    return Err("the secret of a DingTalk robot begins with SEC".into());
                }
                (Kind::DingTalk { secret }, url)
            }
            "feishu" => {
                let url = url()?;
                let secret = secret_of(&url);
                (Kind::Feishu { secret }, url)
            }
            _ => return Err(FORMS.into()),
        };
        url.set_fragment(None);
        Ok(Self {
            kind,
            id: id_of(url.as_str()),
            address: Secret::new(url),
        })
    }

    fn topic(arn: &str) -> Result<Self, String> {
        const FORM: &str = "expected arn:PARTITION:sns:REGION:ACCOUNT:TOPIC";
        let parts: Vec<_> = arn.split(':').collect();
        let [_, partition, "sns", region, account, name] = parts[..] else {
            return Err(FORM.into());
        };
        let is_word = |text: &str, also: &str| {
            !text.is_empty()
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || also.contains(c))
        };
        let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        let domain = partition::domain(partition)
            .filter(|_| is_word(region, "-") && is_account && is_word(name, "-_."))
            .ok_or(FORM)?;
        let endpoint = Url::parse(&format!("https://sns.{region}.{domain}")).map_err(|_| FORM)?;
        let kind = Kind::Sns {
            region: region.to_owned(),
            endpoint,
        };
        Ok(Self {
            kind,
            id: id_of(arn),
            address: Secret::new(arn),
        })
    }

    /// The address, for sending.
    pub fn address(&self) -> &str {
        self.address.expose()
    }

    /// What a receiver says, without the secret parts of its address: it may repeat what it was asked for, as JSON or
    /// an address spells it.
    pub fn left_out_of(&self, told: &str) -> String {
        if matches!(self.kind, Kind::Sns { .. }) {
            return told.to_owned(); // An ARN is no secret.
        }
        let secrets = self.secrets();
        let without = |told: &str| {
            secrets.iter().fold(told.to_owned(), |told, secret| {
                told.replace(secret, "[secret]")
            })
        };
        let mut told = without(told);
        let mut plain = told.clone();
        for _ in 0..MOST_SPELLINGS {
            plain = spelled_out(&plain);
            let masked = without(&plain);
            if masked != plain {
                (plain, told) = (masked.clone(), masked);
            }
        }
        told
    }

    /// The secret parts of the address and the secret that signs, the longest first. As they stand there, and as they
    /// are meant.
    fn secrets(&self) -> Vec<String> {
        let url = Url::parse(self.address()).ok();
        let mut parts = Vec::new();
        if let Some(url) = &url {
            parts.extend(url.path_segments().into_iter().flatten().map(str::to_owned));
            let values = url.query().into_iter().flat_map(|query| query.split('&'));
            let values = values.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
            parts.extend(values.map(str::to_owned));
            parts.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
        }
        let secret = match &self.kind {
            Kind::DingTalk { secret } | Kind::Feishu { secret } => secret.as_ref(),
            Kind::Webhook { .. } | Kind::Slack | Kind::Sns { .. } => None,
        };
        parts.extend(secret.map(|secret| secret.expose().to_owned()));
        let plain: Vec<_> = parts.iter().map(|part| percent_decoded(part)).collect();
        parts.extend(plain);
        parts.retain(|part| part.len() >= SHORTEST_SECRET);
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        parts
    }

    /// The name of its kind.
    pub fn word(&self) -> &'static str {
        match self.kind {
            Kind::Webhook { .. } => "webhook",
            Kind::Slack => "slack",
            Kind::DingTalk { .. } => "dingtalk",
            Kind::Feishu { .. } => "feishu",
            Kind::Sns { .. } => "sns",
        }
    }
}

/// The kind with the host, or with the ARN of a topic: neither is secret.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = Url::parse(self.address()).ok();
        let host = host.as_ref().and_then(Url::host_str);
        let place = match self.kind {
            Kind::Sns { .. } => self.address(),
            _ => host.unwrap_or_default(),
        };
        write!(f, "{} {place}", self.word())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Of the address alone, so that a new secret does not make another target of it.
fn id_of(address: &str) -> ShortDigest {
    ConsoleDigest::of(address.as_bytes()).short()
}

fn https(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "what stands behind its kind is not an address")?;
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" if url.has_host() => {}
        "http" if is_here => {}
        "http" => return Err("only this machine may be told without TLS: write https"),
        _ => return Err("its address does not begin with https"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("its address has a user name, which is not sent: take it out");
    }
    Ok(url)
}

fn webhook_key(fragment: &str) -> Option<Vec<u8>> {
    let text = percent_decoded(fragment);
    let key = BASE64_STANDARD
        .decode(text.strip_prefix(KEY_PREFIX)?)
        .ok()?;
    KEY_BYTES.contains(&key.len()).then_some(key)
}

/// A text without the escapes of JSON, HTML and addresses. What is no escape stays.
fn spelled_out(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '&']) {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let hex = |from: usize, to: usize| u32::from_str_radix(rest.get(from..to)?, 16).ok();
        let reference = || {
            let (number, _) = rest.strip_prefix("&#")?.split_once(';')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok(),
                None => number.parse().ok(),
            };
            Some((char::from_u32(code?)?, number.len() + 3))
        };
        let escape = match rest.as_bytes() {
            [b'\\', b'u', ..] => hex(2, 6).and_then(char::from_u32).map(|c| (c, 6)),
            [b'\\', c @ (b'/' | b'"' | b'\\'), ..] => Some((char::from(*c), 2)),
            [b'&', b'#', ..] => reference(),
            _ if rest.starts_with("&amp;") => Some(('&', 5)),
            _ => None,
        };
        let (c, length) = escape.unwrap_or((char::from(rest.as_bytes()[0]), 1));
        plain.push(c);
        rest = &rest[length..];
    }
    plain.push_str(rest);
    percent_decoded(&plain)
}

/// The parser of addresses encodes what may not stand in one.
fn percent_decoded(fragment: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(fragment);
    decoded.decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:faults";

    #[test]
    fn each_kind_is_told_by_its_prefix_and_shows_no_secret() {
        let list = format!(
            "webhook+https://hooks.example.com/in?a=hush#{KEY} slack+https://hooks.slack.com/services/T0/B0/hush\n\
             dingtalk+https://oapi.dingtalk.com/robot/send?access_token=hush#SEChush \
             feishu+https://open.feishu.cn/open-apis/bot/v2/hook/hush#hush {TOPIC} \
             slack+http://127.0.0.1:8065/hooks/hush"
        );
        let targets = parse(&list).unwrap();
        let shown: Vec<_> = targets.iter().map(Target::to_string).collect();
        let topic = format!("sns {TOPIC}");
        assert_eq!(
            shown,
            [
                "webhook hooks.example.com",
                "slack hooks.slack.com",
                "dingtalk oapi.dingtalk.com",
                "feishu open.feishu.cn",
                &topic,
                "slack 127.0.0.1",
            ]
        );
        assert!(!format!("{targets:?}").contains("hush"));
        assert_eq!(targets[0].address(), "https://hooks.example.com/in?a=hush");
        let Kind::DingTalk {
            secret: Some(secret),
        } = &targets[2].kind
        else {
            panic!("it has a secret");
        };
        assert_eq!(secret.expose(), "SEChush");
        let Kind::Sns { endpoint, .. } = &targets[4].kind else {
            panic!("it is a topic");
        };
        assert_eq!(endpoint.as_str(), "https://sns.us-east-1.amazonaws.com/");
    }

    #[track_caller]
    fn check(list: &str, why: &str) {
        let error = parse(list).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_told_without_the_entry() {
        check("", "entry 1: missing");
        check("https://hooks.slack.com/hush", "expected webhook+https://");
        check(
            "hush+https://hooks.slack.com/hush",
            "expected webhook+https://",
        );
        check("slack+https://", "not an address");
        check("slack+ftp://a/hush", "does not begin with https");
        check("slack+http://hooks.slack.com/hush", "write https");
        check("slack+https://me:hush@a/b", "user name");
        check("slack+https://a/b#hush", "takes no signature");
        check("webhook+https://a/b", "needs the key");
        check("webhook+https://a/b#whsec_hush", "needs the key");
        check(
            &format!("webhook+https://a/b#{}", &KEY[6..]),
            "needs the key",
        );
        check("dingtalk+https://a/b#hush", "begins with SEC");
        check("arn:aws:sqs:us-east-1:123456789012:hush", "expected arn:");
        check("arn:aws:sns:us-east-1:12:x", "expected arn:");
        check(
            "slack+https://a/hush slack+https://a/hush",
            "entry 2: its address is there twice",
        );
        let many: Vec<_> = (0..11).map(|n| format!("slack+https://a/{n}")).collect();
        check(&many.join(" "), "entry 11: there may be 10 at most");
    }

    #[test]
    fn a_new_secret_does_not_make_another_target() {
        let id = |list: &str| parse(list).unwrap()[0].id.clone();
        assert_eq!(id("feishu+https://a/b#one"), id("feishu+https://a/b#two"));
        assert_ne!(id("feishu+https://a/b#one"), id("feishu+https://a/c#one"));
    }

    #[test]
    fn what_a_receiver_repeats_of_its_address_is_left_out() {
        let list = "dingtalk+https://oapi.dingtalk.com/robot/send?access_token=hush-hush#SEChush";
        let target = &parse(list).unwrap()[0];
        let told = "POST /robot/send?access_token=hush-hush: SEChush is wrong";
        assert_eq!(
            target.left_out_of(told),
            "POST /robot/send?access_token=[secret]: [secret] is wrong"
        );
    }

    #[test]
    fn what_a_receiver_spells_in_another_way_is_left_out_too() {
        let list = "dingtalk+https://oapi.dingtalk.com/robot/send?access_token=hush%2Bhush%3D%2Fhush#SEChush/1=";
        let target = &parse(list).unwrap()[0];
        for told in [
            "bad access_token=hush%2Bhush%3D%2Fhush",
            "bad access_token=hush%2bhush%3d%2fhush",
            "bad access_token=hush+hush=/hush",
            "bad access_token=hush%252Bhush%253D%252Fhush",
            r#"{"m": "bad hush\u002bhush\u003d\/hush"}"#,
            r#"{"m": "bad \u0068ush+hush=/hush"}"#,
            "bad hush&#43;hush&#x3D;&#x2f;hush",
            "bad %68%75%73%68%2B%68%75%73%68%3D%2F%68%75%73%68",
            r"bad SEChush\/1\u003d",
            "bad SEChush%2F1%3D",
        ] {
            let shown = target.left_out_of(told);
            assert!(
                shown.contains("bad") && shown.contains("[secret]"),
                "{shown}"
            );
            assert!(!shown.contains("hush"), "{shown}");
        }
        // What has no secret in it is told as it is.
        let told = r"100% &c. \u0041 %41 &#65;";
        assert_eq!(target.left_out_of(told), told);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_lists_never_panic(list: String) {
            let _ = parse(&list);
        }

        #[test]
        fn arbitrary_texts_are_spelled_out(text in r"[\\&#;u0-9a-fx%é]{0,40}", other: String) {
            spelled_out(&text);
            spelled_out(&other);
        }
    }
}
