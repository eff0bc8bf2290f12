//! Plain tables: left or right aligned columns, two spaces apart, no lines. For people; scripts use JSON.

use coffer_terminal::clean;

use crate::text::Text;

/// A table with a heading.
pub(crate) struct Table {
    headings: Vec<&'static str>,
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns; a heading that starts with `>` makes a right-aligned column.
    pub(crate) fn new(headings: &[&'static str]) -> Table {
        let right = headings.iter().map(|heading| heading.starts_with('>')).collect();
        let headings = headings.iter().map(|heading| heading.trim_start_matches('>')).collect();
        Table { headings, right, rows: Vec::new() }
    }

    /// Adds a row with one value per column.
    pub(crate) fn row(&mut self, values: impl IntoIterator<Item = String>) {
        // Before widths are taken: what is shown instead of a character is longer.
        self.rows.push(values.into_iter().map(|value| clean(&value).into_owned()).collect());
    }

    /// The table line by line; empty without rows.
    pub(crate) fn text(&self) -> Text {
        let mut text = Text::default();
        if self.rows.is_empty() {
            return text;
        }
        let heading: Vec<String> = self.headings.iter().map(|&heading| heading.to_owned()).collect();
        let widths = self.widths();
        let lines = std::iter::once(&heading).chain(&self.rows);
        lines.for_each(|row| text.line(self.line(row, &widths)));
        text
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize, heading: &str| {
            let values =
                self.rows.iter().filter_map(|row| row.get(column)).map(|value| value.chars().count());
            values.max().unwrap_or(0).max(heading.len())
        };
        self.headings.iter().enumerate().map(|(column, heading)| width(column, heading)).collect()
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let cells = row.iter().zip(widths).zip(&self.right).map(|((value, width), right)| {
            if *right { format!("{value:>width$}") } else { format!("{value:<width$}") }
        });
        cells.collect::<Vec<_>>().join("  ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_trailing_space() {
        let mut table = Table::new(&["NAME", ">SIZE", "NOTE"]);
        table.row(["a".into(), "1 B".into(), String::new()]);
        table.row(["longer".into(), "10.0 KiB".into(), "x".into()]);
        assert_eq!(table.text().as_str(), "NAME        SIZE  NOTE\na            1 B\nlonger  10.0 KiB  x\n");
        assert_eq!(Table::new(&["A"]).text().as_str(), "");
    }

    #[test]
    fn what_is_shown_instead_of_a_character_counts_for_the_width() {
        let mut table = Table::new(&["NAME", "NOTE"]);
        table.row(["a\u{1b}".into(), "x\ny".into()]);
        assert_eq!(table.text().as_str(), "NAME     NOTE\na\\u{1b}  x\\ny\n");
    }
}
