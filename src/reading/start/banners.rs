//! Finds the words of all starts at once. Hardly a line has them, so it is looked at only where they are whether a
//! line begins there. The function does without: it reads one console at a time.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::packed::Searcher;

use super::{
    BANNERS, KERNEL, KERNEL_PREFIX_BYTES, MAX_PARAMETERS, Start, behind_prompt, lines, start,
};

/// `None` on processors that cannot.
static FINDER: LazyLock<Option<Searcher>> =
    LazyLock::new(|| Searcher::new(BANNERS.iter().map(|(banner, ..)| *banner).chain([KERNEL])));

/// The longest sequence that is skipped at the beginning of a line.
const MAX_SEQUENCE_BYTES: usize = 2 + MAX_PARAMETERS + 1;

/// As [`super::starts_one_by_one`]. `None` on processors that cannot.
pub(super) fn starts(text: &[u8]) -> Option<Vec<Start>> {
    let finder = FINDER.as_ref()?;
    let (mut starts, mut known) = (Vec::new(), 0);
    for found in finder.find_iter(text) {
        let from = found.start().saturating_sub(KERNEL_PREFIX_BYTES).max(known);
        let begin = not_skipped(text, known..from);
        let lines = lines(text, begin..found.start());
        let mut lines = lines.filter(|(_, words)| (from..=found.start()).contains(words));
        let at_line = lines.find_map(|(line, words)| start(line, &text[words..]));
        let is_kernel = found.pattern().as_usize() == BANNERS.len();
        starts.extend(at_line.or_else(|| is_kernel.then(|| behind_prompt(text, found.start()))?));
        known = found.start() + 1;
    }
    Some(starts)
}

/// Of a range, the last place behind something that is certainly not skipped at the beginning of a line.
fn not_skipped(text: &[u8], range: Range<usize>) -> usize {
    let mut end = range.end;
    loop {
        let before = &text[range.start..end];
        let Some(last) = before
            .iter()
            .rposition(|byte| !matches!(byte, b'\r' | b'\n' | 0))
        else {
            return range.start;
        };
        // It may be the end of a sequence.
        let from = (last + 1).saturating_sub(MAX_SEQUENCE_BYTES);
        match memchr::memrchr(0x1b, &before[from..=last]) {
            Some(escape) => end = range.start + from + escape,
            None => return range.start + last + 1,
        }
    }
}
