//! Settings → who is told of findings.

use url::Url;

use super::{Environment, Problems, Redact, aws_credentials, keys, secrets};
use crate::credentials::ManagedSecret;
use crate::credentials::source::Source;
use crate::model::finding::Severity;
use crate::notify::Told;
use crate::notify::target::{self, Kind, Target};

const URLS: &str = "NOTIFY_URLS";
const URLS_ARN: &str = "NOTIFY_URLS_ARN";
const SEVERITY: &str = "NOTIFY_SEVERITY";

/// Who is told of findings, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyConfig {
    /// Those that the settings name themselves.
    pub targets: Vec<Target>,
    /// The secret that has others, if a secrets manager keeps it.
    pub managed: Option<ManagedSecret>,
    /// What they are told.
    pub told: Told,
    /// Credentials for topics of Amazon SNS, if there are any.
    pub aws: Option<Source>,
    /// Address of SNS, where it is not that of the topic's region.
    pub sns_endpoint: Option<Url>,
}

/// Who is told. `None` for invalid settings, `Some(None)` for nobody.
pub(super) fn notify(
    environment: &Environment,
    problems: &mut Problems,
) -> Option<Option<NotifyConfig>> {
    let severity = match environment.get(SEVERITY) {
        None => Some(Severity::Error),
        Some(word) => {
            let known = Severity::ALL.into_iter().find(|one| one.as_str() == word);
            let why = format!("{word:?} is none of info, warning, error and fatal");
            problems.note(SEVERITY, known.ok_or(why))
        }
    };
    let targets = match environment.get(URLS) {
        Some(list) => problems.note(URLS, target::parse(list)),
        None => Some(Vec::new()),
    };
    let managed = match environment.get(URLS_ARN) {
        Some(text) => keys::secret(URLS_ARN, text, environment, problems).map(Some),
        None => Some(None),
    };
    let redact = super::archive::redact(environment, problems);
    let (severity, targets, managed, redact) = (severity?, targets?, managed?, redact?);
    if targets.is_empty() && managed.is_none() {
        return match environment.get(SEVERITY) {
            Some(_) => problems.note(
                SEVERITY,
                Err("set, and nobody is told: set NOTIFY_URLS or NOTIFY_URLS_ARN, too"),
            ),
            None => Some(None),
        };
    }
    let is_topic = |target: &Target| matches!(target.kind, Kind::Sns { .. });
    let has_topic = targets.iter().any(is_topic);
    // Whether a secret has a topic is not known yet.
    let may_have_topic = managed.is_some() && environment.get("AWS_ACCESS_KEY_ID").is_some();
    let aws = match has_topic || may_have_topic {
        true => Some(aws_credentials(environment, problems)?),
        false => None,
    };
    let settings = ["AWS_ENDPOINT_URL_SNS", "AWS_ENDPOINT_URL"];
    let is_set = settings.iter().any(|name| environment.get(name).is_some());
    let sns_endpoint = match is_set && aws.is_some() {
        true => Some(secrets::endpoint(
            &settings,
            (URLS, ""),
            environment,
            problems,
        )?),
        false => None,
    };
    Some(Some(NotifyConfig {
        targets,
        managed,
        told: Told {
            severity,
            masks_secrets: redact != Redact::Off,
        },
        aws,
        sns_endpoint,
    }))
}
