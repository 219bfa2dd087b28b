//! Checks of ECS: what is asked, and what an answer means.

use crate::credentials::Owner;
use crate::model::check::{Check, Verdict, name};
use crate::model::console::{ConsoleOutput, NoConsole};
use crate::model::ids::{InstanceId, RegionId};
use crate::model::screenshot::Screenshot;

use super::ecs::response::EcsError;
use super::{ConsoleSource, Fleet, InstancesPage};

/// A valid instance ID that ECS never assigns. ECS checks the key, the signature and the permission
/// before the instance.
const NO_INSTANCE: &str = "i-doctor0000000000000";

/// Requests the console of an instance, its screenshot, and the list of instances, at the same time. Without an
/// instance, asks for one that does not exist. `failed` makes a check of an error. `takes_screenshots`: who does not take
/// any needs no permission for it. No display is woken for it.
pub async fn ecs(
    source: &(impl ConsoleSource + Fleet),
    region_id: &RegionId,
    instance_id: Option<InstanceId>,
    takes_screenshots: bool,
    failed: impl Fn(&'static str, EcsError) -> Check,
) -> [Check; 3] {
    let is_named = instance_id.is_some();
    let Some(instance_id) = instance_id.or(InstanceId::parse(NO_INSTANCE).ok()) else {
        let found = "not tried: no instance to ask for";
        return name::OF_ECS.map(|name| Check::skipped(name, found));
    };
    let taken = async {
        let taken = source.screenshot(Owner::Own, region_id, &instance_id, false);
        match takes_screenshots {
            true => Some(taken.await),
            false => None,
        }
    };
    let (output, taken, page) = tokio::join!(
        source.console_output(Owner::Own, region_id, &instance_id),
        taken,
        source.instances(region_id, None),
    );
    let console = console(output, &instance_id, is_named, region_id);
    // Only one check reports the key.
    let or_key = |name, error: EcsError, failed: &dyn Fn(&'static str, EcsError) -> Check| {
        match refuses_key(&error) && console.is_err() {
            true => {
                let found = "not known: the key is missing or refused, see ecs: console";
                Check::skipped(name, found)
            }
            false => failed(name, error),
        }
    };
    let instances = instances(page, region_id)
        .unwrap_or_else(|error| or_key(name::ECS_INSTANCES, error, &failed));
    let screenshot = match taken {
        None => {
            let found = "not tried: SCREENSHOTS or REDACT says that none is taken";
            Check::skipped(name::ECS_SCREENSHOT, found)
        }
        Some(taken) => screenshot(taken, &instance_id).unwrap_or_else(|error| {
            // Consoles are stored without it.
            let warn = |name, error| failed(name, error).at_most(Verdict::Warning);
            or_key(name::ECS_SCREENSHOT, error, &warn)
        }),
    };
    let console = console.unwrap_or_else(|error| failed(name::ECS_CONSOLE, error));
    [console, screenshot, instances]
}

/// What the answer about a console means. `is_named`: a person named the instance, so that it
/// should exist.
///
/// # Errors
/// The error, if the console of no instance can be read.
fn console(
    answer: Result<ConsoleOutput, EcsError>,
    instance_id: &InstanceId,
    is_named: bool,
    region_id: &RegionId,
) -> Result<Check, EcsError> {
    match answer {
        Ok(output) if output.is_undecoded => Ok(Check::new(
            name::ECS_CONSOLE,
            Verdict::Warning,
            format!("what ECS sends of {instance_id} is not Base64"),
        )
        .advise("consoles are stored as ECS sends them: check for a proxy in front of ECS")),
        Ok(output) => {
            let bytes = output.plain.len();
            let found = format!("{bytes} bytes of {instance_id}");
            Ok(Check::ok(name::ECS_CONSOLE, found))
        }
        // The policy may allow other instances only, so an existing instance is needed as proof.
        Err(EcsError::NoConsole {
            code,
            reason: NoConsole::NotFound,
            ..
        }) if is_named => {
            let found = format!("ECS knows no instance {instance_id} in {region_id} ({code})");
            Ok(
                Check::new(name::ECS_CONSOLE, Verdict::Warning, found).advise(
                    "check its ID, the region and the account: only an existing instance proves \
                     that the key may read a console",
                ),
            )
        }
        Err(EcsError::NoConsole { code, reason, .. }) => {
            let accepted = "ECS accepts the key and the signature";
            Ok(if is_named {
                let found = format!("{accepted}, and answers {code}");
                Check::ok(name::ECS_CONSOLE, found).advise(reason.message())
            } else {
                let found = format!("{accepted}; as expected, it knows no such instance ({code})");
                Check::ok(name::ECS_CONSOLE, found)
            })
        }
        Err(error) => Err(error),
    }
}

/// What the answer about a screenshot means.
///
/// # Errors
/// The error, unless ECS says only that there is no picture, or none now.
fn screenshot(
    answer: Result<Screenshot, EcsError>,
    instance_id: &InstanceId,
) -> Result<Check, EcsError> {
    let name = name::ECS_SCREENSHOT;
    match answer {
        Ok(taken) => {
            let (bytes, image) = (taken.bytes.len(), taken.image);
            let (width, height) = (image.width, image.height);
            let found = format!("{width}×{height} pixels of {instance_id}, in {bytes} bytes");
            Ok(Check::ok(name, found))
        }
        Err(EcsError::NoConsole { code, .. }) => {
            let found = format!("ECS accepts the key and the signature, and answers {code}");
            Ok(Check::ok(name, found))
        }
        Err(error) if error.lacks_permission() => Ok(Check::new(
            name,
            Verdict::Warning,
            without_advice(&error),
        )
        .advise(
            "allow ecs:GetInstanceScreenshot in the RAM policy: without it, a machine without a console leaves no \
             picture of its screen; or set SCREENSHOTS=never",
        )),
        // Whether the permission is asked before is not documented.
        Err(error @ EcsError::TooSoon { .. }) => {
            Ok(Check::skipped(name, format!("not known: {error}")))
        }
        Err(error) => Err(error),
    }
}

/// What the answer about the instances of a region means.
///
/// # Errors
/// The error, unless only a permission is missing that who does not sweep does not need.
fn instances(
    answer: Result<InstancesPage, EcsError>,
    region_id: &RegionId,
) -> Result<Check, EcsError> {
    match answer {
        Ok(page) => {
            let count = page.total.unwrap_or(page.instance_ids.len() as u64);
            let found = format!("{count} in {region_id}");
            Ok(Check::ok(name::ECS_INSTANCES, found))
        }
        Err(error) if error.lacks_permission() => Ok(Check::new(
            name::ECS_INSTANCES,
            Verdict::Warning,
            without_advice(&error),
        )
        .advise("only sweep needs it: allow ecs:DescribeInstances and ecs:DescribeRegions for it")),
        Err(error) => Err(error),
    }
}

/// Whether the key is missing or refused, so that every other request would fail too.
fn refuses_key(error: &EcsError) -> bool {
    match error {
        EcsError::Credentials(_) => true,
        EcsError::Denied { .. } => !error.lacks_permission(),
        _ => false,
    }
}

/// The error without its advice.
pub fn without_advice(error: &EcsError) -> String {
    match error {
        EcsError::Denied {
            code, request_id, ..
        } => format!("ECS refused access ({code}, request {request_id})"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instance_that_cannot_exist_is_well_formed() {
        assert!(InstanceId::parse(NO_INSTANCE).is_ok());
    }

    #[test]
    fn who_does_not_sweep_need_not_list_instances() {
        let region_id = RegionId::parse("cn-hangzhou").unwrap();
        for (code, verdict) in [
            ("Forbidden.RAM", Some(Verdict::Warning)),
            ("NoPermission", Some(Verdict::Warning)),
            ("SignatureDoesNotMatch", None),
        ] {
            let denied = EcsError::Denied {
                code: code.into(),
                request_id: "r".into(),
                advice: "the advice".into(),
            };
            let check = instances(Err(denied), &region_id).ok();
            let found = check.as_ref().map(|check| check.verdict);
            assert_eq!(found, verdict, "{check:?}");
            assert!(!check.is_some_and(|check| check.found.contains("the advice")));
        }
    }
}
