//! A notice → what each kind of receiver takes. Pure.
//!
//! What a guest wrote stands where a receiver parses as little as it offers: in a plain text for DingTalk, in text
//! elements for Feishu, in a block of code for Slack. What is markup there all the same is escaped.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::ladder::TOP;
use super::notice::{Notice, short};

/// Most characters of a header in Slack ("header block": 150) and of a section ("section block": 3000), of which a few
/// are left.
const SLACK_HEADER: usize = 150;
const SLACK_SECTION: usize = 2900;
/// Most bytes of a text for DingTalk, whose messages have 20 000 bytes at most, and for Feishu, whose requests have
/// 20 KB at most. JSON may double some of them.
const CHAT_BYTES: usize = 9000;
/// Most characters of the subject of an SNS message ("Publish": "less than 100 characters").
const SNS_SUBJECT: usize = 99;
/// Most bytes of an SNS message, of 256 KiB that it may have.
const SNS_BYTES: usize = 32 << 10;

/// Plain JSON, in the envelope of Standard Webhooks: `type`, `timestamp` and `data`.
pub fn webhook(notice: &Notice) -> Value {
    let mut data = json!(notice);
    if let Some(members) = data.as_object_mut() {
        members.remove("targets");
        members.remove("claim");
    }
    let kind = match notice {
        notice if notice.is_test() => "notice.test",
        notice if notice.is_of_more() => "notice.more",
        _ => "notice.finding",
    };
    json!({"type": kind, "timestamp": notice.sighting.captured_at, "data": data})
}

/// Blocks for Slack. Its markup knows `&`, `<` and `>` alone (Slack, "Formatting text for app surfaces", section
/// "Escaping text"), and three backticks end a block of code.
pub fn slack(notice: &Notice) -> Value {
    let escaped = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let section = |text: String| json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}});
    let facts = facts(notice).into_iter().map(|(name, value)| {
        let value = escaped(&value).replace('`', "'");
        format!("*{name}:* {value}")
    });
    let mut blocks = vec![
        json!({
            "type": "header",
            "text": {"type": "plain_text", "text": short(&title(notice), SLACK_HEADER), "emoji": false},
        }),
        section(bounded(facts, SLACK_SECTION)),
    ];
    let lines = notice.sighting.lines.iter();
    let lines: Vec<_> = lines.map(|line| escaped(line).replace('`', "'")).collect();
    let lines = around(&lines, notice.sighting.fault_line, SLACK_SECTION, |line| {
        line.chars().count()
    });
    if !lines.is_empty() {
        blocks.push(section(format!("```\n{lines}\n```")));
    }
    blocks.push(section(format!("`{}`", escaped(&notice.command))));
    json!({
        "text": escaped(&in_a_line(notice)),
        "blocks": blocks,
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

/// A plain text for DingTalk, of which it parses nothing: Markdown would show images of any address. Who is called by
/// an `@` stands in `at`, and is nobody.
pub fn dingtalk(notice: &Notice) -> Value {
    let text = text(notice, CHAT_BYTES).replace('@', "＠");
    json!({"msgtype": "text", "text": {"content": text}, "at": {"isAtAll": false}})
}

/// A post for Feishu, whose elements of the kind `text` are shown as they are: in a message of the type `text`,
/// `<at user_id="all">` would call everybody.
pub fn feishu(notice: &Notice) -> Value {
    let title = title(notice);
    let text = text(notice, CHAT_BYTES);
    let lines = text.lines().skip(1); // The title is one of its own.
    let lines = lines.map(|line| json!([{"tag": "text", "text": line.replace("<at", "＜at")}]));
    let lines: Vec<_> = lines.collect();
    json!({
        "msg_type": "post",
        "content": {"post": {"en_us": {"title": title, "content": lines}}},
    })
}

/// Subject and message for SNS. A subject is of ASCII without control characters, and begins with a letter.
pub fn sns(notice: &Notice) -> (String, String) {
    let subject = in_a_line(notice);
    let subject = subject.chars().filter(|c| matches!(c, ' '..='~'));
    let subject = subject.take(SNS_SUBJECT).collect();
    (subject, text(notice, SNS_BYTES))
}

/// "FATAL: The kernel cannot mount its root file system"
fn title(notice: &Notice) -> String {
    let finding = &notice.sighting.finding;
    let severity = finding.severity.as_str().to_uppercase();
    format!("{severity}: {}", finding.title)
}

fn in_a_line(notice: &Notice) -> String {
    let (title, sighting) = (title(notice), &notice.sighting);
    format!(
        "{title} ({} in {})",
        sighting.instance_id, sighting.region_id
    )
}

/// What stands above the lines of the console.
fn facts(notice: &Notice) -> Vec<(&'static str, String)> {
    let sighting = &notice.sighting;
    let mut facts = vec![
        (
            "Instance",
            format!("{} in {}", sighting.instance_id, sighting.region_id),
        ),
        ("Captured", second(sighting.captured_at)),
    ];
    if let Some(began_at) = sighting.boot_began_at {
        facts.push(("Boot began", second(began_at)));
    }
    if !notice.is_of_more() {
        facts.push(("Signature", sighting.finding.signature.clone()));
        facts.push(("How many", how_many(notice)));
    }
    if !sighting.advice.is_empty() {
        facts.push(("What to do", sighting.advice.clone()));
    }
    if !sighting.also.is_empty() {
        let also = sighting.also.iter();
        let also = also.map(|one| format!("{} ({})", one.title, one.signature));
        facts.push(("Also on this console", also.collect::<Vec<_>>().join("; ")));
    }
    if !sighting.record.is_empty() {
        facts.push(("Record", sighting.record.clone()));
    }
    facts
}

/// How many others have this signature, and since when.
fn how_many(notice: &Notice) -> String {
    let since = second(notice.since);
    let new = match notice.is_new {
        true => "; it is new: no instance has shown it in the 7 days before",
        false => "",
    };
    match notice.instances {
        0 | 1 => format!("this instance alone, so far{new}"),
        2 => format!("one other instance that day; the first at {since}{new}"),
        TOP.. => format!(
            "{} other instances that day, or more; the first at {since}{new}",
            TOP - 1
        ),
        instances => {
            let others = instances - 1;
            format!("{others} other instances that day; the first at {since}{new}")
        }
    }
}

/// All of it as text. The title is its first line.
fn text(notice: &Notice, most_bytes: usize) -> String {
    let head = facts(notice)
        .into_iter()
        .map(|(name, value)| format!("{name}: {value}"));
    let head = [title(notice)].into_iter().chain(head);
    let mut text = head.collect::<Vec<_>>().join("\n");
    let command = format!("\n\nThe rest: {}\n", notice.command);
    let left = most_bytes.saturating_sub(text.len() + command.len());
    let lines = around(
        &notice.sighting.lines,
        notice.sighting.fault_line,
        left,
        str::len,
    );
    if !lines.is_empty() {
        text.push_str("\n\n");
        text.push_str(&lines);
    }
    text + &command
}

/// As many lines as have room, by their characters.
fn bounded(lines: impl Iterator<Item = String>, most: usize) -> String {
    let mut left = most;
    let has_room = |line: &String| {
        let takes = line.chars().count() + 1;
        let has_room = takes <= left;
        left = left.saturating_sub(takes);
        has_room
    };
    let lines: Vec<_> = lines.take_while(has_room).collect();
    lines.join("\n")
}

/// As many lines as have room, from the line of the fault on: one behind it and one before it in turn.
fn around(lines: &[String], fault: usize, most: usize, size: impl Fn(&str) -> usize) -> String {
    let mut left = most;
    let mut take = |line: Option<&String>| {
        let takes = line.map(|line| size(line) + 1);
        let has_room = takes.is_some_and(|takes| takes <= left);
        left -= takes.filter(|_| has_room).unwrap_or(0);
        has_room
    };
    let fault = fault.min(lines.len().saturating_sub(1));
    if !take(lines.get(fault)) {
        return String::new();
    }
    let (mut first, mut end) = (fault, fault + 1);
    let (mut may_rise, mut may_fall) = (true, true);
    while may_rise || may_fall {
        may_fall = may_fall && take(lines.get(end));
        end += usize::from(may_fall);
        may_rise = may_rise && take(first.checked_sub(1).and_then(|before| lines.get(before)));
        first -= usize::from(may_rise);
    }
    lines[first..end].join("\n")
}

fn second(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::{Finding, Severity};
    use crate::model::ids::{InstanceId, RegionId};
    use crate::notify::notice::Sighting;

    /// With these lines, each of which may be as long and strange as a guest can make it.
    fn notice(lines: Vec<String>, signature: &str, instances: u32) -> Notice {
        let sighting = Sighting {
            finding: Finding {
                id: "unit-failed".into(),
                severity: Severity::Error,
                title: "A unit failed".into(),
                signature: signature.into(),
                count: 1,
            },
            advice: "Read its log.".into(),
            also: Vec::new(),
            instance_id: InstanceId::parse("i-a1").unwrap(),
            region_id: RegionId::parse("cn-hangzhou").unwrap(),
            captured_at: "2026-12-01T10:00:00.5Z".parse().unwrap(),
            boot_began_at: Some("2026-12-01T09:58:00Z".parse().unwrap()),
            lines,
            fault_line: 0,
            record: "s3://b/i-a1/x.log.gz".into(),
            day: "2026-12-01".parse().unwrap(),
        };
        let id = crate::archive::notice::NoticeId {
            day: sighting.day,
            signature: crate::archive::notice::signature_digest(signature),
            level: 1,
        };
        let since = "2026-12-01T09:59:00Z".parse().unwrap();
        sighting.notice(
            &id,
            instances == 1,
            instances,
            since,
            vec!["0123456789ab".into()],
            "claim-that-must-not-show".into(),
        )
    }

    const HOSTILE: &str = "``` <!channel> <@U1> @all <at user_id=\"all\">x</at> ![i](https://a/b) *b* & </script> :boom:";

    fn strings(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::String(text) => into.push(text.clone()),
            Value::Array(all) => all.iter().for_each(|one| strings(one, into)),
            Value::Object(all) => all.values().for_each(|one| strings(one, into)),
            _ => {}
        }
    }

    fn all_strings(value: &Value) -> Vec<String> {
        let mut all = Vec::new();
        strings(value, &mut all);
        all
    }

    #[test]
    fn a_person_gets_what_a_person_needs() {
        let notice = notice(vec!["[FAILED] a".into()], "unit-failed:a", 37);
        let (subject, message) = sns(&notice);
        assert_eq!(subject, "ERROR: A unit failed (i-a1 in cn-hangzhou)");
        assert_eq!(
            message,
            "ERROR: A unit failed\n\
             Instance: i-a1 in cn-hangzhou\n\
             Captured: 2026-12-01T10:00:00Z\n\
             Boot began: 2026-12-01T09:58:00Z\n\
             Signature: unit-failed:a\n\
             How many: 36 other instances that day; the first at 2026-12-01T09:59:00Z\n\
             What to do: Read its log.\n\
             Record: s3://b/i-a1/x.log.gz\n\
             \n\
             [FAILED] a\n\
             \n\
             The rest: console-archive show i-a1\n"
        );
    }

    #[test]
    fn the_number_of_others_is_told_in_words() {
        for (instances, words) in [
            (1, "this instance alone, so far; it is new"),
            (2, "one other instance that day"),
            (1000, "999 other instances that day, or more"),
            (4000, "999 other instances that day, or more"),
        ] {
            let told = how_many(&notice(vec![], "a", instances));
            assert!(told.starts_with(words), "{told}");
        }
    }

    #[test]
    fn nothing_a_guest_writes_is_markup_or_calls_anybody() {
        let notice = notice(vec![HOSTILE.into()], HOSTILE, 1);
        let slack = all_strings(&slack(&notice));
        for text in &slack {
            assert!(
                !text.contains(['<', '>']) || text.starts_with("ERROR:"),
                "{text}"
            );
            let fences = text.matches("```").count();
            assert!(fences == 0 || fences == 2, "{text}");
        }
        let calls = ["@all", "@U1"];
        for text in all_strings(&dingtalk(&notice)) {
            assert!(!calls.iter().any(|call| text.contains(call)), "{text}");
        }
        assert_eq!(dingtalk(&notice)["at"], json!({"isAtAll": false}));
        for text in all_strings(&feishu(&notice)) {
            assert!(!text.contains("<at"), "{text}");
        }
    }

    #[test]
    fn the_longest_notice_fits_every_receiver() {
        for filler in ["&", "\"", "x", "\u{10ffff}", "<at", "\\"] {
            let line = short(&filler.repeat(5000), 200);
            let mut notice = notice(vec![line.clone(); 20], &line, 1000);
            notice.sighting.finding.title = line.clone();
            notice.sighting.advice = short(&filler.repeat(5000), 500);
            let slack = slack(&notice);
            for block in slack["blocks"].as_array().unwrap() {
                let text = block["text"]["text"].as_str().unwrap();
                let most = match block["type"].as_str() {
                    Some("header") => 150,
                    _ => 3000,
                };
                assert!((1..=most).contains(&text.chars().count()), "{text}");
            }
            assert!(dingtalk(&notice).to_string().len() < 20_000, "{filler}");
            assert!(feishu(&notice).to_string().len() < 20_000, "{filler}");
            let (subject, message) = sns(&notice);
            assert!((1..100).contains(&subject.len()) && message.len() < 256 << 10);
            assert!(subject.chars().all(|c| matches!(c, ' '..='~')), "{subject}");
        }
    }

    #[test]
    fn the_line_of_the_fault_is_there_however_long_those_around_it_are() {
        for filler in ["&", "<", "\u{10ffff}", "漢"] {
            let mut lines = vec![short(&filler.repeat(5000), 200); 20];
            lines[5] = "Kernel panic - not syncing".into();
            let mut notice = notice(lines, "a", 1);
            notice.sighting.fault_line = 5;
            for message in [slack(&notice), dingtalk(&notice), feishu(&notice)] {
                assert!(message.to_string().contains("Kernel panic - not syncing"));
            }
        }
    }

    #[test]
    fn lines_are_left_out_from_both_ends() {
        let lines: Vec<_> = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        for (fault, most, shown) in [
            (2, 10, "a\nb\nc\nd\ne"),
            (2, 6, "b\nc\nd"),
            (2, 2, "c"),
            (2, 1, ""),
            (0, 4, "a\nb"),
            (4, 4, "d\ne"),
            (9, 2, "e"),
        ] {
            assert_eq!(
                around(&lines, fault, most, str::len),
                shown,
                "{fault} {most}"
            );
        }
        assert_eq!(around(&[], 0, 9, str::len), "");
    }

    #[test]
    fn a_webhook_gets_the_data_in_the_envelope_of_the_standard() {
        let body = webhook(&notice(vec!["a".into()], "unit-failed:a", 1));
        assert_eq!(body["type"], "notice.finding");
        assert_eq!(body["timestamp"], "2026-12-01T10:00:00.5Z");
        let data = &body["data"];
        assert_eq!(data["finding"]["signature"], "unit-failed:a");
        assert_eq!(data["instance_id"], "i-a1");
        assert_eq!(data["is_new"], true);
        assert_eq!(data["lines"], json!(["a"]));
        assert_eq!((data.get("targets"), data.get("claim")), (None, None));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_lines_stay_within_the_limits(lines in proptest::collection::vec(".{0,300}", 0..20)) {
            let lines = lines.iter().map(|line| short(line, 200)).collect();
            let notice = notice(lines, "a", 1);
            let (subject, _) = sns(&notice);
            proptest::prop_assert!(subject.len() < 100);
            proptest::prop_assert!(dingtalk(&notice).to_string().len() < 20_000);
            for text in all_strings(&slack(&notice)) {
                proptest::prop_assert!(text.chars().count() <= 3000);
            }
        }
    }
}
