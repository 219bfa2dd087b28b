//! Receivers of notices on loopback. Each verifies what it gets with code of its own, and `ring` instead of the crates
//! that sign.
//!
//! Their answers are those of public samples:
//! - Slack: `ok`, and a word such as `no_team` with 404 ("Sending messages using incoming webhooks", "Handling errors").
//!   Too many messages: 429 with `Retry-After`, and counts as JSON (maknz/slack issue 36, os/slacker pull request 40,
//!   UMAprotocol/protocol pull request 4957).
//! - DingTalk: `{"errcode":0,"errmsg":"ok"}`, and all else with 200, too: 310000 `sign not match, more: […]`, and of late
//!   in Chinese, `description:…;solution:…` (x-cold/dingtalk-robot issue 7, jenkinsci/dingtalk-plugin issue 116,
//!   qd-today/qd issue 510); 310000 `keywords not in content`, or `description:关键词不匹配;…` (zhuifengshen/DingtalkChatbot
//!   issue 44, RayWangQvQ/BiliBiliToolPro issue 271, veops/ops-tools issue 20); 130101 `send too fast, exceed 20 times per
//!   minute` (ccfos/nightingale issue 369).
//! - Feishu: `{"StatusCode":0,"StatusMessage":"success","code":0,"data":{},"msg":"success"}`, and `{"code":19021,"msg":"sign
//!   match fail or timestamp is not within one hour from current time"}` with 200 ("Use custom bots in a group",
//!   feiyu563/PrometheusAlert issue 422); 9499 is `Bad Request` and `too many request`.
//! - SNS: `PublishResponse` and `ErrorResponse` of the Amazon SNS API reference ("Publish", "Common error types"), such as
//!   403 `InvalidClientTokenId` (laravel-notification-channels/aws-sns issue 31) and 400 `InvalidParameter` for a topic
//!   (awspring/spring-cloud-aws issue 588).

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response};
use ring::hmac;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::http::{Listening, plain};
use super::sigv4;

pub const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:faults";
const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// In each address, as a token of it. No program may print it.
const TOKEN: &str = "token-that-must-not-show";
const DINGTALK_SECRET: &str = "SECret-that-must-not-show";
const FEISHU_SECRET: &str = "signing-secret-that-must-not-show";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Webhook,
    Slack,
    DingTalk,
    Feishu,
    Sns,
}

pub const KINDS: [Kind; 5] = [
    Kind::Webhook,
    Kind::Slack,
    Kind::DingTalk,
    Kind::Feishu,
    Kind::Sns,
];

/// What a receiver does with a request.
#[derive(Debug, Clone)]
pub enum Behaviour {
    Takes,
    /// Answers this status, with the address it was asked for in its body, as proxies do.
    Fails(u16),
    /// Says that there are too many messages, as this kind does: Slack and webhooks with 429, and how many seconds to wait.
    Throttles(&'static str),
    /// Never answers.
    Stalls,
    /// Takes it after this time, as a chat that is busy does.
    TakesAfter(Duration),
    /// Sends on to this address.
    SendsOn(String),
    /// Answers this body with 200.
    Says(String),
}

pub struct NoticeReceiver {
    pub kind: Kind,
    state: Arc<State>,
    listening: Listening,
}

#[derive(Default)]
struct State {
    taken: Mutex<Vec<Value>>,
    ids: Mutex<Vec<String>>,
    next: Mutex<VecDeque<Behaviour>>,
    always: Mutex<Option<Behaviour>>,
    asked: Notify,
}

impl NoticeReceiver {
    pub async fn start(kind: Kind) -> Self {
        let state = Arc::new(State::default());
        let serving = state.clone();
        let listening = Listening::start(move |request| {
            let state = serving.clone();
            async move { state.answer(kind, request).await }
        });
        Self {
            kind,
            state,
            listening: listening.await,
        }
    }

    /// Its entry in the setting.
    pub fn entry(&self) -> String {
        let url = self.url();
        match self.kind {
            Kind::Webhook => format!("webhook+{url}/in?key={TOKEN}#whsec_{KEY}"),
            Kind::Slack => format!("slack+{url}/services/T0/B0/{TOKEN}"),
            Kind::DingTalk => {
                format!("dingtalk+{url}/robot/send?access_token={TOKEN}#{DINGTALK_SECRET}")
            }
            Kind::Feishu => format!("feishu+{url}/open-apis/bot/v2/hook/{TOKEN}#{FEISHU_SECRET}"),
            Kind::Sns => TOPIC.to_owned(),
        }
    }

    pub fn url(&self) -> String {
        self.listening.url()
    }

    /// What it took: JSON, or the form of SNS as JSON.
    pub fn taken(&self) -> Vec<Value> {
        self.state.taken.lock().unwrap().clone()
    }

    /// IDs of all webhooks that it was sent, whether or not it took them.
    pub fn ids(&self) -> Vec<String> {
        self.state.ids.lock().unwrap().clone()
    }

    pub fn next(&self, behaviour: Behaviour) {
        self.state.next.lock().unwrap().push_back(behaviour);
    }

    pub fn always(&self, behaviour: Behaviour) {
        *self.state.always.lock().unwrap() = Some(behaviour);
    }

    /// Waits until it is asked.
    pub async fn asked(&self) {
        self.state.asked.notified().await;
    }
}

fn base64_hmac(key: &[u8], text: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    BASE64_STANDARD.encode(hmac::sign(&key, text))
}

impl State {
    async fn answer(&self, kind: Kind, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let target = head.uri.path_and_query().unwrap().to_string();
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        if let Some(id) = head.headers.get("webhook-id") {
            self.ids
                .lock()
                .unwrap()
                .push(id.to_str().unwrap().to_owned());
        }
        let verified = verify(kind, &head.headers, &target, &query, &body);
        self.asked.notify_one();
        let behaviour = self.next.lock().unwrap().pop_front();
        let behaviour = behaviour.or_else(|| self.always.lock().unwrap().clone());
        let Some(value) = verified else {
            return refusal(kind);
        };
        match behaviour.unwrap_or(Behaviour::Takes) {
            Behaviour::Takes => {
                self.taken.lock().unwrap().push(value);
                success(kind)
            }
            Behaviour::Fails(status) => plain(status, &format!("no route for {target}")),
            Behaviour::Throttles(after) => throttled(kind, after),
            Behaviour::Stalls => std::future::pending().await,
            Behaviour::TakesAfter(time) => {
                tokio::time::sleep(time).await;
                self.taken.lock().unwrap().push(value);
                success(kind)
            }
            Behaviour::SendsOn(to) => {
                let mut answer = plain(307, "");
                answer.headers_mut().insert("location", to.parse().unwrap());
                answer
            }
            Behaviour::Says(body) => plain(200, &body),
        }
    }
}

/// What was sent, if it is signed well and in the form that this receiver takes.
fn verify(
    kind: Kind,
    headers: &HeaderMap,
    target: &str,
    query: &BTreeMap<String, String>,
    body: &[u8],
) -> Option<Value> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let now = jiff::Timestamp::now();
    let is_now = |seconds: i64| (now.as_second() - seconds).abs() < 300;
    if kind == Kind::Sns {
        let is_good = sigv4::is_good("sns", headers, target, body);
        let form: BTreeMap<String, String> =
            url::form_urlencoded::parse(body).into_owned().collect();
        let is_form = header("content-type")? == "application/x-www-form-urlencoded"
            && form["Action"] == "Publish"
            && form["Version"] == "2010-03-31"
            && form["TopicArn"] == TOPIC;
        return (is_good && is_form).then(|| json!(form));
    }
    assert!(header("content-type")?.starts_with("application/json"));
    assert!(target.contains(TOKEN), "{target}");
    let value: Value = serde_json::from_slice(body).ok()?;
    let is_good = match kind {
        Kind::Webhook => {
            let (id, time) = (header("webhook-id")?, header("webhook-timestamp")?);
            let key = BASE64_STANDARD.decode(KEY).unwrap();
            let text = [id.as_bytes(), b".", time.as_bytes(), b".", body].concat();
            let signature = header("webhook-signature")?.strip_prefix("v1,")?;
            signature == base64_hmac(&key, &text) && is_now(time.parse().ok()?)
        }
        Kind::DingTalk => {
            let time = query.get("timestamp")?;
            let text = format!("{time}\n{DINGTALK_SECRET}");
            let signature = base64_hmac(DINGTALK_SECRET.as_bytes(), text.as_bytes());
            *query.get("sign")? == signature && is_now(time.parse::<i64>().ok()? / 1000)
        }
        Kind::Feishu => {
            let time = value["timestamp"].as_str()?;
            let key = format!("{time}\n{FEISHU_SECRET}");
            value["sign"].as_str()? == base64_hmac(key.as_bytes(), b"")
                && is_now(time.parse().ok()?)
        }
        Kind::Slack => true,
        Kind::Sns => unreachable!(),
    };
    is_good.then_some(value)
}

fn success(kind: Kind) -> Response<Full<Bytes>> {
    match kind {
        Kind::Webhook => plain(204, ""),
        Kind::Slack => plain(200, "ok"),
        Kind::DingTalk => plain(200, r#"{"errcode":0,"errmsg":"ok"}"#),
        Kind::Feishu => plain(
            200,
            r#"{"StatusCode":0,"StatusMessage":"success","code":0,"data":{},"msg":"success"}"#,
        ),
        Kind::Sns => plain(
            200,
            "<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>",
        ),
    }
}

fn throttled(kind: Kind, after: &str) -> Response<Full<Bytes>> {
    match kind {
        Kind::Webhook | Kind::Slack => {
            let counts =
                r#"{"ok":false,"count_hour_ago":400,"count_minute_ago":100,"count_second_ago":5}"#;
            let mut answer = plain(429, counts);
            let after = after.parse().unwrap();
            answer.headers_mut().insert("retry-after", after);
            answer
        }
        Kind::DingTalk => plain(
            200,
            r#"{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}"#,
        ),
        Kind::Feishu => plain(200, r#"{"code":9499,"msg":"too many request","data":{}}"#),
        Kind::Sns => plain(
            400,
            "<ErrorResponse><Error><Type>Sender</Type><Code>KMSThrottling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>",
        ),
    }
}

fn refusal(kind: Kind) -> Response<Full<Bytes>> {
    match kind {
        Kind::Webhook | Kind::Slack => plain(401, "signature"),
        Kind::DingTalk => plain(
            200,
            r#"{"errcode":310000,"errmsg":"description:机器人发送签名不匹配;solution:请确认签名和生成签名的时间戳;"}"#,
        ),
        Kind::Feishu => plain(
            200,
            r#"{"code":19021,"data":{},"msg":"sign match fail or timestamp is not within one hour from current time"}"#,
        ),
        Kind::Sns => plain(
            403,
            "<ErrorResponse><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error></ErrorResponse>",
        ),
    }
}
