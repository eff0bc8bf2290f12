//! The log on standard error: lines for people, or one JSON object per line.

use std::io::{self, IsTerminal};

use coffer_terminal::{CleanFields, LogWriter};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogLevel};

/// Starts logging. A second call in one process changes nothing.
pub fn start(format: LogFormat, level: LogLevel) {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(level)).with_writer(|| LogWriter);
    let started = match format {
        LogFormat::Json => builder.json().with_current_span(false).try_init(),
        LogFormat::Text => builder
            .fmt_fields(CleanFields)
            .with_target(false)
            .with_ansi(io::stderr().is_terminal())
            .try_init(),
    };
    // A log that was started before stays as it is.
    drop(started);
}

/// Our own crates at `level`. Libraries speak up only for a person to act: their details are not ours to vouch for.
fn filter(level: LogLevel) -> EnvFilter {
    EnvFilter::new(match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "error,coffer=warn",
        LogLevel::Info => "error,coffer=info",
        LogLevel::Debug => "error,coffer=debug",
    })
}
