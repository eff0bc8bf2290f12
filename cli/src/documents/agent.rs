//! What agents tell: volumes, operations, themselves. Their texts are shown without control characters.

pub(crate) mod node;
pub(crate) mod operations;
pub(crate) mod volumes;

/// A text, or nothing where it is empty.
fn some(text: &str) -> Option<String> {
    Some(plain(text)).filter(|text| !text.is_empty())
}

fn plain_all(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| plain(text)).collect()
}

/// A text for a table, `-` where it is empty.
fn cell(text: &str) -> String {
    some(text).unwrap_or_else(|| "-".into())
}
use coffer_coordinator::plain;
