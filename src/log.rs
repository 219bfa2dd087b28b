//! Where log lines go and what they look like.

use crate::config::LogConfig;

/// Sends log lines to standard error, without a time: the platform's log has one for each line.
pub fn init(config: &LogConfig) {
    let builder = tracing_subscriber::fmt()
        .with_max_level(config.level)
        .with_target(false)
        .with_ansi(false)
        .without_time()
        .with_writer(std::io::stderr);
    if config.json {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .init();
    } else {
        builder.init();
    }
}
