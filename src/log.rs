//! Writes log lines.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

use crate::printable;

/// Level and format of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Lowest level that is written.
    pub level: tracing::Level,
    /// Whether each line is a JSON object.
    pub json: bool,
    /// Leaves out the lines of this target.
    pub without: Option<&'static str>,
}

/// Writes a line to standard output, for the log service of a platform.
pub fn line(text: &str) {
    use std::io::Write as _;
    // A closed standard output must not stop the program.
    let _ = writeln!(io::stdout(), "{text}");
}

/// The same for a JSON object, which stays one line and cannot control a terminal, whatever is in it.
pub fn json_line(object: &serde_json::Value) {
    line(&printable::json(&object.to_string()));
}

/// Sends log lines to standard error. They have no time, because the platform's log adds one.
///
/// The level applies to this program's own lines. Libraries log warnings and errors only, because
/// on lower levels they log requests with their tokens.
pub fn init(config: &LogConfig) {
    init_to(config, |lines| {
        use std::io::Write as _;
        let _ = io::stderr().write_all(lines.as_bytes());
    });
}

/// Sends log lines to `print`, each with its line feed. Texts from guests and events are escaped,
/// so that they cannot control a terminal or reorder text.
pub fn init_to(config: &LogConfig, print: impl Fn(&str) + Send + Sync + 'static) {
    let targets = Targets::new()
        .with_default(LevelFilter::WARN.min(LevelFilter::from_level(config.level)))
        // The AWS SDK's warnings quote what a credential process wrote to its standard error, which
        // may be a secret. Its errors are about its own connections, and this program's errors say
        // what to do.
        .with_target("aws_", LevelFilter::OFF)
        .with_target(env!("CARGO_CRATE_NAME"), config.level);
    let without = config.without.map(|target| (target, LevelFilter::OFF));
    let targets = targets.with_targets(without);
    let (print, json) = (Arc::new(print), config.json);
    let writer = move || Lines {
        print: Arc::clone(&print),
        json,
    };
    let layer = fmt::layer()
        .with_target(false)
        .with_ansi(false)
        .without_time()
        .with_writer(writer);
    if config.json {
        let layer = layer
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false);
        registry().with(layer.with_filter(targets)).init();
    } else {
        registry().with(layer.with_filter(targets)).init();
    }
}

/// Collects the bytes of a log line.
struct Lines<P> {
    print: Arc<P>,
    json: bool,
}

impl<P: Fn(&str)> io::Write for Lines<P> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        (self.print)(&if self.json {
            printable::json(&text)
        } else {
            // Texts in the line must not start a new line.
            Cow::Owned(printable::one_line(text.trim_end_matches('\n')).into_owned() + "\n")
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn nothing_in_a_log_line_acts_on_a_terminal() {
        for (json, shown) in [
            (false, "a\\u{202e}\\u{9b}2J\\nb\n"),
            (true, "a\\u202e\\u009b2J\nb\n"), // JSON escapes the line feed before it gets here.
        ] {
            let printed = Arc::new(Mutex::new(String::new()));
            let into = Arc::clone(&printed);
            let print = Arc::new(move |line: &str| into.lock().unwrap().push_str(line));
            let mut lines = Lines { print, json };
            lines
                .write_all("a\u{202e}\u{9b}2J\nb\n".as_bytes())
                .unwrap();
            assert_eq!(*printed.lock().unwrap(), shown);
        }
    }
}
