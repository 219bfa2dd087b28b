//! The object by which `doctor` checks that an archive can be written. Pure.

use crate::store::Object;

/// Key of the only object that is stored. Its bytes are always the same, so nothing is ever
/// replaced by other bytes.
pub const PROBE_KEY: &str = "doctor/probe.txt";

/// Its bytes.
pub const PROBE: &str = "Stored by console-archive doctor. It can be removed.\n";

/// The object.
pub fn probe() -> Object {
    Object {
        body: PROBE.into(),
        content_type: "text/plain".into(),
        metadata: Default::default(),
    }
}
