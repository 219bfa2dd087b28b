//! AWS's partitions, and the hosts in them. Pure.

/// Partitions of AWS, and the domains of their services.
///
/// Source: the partitions in the AWS SDK for Rust (aws-sdk-sqs 1.119.0, `endpoint_lib.rs`).
const PARTITIONS: [(&str, &str); 8] = [
    ("aws", "amazonaws.com"),
    ("aws-cn", "amazonaws.com.cn"),
    ("aws-eusc", "amazonaws.eu"),
    ("aws-iso", "c2s.ic.gov"),
    ("aws-iso-b", "sc2s.sgov.gov"),
    ("aws-iso-e", "cloud.adc-e.uk"),
    ("aws-iso-f", "csp.hci.ic.gov"),
    ("aws-us-gov", "amazonaws.com"),
];

/// Domain of the services in a partition, such as `aws`. `None` if there is no such partition.
pub fn domain(partition: &str) -> Option<&'static str> {
    let known = PARTITIONS.iter().find(|(name, _)| *name == partition);
    known.map(|(_, domain)| *domain)
}
