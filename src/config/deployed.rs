//! Settings → a deployed function, and who asks it.

use super::{ConfigError, Environment, Problems, aws_credentials, secrets};
use crate::aws::partition;
use crate::deployed::name::{FunctionName, LambdaName};
use crate::deployed::{DeployedFunction, LambdaFunction};
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
