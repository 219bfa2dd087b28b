//! Parts of the work on an event, each by itself, so that their instructions can be counted.
//!
//! usage: kernels NAME TIMES
#![allow(clippy::expect_used)]

use std::hint::black_box;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ecs_console_archiver::alibaba::request::{RpcCall, SigningContext, sign};
use ecs_console_archiver::alibaba::signature::SignatureVersion;
use ecs_console_archiver::archive::record::Record;
use ecs_console_archiver::intake::delivery::Delivery;
use ecs_console_archiver::intake::event::Request;
use ecs_console_archiver::model::credentials::{Credentials, Secret};
use ecs_console_archiver::model::event::InstanceEvent;
use ecs_console_archiver::model::ids::{InstanceId, RegionId};
use ecs_console_archiver::reading::findings::{self, Rules};
use ecs_console_archiver::source::ecs::response::{AnswerHead, console_output};
use jiff::Timestamp;
use serde_json::json;
use url::Url;

const EVENT: &[u8] = include_bytes!("../../events/eventbridge-stopping.json");
const CONSOLE: &[u8] = include_bytes!("../fixtures/consoles/i-bp1normalreboot0001.log");
const ID: &str = "i-bp1normalreboot0001";

const HEAD: AnswerHead = AnswerHead {
    status: 200,
    retry_after_ms: None,
    date: None,
};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().expect("usage: kernels NAME TIMES");
    let times = arguments.next().and_then(|times| times.parse().ok());
    let times: usize = times.expect("usage: kernels NAME TIMES");
    let parse = || {
        let requests = Delivery::parse(black_box(EVENT))
            .messages
            .remove(0)
            .requests;
        match requests.into_iter().next() {
            Some(Ok(Request::Instance(event))) => event,
            other => unreachable!("{other:?}"),
        }
    };
    let event: InstanceEvent = parse();
    let answer = json!({
        "RequestId": "473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E", "InstanceId": ID,
        "LastUpdateTime": "2024-03-22 10:04:57", "ConsoleOutput": BASE64_STANDARD.encode(CONSOLE),
    });
    let answer = answer.to_string().into_bytes();
    let console = console_output(HEAD, &answer).expect("an answer");
    let now: Timestamp = "2024-03-22T02:04:58Z".parse().expect("a time");
    let region = RegionId::parse("cn-hangzhou").expect("a region");
    let instance_id = InstanceId::parse(ID).expect("an ID");
    let call = RpcCall::get_instance_console_output(&region, &instance_id);
    let endpoint = Url::parse("https://ecs.cn-hangzhou.aliyuncs.com").expect("an address");
    let credentials = Credentials {
        access_key_id: "testid".into(),
        access_key_secret: Secret::new("testsecret"),
        security_token: Some(Secret::new("testtoken")),
    };
    let context = SigningContext {
        now,
        nonce: "3156853299f313e23d1673dc12e1703d".into(),
    };
    for _ in 0..times {
        match name.as_str() {
            "parse_event" => drop(black_box(parse())),
            "sign_call" => {
                let version = black_box(SignatureVersion::Acs3);
                drop(black_box(
                    sign(&call, &endpoint, version, &credentials, &context).url,
                ));
            }
            "read_answer" => drop(black_box(console_output(HEAD, black_box(&answer)))),
            "pack_record" => {
                let console = black_box(&console);
                drop(black_box(Record::new(&event, &region, console, now, None)));
            }
            "scan_console" => {
                let plain = black_box(&console).plain.as_slice();
                drop(black_box(findings::of_console(plain, Rules::current())));
            }
            _ => unreachable!("there is no kernel {name}"),
        }
    }
}
