//! AWS's partitions, and the hosts in them. Pure.

/// Partitions of AWS, the domains of their services, and how the names of their regions begin.
///
/// Source: the partitions in the AWS SDK for Rust (aws-sdk-sqs 1.119.0, `endpoint_lib.rs`).
const PARTITIONS: [(&str, &str, &str); 8] = [
    ("aws-cn", "amazonaws.com.cn", "cn-"),
    ("aws-eusc", "amazonaws.eu", "eusc-"),
    ("aws-iso", "c2s.ic.gov", "us-iso-"),
    ("aws-iso-b", "sc2s.sgov.gov", "us-isob-"),
    ("aws-iso-e", "cloud.adc-e.uk", "eu-isoe-"),
    ("aws-iso-f", "csp.hci.ic.gov", "us-isof-"),
    ("aws-us-gov", "amazonaws.com", "us-gov-"),
    ("aws", "amazonaws.com", ""), // All the others.
];

/// Domain of the services in a partition, such as `aws`. `None` if there is no such partition.
pub fn domain(partition: &str) -> Option<&'static str> {
    let known = PARTITIONS.iter().find(|(name, ..)| *name == partition);
    known.map(|(_, domain, _)| *domain)
}

/// The partition of a region.
pub fn of_region(region: &str) -> &'static str {
    let known = PARTITIONS
        .iter()
        .find(|(_, _, start)| region.starts_with(start));
    known.map_or("aws", |(name, ..)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_in_one_partition() {
        for (region, partition) in [
            ("us-east-1", "aws"),
            ("eu-central-1", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-iso-east-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eusc-de-east-1", "aws-eusc"),
        ] {
            assert_eq!(of_region(region), partition);
            assert!(domain(partition).is_some());
        }
        assert_eq!(domain("aws-of-another"), None);
    }
}
