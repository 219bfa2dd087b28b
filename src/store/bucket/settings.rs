//! Settings of an archive in a bucket: which bucket, at which address, and what its store can do.

use std::str::FromStr;

use crate::credentials::source::Source;

/// How a store is asked to create an object and never replace one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// `If-None-Match: *`. AWS S3 answers 412 if the object exists, and 409 to one of two
    /// concurrent writers.
    Aws,
    /// `x-oss-forbid-overwrite: true`. OSS answers 409 `FileAlreadyExists`, and it answers 501 to
    /// `If-None-Match`. In a versioned bucket the header has no effect, and a repeated write
    /// creates a version.
    Oss,
    /// For stores that ignore conditions, such as Garage, or reject them. The program checks
    /// whether the object exists, and writes without a condition. This is safe because a key
    /// contains a digest of its content: concurrent writers, and a writer without permission to
    /// check, write the same bytes again. The check needs `s3:GetObject` and `s3:ListBucket`.
    Basic,
}

impl Profile {
    const ALL: [Self; 3] = [Self::Aws, Self::Oss, Self::Basic];

    /// `aws`, `oss` or `basic`: the values of `ARCHIVE_PROFILE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Oss => "oss",
            Self::Basic => "basic",
        }
    }
}

/// The text is not one of the words of [`Profile`].
#[derive(Debug, thiserror::Error)]
#[error("expected aws, oss or basic")]
pub struct InvalidProfile;

impl FromStr for Profile {
    type Err = InvalidProfile;

    fn from_str(text: &str) -> Result<Self, InvalidProfile> {
        let mut all = Self::ALL.into_iter();
        all.find(|profile| profile.as_str() == text)
            .ok_or(InvalidProfile)
    }
}

/// Where an object's address has the name of the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// In the path: `https://host/bucket/key`.
    Path,
    /// In the host name: `https://bucket.host/key`. Some services accept only this.
    VirtualHosted,
    /// In the endpoint already: its host is the bucket's own domain (a CNAME), or its host or path
    /// contains the bucket's name.
    OwnDomain,
}

impl Addressing {
    /// Every style.
    pub const ALL: [Self; 3] = [Self::Path, Self::VirtualHosted, Self::OwnDomain];

    /// `path`, `virtual` or `domain`: the values of `AWS_S3_ADDRESSING_STYLE`. The first two are
    /// also those of `s3.addressing_style` in the AWS configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::VirtualHosted => "virtual",
            Self::OwnDomain => "domain",
        }
    }
}

/// How the store is asked to encrypt objects. It is not needed for a bucket's default encryption.
/// It is needed if a policy denies requests without the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encryption {
    /// The kind of key.
    pub method: EncryptionMethod,
    /// ID of the KMS key, if it is not the account's default key.
    pub kms_key_id: Option<String>,
}

/// Who manages the key that the store encrypts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptionMethod {
    /// The store.
    Aes256,
    /// The key management service.
    Kms,
    /// The key management service, in two layers. S3 only.
    KmsDsse,
    /// OSS, with the cipher SM4. OSS only.
    Sm4,
}

impl EncryptionMethod {
    /// Value of the request header: `x-amz-server-side-encryption` for S3,
    /// `x-oss-server-side-encryption` for OSS. `None` if the service does not know the method.
    pub fn header_value(self, profile: Profile) -> Option<&'static str> {
        match (self, profile) {
            (Self::Aes256, _) => Some("AES256"),
            (Self::Kms, Profile::Oss) => Some("KMS"),
            (Self::Kms, _) => Some("aws:kms"),
            (Self::KmsDsse, Profile::Oss) => None,
            (Self::KmsDsse, _) => Some("aws:kms:dsse"),
            (Self::Sm4, Profile::Oss) => Some("SM4"),
            (Self::Sm4, _) => None,
        }
    }
}

/// The bucket, its service, and how to use them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketConfig {
    /// Scheme of `ARCHIVE_URL`, for addresses shown to users.
    pub scheme: &'static str,
    /// Name of the bucket.
    pub bucket: String,
    /// Prefix of every key. Empty, or ends in `/`.
    pub prefix: String,
    /// Region in signatures.
    pub region: String,
    /// Address of the service. `None` for AWS S3.
    pub endpoint_url: Option<String>,
    /// Where addresses have the name of the bucket.
    pub addressing: Addressing,
    /// How the store creates objects.
    pub profile: Profile,
    /// The encryption to ask for. `None` leaves it to the bucket.
    pub encryption: Option<Encryption>,
    /// Where the credentials for the requests come from.
    pub credentials: Source,
}

impl BucketConfig {
    /// The address that objects are asked for at, without the path.
    pub(super) fn object_host_url(&self) -> String {
        let endpoint_url = self.endpoint_url.clone().unwrap_or_else(|| {
            let china = if self.region.starts_with("cn-") {
                ".cn"
            } else {
                ""
            };
            format!("https://s3.{}.amazonaws.com{china}", self.region)
        });
        match (self.addressing, endpoint_url.split_once("://")) {
            (Addressing::VirtualHosted, Some((scheme, host))) => {
                format!("{scheme}://{}.{host}", self.bucket)
            }
            _ => endpoint_url,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_its_own_words_for_encryption() {
        use EncryptionMethod::*;
        for (method, aws, oss) in [
            (Aes256, Some("AES256"), Some("AES256")),
            (Kms, Some("aws:kms"), Some("KMS")),
            (KmsDsse, Some("aws:kms:dsse"), None),
            (Sm4, None, Some("SM4")),
        ] {
            assert_eq!(method.header_value(Profile::Aws), aws);
            assert_eq!(method.header_value(Profile::Basic), aws);
            assert_eq!(method.header_value(Profile::Oss), oss);
        }
    }
}
