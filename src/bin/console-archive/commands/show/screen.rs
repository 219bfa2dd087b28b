//! What a terminal shows at the end of a boot.

use std::time::{Duration, Instant};

use anyhow::Result;
use ecs_console_archiver::printable;
use ecs_console_archiver::reading::encoding::{Decoded, EncodingChoice};
use ecs_console_archiver::reading::stitch::Boot;

const COLUMNS: usize = 200;
const ROWS: usize = 50;
/// Only the end of a boot decides what is on the screen.
const MAX_BYTES: usize = 8 << 20;
/// A guest can write sequences that take an emulator long.
const MAX_TIME: Duration = Duration::from_secs(2);
/// Bytes between looks at the clock.
const BYTES_AT_ONCE: usize = 4096;

/// What is on the screen.
pub struct Screen {
    /// Without the empty ones at the end.
    pub rows: Vec<String>,
    /// Why it is not the screen of the end.
    pub warning: Option<String>,
}

/// What is on the screen at the end of a boot.
///
/// # Errors
/// Of the emulator.
pub fn of(boot: &Boot, encoding: EncodingChoice) -> Result<Screen> {
    let log = &boot.log[boot.log.len().saturating_sub(MAX_BYTES)..];
    let decoded = Decoded::new(encoding.of(log), log);
    let text = String::from_utf8_lossy(decoded.text());
    let mut emulator = avt::Terminal::new(COLUMNS, ROWS)?;
    let (begun, mut rest, mut warning) = (Instant::now(), &*text, None);
    while !rest.is_empty() {
        if begun.elapsed() > MAX_TIME {
            warning = Some(format!(
                "the screen is not that of the end: the emulator took {} s for {} of {} bytes",
                MAX_TIME.as_secs(),
                text.len() - rest.len(),
                text.len()
            ));
            break;
        }
        let (next, behind) = rest.split_at(rest.floor_char_boundary(BYTES_AT_ONCE));
        emulator.feed(next);
        rest = behind;
    }
    let mut rows: Vec<_> = emulator
        .screen()
        .visible_lines()
        .map(|row| printable::one_line(row.text().trim_end()).into_owned())
        .collect();
    let end = rows
        .iter()
        .rposition(|row| !row.is_empty())
        .map_or(0, |last| last + 1);
    rows.truncate(end);
    Ok(Screen { rows, warning })
}
