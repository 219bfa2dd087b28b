//! IDs from events. They are checked before they become part of a host name, a query or a key.

use std::fmt;
use std::ops::RangeInclusive;

/// Start of the IDs of first-generation instances.
const FIRST_GENERATION: &str = "AY";

/// ID of an ECS instance, such as `i-bp1c1xhsrac2coiw0001`.
///
/// The text is `i-` and 1 to 40 ASCII letters or digits, or an ID of the [first
/// generation](Self::is_first_generation). So it is safe as a path segment and as a query value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct InstanceId(String);

/// ID of an Alibaba Cloud region, such as `cn-hangzhou`.
///
/// The text is at most 40 lower-case ASCII letters, digits and single inner hyphens, with at least
/// two words. So it can be one label of a host name, and nothing else.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RegionId(String);

/// ID of an Alibaba Cloud account, such as `1690700000000030`.
///
/// The text is 1 to 20 ASCII digits. So it can be part of the name of a role or a resource without
/// changing its meaning.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AccountId(String);

/// A text is not an ID of the expected kind.
///
/// The message quotes at most 64 characters of the text, escaped, because it comes from outside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{quoted} is not {kind}: expected {expected}")]
pub struct InvalidId {
    kind: &'static str,
    expected: &'static str,
    quoted: String,
}

impl InvalidId {
    fn new(kind: &'static str, expected: &'static str, text: &str) -> Self {
        let head: String = text.chars().take(64).collect();
        let more = if head.len() < text.len() { "…" } else { "" };
        Self {
            kind,
            expected,
            quoted: format!("{head:?}{more}"),
        }
    }
}

impl InstanceId {
    /// What the ID of every instance begins with, in the order in which stores sort them.
    pub const PREFIXES: [&str; 2] = [FIRST_GENERATION, "i-"];

    /// Checks `text`.
    ///
    /// # Errors
    /// [`InvalidId`] for anything but `i-` and 1 to 40 ASCII letters or digits, or `AY`, a day of
    /// six digits and 1 to 34 letters or digits.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let is_one = |rest: &str, bytes: RangeInclusive<usize>| {
            bytes.contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        let is_valid = match (text.strip_prefix("i-"), text.strip_prefix(FIRST_GENERATION)) {
            (Some(rest), _) => is_one(rest, 1..=40),
            (_, Some(rest)) => {
                let day = rest.bytes().take_while(u8::is_ascii_digit).count();
                day >= 6 && is_one(rest, 7..=40)
            }
            _ => false,
        };
        if is_valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId::new(
                "an instance ID",
                "\"i-\" and 1 to 40 letters or digits, or one like AY121018033933eae8689",
                text,
            ))
        }
    }

    /// Whether the instance is of the first generation, created before 2015. ECS keeps no console
    /// output for these. Their IDs are `AY`, the time of creation to the second, and some letters
    /// and digits, such as `AY121018033933eae8689` in the samples of `DescribeInstanceVncUrl`.
    pub fn is_first_generation(&self) -> bool {
        self.0.starts_with(FIRST_GENERATION)
    }

    /// The ID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RegionId {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`InvalidId`] for anything but hyphenated lower-case words.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let word = |w: &str| {
            !w.is_empty()
                && w.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        let valid = text.len() <= 40
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.contains('-')
            && text.split('-').all(word);
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId::new(
                "a region ID",
                "lower-case words such as \"cn-hangzhou\"",
                text,
            ))
        }
    }

    /// The ID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AccountId {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`InvalidId`] for anything but 1 to 20 ASCII digits.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId::new("an account ID", "1 to 20 digits", text))
        }
    }

    /// The ID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<AccountId> for String {
    fn from(id: AccountId) -> Self {
        id.0
    }
}

impl TryFrom<String> for AccountId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.0
    }
}

impl TryFrom<String> for InstanceId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl From<RegionId> for String {
    fn from(id: RegionId) -> Self {
        id.0
    }
}

impl TryFrom<String> for RegionId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RegionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RegionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_ids_seen_in_documents_are_accepted() {
        for id in [
            "i-bp1c1xhsrac2coiw0001",
            "i-j5e42sbbthlokka11eci",
            "i-rj99xc6cptkk64ml",
            "i-23wbbs57o",
        ] {
            let parsed = InstanceId::parse(id).unwrap();
            assert!(parsed.as_str() == id && !parsed.is_first_generation());
        }
    }

    // From the samples of DescribeInstanceVncUrl and AttachNetworkInterface, and from what a
    // monitoring tool printed of an account of 2013.
    #[test]
    fn instance_ids_of_the_first_generation_are_accepted_and_known() {
        for id in [
            "AY121018033933eae8689",
            "AY121018033933eaxxxxxxx",
            "AY1309251503212494ed",
            "AY140611160231Z",
        ] {
            let parsed = InstanceId::parse(id).unwrap();
            assert!(parsed.as_str() == id && parsed.is_first_generation());
        }
    }

    #[test]
    fn hostile_and_masked_instance_ids_are_refused() {
        let long = format!("i-{}", "a".repeat(41));
        for id in [
            "",
            "i-",
            "i-../../etc",
            "i-a/b",
            "i-a@evil.example",
            "i-a\nb",
            "i-bp1ecr********5go2go",
            "d-bp1abc",
            "i-é",
            "I-abc",
            " i-abc",
            "i-abc ",
            "i-a%2e",
            "i-a\0",
            "AY",
            "AY121018",
            "AY12101x033933ea",
            "AYAYAYAYAYAYAYAY",
            "ay121018033933ea",
            "AY121018033933ea*****",
            "AY121018033933/../x",
            "AY121018033933ea.log",
            &format!("AY121018{}", "a".repeat(35)),
            &long,
        ] {
            assert!(InstanceId::parse(id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn region_ids_in_use_are_accepted() {
        for id in [
            "cn-hangzhou",
            "us-west-1",
            "cn-north-2-gov-1",
            "ap-southeast-1",
            "cn-wuhan-lr",
        ] {
            assert_eq!(RegionId::parse(id).unwrap().as_str(), id);
        }
    }

    #[test]
    fn text_that_could_change_a_host_name_is_refused_as_a_region() {
        let long = format!("cn-{}", "a".repeat(40));
        for id in [
            "",
            "cn",
            "cn-",
            "-cn",
            "cn--a",
            "cn-hangzhou.evil.example",
            "cn-a/",
            "cn-a@b",
            "cn-a:80",
            "cn-a\r\nHost: x",
            "CN-HANGZHOU",
            "cn-a#",
            "cn-a?x",
            "1-a",
            "cn-hängzhou",
            &long,
        ] {
            assert!(RegionId::parse(id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn account_ids_are_digits_and_nothing_else() {
        for id in ["1", "1690700000000030", "18446744073709551615"] {
            assert_eq!(AccountId::parse(id).unwrap().as_str(), id);
        }
        for id in [
            "",
            "169070********30",
            "184467440737095516150",
            "1:role/x",
            "-1",
            "1.0",
            " 1",
            "１",
        ] {
            assert!(AccountId::parse(id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn the_message_quotes_a_bounded_escaped_head() {
        let message = InstanceId::parse(&format!("\x1b[2J{}", "a".repeat(9000)))
            .unwrap_err()
            .to_string();
        assert!(message.starts_with(r#""\u{1b}[2Jaaaa"#), "{message}");
        assert!(message.len() < 200, "{message}");
    }
}
