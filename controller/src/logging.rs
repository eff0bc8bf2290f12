//! The log on standard error: lines for people, or one JSON object per line.

use std::io::{self, IsTerminal};

use coffer_store::s3::QUIET_LIBRARIES;
use coffer_terminal::{CleanFields, LogWriter};
use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, LogLevel};

/// Starts logging. A second call in one process changes nothing.
pub fn start(format: LogFormat, level: LogLevel) {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(level));
    let started = match format {
        LogFormat::Json => builder.with_writer(|| LogWriter).json().with_current_span(false).try_init(),
        LogFormat::Text => builder
            .with_writer(|| LogWriter)
            .fmt_fields(CleanFields)
            .with_target(false)
            .with_ansi(io::stderr().is_terminal())
            .try_init(),
    };
    // A log that was started before stays as it is.
    drop(started);
}

/// Our own crates at `level`; libraries only where a person has to act.
fn filter(level: LogLevel) -> EnvFilter {
    let ours = match level {
        LogLevel::Error => "",
        LogLevel::Warn => ",coffer=warn",
        LogLevel::Info => ",coffer=info",
        LogLevel::Debug => ",coffer=debug",
    };
    EnvFilter::new(format!("error,{QUIET_LIBRARIES}{ours}"))
}
