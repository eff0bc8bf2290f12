//! The log on standard error: lines for people, or one JSON object per line.
//!
//! One event is one line. Names that callers and files chose stand in it, so no control character of theirs reaches it: none can end a line, begin
//! another, or command a terminal.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use coffer_store::s3::QUIET_LIBRARIES;
use coffer_terminal::{CleanFields, LogWriter, clean};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogLevel};

/// Starts logging. A second call in one process changes nothing.
pub fn start(format: LogFormat, level: LogLevel) {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(level));
    let started = match format {
        LogFormat::Json => {
            builder.with_writer(|| JsonLines(LogWriter)).json().with_current_span(false).try_init()
        }
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

/// Our own crates at `level`. Libraries speak up only for a person to act: their details are not ours to vouch for. Those under S3 call every
/// failed request an error, which is tried again, and told once by the store itself.
fn filter(level: LogLevel) -> EnvFilter {
    let ours = match level {
        LogLevel::Error => "",
        LogLevel::Warn => ",coffer=warn",
        LogLevel::Info => ",coffer=info",
        LogLevel::Debug => ",coffer=debug",
    };
    EnvFilter::new(format!("error,{QUIET_LIBRARIES}{ours}"))
}

/// Writes events in JSON, each of which comes whole and ends with a line break. JSON itself only escapes characters below U+0020.
struct JsonLines<W>(W);

impl<W: Write> Write for JsonLines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut plain = in_json(line);
        plain.push('\n');
        self.0.write_all(plain.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A line of JSON with what would steer a terminal escaped as JSON does.
fn in_json(line: &str) -> String {
    let mut plain = String::with_capacity(line.len() + 1);
    for letter in line.chars() {
        match clean(letter.encode_utf8(&mut [0; 4])) {
            Cow::Borrowed(same) => plain.push_str(same),
            Cow::Owned(_) => {
                letter
                    .encode_utf16(&mut [0; 2])
                    .iter()
                    .for_each(|unit| plain.push_str(&format!("\\u{unit:04x}")));
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Shared {
        type Writer = JsonLines<Shared>;

        fn make_writer(&self) -> JsonLines<Shared> {
            JsonLines(self.clone())
        }
    }

    /// What a file's or a caller's name can try.
    const HOSTILE: &str = "a\nERROR forged\r\u{1b}[2J\u{7f}\u{9b}31m\u{85}\u{2028}\u{202e}\u{e0041}\0 b";

    #[test]
    fn an_event_in_json_is_one_line_without_control_characters_that_says_the_same() {
        let out = Shared::default();
        let log = tracing_subscriber::fmt().with_writer(out.clone()).json().finish();
        tracing::subscriber::with_default(log, || {
            tracing::info!(path = HOSTILE, shown = %HOSTILE, debugged = ?HOSTILE, "{HOSTILE}");
            tracing::info!("next");
        });
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 2, "{text:?}");
        assert_eq!(coffer_terminal::clean_lines(&text), text);
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!((&line["fields"]["path"], &line["fields"]["message"]), (&HOSTILE.into(), &HOSTILE.into()));
    }
}
