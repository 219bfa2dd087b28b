//! One notice to one receiver.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, USER_AGENT};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::answer::{SendError, judge};
use super::notice::Notice;
use super::target::{Kind, Target};
use super::{payload, sign};
use crate::aws::AwsCall;
use crate::credentials::CredentialsProvider;
use crate::http::bounded::{Unread, read_some};
use crate::model::credentials::Credentials;
use crate::retry::{RetryAdvice, Retryable as _};

/// Longest time for one request. Standard Webhooks advises senders to wait 15 to 30 s; an event may wait here. Who takes
/// a notice and answers later gets it again.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// Longest answer that is read. Chats answer with a line.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// Group of messages in a FIFO topic.
const SNS_GROUP: &str = "notices";

/// What sends.
#[derive(Debug, Clone)]
pub struct Sender {
    /// The HTTP client. It follows no redirects.
    pub http: Client,
    /// Credentials for topics.
    pub aws: Option<CredentialsProvider>,
    /// Address of SNS, where it is not that of the topic's region.
    pub sns_endpoint: Option<Url>,
}

impl Sender {
    /// Makes one attempt.
    ///
    /// # Errors
    /// [`SendError`] says what to do next. It has no secret.
    pub async fn send(
        &self,
        target: &Target,
        notice: &Notice,
        now: Timestamp,
    ) -> Result<(), SendError> {
        let credentials = match &target.kind {
            Kind::Sns { .. } => Some(self.credentials().await?),
            _ => None,
        };
        let request = self.request(target, notice, credentials.as_ref(), now)?;
        let request = request.timeout(REQUEST_TIME);
        let without_secrets = |told: &str| {
            let told = target.left_out_of(told);
            match &credentials {
                Some(credentials) => credentials.left_out_of(&told),
                None => told,
            }
        };
        // Chats say in the body whether they took it. For all others, a status of success is enough.
        let says_in_body = matches!(target.kind, Kind::DingTalk { .. } | Kind::Feishu { .. });
        let is_good = |status| (200..300).contains(&status);
        let needs_body = |status| says_in_body || !is_good(status);
        let answer = read_some(request, target.word(), MAX_ANSWER_BYTES, needs_body).await;
        let told = |unread| match unread {
            Unread::NoAnswer(cause) => {
                SendError::Unavailable(format!("it does not answer: {}", without_secrets(&cause)))
            }
            Unread::TooLong => SendError::Refused(format!(
                "its answer has more than {MAX_ANSWER_BYTES} bytes, which no such receiver sends"
            )),
        };
        let (answer, unread) = answer.map_err(told)?;
        if let Some(unread) = unread.filter(|_| is_good(answer.status)) {
            return Err(told(unread));
        }
        judge(
            &target.kind,
            answer.status,
            &answer.headers,
            &answer.body,
            now,
            without_secrets,
        )
    }

    async fn credentials(&self) -> Result<Credentials, SendError> {
        let Some(provider) = &self.aws else {
            let why = "an SNS topic needs AWS credentials: set AWS_ACCESS_KEY_ID and its secret";
            return Err(SendError::Refused(why.into()));
        };
        let credentials = provider.get().await;
        credentials.map_err(|error| match error.retry_advice() {
            RetryAdvice::GiveUp => SendError::Refused(error.to_string()),
            _ => SendError::Unavailable(error.to_string()),
        })
    }

    fn request(
        &self,
        target: &Target,
        notice: &Notice,
        credentials: Option<&Credentials>,
        now: Timestamp,
    ) -> Result<RequestBuilder, SendError> {
        let unusable = |_| SendError::Refused("its address cannot be used".into());
        let url = || Url::parse(target.address()).map_err(unusable);
        let seconds = now.as_second();
        Ok(match &target.kind {
            Kind::Webhook { key } => {
                let body = payload::webhook(notice).to_string();
                let signature = sign::standard_webhook(key, &notice.id, seconds, &body);
                self.post(url()?, body)
                    .header("webhook-id", &notice.id)
                    .header("webhook-timestamp", seconds.to_string())
                    .header("webhook-signature", signature)
            }
            Kind::Slack => self.post(url()?, payload::slack(notice).to_string()),
            Kind::DingTalk { secret } => {
                let mut url = url()?;
                if let Some(secret) = secret {
                    let now = now.as_millisecond();
                    url.query_pairs_mut()
                        .append_pair("timestamp", &now.to_string())
                        .append_pair("sign", &sign::dingtalk(secret.expose(), now));
                }
                self.post(url, payload::dingtalk(notice).to_string())
            }
            Kind::Feishu { secret } => {
                let mut body = payload::feishu(notice);
                if let Some(secret) = secret {
                    body["timestamp"] = json!(seconds.to_string());
                    body["sign"] = json!(sign::feishu(secret.expose(), seconds));
                }
                self.post(url()?, Value::to_string(&body))
            }
            Kind::Sns { region, endpoint } => {
                let credentials = credentials
                    .ok_or_else(|| SendError::Refused("there are no credentials".into()))?;
                let body = publish(target.address(), notice);
                let call = AwsCall {
                    service: "sns",
                    region,
                    endpoint: self.sns_endpoint.as_ref().unwrap_or(endpoint),
                    method: Method::POST,
                    path: "/",
                    query: "",
                    headers: &[("content-type", "application/x-www-form-urlencoded")],
                    body: body.as_bytes(),
                };
                let signed = call.request(&self.http, credentials, now);
                signed.map_err(SendError::Refused)?
            }
        })
    }

    fn post(&self, url: Url, body: String) -> RequestBuilder {
        const AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        let request = self.http.post(url).body(body);
        request
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .header(USER_AGENT, AGENT)
    }
}

/// The form of `Publish`. A FIFO topic takes a message once whose ID it had in the last five minutes.
///
/// Source: AWS, "Publish" of the Amazon SNS API reference, version 2010-03-31.
fn publish(topic_arn: &str, notice: &Notice) -> String {
    let (subject, message) = payload::sns(notice);
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", "Publish")
        .append_pair("Version", "2010-03-31")
        .append_pair("TopicArn", topic_arn)
        .append_pair("Subject", &subject)
        .append_pair("Message", &message);
    if topic_arn.ends_with(".fifo") {
        form.append_pair("MessageGroupId", SNS_GROUP)
            .append_pair("MessageDeduplicationId", &notice.id);
    }
    form.finish()
}
