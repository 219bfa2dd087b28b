//! What a log costs. A guest that prints what rules look for must not keep the function busy: each rule looks at a
//! message once at the most, so whatever a log says, its search takes time in proportion to its length. Tests count
//! that.

/// How much longer it takes to mask a text than to try a rule on it.
#[cfg(test)]
const MASKS: usize = 32;

/// Bytes at which expressions looked. Only tests count them.
#[derive(Debug, Default)]
pub struct Work {
    #[cfg(test)]
    pub spent: usize,
}

impl Work {
    /// The most that a log of so many bytes costs.
    #[cfg(test)]
    pub fn most(rules: usize, bytes: usize) -> usize {
        (rules + MASKS) * bytes
    }

    /// For a rule that is tried.
    pub fn spend(&mut self, bytes: usize) {
        #[cfg(test)]
        {
            self.spent += bytes;
        }
        let _ = bytes;
    }

    /// For a text that is masked.
    pub fn spend_on_masks(&mut self, bytes: usize) {
        #[cfg(test)]
        self.spend(bytes * MASKS);
        let _ = bytes;
    }
}
