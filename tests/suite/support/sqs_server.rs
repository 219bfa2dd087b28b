//! An SQS server in the test's process: it verifies SigV4 itself, and keeps what is sent for the
//! test to deliver.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde_json::{Value, json};

use super::http::{Listening, aws_json};
use super::sigv4;

/// A message that was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    pub body: String,
    pub delay_seconds: u64,
}

pub struct SqsServer {
    state: Arc<Mutex<State>>,
    listening: Listening,
}

#[derive(Default)]
struct State {
    sent: VecDeque<Sent>,
    /// What a receiver gets: receipt handle and body.
    waiting: VecDeque<(String, String)>,
    /// Received and not deleted.
    in_flight: Vec<(String, String)>,
    faults: VecDeque<(u16, &'static str)>,
    /// What is received is given out again, as when serving it takes long.
    gives_again: bool,
    /// What is sent is received.
    delivers_sent: bool,
    /// How many messages were sent.
    count_of_sent: usize,
    /// How often each message was received, by its handle.
    receive_counts: BTreeMap<String, u32>,
}

impl SqsServer {
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let serving = state.clone();
        let listening = Listening::start(move |request| {
            let state = serving.clone();
            async move { answer(request, &state).await }
        });
        Self {
            state,
            listening: listening.await,
        }
    }

    pub fn queue_url(&self) -> String {
        format!("{}/123456789012/follow", self.listening.url())
    }

    /// Takes the oldest message that was sent.
    pub fn take_sent(&self) -> Option<Sent> {
        self.state.lock().unwrap().sent.pop_front()
    }

    /// Puts a message where receivers find it.
    pub fn put(&self, body: &str) {
        let mut state = self.state.lock().unwrap();
        let handle = format!("handle-{}", state.waiting.len());
        state.waiting.push_back((handle, body.to_owned()));
    }

    /// Puts a message that is received twice, with a receipt handle for each time, as SQS promises
    /// delivery at least once ("Amazon SQS at-least-once delivery").
    pub fn put_twice(&self, body: &str) {
        let mut state = self.state.lock().unwrap();
        for time in ["first", "second"] {
            let handle = format!("handle-twice#{time}");
            state.waiting.push_back((handle, body.to_owned()));
        }
    }

    /// From now on what is received and not deleted comes again at once.
    pub fn give_again(&self) {
        self.state.lock().unwrap().gives_again = true;
    }

    /// The time is over for which what was received is invisible.
    pub fn make_visible(&self) {
        let mut state = self.state.lock().unwrap();
        let in_flight = std::mem::take(&mut state.in_flight);
        state.waiting.extend(in_flight);
    }

    /// From now on what is sent is received, too.
    pub fn deliver_what_is_sent(&self) {
        self.state.lock().unwrap().delivers_sent = true;
    }

    /// What is neither received nor deleted, and what is received and not deleted.
    pub fn left(&self) -> (usize, usize) {
        let state = self.state.lock().unwrap();
        (state.waiting.len(), state.in_flight.len())
    }

    pub fn fault_next(&self, status: u16, code: &'static str) {
        self.state.lock().unwrap().faults.push_back((status, code));
    }
}

async fn answer(request: Request<Incoming>, state: &Mutex<State>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    if !sigv4::is_good("sqs", &head.headers, head.uri.path(), &body) {
        return error(403, "SignatureDoesNotMatch");
    }
    let mut state = state.lock().unwrap();
    if let Some((status, code)) = state.faults.pop_front() {
        return error(status, code);
    }
    let input: Value = serde_json::from_slice(&body).unwrap();
    let text = |member: &str| input[member].as_str().unwrap().to_owned();
    assert!(text("QueueUrl").ends_with("/123456789012/follow"));
    let output = match head.headers["x-amz-target"].to_str().unwrap() {
        "AmazonSQS.SendMessage" => {
            let body = text("MessageBody");
            let delay_seconds = input["DelaySeconds"].as_u64().unwrap();
            assert!(delay_seconds <= 900 && body.len() <= 256 << 10);
            let md5 = input["MessageBody"].as_str().map(md5_of).unwrap();
            state.count_of_sent += 1;
            let handle = format!("sent-{}", state.count_of_sent);
            if state.delivers_sent {
                state.waiting.push_back((handle.clone(), body.clone()));
            }
            state.sent.push_back(Sent {
                body,
                delay_seconds,
            });
            json!({"MessageId": format!("id-{handle}"), "MD5OfMessageBody": md5})
        }
        "AmazonSQS.ReceiveMessage" => {
            // Or SQS may say that there is none, and give one out while it is being served.
            assert!(input["WaitTimeSeconds"].as_u64().unwrap() > 0);
            assert!(input["VisibilityTimeout"].as_u64().unwrap() > 300);
            let count = input["MaxNumberOfMessages"].as_u64().unwrap() as usize;
            let count = count.min(state.waiting.len());
            let received: Vec<_> = state.waiting.drain(..count).collect();
            let asks = input["MessageSystemAttributeNames"] == json!(["ApproximateReceiveCount"]);
            let mut message = |(handle, body): &(String, String)| {
                let mut message = json!({"MessageId": format!("id-{}", handle.split('#').next().unwrap()), "ReceiptHandle": handle, "Body": body, "MD5OfBody": md5_of(body)});
                // ReceiveMessage: attributes come if they are asked for, as text. AWS's samples of
                // SQS events and getmoto/moto's answers have the same form.
                let count = state.receive_counts.entry(handle.clone()).or_default();
                *count += 1;
                if asks {
                    message["Attributes"] = json!({"ApproximateReceiveCount": count.to_string()});
                }
                message
            };
            let messages: Vec<_> = received.iter().map(&mut message).collect();
            if state.gives_again {
                state.waiting.extend(received.iter().cloned());
            }
            state.in_flight.extend(received);
            json!({ "Messages": messages })
        }
        "AmazonSQS.DeleteMessage" => {
            let handle = text("ReceiptHandle");
            state.in_flight.retain(|(known, _)| *known != handle);
            state.waiting.retain(|(known, _)| *known != handle);
            json!({})
        }
        other => panic!("{other}"),
    };
    json_answer(200, &output)
}

/// The SDK does not compare it; the member must be there.
fn md5_of(_: &str) -> String {
    "0".repeat(32)
}

fn error(status: u16, code: &str) -> Response<Full<Bytes>> {
    json_answer(
        status,
        &json!({"__type": format!("com.amazonaws.sqs#{code}"), "message": "as told"}),
    )
}

fn json_answer(status: u16, body: &Value) -> Response<Full<Bytes>> {
    aws_json("1.0", status, body)
}
