//! Function Compute's API on loopback: synchronous `InvokeFunction`, which verifies ACS3-HMAC-SHA256 with
//! its own code and runs the real `bootstrap`.
//!
//! Its answers, each with its source: a result is 200 with the body that the function answered; a failure
//! of the function is 200 with the header `X-Fc-Error-Type` (the plug-in of kestra.io for Function Compute)
//! and a body with `errorMessage` (aliyun/fc-go-sdk issue 5); a refusal is `{"Code", "Message",
//! "RequestId"}` or one of the spellings of the page "error codes" and of alibaba/funcraft issue 86. A custom
//! runtime reports a failure in the header `x-fc-status` (page "Event handlers").

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde_json::json;

use super::acs3;
use super::function_compute::{FUNCTION, Platform};
use super::http::Listening;

/// ARN of the function.
pub const ARN: &str = "acs:fc:cn-hangzhou:1690700000000030:functions/archiver";

/// What one invocation meets.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// The function runs as if it were of a version that does not know the question.
    RunsAnEarlierVersion,
    /// The function did not run. Status and body.
    Refuses(u16, &'static str),
    /// The function ran and failed with this body.
    Fails(&'static str),
    /// Another function ran, and answered this.
    Answers(&'static str),
}

pub struct FunctionComputeApi {
    shared: Arc<Shared>,
    listening: Listening,
}

struct Shared {
    platform: tokio::sync::Mutex<Platform>,
    planned: Mutex<VecDeque<Behaviour>>,
    asked: Mutex<Vec<String>>,
}

impl FunctionComputeApi {
    pub async fn start(platform: Platform) -> Self {
        let shared = Arc::new(Shared {
            platform: platform.into(),
            planned: Mutex::default(),
            asked: Mutex::default(),
        });
        let serving = shared.clone();
        let listening = Listening::start(move |request| {
            let shared = serving.clone();
            async move { shared.answer(request).await }
        });
        Self {
            shared,
            listening: listening.await,
        }
    }

    pub fn url(&self) -> String {
        self.listening.url()
    }

    /// What the next invocations meet. All others run the function.
    pub fn plan(&self, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.shared.planned.lock().unwrap().extend(behaviours);
    }

    /// The payloads of the invocations that were signed well, in order.
    pub fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.asked.lock().unwrap())
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
        if !acs3::is_good(&head.headers, path, query, &body) {
            return refused(
                403,
                r#"{"Code": "SignatureNotMatch", "Message": "no match"}"#,
            );
        }
        assert_eq!(head.headers["x-acs-action"], "InvokeFunction");
        assert_eq!(head.headers["x-acs-version"], "2023-03-30");
        assert_eq!(head.headers["x-fc-invocation-type"], "Sync");
        let here = format!("/2023-03-30/functions/{FUNCTION}/invocations");
        if path != here || !["qualifier=LATEST", "qualifier=prod"].contains(&query) {
            let message = format!("{path}?{query} does not exist");
            let body = json!({"Code": "FunctionNotFound", "Message": message}).to_string();
            return refused(404, &body);
        }
        let payload = String::from_utf8(body.to_vec()).unwrap();
        self.asked.lock().unwrap().push(payload.clone());
        let planned = self.planned.lock().unwrap().pop_front();
        match planned {
            None => self.run(&payload).await,
            // To this version, this is what the question is to an earlier one.
            Some(Behaviour::RunsAnEarlierVersion) => {
                self.run(&payload.replace("doctor", "question_of_later"))
                    .await
            }
            Some(Behaviour::Refuses(status, body)) => refused(status, body),
            Some(Behaviour::Fails(body)) => ran(body.as_bytes().to_vec(), true),
            Some(Behaviour::Answers(body)) => ran(body.as_bytes().to_vec(), false),
        }
    }

    async fn run(&self, payload: &str) -> Response<Full<Bytes>> {
        let answer = self.platform.lock().await.invoke(payload, "60").await;
        let is_failure = answer.headers().contains_key("x-fc-status");
        ran(answer.bytes().await.unwrap().to_vec(), is_failure)
    }
}

fn ran(body: Vec<u8>, is_failure: bool) -> Response<Full<Bytes>> {
    let mut answer = Response::builder()
        .status(200)
        .header("x-fc-request-id", "1-67a59f35-150c1267-f381ba1c085c");
    if is_failure {
        answer = answer.header("x-fc-error-type", "HandledInvocationError");
    }
    answer.body(Full::from(body)).unwrap()
}

fn refused(status: u16, body: &str) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("x-fc-request-id", "1-67a59f35-150c1267-f381ba1c085c")
        .body(Full::from(body.to_owned()))
        .unwrap()
}
