//! How much a log may cost: a guest that prints what rules look for must not keep the function busy.

/// Bytes that regular expressions may look at in any log.
const AT_LEAST: usize = 64 * 1024;
/// And for each byte of it. Hardly a line has words of more than two rules.
const FOR_EACH_BYTE: usize = 3;
/// How much longer it takes to mask a text than to try a rule on it.
const MASKS: usize = 32;

/// What a log may still cost, in bytes at which an expression looks.
#[derive(Debug)]
pub struct Work {
    left: usize,
    #[cfg(test)]
    pub spent: usize,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            left: AT_LEAST,
            #[cfg(test)]
            spent: 0,
        }
    }
}

impl Work {
    /// The most that a log of so many bytes costs.
    #[cfg(test)]
    pub fn most(bytes: usize) -> usize {
        AT_LEAST + FOR_EACH_BYTE * bytes
    }

    /// For bytes that were read.
    pub fn earn(&mut self, bytes: usize) {
        self.left = self
            .left
            .saturating_add(bytes.saturating_mul(FOR_EACH_BYTE));
    }

    /// For a rule that is tried; `None` if the log has cost too much.
    pub fn spend(&mut self, bytes: usize) -> Option<()> {
        self.left = self.left.checked_sub(bytes)?;
        #[cfg(test)]
        {
            self.spent += bytes;
        }
        Some(())
    }

    /// For a text that is masked; `None` if the log has cost too much.
    pub fn spend_on_masks(&mut self, bytes: usize) -> Option<()> {
        self.spend(bytes * MASKS)
    }
}
