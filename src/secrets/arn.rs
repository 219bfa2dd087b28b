//! The ARN of a secret, as in the settings. Pure.
//!
//! Sources: AWS, "Actions, resources, and condition keys for AWS Secrets Manager" and "… for AWS
//! Systems Manager" (forms of the ARNs); AWS, "CreateSecret" and "PutParameter" (characters of
//! names); Alibaba Cloud, `GetSecretValue` and `CreateSecret` of KMS.

use std::fmt;
use std::str::FromStr;

use crate::aws::partition;
use crate::model::ids::{AccountId, RegionId};

/// The service that keeps a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// AWS Secrets Manager.
    SecretsManager,
    /// Parameter Store of AWS Systems Manager (SSM).
    ParameterStore,
    /// Key Management Service (KMS) of Alibaba Cloud.
    Kms,
}

/// The ARN of a secret, and the member of its value that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretArn {
    manager: Manager,
    partition: String,
    region: String,
    account_id: AccountId,
    /// The ARN as it was given, without the member.
    arn: String,
    member: Option<String>,
}

/// The text is not the ARN of a secret. It may be the secret itself, so it is not quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecretArn {
    /// It has another form.
    #[error(
        "expected the ARN of a secret: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX, \
         arn:aws:ssm:REGION:ACCOUNT:parameter/NAME or acs:kms:REGION:ACCOUNT:secret/NAME, and \
         #MEMBER behind it if its value is JSON"
    )]
    Form,
    /// The partition of AWS is unknown, so the address of its services is, too.
    #[error(
        "the partition of the ARN is unknown; expected aws, aws-cn, aws-us-gov or another of AWS"
    )]
    Partition,
    /// A version, a stage or a label is named.
    #[error(
        "the ARN goes on behind the name of the secret; name no version and no stage, because the \
         current one is used, and write a member of its value as #MEMBER"
    )]
    Version,
}

/// Longest name of a secret or parameter: 512 characters in Secrets Manager, 1011 in Parameter
/// Store, 192 in KMS.
const MAX_NAME: usize = 1011;

impl Manager {
    /// Name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::SecretsManager => "AWS Secrets Manager",
            Self::ParameterStore => "AWS Systems Manager",
            Self::Kms => "Alibaba Cloud KMS",
        }
    }

    /// Whether it is a service of AWS.
    pub fn is_aws(self) -> bool {
        self != Self::Kms
    }
}

impl SecretArn {
    /// The service that keeps it.
    pub fn manager(&self) -> Manager {
        self.manager
    }

    /// Region of the service.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Account that the secret belongs to.
    pub fn account_id(&self) -> &AccountId {
        &self.account_id
    }

    /// The ARN, without the member.
    pub fn as_str(&self) -> &str {
        &self.arn
    }

    /// The member of its value that is meant. `None` for the whole value.
    pub fn member(&self) -> Option<&str> {
        self.member.as_deref()
    }

    /// Public host of the service.
    pub fn host(&self) -> String {
        let region = &self.region;
        let service = match self.manager {
            Manager::SecretsManager => "secretsmanager",
            Manager::ParameterStore => "ssm",
            Manager::Kms => return format!("kms.{region}.aliyuncs.com"),
        };
        // Parsing has checked the partition.
        let domain = partition::domain(&self.partition).unwrap_or_default();
        format!("{service}.{region}.{domain}")
    }
}

impl FromStr for SecretArn {
    type Err = InvalidSecretArn;

    fn from_str(text: &str) -> Result<Self, InvalidSecretArn> {
        let (arn, member) = match text.split_once('#') {
            Some((arn, member)) => (arn, Some(member)),
            None => (text, None),
        };
        if member.is_some_and(|member| member.is_empty() || member.chars().any(char::is_control)) {
            return Err(InvalidSecretArn::Form);
        }
        let parts: Vec<_> = arn.splitn(6, ':').collect();
        let (manager, partition, region, account, name) = match parts[..] {
            ["arn", partition, "secretsmanager", region, account, rest] => {
                let name = rest.strip_prefix("secret:").ok_or(InvalidSecretArn::Form)?;
                (Manager::SecretsManager, partition, region, account, name)
            }
            ["arn", partition, "ssm", region, account, rest] => {
                let name = rest.strip_prefix("parameter/");
                let name = name.ok_or(InvalidSecretArn::Form)?;
                (Manager::ParameterStore, partition, region, account, name)
            }
            ["acs", "kms", region, account, rest] => {
                let name = rest.strip_prefix("secret/").ok_or(InvalidSecretArn::Form)?;
                (Manager::Kms, "", region, account, name)
            }
            _ => return Err(InvalidSecretArn::Form),
        };
        if manager.is_aws() && partition::domain(partition).is_none() {
            return Err(InvalidSecretArn::Partition);
        }
        if name.contains(':') {
            return Err(InvalidSecretArn::Version);
        }
        let is_of_name = |c: u8| c.is_ascii_alphanumeric() || b"/_+=.@-".contains(&c);
        let is_name = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_of_name);
        let region = RegionId::parse(region).map_err(|_| InvalidSecretArn::Form)?;
        let account_id = AccountId::parse(account).map_err(|_| InvalidSecretArn::Form)?;
        if !is_name {
            return Err(InvalidSecretArn::Form);
        }
        Ok(Self {
            manager,
            partition: partition.to_owned(),
            region: region.to_string(),
            account_id,
            arn: arn.to_owned(),
            member: member.map(str::to_owned),
        })
    }
}

impl fmt::Display for SecretArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arn)?;
        match &self.member {
            Some(member) => write!(f, "#{member}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, host: &str, member: Option<&str>) {
        let arn: SecretArn = text.parse().unwrap();
        assert_eq!((arn.host().as_str(), arn.member()), (host, member));
        assert_eq!(arn.to_string(), text);
    }

    #[test]
    fn the_arn_says_which_host_has_the_secret() {
        check(
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:archiver/token-a1B2c3",
            "secretsmanager.us-east-1.amazonaws.com",
            None,
        );
        check(
            "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:archiver-a1B2c3#token",
            "secretsmanager.cn-north-1.amazonaws.com.cn",
            Some("token"),
        );
        check(
            "arn:aws-us-gov:ssm:us-gov-west-1:123456789012:parameter/archiver/token",
            "ssm.us-gov-west-1.amazonaws.com",
            None,
        );
        check(
            "acs:kms:cn-hangzhou:1690700000000030:secret/acs/ram/user/archiver#a key",
            "kms.cn-hangzhou.aliyuncs.com",
            Some("a key"),
        );
    }

    #[test]
    fn a_text_that_is_no_arn_of_a_secret_is_refused_and_not_quoted() {
        for (text, why) in [
            ("hush", InvalidSecretArn::Form),
            ("", InvalidSecretArn::Form),
            ("archiver/token", InvalidSecretArn::Form),
            (
                "arn:aws:secretsmanager:us-east-1:123456789012:hush-a1",
                InvalidSecretArn::Form,
            ),
            (
                "arn:aws:secretsmanager:us-east-1:123456789012:secret:",
                InvalidSecretArn::Form,
            ),
            (
                "arn:aws:secretsmanager:us-east-1:123456789012:secret:hush#",
                InvalidSecretArn::Form,
            ),
            (
                "arn:aws:secretsmanager:us-east-1:123456789012:secret:hu sh",
                InvalidSecretArn::Form,
            ),
            (
                "arn:aws:secretsmanager::123456789012:secret:hush",
                InvalidSecretArn::Form,
            ),
            (
                "arn:aws:secretsmanager:evil.example/:1:secret:hush",
                InvalidSecretArn::Form,
            ),
            (
                "arn:aws:ssm:us-east-1:123456789012:parameter:hush",
                InvalidSecretArn::Form,
            ),
            ("arn:aws:s3:::hush", InvalidSecretArn::Form),
            ("acs:kms:cn-hangzhou:me:secret/hush", InvalidSecretArn::Form),
            ("acs:kms:cn-hangzhou:1:key/hush", InvalidSecretArn::Form),
            (
                "arn:hush:ssm:us-east-1:1:parameter/a",
                InvalidSecretArn::Partition,
            ),
            (
                "arn:aws:secretsmanager:us-east-1:1:secret:hush-a1:token::",
                InvalidSecretArn::Version,
            ),
            (
                "arn:aws:ssm:us-east-1:1:parameter/hush:3",
                InvalidSecretArn::Version,
            ),
        ] {
            let refused = text.parse::<SecretArn>().unwrap_err();
            assert_eq!(refused, why, "{text:?}");
            assert!(!refused.to_string().contains("hush"));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_host_of_another_domain(region in "[ -~]{0,30}", name in "[ -~]{0,20}") {
            for text in [
                format!("arn:aws:ssm:{region}:1:parameter/{name}"),
                format!("acs:kms:{region}:1:secret/{name}"),
            ] {
                if let Ok(arn) = text.parse::<SecretArn>() {
                    let url = url::Url::parse(&format!("https://{}", arn.host())).unwrap();
                    let host = url.host_str().unwrap();
                    proptest::prop_assert!(host.ends_with(".amazonaws.com") || host.ends_with(".aliyuncs.com"));
                }
            }
        }
    }
}
