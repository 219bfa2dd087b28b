//! The accounts of the events in a body. EventBridge signs for every customer, and names the
//! accounts.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Deepest nesting of a push from EventBridge: a batch, and its elements as text.
const MAX_DEPTH: usize = 3;

/// The members that name accounts. serde rejects a member that occurs twice. Otherwise a sender
/// could show one account to this check and another one to the parser of the event.
#[derive(Deserialize)]
struct Envelope {
    /// The account of the bus that pushed the event.
    #[serde(rename = "aliyunaccountid")]
    owner: Option<Value>,
    /// The source account, if a bus receives events of other accounts.
    #[serde(rename = "aliyunoriginalaccountid")]
    origin: Option<Value>,
}

/// Checks that every event in a body, one or a batch, names expected accounts and no others.
///
/// # Errors
/// What is wrong, for the log: `account 1234567890123456`, or `an event without an account`.
pub(super) fn check(body: &[u8], expected: &BTreeSet<String>) -> Result<(), String> {
    let text = std::str::from_utf8(body).map_err(|_| nobody())?;
    check_events(text, expected, 0)
}

fn nobody() -> String {
    "an event without an account".to_owned()
}

fn check_events(json: &str, expected: &BTreeSet<String>, depth: usize) -> Result<(), String> {
    let json = json.trim_start();
    match json.as_bytes().first() {
        Some(b'{') => check_event(json, expected),
        Some(b'[') if depth < MAX_DEPTH => {
            let events: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| nobody())?;
            events
                .iter()
                .try_for_each(|event| check_events(event.get(), expected, depth + 1))
        }
        Some(b'"') if depth < MAX_DEPTH => {
            let text: String = serde_json::from_str(json).map_err(|_| nobody())?;
            check_events(&text, expected, depth + 1)
        }
        _ => Err(nobody()),
    }
}

fn check_event(json: &str, expected: &BTreeSet<String>) -> Result<(), String> {
    let Envelope { owner, origin } = serde_json::from_str(json).map_err(|_| nobody())?;
    let owner = owner.ok_or_else(nobody)?;
    for account in [Some(owner), origin].into_iter().flatten() {
        let account = match account {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            _ => return Err(nobody()),
        };
        if !expected.contains(&account) {
            let shown: String = account.escape_debug().take(40).collect();
            return Err(format!("account {shown}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expected() -> BTreeSet<String> {
        ["1000000000000001", "1000000000000002"]
            .map(str::to_owned)
            .into()
    }

    #[test]
    fn events_of_expected_accounts_are_expected_alone_in_batches_and_as_text() {
        let event = json!({"aliyunaccountid": "1000000000000001", "type": "t", "data": {}});
        let number = json!({"aliyunaccountid": 1_000_000_000_000_002_u64});
        let across = json!({"aliyunaccountid": "1000000000000001",
            "aliyunoriginalaccountid": "1000000000000002"});
        for body in [
            event.clone(),
            number.clone(),
            across,
            json!([event, number]),
            json!([event.to_string(), event]),
        ] {
            assert_eq!(check(body.to_string().as_bytes(), &expected()), Ok(()));
        }
    }

    #[test]
    fn one_event_of_another_account_or_of_none_is_enough_to_refuse_a_body() {
        let good = json!({"aliyunaccountid": "1000000000000001"});
        let foreign = json!({"aliyunaccountid": "9"});
        let deep = format!("{}{good}{}", "[".repeat(9), "]".repeat(9));
        for (body, why) in [
            (foreign.to_string(), "account 9"),
            (json!([good, foreign]).to_string(), "account 9"),
            (json!([good, foreign.to_string()]).to_string(), "account 9"),
            (
                json!({"aliyunaccountid": "1000000000000001", "aliyunoriginalaccountid": 9})
                    .to_string(),
                "account 9",
            ),
            (
                json!({"aliyunaccountid": " 1000000000000001"}).to_string(),
                "account  1",
            ),
            (
                json!({"aliyunaccountid": "1000000000000001\n"}).to_string(),
                r"account 1000000000000001\n",
            ),
            (json!({"aliyunaccountid": ""}).to_string(), "account "),
            (
                json!({"aliyunaccountid": null}).to_string(),
                "without an account",
            ),
            (
                json!({"aliyunaccountid": ["1000000000000001"]}).to_string(),
                "without an account",
            ),
            (
                json!({"data": {"aliyunaccountid": "1000000000000001"}}).to_string(),
                "without an account",
            ),
            (
                r#"{"aliyunaccountid":"1000000000000001","aliyunaccountid":"9"}"#.to_owned(),
                "without an account",
            ),
            ("{}".to_owned(), "without an account"),
            ("{".to_owned(), "without an account"),
            ("5".to_owned(), "without an account"),
            (String::new(), "without an account"),
            (deep, "without an account"),
        ] {
            let refused = check(body.as_bytes(), &expected()).unwrap_err();
            assert!(refused.contains(why), "{body}: {refused}");
        }
        assert!(check(&[0xff], &expected()).is_err());
        let long = json!({"aliyunaccountid": "\u{1b}".repeat(1 << 16)}).to_string();
        assert!(check(long.as_bytes(), &expected()).unwrap_err().len() < 100);
    }

    #[test]
    fn batches_and_texts_are_looked_into_to_one_depth_and_not_deeper() {
        let event = json!({"aliyunaccountid": "1000000000000001"});
        let batch = |body: &Value| json!([body]);
        let text = |body: &Value| json!(body.to_string());
        for wrap in [batch, text] as [fn(&Value) -> Value; 2] {
            let deepest = (0..MAX_DEPTH).fold(event.clone(), |body, _| wrap(&body));
            let checked = |body: &Value| check(body.to_string().as_bytes(), &expected());
            assert_eq!(checked(&deepest), Ok(()), "{deepest}");
            assert_eq!(checked(&wrap(&deepest)), Err(nobody()), "{deepest}");
        }
    }

    /// An empty batch has no events, so there is nothing to authorize.
    #[test]
    fn a_batch_without_events_is_nobodys() {
        assert_eq!(check(b"[]", &expected()), Ok(()));
    }
}
