//! Region → address of its ECS API.

use url::Url;

use crate::model::ids::RegionId;

/// Regions whose ECS API is not at `ecs.{region}.aliyuncs.com`, with their hosts.
///
/// Source: `endpoint_map` of the Python SDK alibabacloud-ecs20140526 7.11.8, without its internal
/// and test regions.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("cn-beijing-gov-1", "ecs.aliyuncs.com"),
    ("cn-edge-1", "ecs.cn-qingdao-nebula.aliyuncs.com"),
    ("cn-fujian", "ecs-cn-hangzhou.aliyuncs.com"),
    ("cn-hangzhou", "ecs-cn-hangzhou.aliyuncs.com"),
    ("cn-hangzhou-finance", "ecs.aliyuncs.com"),
    ("cn-north-2-gov-1", "ecs.aliyuncs.com"),
    ("cn-shanghai-finance-1", "ecs-cn-hangzhou.aliyuncs.com"),
    ("cn-shenzhen-finance-1", "ecs-cn-hangzhou.aliyuncs.com"),
    ("cn-wuhan", "ecs.aliyuncs.com"),
    ("cn-yushanfang", "ecs.aliyuncs.com"),
    ("cn-zhangbei", "ecs.aliyuncs.com"),
    ("eu-west-1-oxs", "ecs.cn-shenzhen-cloudstone.aliyuncs.com"),
];

/// Where ECS requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EcsEndpoint {
    /// The public endpoint of the instance's region.
    Public,
    /// This address. In it, `{region}` stands for the instance's region:
    /// `https://ecs-vpc.{region}.aliyuncs.com` from inside a VPC, or a simulator's address.
    Template(EndpointTemplate),
}

/// A checked address, with or without `{region}` in its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointTemplate(String);

/// The text is not the address of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an address such as \"https://ecs-vpc.{{region}}.aliyuncs.com\" or \
     \"http://127.0.0.1:8580\": a scheme, a host and nothing behind it"
)]
pub struct InvalidEndpoint;

impl EndpointTemplate {
    /// Checks an address: `http` or `https`, a host, no user, path, query or fragment.
    ///
    /// # Errors
    /// [`InvalidEndpoint`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidEndpoint> {
        let url =
            Url::parse(&text.replace("{region}", "cn-hangzhou")).map_err(|_| InvalidEndpoint)?;
        let bare = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        if bare {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidEndpoint)
        }
    }
}

impl EcsEndpoint {
    /// Returns the address for a region. A [`RegionId`] can only be one label of a host name, so an
    /// event cannot choose another host.
    ///
    /// # Errors
    /// [`InvalidEndpoint`] does not occur with a checked template, but the types cannot express
    /// that.
    pub fn url(&self, region_id: &RegionId) -> Result<Url, InvalidEndpoint> {
        let text = match self {
            Self::Template(EndpointTemplate(template)) => {
                template.replace("{region}", region_id.as_str())
            }
            Self::Public => format!("https://{}", public_host(region_id)),
        };
        Url::parse(&text).map_err(|_| InvalidEndpoint)
    }

    /// The address that the next request probably goes to, if events without a region are of this
    /// one. `None` if only an event can tell.
    pub fn likely_url(&self, default_region: Option<&RegionId>) -> Option<Url> {
        match (self, default_region) {
            (_, Some(region_id)) => self.url(region_id).ok(),
            (Self::Template(EndpointTemplate(address)), None) if !address.contains('{') => {
                Url::parse(address).ok()
            }
            (_, None) => None,
        }
    }
}

fn public_host(region_id: &RegionId) -> String {
    match EXCEPTIONS
        .iter()
        .find(|(region, _)| *region == region_id.as_str())
    {
        Some((_, host)) => (*host).to_owned(),
        None => format!("ecs.{region_id}.aliyuncs.com"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(endpoint: &EcsEndpoint, region: &str, url: &str) {
        let region_id = RegionId::parse(region).unwrap();
        assert_eq!(endpoint.url(&region_id).unwrap().as_str(), url);
    }

    #[test]
    fn without_a_region_only_an_address_without_one_is_known() {
        let template = |text| EcsEndpoint::Template(EndpointTemplate::parse(text).unwrap());
        let region_id = RegionId::parse("ap-southeast-1").unwrap();
        let likely = |endpoint: EcsEndpoint, region| Some(endpoint.likely_url(region)?.to_string());
        let ours = "http://127.0.0.1:8580/";
        assert_eq!(
            likely(template("http://127.0.0.1:8580"), None).unwrap(),
            ours
        );
        for endpoint in [
            EcsEndpoint::Public,
            template("https://ecs-vpc.{region}.aliyuncs.com"),
        ] {
            assert_eq!(likely(endpoint.clone(), None), None);
            let likely = likely(endpoint, Some(&region_id)).unwrap();
            assert!(likely.contains(".ap-southeast-1."), "{likely}");
        }
    }

    #[test]
    fn a_region_has_its_own_host_unless_it_is_an_exception() {
        check(
            &EcsEndpoint::Public,
            "ap-southeast-1",
            "https://ecs.ap-southeast-1.aliyuncs.com/",
        );
        check(
            &EcsEndpoint::Public,
            "cn-hangzhou",
            "https://ecs-cn-hangzhou.aliyuncs.com/",
        );
        check(
            &EcsEndpoint::Public,
            "cn-wuhan",
            "https://ecs.aliyuncs.com/",
        );
        check(
            &EcsEndpoint::Public,
            "cn-wuhan-lr",
            "https://ecs.cn-wuhan-lr.aliyuncs.com/",
        );
    }

    #[test]
    fn a_template_takes_the_region_or_stands_alone() {
        let vpc = EndpointTemplate::parse("https://ecs-vpc.{region}.aliyuncs.com").unwrap();
        check(
            &EcsEndpoint::Template(vpc),
            "cn-hangzhou",
            "https://ecs-vpc.cn-hangzhou.aliyuncs.com/",
        );
        let fixed = EndpointTemplate::parse("http://127.0.0.1:8580").unwrap();
        check(
            &EcsEndpoint::Template(fixed),
            "cn-hangzhou",
            "http://127.0.0.1:8580/",
        );
    }

    #[test]
    fn an_address_with_more_than_scheme_and_host_is_refused() {
        for text in [
            "",
            "ecs.aliyuncs.com",
            "ftp://ecs.aliyuncs.com",
            "https://user:pass@host",
            "https://host/path",
            "https://host?query",
            "https://host#fragment",
            "https://",
            "127.0.0.1:80",
        ] {
            assert_eq!(
                EndpointTemplate::parse(text),
                Err(InvalidEndpoint),
                "{text:?}"
            );
        }
    }
}
