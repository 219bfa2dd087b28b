//! The name of a deployed function, as a person gives it. Pure.
//!
//! Sources: "FunctionName" and "Qualifier" of AWS Lambda's "Invoke" (forms and characters);
//! "CreateFunction" and "CreateAlias" of Function Compute (characters and lengths), and the resources of
//! its policies (ARN).

use std::fmt;
use std::str::FromStr;

use crate::aws::partition;
use crate::model::ids::{AccountId, RegionId};

/// A deployed function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FunctionName {
    /// A function of AWS Lambda.
    Lambda(LambdaName),
    /// A function of Function Compute.
    FunctionCompute(FunctionComputeName),
}

/// A function of AWS Lambda.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LambdaName {
    /// Its name, or its ARN without a version or alias.
    pub function: String,
    /// Version or alias. `None` for the latest code.
    pub qualifier: Option<String>,
    /// Its region. `None` if only its name is given.
    pub region: Option<String>,
}

/// A function of Function Compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionComputeName {
    /// Its name.
    pub function: String,
    /// Version or alias. `None` for the latest code.
    pub qualifier: Option<String>,
    /// Its region.
    pub region_id: RegionId,
    /// Its account.
    pub account_id: AccountId,
}

/// The text does not name a function. Holds the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the name of a function; expected NAME or NAME:ALIAS of AWS Lambda, or its ARN \
     arn:aws:lambda:REGION:ACCOUNT:function:NAME, or the ARN of a function of Function Compute: \
     acs:fc:REGION:ACCOUNT:functions/NAME"
)]
pub struct InvalidFunctionName(String);

/// Longest name of a function, and longest version or alias.
const MAX_NAME: usize = 140;

impl FromStr for FunctionName {
    type Err = InvalidFunctionName;

    fn from_str(text: &str) -> Result<Self, InvalidFunctionName> {
        let named = match text.strip_prefix("acs:fc:") {
            Some(rest) => function_compute(rest).map(Self::FunctionCompute),
            None => lambda(text).map(Self::Lambda),
        };
        named.ok_or_else(|| InvalidFunctionName(text.to_owned()))
    }
}

fn lambda(text: &str) -> Option<LambdaName> {
    let parts: Vec<_> = text.split(':').collect();
    let (arn, rest) = match parts[..] {
        [
            "arn",
            partition,
            "lambda",
            region,
            account,
            "function",
            ref rest @ ..,
        ] => {
            partition::domain(partition)?;
            RegionId::parse(region).ok()?;
            AccountId::parse(account).ok()?;
            (Some(region), rest)
        }
        ref rest => (None, rest),
    };
    let (name, qualifier) = match *rest {
        [name] => (name, None),
        [name, qualifier] => (name, Some(qualifier)),
        _ => return None,
    };
    let is_qualifier = |text: &str| text == "$LATEST" || is_word(text);
    if !is_word(name) || !qualifier.is_none_or(is_qualifier) {
        return None;
    }
    let qualifier_bytes = qualifier.map_or(0, |qualifier| qualifier.len() + 1);
    Some(LambdaName {
        function: text[..text.len() - qualifier_bytes].to_owned(),
        qualifier: qualifier.map(str::to_owned),
        region: arn.map(str::to_owned),
    })
}

/// `rest`: what comes behind `acs:fc:`.
fn function_compute(rest: &str) -> Option<FunctionComputeName> {
    let parts: Vec<_> = rest.split(':').collect();
    let [region, account, resource] = parts[..] else {
        return None;
    };
    let parts: Vec<_> = resource.strip_prefix("functions/")?.split('/').collect();
    let (function, qualifier) = match parts[..] {
        [function] => (function, None),
        [function, qualifier] => (function, Some(qualifier)),
        _ => return None,
    };
    if !is_word(function) || !qualifier.is_none_or(is_word) {
        return None;
    }
    Some(FunctionComputeName {
        function: function.to_owned(),
        qualifier: qualifier.map(str::to_owned),
        region_id: RegionId::parse(region).ok()?,
        account_id: AccountId::parse(account).ok()?,
    })
}

/// Whether it has only characters that names and aliases have on both platforms.
fn is_word(text: &str) -> bool {
    let is_of_word = |c: u8| c.is_ascii_alphanumeric() || b"-_".contains(&c);
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_of_word)
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lambda(name) => name.fmt(f),
            Self::FunctionCompute(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for FunctionComputeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            function,
            qualifier,
            region_id,
            account_id,
        } = self;
        write!(f, "acs:fc:{region_id}:{account_id}:functions/{function}")?;
        match qualifier {
            Some(qualifier) => write!(f, "/{qualifier}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for LambdaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.function)?;
        match &self.qualifier {
            Some(qualifier) => write!(f, ":{qualifier}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, function: &str, qualifier: Option<&str>, region: Option<&str>) {
        let name: FunctionName = text.parse().unwrap();
        let FunctionName::Lambda(lambda) = &name else {
            panic!("{name:?}");
        };
        let found = (lambda.qualifier.as_deref(), lambda.region.as_deref());
        assert_eq!(lambda.function, function);
        assert_eq!(found, (qualifier, region));
        assert_eq!(name.to_string(), text);
    }

    #[test]
    fn a_name_an_alias_and_an_arn_are_told_apart() {
        check("archiver", "archiver", None, None);
        check("archiver:live", "archiver", Some("live"), None);
        check("archiver:$LATEST", "archiver", Some("$LATEST"), None);
        let arn = "arn:aws:lambda:us-west-2:123456789012:function:archiver";
        check(arn, arn, None, Some("us-west-2"));
        check(&format!("{arn}:7"), arn, Some("7"), Some("us-west-2"));
        let in_china = "arn:aws-cn:lambda:cn-north-1:123456789012:function:archiver";
        check(in_china, in_china, None, Some("cn-north-1"));
    }

    #[test]
    fn an_arn_of_function_compute_has_region_and_account() {
        for (text, qualifier) in [
            (
                "acs:fc:cn-hangzhou:1690700000000030:functions/archiver",
                None,
            ),
            (
                "acs:fc:cn-hangzhou:1690700000000030:functions/archiver/prod",
                Some("prod"),
            ),
        ] {
            let name: FunctionName = text.parse().unwrap();
            let FunctionName::FunctionCompute(found) = &name else {
                panic!("{name:?}");
            };
            assert_eq!(
                (&*found.function, found.qualifier.as_deref()),
                ("archiver", qualifier)
            );
            assert_eq!(found.region_id.as_str(), "cn-hangzhou");
            assert_eq!(found.account_id.as_str(), "1690700000000030");
            assert_eq!(name.to_string(), text);
        }
    }

    #[test]
    fn what_names_no_function_is_refused() {
        for text in [
            "",
            ":",
            "archiver:",
            ":live",
            "a b",
            "a/b",
            "a?b",
            "a:b:c",
            "archiver:$OTHER",
            "arn:aws:lambda:us-west-2:123456789012:function:",
            "arn:aws:lambda:us-west-2:123456789012:function:a:b:c",
            "arn:aws:lambda:us-west-2:123456789012:layer:a",
            "arn:aws:lambda:evil.example/:123456789012:function:a",
            "arn:other:lambda:us-west-2:123456789012:function:a",
            "arn:aws:s3:::bucket",
            "acs:fc:",
            "acs:fc:cn-hangzhou:1690700000000030:functions/",
            "acs:fc:cn-hangzhou:1690700000000030:functions/a/b/c",
            "acs:fc:cn-hangzhou:1690700000000030:functions/a/",
            "acs:fc:cn-hangzhou:1690700000000030:services/a",
            "acs:fc:evil.example/:1690700000000030:functions/a",
            "acs:fc:cn-hangzhou:me:functions/a",
            "acs:oss:cn-hangzhou:1690700000000030:functions/a",
            &"a".repeat(141),
        ] {
            let refused = text.parse::<FunctionName>();
            assert_eq!(refused, Err(InvalidFunctionName(text.to_owned())));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_name_that_acts_on_an_address(text in "\\PC{0,40}|[a-z:$/?#%.]{0,20}") {
            if let Ok(name) = text.parse::<FunctionName>() {
                let is_safe = |c: char| c.is_ascii_alphanumeric() || ":$-_/".contains(c);
                proptest::prop_assert!(name.to_string().chars().all(is_safe));
            }
        }
    }
}
