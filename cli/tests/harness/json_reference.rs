//! Documents held against `docs/json.md`.

#![allow(dead_code, reason = "every test program uses a part of this")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

const REFERENCE: &str = include_str!("../../../docs/json.md");

/// Fields of each section of the reference, in the first column of its table.
pub(crate) fn reference() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut sections = BTreeMap::new();
    let mut section = "";
    for line in REFERENCE.lines() {
        if let Some(heading) = line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")) {
            section = heading;
        } else if let Some(cell) = line.strip_prefix("| `").and_then(|rest| rest.split(" | ").next()) {
            let names = cell.split(", ").map(|name| name.trim_matches('`'));
            sections.entry(section).or_insert_with(BTreeSet::new).extend(names);
        }
    }
    sections
}

/// What every document has to look like.
pub(crate) struct Reference(pub(crate) BTreeMap<&'static str, BTreeSet<&'static str>>);

impl Reference {
    /// Fails unless `value` has the fields of `section`; `optional` ones may be missing.
    #[track_caller]
    pub(crate) fn check(&self, section: &str, value: &Value, optional: &[&str]) {
        let expected = self.0.get(section).unwrap_or_else(|| panic!("docs/json.md has no section {section}"));
        let object = value.as_object().unwrap_or_else(|| panic!("{section} is no object: {value}"));
        let found: BTreeSet<&str> = object.keys().map(String::as_str).collect();
        let missing: Vec<_> = expected.difference(&found).filter(|name| !optional.contains(name)).collect();
        let unknown: Vec<_> = found.difference(expected).collect();
        assert!(
            missing.is_empty() && unknown.is_empty(),
            "{section}: missing {missing:?}, not in docs/json.md {unknown:?}"
        );
    }
}
