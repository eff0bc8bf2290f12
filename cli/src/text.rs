//! A result for people, line by line. What a line holds cannot break it, steer a terminal or turn the direction of text.

use std::fmt;

use coffer_terminal::clean;

/// Lines for people.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(String);

impl Text {
    /// One line.
    pub(crate) fn of(line: impl fmt::Display) -> Text {
        let mut text = Text::default();
        text.line(line);
        text
    }

    /// Adds a line. Line breaks in it are shown, not made.
    pub(crate) fn line(&mut self, line: impl fmt::Display) {
        self.0.push_str(clean(&line.to_string()).trim_end());
        self.0.push('\n');
    }

    /// Adds all lines of `other`.
    pub(crate) fn add(&mut self, other: Text) {
        self.0.push_str(&other.0);
    }

    /// All lines, each ended by `\n`; empty where there are none.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line_whatever_is_in_it() {
        let mut text = Text::of(format_args!("volume {}", "n\u{1b}[31m\nvolume x failed"));
        text.line("");
        text.line("b");
        assert_eq!(text.as_str(), "volume n\\u{1b}[31m\\nvolume x failed\n\nb\n");
    }
}
