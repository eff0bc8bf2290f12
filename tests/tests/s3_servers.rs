//! Servers that know less than S3, answers that are none of S3, and credentials that end: each ends well or says clearly what to do.

#[path = "s3_servers/credentials.rs"]
mod credentials;
#[path = "s3_servers/lacks.rs"]
mod lacks;
#[path = "s3_servers/lists.rs"]
mod lists;
#[path = "s3_servers/strangers.rs"]
mod strangers;

use std::error::Error;
use std::time::Duration;

use coffer_store::s3::{Patience, Tuning};
use coffer_store::{Key, StoreError};

/// Enough for a few tries on a slow machine.
const FRESH: Duration = Duration::from_millis(700);
/// Longer than any test: who waits for it hangs.
const ESTABLISHED: Duration = Duration::from_secs(600);

fn key(name: &str) -> Key {
    Key::new(name).expect("a key")
}

/// Little patience before the first word of S3, much afterwards.
fn patient() -> Tuning {
    Tuning { patience: Some(Patience { fresh: FRESH, established: ESTABLISHED }), ..Tuning::default() }
}

/// Little patience always.
fn hasty() -> Tuning {
    Tuning { patience: Some(Patience { fresh: FRESH, established: FRESH }), ..Tuning::default() }
}

/// An error with all that lies below it.
fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// The error's whole text, which must have all these words.
#[track_caller]
fn says(error: &StoreError, words: &[&str]) -> String {
    let text = chain(error);
    for word in words {
        assert!(text.contains(word), "no `{word}` in: {text}");
    }
    text
}
