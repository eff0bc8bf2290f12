//! The log on standard error, as `tracing-subscriber` writes it.
//!
//! By itself that library prints to standard error that it could not print to standard error, and panics when that fails too.

use std::fmt;
use std::io::{self, Write};

use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};

/// Standard error for log lines: each write is one whole line, and none fails.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Whoever closed the log, or filled its disk, goes without it; the work goes on.
        let _nobody_reads = io::stderr().lock().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Messages and fields of lines for people, without what would steer a terminal.
#[derive(Debug, Clone, Copy, Default)]
pub struct CleanFields;

impl<'writer> FormatFields<'writer> for CleanFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut text = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut text), fields)?;
        writer.write_str(&crate::clean(&text))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(what: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt()
            .fmt_fields(CleanFields)
            .without_time()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(log, what);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn messages_fields_and_spans_are_cleaned_and_stay_one_line() {
        let text = logged(|| {
            let span = tracing::info_span!("work", volume = "s\u{202e}\n");
            let _entered = span.enter();
            tracing::warn!(volume = %"n\u{1b}[31m\nm", plain = 3, "told \u{9b} so");
        });
        assert_eq!(text.lines().count(), 1, "{text:?}");
        for shown in ["told \\u{9b} so", "n\\u{1b}[31m\\nm", "plain=3", "s\\u{202e}"] {
            assert!(text.contains(shown), "{shown}: {text:?}");
        }
        assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{text:?}");
    }
}
