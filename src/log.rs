//! Where log lines go and what they look like.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

use crate::config::LogConfig;

/// Writes a line that a platform's log service reads, to standard output.
pub fn line(text: &str) {
    use std::io::Write as _;
    // Nobody to read it is no reason to fail.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Sends log lines to standard error, without a time: the platform's log has one for each line.
///
/// The level is for this program's own lines. Libraries show warnings at most: on finer levels they
/// write requests with their tokens.
pub fn init(config: &LogConfig) {
    let targets = Targets::new()
        .with_default(LevelFilter::WARN.min(LevelFilter::from_level(config.level)))
        // Its warnings quote what a credential process wrote to its errors; ours say what to do.
        .with_target("aws_config", LevelFilter::OFF)
        .with_target(env!("CARGO_CRATE_NAME"), config.level);
    let layer = fmt::layer()
        .with_target(false)
        .with_ansi(false)
        .without_time()
        .with_writer(std::io::stderr);
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
