//! Some of the instances of an archive.

use crate::model::ids::InstanceId;

/// Instances that a condition selects.
pub struct Instances<'a> {
    /// All of their IDs begin with it. What does not is not even listed.
    pub prefix: String,
    /// The condition.
    pub includes: &'a dyn Fn(&InstanceId) -> bool,
}

impl Instances<'_> {
    /// Prefixes of the keys of all of their objects.
    pub fn key_prefixes(&self) -> Vec<String> {
        match self.prefix.is_empty() {
            true => InstanceId::PREFIXES.map(str::to_owned).to_vec(),
            false => vec![self.prefix.clone()],
        }
    }
}
