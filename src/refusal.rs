//! A service's refusal of a signed request. The archive's bucket and the queue return it.

use std::fmt;

/// A service refused a request. `Display` shows the whole explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status. 0 if there was none.
    pub status: u16,
    /// The service's error code. Empty if there was none.
    pub code: String,
    /// Operation, place, status, code and the service's message.
    pub account: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.account)
    }
}
