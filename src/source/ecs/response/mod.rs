//! Status and body of an ECS answer → [`ConsoleOutput`] or [`EcsError`].

pub mod codes;
mod error;

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use super::console_text;
use super::members::{Member, Members, without_mark};
use crate::http::answer;
use crate::model::console::{ConsoleOutput, MAX_WORD_BYTES};
use crate::model::ids::{InstanceId, RegionId};
use crate::model::screenshot::{Image, InvalidImage, Screenshot};
use crate::source::InstancesPage;
use codes::{Meaning, meaning};
pub use error::EcsError;

/// Status and relevant headers of an answer.
#[derive(Debug, Clone, Copy)]
pub struct AnswerHead {
    /// HTTP status.
    pub status: u16,
    /// Value of the header `x-acs-retry-after`, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// Value of the header `Date`: the time by ECS's clock.
    pub date: Option<Timestamp>,
}

/// Reads the answer to `GetInstanceConsoleOutput`. An answer without `ConsoleOutput` is an empty
/// console.
///
/// # Errors
/// [`EcsError`] says what to do next. It never quotes the body.
pub fn console_output(head: AnswerHead, body: &[u8]) -> Result<ConsoleOutput, EcsError> {
    if head.status != 200 {
        return Err(error(head, body));
    }
    let unreadable = |reason: &str| EcsError::Unreadable {
        status: head.status,
        reason: reason.into(),
    };
    let mut answer = Members::read(body)
        .ok_or_else(|| unreadable("it is neither the JSON nor the XML of this operation"))?;
    let members = ["RequestId", "InstanceId", "ConsoleOutput"];
    // Some gateways answer every error with status 200.
    if !answer.has("ConsoleOutput") && answer.text_at_any_depth("Code").is_some() {
        return Err(error(head, body));
    }
    // Every member is optional in the models of the SDKs. But an answer without any of them is not
    // from ECS.
    if !members.iter().any(|name| answer.has(name)) {
        return Err(unreadable("it has none of the members of this operation"));
    }
    let word = |name| short(answer.text(name).unwrap_or_default());
    let (last_update_time, request_id) = (word("LastUpdateTime"), word("RequestId"));
    let reported_instance_id = answer.text("InstanceId").map(short);
    let (plain, is_undecoded) = match answer.take("ConsoleOutput") {
        None => (Vec::new(), false),
        Some(Member::Text(text)) => match console_text::decode(&text) {
            Some(plain) => (plain, false),
            None => (text.into_owned().into_bytes(), true),
        },
        Some(Member::Other(raw)) => (raw, true),
    };
    let console = ConsoleOutput {
        plain,
        is_undecoded,
        last_update_time,
        request_id,
        reported_instance_id,
    };
    if is_undecoded {
        return Err(EcsError::Undecoded(Arc::new(console)));
    }
    Ok(console)
}

/// Reads the answer to `GetInstanceScreenshot`.
///
/// # Errors
/// [`EcsError`] says what to do next. It never quotes the body.
pub fn screenshot(head: AnswerHead, body: &[u8]) -> Result<Screenshot, EcsError> {
    let failed = || match error(head, body) {
        // That the last picture was taken just before is said by this very word.
        EcsError::Throttled {
            code,
            request_id,
            retry_after_ms: None,
        } if code == "Throttling" => EcsError::TooSoon { request_id },
        error => error,
    };
    if head.status != 200 {
        return Err(failed());
    }
    let unreadable = |reason: &str| EcsError::Unreadable {
        status: head.status,
        reason: reason.into(),
    };
    let mut answer = Members::read(body)
        .ok_or_else(|| unreadable("it is neither the JSON nor the XML of this operation"))?;
    if !answer.has("Screenshot") && answer.text_at_any_depth("Code").is_some() {
        return Err(failed());
    }
    let word = |name| short(answer.text(name).unwrap_or_default());
    let request_id = word("RequestId");
    let reported_instance_id = answer.text("InstanceId").map(short);
    let bytes = match answer.take("Screenshot") {
        // An answer of ECS, which names the request or the instance, has none where there is no picture.
        None if request_id.is_empty() && reported_instance_id.is_none() => {
            return Err(unreadable("it has no Screenshot"));
        }
        None => return Err(EcsError::NotAScreenshot(InvalidImage::Absent)),
        Some(Member::Text(text)) => console_text::decode(&text),
        Some(Member::Other(_)) => None,
    };
    let bytes = bytes.ok_or(EcsError::NotAScreenshot(InvalidImage::Undecoded))?;
    let image = Image::of(&bytes).map_err(EcsError::NotAScreenshot)?;
    Ok(Screenshot {
        bytes,
        image,
        request_id,
        reported_instance_id,
    })
}

/// Truncates a text that should be short, but comes from outside.
fn short(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_WORD_BYTES));
    text
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstancesAnswer {
    instances: InstanceList,
    next_token: Option<String>,
    total_count: Option<u64>,
}

#[derive(Deserialize)]
struct InstanceList {
    #[serde(rename = "Instance", default)]
    instance: Vec<InstanceItem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceItem {
    instance_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RegionsAnswer {
    regions: RegionList,
}

#[derive(Deserialize)]
struct RegionList {
    #[serde(rename = "Region", default)]
    region: Vec<RegionItem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RegionItem {
    region_id: String,
}

/// Reads the answer to `DescribeInstances`.
///
/// # Errors
/// [`EcsError`] says what to do next.
pub fn instances(head: AnswerHead, body: &[u8]) -> Result<InstancesPage, EcsError> {
    let answer: InstancesAnswer = listing(head, body)?;
    let (mut instance_ids, mut unknown_ids) = (Vec::new(), Vec::new());
    for InstanceItem { instance_id } in answer.instances.instance {
        match InstanceId::parse(&instance_id) {
            Ok(instance_id) => instance_ids.push(instance_id),
            Err(_) => unknown_ids.push(short(instance_id)),
        }
    }
    Ok(InstancesPage {
        instance_ids,
        unknown_ids,
        next_token: answer.next_token.filter(|token| !token.is_empty()),
        total: answer.total_count,
    })
}

/// Reads the answer to `DescribeRegions`.
///
/// # Errors
/// [`EcsError`] says what to do next.
pub fn regions(head: AnswerHead, body: &[u8]) -> Result<Vec<RegionId>, EcsError> {
    let answer: RegionsAnswer = listing(head, body)?;
    let ids = answer.regions.region.into_iter();
    Ok(ids
        .filter_map(|item| RegionId::parse(&item.region_id).ok())
        .collect())
}

fn listing<T: for<'de> Deserialize<'de>>(head: AnswerHead, body: &[u8]) -> Result<T, EcsError> {
    if head.status != 200 {
        return Err(error(head, body));
    }
    from_json_or_xml(body).ok_or(EcsError::Unreadable {
        status: head.status,
        reason: "it is neither the JSON nor the XML of this operation".into(),
    })
}

/// Turns an error answer into an [`EcsError`]: by its code, or by its status if the code is
/// unknown.
fn error(head: AnswerHead, body: &[u8]) -> EcsError {
    let (code, request_id) = code_and_request_id(body);
    let (status, retry_after_ms) = (head.status, head.retry_after_ms);
    match meaning(&code, status) {
        Some((_, Meaning::Throttled)) => EcsError::Throttled {
            code,
            request_id,
            retry_after_ms,
        },
        Some((_, Meaning::Unavailable | Meaning::Busy)) => EcsError::Unavailable {
            status,
            code,
            request_id,
        },
        Some((word, Meaning::Stale)) => EcsError::StaleSignature {
            code: word.to_owned(),
            request_id,
        },
        Some((_, Meaning::None(reason))) => EcsError::NoConsole {
            code,
            reason,
            request_id,
        },
        Some((_, Meaning::Mend(advice))) => EcsError::Denied {
            code,
            request_id,
            advice: advice.into(),
        },
        None if status == 429 => EcsError::Throttled {
            code,
            request_id,
            retry_after_ms,
        },
        // 408: the server stopped waiting for the request.
        None if status >= 500 || status == 408 => EcsError::Unavailable {
            status,
            code,
            request_id,
        },
        // A gateway's page with a 2xx or 3xx status says nothing about the instance.
        None if status < 400 => EcsError::Unreadable {
            status,
            reason: match status {
                300.. => "it points to another address".into(),
                200 if !code.is_empty() => format!("it is the error {code}"),
                _ => "the status is not 200".into(),
            },
        },
        None => EcsError::Rejected {
            status,
            code,
            request_id,
        },
    }
}

fn code_and_request_id(body: &[u8]) -> (String, String) {
    let read = |name: &str| {
        Members::read(body)
            .and_then(|members| members.text_at_any_depth(name))
            .or_else(|| scan_for(name, body))
            .unwrap_or_default()
    };
    (printable(read("Code")), printable(read("RequestId")))
}

/// Finds a member in a body that is almost JSON: the API reference's own error sample has unescaped
/// quotes in its message.
fn scan_for(name: &str, body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(without_mark(body));
    if !text.starts_with('{') {
        return None;
    }
    let quoted = format!("\"{name}\"").to_ascii_lowercase();
    let at = text.to_ascii_lowercase().find(&quoted)?;
    let value = text[at + quoted.len()..].trim_start().strip_prefix(':')?;
    let value = value.trim_start().strip_prefix('"')?;
    value.split_once('"').map(|(word, _)| word.to_owned())
}

/// Root elements of the XML answers of `DescribeInstances` and `DescribeRegions`.
const ROOTS: [&str; 2] = ["DescribeInstancesResponse", "DescribeRegionsResponse"];

fn from_json_or_xml<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Option<T> {
    let body = without_mark(body);
    if let Ok(answer) = serde_json::from_slice(body) {
        return Some(answer);
    }
    // Every member is optional, so any well-formed page would deserialize, and so would a truncated
    // one.
    let outline = answer::xml(body).ok()?;
    if !ROOTS.contains(&outline.root) {
        return None;
    }
    let text = std::str::from_utf8(body).ok()?;
    quick_xml::de::from_str(text).ok()
}

/// Replaces a text that does not look like an error code or a request ID, because it comes from
/// outside.
fn printable(text: String) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if text.len() <= 128 && text.chars().all(word) {
        text
    } else {
        "unprintable".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    use super::*;
    use crate::model::console::NoConsole;
    use crate::retry::{RetryAdvice, Retryable as _};

    const HEAD: AnswerHead = AnswerHead {
        status: 200,
        retry_after_ms: None,
        date: None,
    };

    fn read(status: u16, body: &str) -> Result<ConsoleOutput, EcsError> {
        console_output(
            AnswerHead {
                status,
                retry_after_ms: None,
                date: None,
            },
            body.as_bytes(),
        )
    }

    pub fn error(status: u16, body: &str) -> EcsError {
        read(status, body).err().unwrap()
    }

    pub fn with_code(code: &str) -> String {
        format!(
            r#"{{"RequestId":"R-1","HostId":"ecs.aliyuncs.com","Code":"{code}","Message":"m"}}"#
        )
    }

    #[test]
    fn json_and_xml_answers_give_the_same_bytes() {
        let json = r#"{"RequestId":"R","InstanceId":"i-a1","LastUpdateTime":"2018-03-22 10:04:57",
            "ConsoleOutput":"SGVs\nbG8="}"#;
        let xml = "<?xml version='1.0'?>\n<GetInstanceConsoleOutputResponse><RequestId>R</RequestId>\
            <InstanceId>i-a1</InstanceId><LastUpdateTime>2018-03-22 10:04:57</LastUpdateTime>\
            <ConsoleOutput>SGVs bG8=</ConsoleOutput></GetInstanceConsoleOutputResponse>";
        for body in [json, xml] {
            let output = read(200, body).ok().unwrap();
            assert_eq!(output.plain, b"Hello");
            assert_eq!(output.last_update_time, "2018-03-22 10:04:57");
            assert_eq!(output.request_id, "R");
        }
    }

    #[test]
    fn pages_of_instances_and_regions_are_read_in_both_forms() {
        let head = AnswerHead {
            status: 200,
            retry_after_ms: None,
            date: None,
        };
        let json = r#"{"RequestId":"R","NextToken":"t1","TotalCount":3,"PageSize":100,"Instances":
            {"Instance":[{"InstanceId":"i-a1","Status":"Running"},{"InstanceId":"AY14"},
            {"InstanceId":"i-../x"}]}}"#;
        let xml = "<DescribeInstancesResponse><TotalCount>3</TotalCount><NextToken>t1</NextToken>\
            <Instances><Instance><InstanceId>i-a1</InstanceId></Instance></Instances>\
            </DescribeInstancesResponse>";
        for body in [json, xml] {
            let page = instances(head, body.as_bytes()).unwrap();
            assert_eq!(page.instance_ids, [InstanceId::parse("i-a1").unwrap()]);
            assert_eq!(page.next_token.as_deref(), Some("t1"));
            assert_eq!(page.total, Some(3));
        }
        let last = r#"{"NextToken":"","Instances":{"Instance":[]}}"#;
        assert_eq!(instances(head, last.as_bytes()).unwrap().next_token, None);
        let json = r#"{"Regions":{"Region":[{"RegionId":"cn-beijing","LocalName":"x"},{"RegionId":"/"}]}}"#;
        let beijing = RegionId::parse("cn-beijing").unwrap();
        assert_eq!(regions(head, json.as_bytes()).unwrap(), [beijing]);
        for body in ["{}", "[]", "<html/>", ""] {
            assert!(instances(head, body.as_bytes()).unwrap_err().is_transient());
            assert!(regions(head, body.as_bytes()).unwrap_err().is_transient());
        }
    }

    #[test]
    fn missing_members_are_empty() {
        for body in [
            r#"{"RequestId":"R"}"#,
            r#"{"RequestId":"R","ConsoleOutput":"","LastUpdateTime":null}"#,
            r#"{"RequestId":"R","ConsoleOutput":null}"#,
            r#"{"RequestId":"R","ConsoleOutput":" \r\n\t "}"#,
            "<GetInstanceConsoleOutputResponse><RequestId>R</RequestId><ConsoleOutput/>\
             </GetInstanceConsoleOutputResponse>",
        ] {
            let output = read(200, body).ok().unwrap();
            assert!(output.plain.is_empty() && output.last_update_time.is_empty());
        }
    }

    #[test]
    fn answers_that_are_not_the_operations_are_unreadable() {
        for body in [
            "",
            "{}",
            "[]",
            "null",
            "<html><body>Welcome</body></html>",
            "<?xml version='1.0'?><html/>",
            r#"{"RequestId":"R","ConsoleOutput":"SGVs"#,
            "<GetInstanceConsoleOutputResponse><ConsoleOutput>SGVs</ConsoleOutput>",
            "<GetInstanceConsoleOutputResponsePage/>",
        ] {
            let error = error(200, body);
            assert!(
                matches!(error, EcsError::Unreadable { .. }),
                "{body}: {error}"
            );
            assert!(error.is_transient());
        }
    }

    #[track_caller]
    fn check_undecoded(member: &[u8], kept: &[u8]) {
        let body = [br#"{"RequestId":"R","ConsoleOutput":"#, member, b"}"].concat();
        let error = console_output(HEAD, &body).unwrap_err();
        assert_eq!(error.retry_advice(), RetryAdvice::Wait);
        let EcsError::Undecoded(console) = error else {
            panic!("{error}");
        };
        assert!(console.is_undecoded);
        let kept = String::from_utf8_lossy(kept);
        assert_eq!(String::from_utf8_lossy(&console.plain), kept);
        assert_eq!(console.request_id, "R");
    }

    #[test]
    fn what_cannot_be_decoded_is_there_as_it_came() {
        check_undecoded(br#""%%%""#, b"%%%");
        check_undecoded(br#""SGVsb""#, b"SGVsb");
        check_undecoded(br#""[ 0.1] a\nb \u00fc""#, "[ 0.1] a\nb ü".as_bytes());
        check_undecoded(b"5", b"5");
        check_undecoded(b"false", b"false");
        check_undecoded(b"1e999999", b"1e999999");
        check_undecoded(br#"{"Data": ["SGVs"]}"#, br#"{"Data": ["SGVs"]}"#);
        // Half of a surrogate pair, and bytes that are not UTF-8.
        check_undecoded(br#""panic \ud83d""#, br"panic \ud83d");
        check_undecoded(b"\"panic \xff\xfe\"", b"panic \xff\xfe");
        let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        check_undecoded(&deep, &deep);
    }

    #[test]
    fn one_odd_member_does_not_hide_the_console() {
        for members in [
            r#""RequestId":5,"LastUpdateTime":1521684297"#,
            r#""RequestId":{"a":[]},"InstanceId":false"#,
            r#""RequestId":"R","RequestId":"R2","ConsoleOutput":"AAAA""#,
            r#""LastUpdateTime":"\ud800","\udfff":"\ud83d\ude00""#,
            r#""New":1e400,"Newer":[[[[{"ConsoleOutput":"AAAA"}]]]]"#,
        ] {
            let body = format!(r#"{{{members},"consoleOutput":"SGVsbG8="}}"#);
            assert_eq!(read(200, &body).unwrap().plain, b"Hello", "{body}");
        }
        let marked = "\u{feff}\r\n{\"ConsoleOutput\":\"SGVsbG8=\"}\r\n";
        assert_eq!(read(200, marked).unwrap().plain, b"Hello");
        let mixed = b"{\"Message\":\"\xff\",\"ConsoleOutput\":\"SGVsbG8=\"}";
        assert_eq!(console_output(HEAD, mixed).unwrap().plain, b"Hello");
        let xml = "<?xml version='1.0'?><!-- a --><GetInstanceConsoleOutputResponse xmlns='a'>\
            <RequestId>R</RequestId><RequestId>S</RequestId><ConsoleOutput><![CDATA[SGVs]]>&#10;bG8&#61;\
            </ConsoleOutput></GetInstanceConsoleOutputResponse>";
        assert_eq!(read(200, xml).unwrap().plain, b"Hello");
    }

    #[test]
    fn what_goes_beside_the_console_is_short() {
        let long = "ü".repeat(100_000);
        let body = format!(
            r#"{{"RequestId":"{long}","LastUpdateTime":"{long}","InstanceId":"{long}","ConsoleOutput":""}}"#
        );
        let console = read(200, &body).unwrap();
        for word in [
            console.request_id,
            console.last_update_time,
            console.reported_instance_id.unwrap(),
        ] {
            assert_eq!(word.len(), MAX_WORD_BYTES);
        }
    }

    #[test]
    fn an_error_under_status_200_is_an_error() {
        let body = with_code("IncorrectInstanceStatus.Initializing");
        assert!(matches!(
            error(200, &body),
            EcsError::NoConsole {
                reason: NoConsole::NotRunning,
                ..
            }
        ));
        assert!(matches!(
            error(200, &with_code("Throttling.User")),
            EcsError::Throttled { .. }
        ));
        let unknown = error(200, &with_code("SomethingNew"));
        assert!(matches!(unknown, EcsError::Unreadable { .. }), "{unknown}");
    }

    const JPEG: &[u8] = include_bytes!("../../../../tests/fixtures/screenshots/stop.jpg");

    fn read_screenshot(status: u16, body: &str) -> Result<Screenshot, EcsError> {
        let head = AnswerHead { status, ..HEAD };
        screenshot(head, body.as_bytes())
    }

    #[test]
    fn a_screenshot_comes_in_both_forms() {
        let base64 = BASE64_STANDARD.encode(JPEG);
        let json = format!(
            r#"{{"RequestId":"473469C7","InstanceId":"i-bp1gbz20g229bvu5","Screenshot":"{base64}"}}"#
        );
        let xml = format!(
            "<GetInstanceScreenshotResponse><RequestId>473469C7</RequestId>\
             <InstanceId>i-bp1gbz20g229bvu5</InstanceId><Screenshot>{base64}</Screenshot>\
             </GetInstanceScreenshotResponse>"
        );
        for body in [json, xml] {
            let screenshot = read_screenshot(200, &body).unwrap();
            assert!(screenshot.bytes == JPEG);
            assert_eq!(
                (screenshot.image.width, screenshot.image.height),
                (800, 600)
            );
            assert_eq!(screenshot.request_id, "473469C7");
            let other = InstanceId::parse("i-other").unwrap();
            assert!(screenshot.names_another_than(&other));
        }
    }

    #[test]
    fn what_is_no_picture_is_none_and_is_never_quoted() {
        let not_base64 = EcsError::NotAScreenshot(InvalidImage::Undecoded).to_string();
        // The sample of the page leaves most of its picture out.
        let sample = r#"{"RequestId":"473469C7-AA6F-4DC5-B3DB-A3DC0DE3C83E",
            "InstanceId":"i-bp1gbz20g229bvu5****","Screenshot":"iVBORw0KGgoA...AAABJRU5ErkJggg=="}"#;
        let other = EcsError::NotAScreenshot(InvalidImage::OtherFormat).to_string();
        let absent = EcsError::NotAScreenshot(InvalidImage::Absent).to_string();
        let html = BASE64_STANDARD.encode("<html><script>alert(1)</script></html>");
        for (screenshot, told) in [
            (sample.to_owned(), &not_base64),
            (r#"{"RequestId":"R","Screenshot":5}"#.into(), &not_base64),
            (r#"{"RequestId":"R","Screenshot":""}"#.into(), &other),
            (r#"{"RequestId":"R","Screenshot":null}"#.into(), &absent),
            (r#"{"InstanceId":"i-1"}"#.into(), &absent),
            (
                format!(r#"{{"RequestId":"R","Screenshot":"{html}"}}"#),
                &other,
            ),
        ] {
            let error = read_screenshot(200, &screenshot).unwrap_err();
            assert_eq!(error.to_string(), *told);
            assert_eq!(error.retry_advice(), RetryAdvice::GiveUp);
        }
        for body in ["", "{}", "[]", "<html/>"] {
            let error = read_screenshot(200, body).unwrap_err();
            assert!(
                matches!(error, EcsError::Unreadable { .. }),
                "{body}: {error}"
            );
        }
    }

    /// The codes on the page of this operation, and a permission that is missing.
    #[test]
    fn errors_of_a_screenshot_say_what_to_do_next() {
        use std::time::Duration;
        let error = |status, code| read_screenshot(status, &with_code(code)).unwrap_err();
        let advice = |status, code| error(status, code).retry_advice();
        let ten = RetryAdvice::WaitThrottled(Some(Duration::from_secs(10)));
        assert_eq!(advice(429, "Throttling"), ten);
        // Some gateways answer every error with status 200.
        assert_eq!(advice(200, "Throttling"), ten);
        // Of the account, as with every other call.
        assert_eq!(
            advice(429, "Throttling.User"),
            RetryAdvice::WaitThrottled(None)
        );
        let head = AnswerHead {
            status: 429,
            retry_after_ms: Some(1500),
            ..HEAD
        };
        let told = screenshot(head, with_code("Throttling").as_bytes()).unwrap_err();
        let told = told.retry_advice();
        let after = Duration::from_millis(1500);
        assert_eq!(told, RetryAdvice::WaitThrottled(Some(after)));
        for (status, code) in [
            (404, "InvalidParameter"),
            (405, "IncorrectInstanceStatus"),
            (405, "NotSupported"),
        ] {
            let error = error(status, code);
            assert!(matches!(error, EcsError::NoConsole { .. }), "{error}");
        }
        assert!(error(403, "Forbidden.RAM").lacks_permission());
        assert!(!error(400, "SignatureDoesNotMatch").lacks_permission());
        assert_eq!(advice(400, "MissingParameter"), RetryAdvice::GiveUp);
    }

    #[test]
    fn a_code_is_found_wherever_an_error_has_it() {
        for body in [
            r#"{"requestId":"R-1","code":"NotSupported","message":"m"}"#,
            r#"{"Error":{"RequestId":"R-1","Code":"NotSupported"}}"#,
            r#"{"Errors":[{"RequestId":"R-1","Code":"NotSupported"}]}"#,
            r#"{"Code":"","Data":{"RequestId":"R-1","Code":"NotSupported"}}"#,
            "\u{feff}{\"RequestId\":\"R-1\",\"Code\":\"NotSupported\"}",
            r#"{"RequestId":"R-1","Code":"NotSupported","Message":"\ud83d"}"#,
            r#"{"RequestId":"R-1","Code":"NotSupported","Mess"#,
            "\r\n<Error><RequestId>R-1</RequestId><Code>NotSupported</Code></Error>",
            "<?xml version='1.0'?><ErrorResponse xmlns='http://a'><Error><Type>Sender</Type>\
             <Code>NotSupported</Code></Error><RequestId>R-1</RequestId></ErrorResponse>",
        ] {
            let error = error(405, body);
            let EcsError::NoConsole {
                reason: NoConsole::NotSupported,
                request_id,
                ..
            } = &error
            else {
                panic!("{body}: {error}");
            };
            assert_eq!(request_id, "R-1", "{body}");
        }
        let invalid = b"{\"RequestId\":\"R-1\",\"Code\":\"NotSupported\",\"Message\":\"\xff\"}";
        let head = AnswerHead {
            status: 405,
            ..HEAD
        };
        let error = console_output(head, invalid).unwrap_err();
        assert!(matches!(error, EcsError::NoConsole { .. }), "{error}");
    }

    #[test]
    fn pages_of_others_are_never_taken_for_an_answer_about_the_instance() {
        let long = format!("<html>{}</html>", "a".repeat(1 << 20));
        for body in [
            "",
            " ",
            "\0\0",
            "upstream connect error or disconnect/reset before headers",
            "<html><script>{\"Code\":\"NotSupported\"}</script></html>",
            "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head></html>",
            "<Code>NotSupported</Code>",
            "<Error><Code>NotSupported</Code>",
            "\"NotSupported\"",
            "[]",
            "[1]",
            &long,
        ] {
            for status in [200, 202, 204, 301, 302, 307, 502, 503, 504, 511] {
                let error = error(status, body);
                assert!(error.is_transient(), "{status}: {error}");
                assert!(error.to_string().len() < 200);
            }
            for status in [400, 403, 404, 405, 407] {
                let error = error(status, body);
                assert!(
                    matches!(error, EcsError::Rejected { .. }),
                    "{status}: {error}"
                );
            }
        }
    }

    #[test]
    fn what_ecs_asks_to_wait_is_its_remedy() {
        let head = AnswerHead {
            status: 429,
            retry_after_ms: Some(1500),
            date: None,
        };
        let error = console_output(head, with_code("Throttling").as_bytes()).err();
        let advice = error.unwrap().retry_advice();
        assert_eq!(
            advice,
            RetryAdvice::WaitThrottled(Some(std::time::Duration::from_millis(1500)))
        );
    }

    #[test]
    fn the_broken_sample_of_the_api_reference_is_understood() {
        let body = r#"{"RequestId":"9F4","HostId":"ecs.aliyuncs.com","Code":"NotSupported",
            "Message":"The operation is not supported for "i-j5e42sbbthlokka11ech".","Recommend":"x"}"#;
        assert!(matches!(
            error(405, body),
            EcsError::NoConsole {
                reason: NoConsole::NotSupported,
                ..
            }
        ));
    }

    #[test]
    fn a_body_that_is_not_ecs_s_leaves_the_status_to_decide() {
        let page = "<html><h1>503 Service Temporarily Unavailable</h1></html>";
        assert!(matches!(
            error(503, page),
            EcsError::Unavailable { status: 503, .. }
        ));
        assert!(matches!(error(429, ""), EcsError::Throttled { .. }));
        assert!(matches!(
            error(403, page),
            EcsError::Rejected { status: 403, .. }
        ));
        assert!(matches!(
            error(204, ""),
            EcsError::Unreadable { status: 204, .. }
        ));
    }

    #[test]
    fn hostile_codes_are_not_shown() {
        let shown = error(400, r#"{"Code":"\u001b[2Jpwned"}"#).to_string();
        assert!(
            !shown.contains('\x1b') && shown.contains("unprintable"),
            "{shown}"
        );
    }

    proptest::proptest! {
        /// Whatever the value of `ConsoleOutput` and its neighbours are, the result is the decoded
        /// console or the text itself.
        #[test]
        fn no_console_is_lost_in_an_odd_answer(
            text in proptest::prop_oneof![".*", "[A-Za-z0-9+/=_ -]*", "[ -~]*"],
            beside in ".*", number: i64, is_last: bool,
        ) {
            let console = serde_json::json!(text);
            let beside = serde_json::json!(beside);
            let other = format!(r#""LastUpdateTime":{beside},"RequestId":{number},{beside}:{{"a":{beside}}}"#);
            let body = if is_last {
                format!(r#"{{{other},"ConsoleOutput":{console}}}"#)
            } else {
                format!(r#"{{"ConsoleOutput":{console},{other}}}"#)
            };
            match read(200, &body) {
                Ok(console) => {
                    let decoded = console_text::decode(&text).unwrap();
                    proptest::prop_assert_eq!(console.plain, decoded);
                }
                Err(EcsError::Undecoded(console)) => {
                    proptest::prop_assert_eq!(&console.plain, text.as_bytes());
                }
                // A neighbour has the name of the member itself.
                Err(error) => proptest::prop_assert!(false, "{}", error),
            }
        }

        #[test]
        fn arbitrary_answers_never_panic(status in 100u16..600, body: Vec<u8>) {
            let _ = console_output(AnswerHead { status, retry_after_ms: None, date: None }, &body);
        }

        #[test]
        fn any_console_bytes_come_through(plain: Vec<u8>) {
            let body = serde_json::json!({"RequestId": "R", "ConsoleOutput": BASE64_STANDARD.encode(&plain)});
            let output = read(200, &body.to_string()).ok().unwrap();
            proptest::prop_assert_eq!(output.plain, plain);
        }
    }
}
