//! A service's no to a signed request, as the archive's bucket and the queue give it.

use std::fmt;

/// What a service answered in place of doing as asked. Shown, it is the whole account of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status; 0 where none came with it.
    pub status: u16,
    /// The service's code; empty where it gave none.
    pub code: String,
    /// Operation, place, status, code and the service's own words.
    pub account: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.account)
    }
}
