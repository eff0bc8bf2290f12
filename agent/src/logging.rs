//! The log on standard error: lines for people, or one JSON object per line.
//!
//! One event is one line. Names that callers and files chose stand in it, so no control character of theirs reaches it: none can end a line, begin
//! another, or command a terminal.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogLevel};

/// Starts logging. A second call in one process changes nothing.
pub fn start(format: LogFormat, level: LogLevel) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(level))
        .with_ansi(false)
        .with_writer(|| Lines(io::stderr()));
    let started = match format {
        LogFormat::Json => builder.json().with_current_span(false).try_init(),
        LogFormat::Text => builder.with_target(false).try_init(),
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

/// Writes events, each of which comes whole and ends with a line break.
struct Lines<W>(W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut plain = plain(line);
        plain.push('\n');
        self.0.write_all(plain.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A text without characters that do something, written as JSON writes them, which is the same in a line for people.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len() + 1);
    for letter in text.chars() {
        match acts(letter) {
            true => plain.push_str(&format!("\\u{:04x}", u32::from(letter))),
            false => plain.push(letter),
        }
    }
    plain
}

/// Control characters, line and paragraph separators, and what turns the direction of a text. None is beyond U+FFFF.
fn acts(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
        type Writer = Lines<Shared>;

        fn make_writer(&self) -> Lines<Shared> {
            Lines(self.clone())
        }
    }

    /// What a file's or a caller's name can try.
    const HOSTILE: &str = "a\nERROR forged\r\u{1b}[2J\u{7f}\u{9b}31m\u{85}\u{2028}\u{202e}\0 b";

    #[test]
    fn an_event_is_one_line_without_control_characters_in_both_forms() {
        for is_json in [false, true] {
            let out = Shared::default();
            let builder = tracing_subscriber::fmt().with_ansi(false).with_writer(out.clone());
            let log = || {
                tracing::info!(path = HOSTILE, shown = %HOSTILE, debugged = ?HOSTILE, "{HOSTILE}");
                tracing::info!("next");
            };
            match is_json {
                true => tracing::subscriber::with_default(builder.json().finish(), log),
                false => tracing::subscriber::with_default(builder.finish(), log),
            }
            let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
            assert_eq!(text.lines().count(), 2, "{text:?}");
            assert!(!text.chars().any(|letter| acts(letter) && letter != '\n'), "{text:?}");
            if is_json {
                let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
                assert_eq!(line["fields"]["path"], HOSTILE, "{text:?}");
            }
        }
    }
}
