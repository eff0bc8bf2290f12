//! Which characters must not reach a terminal, and what is shown instead. Pure.

use std::borrow::Cow;
use std::fmt;

/// `text` as one line: control characters, line breaks and marks of direction become what Rust writes for them, such as `\u{1b}`.
pub fn clean(text: &str) -> Cow<'_, str> {
    escaped(text, steers)
}

/// As [`clean`], but line feeds stay: for text whose lines are ours.
pub fn clean_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |letter| letter != '\n' && steers(letter))
}

/// Shows a value as one clean line.
#[derive(Debug, Clone, Copy)]
pub struct Clean<T>(pub T);

impl<T: fmt::Display> fmt::Display for Clean<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&clean(&self.0.to_string()))
    }
}

fn escaped(text: &str, steers: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            letter if !steers(letter) => shown.push(letter),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            letter => shown.extend(letter.escape_unicode()),
        }
    }
    Cow::Owned(shown)
}

/// Whether a terminal or a reader's eye would be led by the character instead of seeing it.
fn steers(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            // Marks of direction, and the embeddings, overrides and isolates of text that runs the other way.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            // Line and paragraph separators.
            | '\u{2028}' | '\u{2029}'
            // What is not seen at all: byte order mark, annotations, tags.
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_or_turns_text_is_shown_and_all_else_stays() {
        let check = |text: &str, shown: &str| assert_eq!(clean(text), shown, "{text:?}");
        check("web-1 é 漢字 שלום \u{200d} C:\\x", "web-1 é 漢字 שלום \u{200d} C:\\x");
        check("x\u{1b}[31my", "x\\u{1b}[31my");
        check("a\nb\r\tc\0", "a\\nb\\r\\tc\\u{0}");
        check("\u{7f}\u{9b}31m", "\\u{7f}\\u{9b}31m");
        check("gpj\u{202e}exe.\u{2066}\u{200f}", "gpj\\u{202e}exe.\\u{2066}\\u{200f}");
        check("a\u{2028}b\u{feff}\u{e0041}", "a\\u{2028}b\\u{feff}\\u{e0041}");
    }

    #[test]
    fn clean_text_is_not_copied_and_not_changed_again() {
        assert!(matches!(clean("vdb"), Cow::Borrowed("vdb")));
        let once = clean("\u{1b}").into_owned();
        assert_eq!(clean(&once), once);
    }

    #[test]
    fn only_line_feeds_may_stay() {
        assert_eq!(clean_lines("a\nb\u{1b}\r\n"), "a\nb\\u{1b}\\r\n");
    }

    #[test]
    fn a_value_keeps_its_width() {
        assert_eq!(format!("{:>4}|{:<6}|", Clean("ab"), Clean("\n")), "  ab|\\n    |");
    }
}
