//! `docs/s3.md` says what the program does: its switches, and the policies that the tests use.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use coffer_store::S3Address;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/s3.md")
}

fn page() -> String {
    std::fs::read_to_string(path()).expect("read docs/s3.md")
}

/// The policy of a job, as the page shows it.
#[track_caller]
pub(crate) fn policy(job: &str) -> String {
    let page = page();
    let start = format!("<!-- policy {job} -->\n```json\n");
    let (_, rest) = page.split_once(&start).unwrap_or_else(|| panic!("docs/s3.md has no policy for {job}"));
    rest.split_once("```").expect("a block ends").0.to_owned()
}

#[test]
fn the_page_lists_every_switch() {
    let mut table = String::from("| switch | takes [default] |\n|---|---|\n");
    for (name, takes) in S3Address::switches() {
        writeln!(table, "| `{name}` | {takes} |").expect("text grows");
    }
    let page = page();
    let (before, rest) = page.split_once("<!-- switches -->\n").expect("docs/s3.md has the first mark");
    let (kept, after) =
        rest.split_once("<!-- end of switches -->\n").expect("docs/s3.md has the second mark");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let page = format!("{before}<!-- switches -->\n{table}<!-- end of switches -->\n{after}");
        return std::fs::write(path(), page).expect("write docs/s3.md");
    }
    assert_eq!(kept, table, "docs/s3.md does not list the switches; run with UPDATE_DOCS=1");
}
