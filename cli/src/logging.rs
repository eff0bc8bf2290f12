//! The log on standard error. A line never cuts a progress bar in two.

use std::io::{self, IsTerminal, Write};

use coffer_store::s3::QUIET_LIBRARIES;
use coffer_terminal::{CleanFields, LogWriter};
use tracing_subscriber::EnvFilter;

use crate::options::{LogFormat, LogLevel, OutputOptions};
use crate::progress;

/// Starts logging. A second call in one process changes nothing.
pub(crate) fn start(options: &OutputOptions) {
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter(options.log_level)).with_writer(|| StandardError);
    let started = match options.log_format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder
            .fmt_fields(CleanFields)
            .without_time()
            .with_target(false)
            .with_ansi(io::stderr().is_terminal())
            .try_init(),
    };
    // A log that was started before stays as it is.
    drop(started);
}

/// Our own crates at `level`. Libraries speak up only for a person to act: their details are not ours to vouch for. kube and the libraries
/// under S3 call every failed request an error, which we try again, and tell once ourselves.
fn filter(level: LogLevel) -> EnvFilter {
    let ours = match level {
        LogLevel::Error => "",
        LogLevel::Warn => ",coffer=warn",
        LogLevel::Info => ",coffer=info",
        LogLevel::Debug => ",coffer=debug",
    };
    EnvFilter::new(format!("error,kube_client=off,{QUIET_LIBRARIES}{ours}"))
}

/// Standard error, around a progress bar; each write is one whole event.
struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        progress::suspend(|| LogWriter.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
