//! Settings → the queue that brings events back, to follow them further.

use url::Url;

use super::{Environment, Problems, aws_credentials, aws_region};
use crate::alibaba::function_compute::public_endpoint;
use crate::model::ids::{AccountId, RegionId};
use crate::queue::function_compute::SelfInvocationConfig;
use crate::queue::sqs::QueueConfig;
use crate::source::ecs::endpoint::EndpointTemplate;

/// The setting by which the function invokes itself.
pub(super) const SELF: &str = "fc://self";

const NAME: &str = "FOLLOW_QUEUE_URL";
const REGION: &str = "FC_REGION";
const ENDPOINT: &str = "FUNCTION_COMPUTE_ENDPOINT_URL";

/// The queue that brings events back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowQueue {
    /// An SQS queue.
    Sqs(Box<QueueConfig>),
    /// The function invokes itself on Function Compute.
    FunctionCompute(SelfInvocationConfig),
}

pub(super) fn follow_queue(
    text: &str,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<FollowQueue> {
    let queue = if text.starts_with("fc:") {
        self_invocation(text, environment, problems).map(FollowQueue::FunctionCompute)
    } else {
        let queue = standard_queue(text, environment, problems);
        queue.map(Box::new).map(FollowQueue::Sqs)
    };
    // Sweeps use the queue even with `FOLLOW_SECONDS=0`. So the problem is only reported if it is
    // not set at all.
    if environment.get("FOLLOW_SECONDS").is_none() {
        problems.note::<()>(
            NAME,
            Err("FOLLOW_SECONDS is not set; set it to follow consoles, or to 0 if only sweeps use this queue"),
        );
    }
    queue
}

/// The function itself. Function Compute sets name, region and account.
fn self_invocation(
    text: &str,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<SelfInvocationConfig> {
    if text != SELF {
        return problems.note(NAME, Err(format!("{text:?} is unknown; expected {SELF}")));
    }
    if !environment.is_function_compute() {
        let why =
            "fc://self is the function itself, and this is not Function Compute; unset it here";
        return problems.note(NAME, Err(why));
    }
    let set = "Function Compute sets it";
    let function_name = problems.required(environment, "FC_FUNCTION_NAME", set);
    // In the templates both are the same region.
    let region = environment
        .get(REGION)
        .or(environment.get("ALIBABA_CLOUD_REGION_ID"));
    let why = "not set; Function Compute sets it, or set ALIBABA_CLOUD_REGION_ID to the function's region";
    let region_id = problems.note(REGION, region.ok_or(why));
    let region_id = region_id.and_then(|region| problems.note(REGION, RegionId::parse(region)));
    let account_id = environment.get("FC_ACCOUNT_ID");
    let account_id = account_id.and_then(|text| AccountId::parse(text).ok());
    let endpoint = endpoint(
        environment,
        region_id.as_ref(),
        account_id.as_ref(),
        problems,
    );
    Some(SelfInvocationConfig {
        function_name: function_name?,
        region_id: region_id?,
        account_id,
        endpoint: endpoint?,
    })
}

/// The address of Function Compute's API. In the setting, `{region}` and `{account}` stand for those of
/// the function.
pub(super) fn endpoint(
    environment: &Environment,
    region_id: Option<&RegionId>,
    account_id: Option<&AccountId>,
    problems: &mut Problems,
) -> Option<Url> {
    let text = match environment.get(ENDPOINT) {
        None => public_endpoint(region_id?),
        Some(text) if text.contains("{account}") && account_id.is_none() => {
            let why =
                "{account} is unknown, because FC_ACCOUNT_ID is not set; write the account's ID";
            return problems.note(ENDPOINT, Err(why));
        }
        Some(text) => {
            let account = account_id.map_or("", AccountId::as_str);
            let text = text.replace("{account}", account);
            problems.note(ENDPOINT, EndpointTemplate::parse(&text))?;
            text.replace("{region}", region_id?.as_str())
        }
    };
    problems.note(ENDPOINT, Url::parse(&text))
}

/// A queue that can delay single messages.
fn standard_queue(
    text: &str,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<QueueConfig> {
    let queue = sqs_queue(NAME, text, environment, problems);
    if queue
        .as_ref()
        .map_or(text.ends_with(".fifo"), QueueConfig::is_fifo)
    {
        // SendMessage: "When you set FifoQueue, you can't set DelaySeconds per message."
        let why = "it is a FIFO queue, which cannot delay single messages; use a standard queue, \
                   whose name does not end with .fifo";
        problems.note::<()>(NAME, Err(why));
    }
    queue
}

/// Parses the address of an SQS queue. `name` is the setting or the option that it comes from.
pub(super) fn sqs_queue(
    name: &str,
    text: &str,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<QueueConfig> {
    let usable = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.path().len() > 1
            && url.username().is_empty()
            && url.query().is_none()
    };
    let url = Url::parse(text).ok().filter(usable);
    let why = "expected an SQS queue's address such as \
               https://sqs.us-east-1.amazonaws.com/123456789012/follow";
    let url = problems.note(name, url.ok_or(why));
    let credentials = aws_credentials(environment, problems);
    let url = url?;
    // An SQS address contains its region. An endpoint of another form may not.
    let in_host = url.host_str().and_then(|host| {
        let labels: Vec<_> = host.split('.').collect();
        match labels[..] {
            ["sqs", region, "amazonaws", "com", ..] => Some(region.to_owned()),
            _ => None,
        }
    });
    let region = match in_host {
        Some(region) => Some(region),
        None => aws_region(environment, problems),
    };
    Some(QueueConfig {
        url,
        region: region?,
        credentials: credentials?,
    })
}
