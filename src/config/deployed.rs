//! Settings → a deployed function, and who asks it.

use super::{ConfigError, Environment, Problems, aws_credentials, keys, queue, secrets};
use crate::aws::partition;
use crate::deployed::name::{FunctionComputeName, FunctionName, LambdaName};
use crate::deployed::{DeployedFunction, FunctionComputeFunction, LambdaFunction};
use crate::model::ids::RegionId;

const REGION: &str = "AWS_REGION";

impl DeployedFunction {
    /// Reads and checks the settings for asking a deployed function.
    ///
    /// # Errors
    /// [`ConfigError`] names every invalid or missing setting.
    pub fn from_environment(
        name: &FunctionName,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        let function = match name {
            FunctionName::Lambda(name) => lambda(name, environment, &mut problems),
            FunctionName::FunctionCompute(name) => {
                function_compute(name, environment, &mut problems)
            }
        };
        match function {
            Some(function) if problems.0.is_empty() => Ok(function),
            _ => Err(ConfigError(problems.0)),
        }
    }
}

fn lambda(
    name: &LambdaName,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<DeployedFunction> {
    let credentials = aws_credentials(environment, problems);
    let region = (name.region.as_deref())
        .or(environment.get(REGION))
        .or(environment.get("AWS_DEFAULT_REGION"));
    let why = "not set; set it to the region of the function, or give the function's ARN";
    let region = problems.note(REGION, region.ok_or(why))?;
    // It becomes a part of a host.
    let region = problems.note(REGION, RegionId::parse(region))?.to_string();
    let domain = partition::domain(partition::of_region(&region)).unwrap_or_default();
    let endpoint = secrets::endpoint(
        &["AWS_ENDPOINT_URL_LAMBDA", "AWS_ENDPOINT_URL"],
        (REGION, &format!("https://lambda.{region}.{domain}")),
        environment,
        problems,
    );
    Some(DeployedFunction::Lambda(LambdaFunction {
        name: name.clone(),
        region,
        endpoint: endpoint?,
        credentials: credentials?,
    }))
}

fn function_compute(
    name: &FunctionComputeName,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<DeployedFunction> {
    let credentials = keys::invoker(&name.account_id, environment, problems);
    let (region_id, account_id) = (Some(&name.region_id), Some(&name.account_id));
    let endpoint = queue::endpoint(environment, region_id, account_id, problems);
    Some(DeployedFunction::FunctionCompute(FunctionComputeFunction {
        name: name.clone(),
        endpoint: endpoint?,
        credentials: credentials?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::source::Source;

    /// The session policy of the role that invokes a function of Function Compute.
    fn session_policy(own: Option<&str>) -> String {
        let environment = Environment::new(|name| match name {
            "ALIBABA_CLOUD_ACCESS_KEY_ID" => Some("id".to_owned()),
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET" => Some("hush".to_owned()),
            "ALIBABA_CLOUD_ROLE_ARN" => Some("acs:ram::{account}:role/reader".to_owned()),
            "ALIBABA_CLOUD_ROLE_SESSION_POLICY" => own.map(str::to_owned),
            _ => None,
        });
        let name = "acs:fc:cn-hangzhou:1690700000000030:functions/archiver";
        let function = DeployedFunction::from_environment(&name.parse().unwrap(), &environment);
        let DeployedFunction::FunctionCompute(function) = function.unwrap() else {
            panic!("{name} is of Function Compute");
        };
        let Source::AssumeRole { role, .. } = function.credentials else {
            panic!("no role is assumed");
        };
        assert_eq!(role.arn, "acs:ram::1690700000000030:role/reader");
        role.session_policy.unwrap()
    }

    /// The session for consoles may not invoke a function, so this is one of its own.
    #[test]
    fn a_role_is_assumed_to_invoke_and_for_nothing_else() {
        let policy: serde_json::Value = serde_json::from_str(&session_policy(None)).unwrap();
        let statements = policy["Statement"].as_array().unwrap();
        assert_eq!(statements.len(), 1);
        assert_eq!(statements[0]["Action"], "fc:InvokeFunction");
        assert_eq!(session_policy(Some("{}")), "{}");
    }
}
