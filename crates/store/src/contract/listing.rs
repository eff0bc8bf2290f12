//! Rules about lists.

use super::tools::{body, put};
use crate::error::StoreError;
use crate::port::{ObjectStore, list_all};

/// The keys of all pages of `max` objects.
fn list_keys(store: &dyn ObjectStore, prefix: &str, start_after: Option<&str>, max: usize) -> Vec<String> {
    let mut keys = Vec::new();
    let mut after = start_after.map(str::to_owned);
    loop {
        let page = store.list(prefix, after.as_deref(), max).expect("a list succeeds");
        assert!(page.objects.len() <= max, "a page of {max} has {}", page.objects.len());
        assert!(page.next.is_none() || !page.objects.is_empty(), "an empty page is not the last");
        keys.extend(page.objects.into_iter().map(|object| object.key.to_string()));
        match page.next {
            Some(next) => after = Some(next),
            None => return keys,
        }
    }
}

/// Names around the slash in byte order: `-`, `.`, `%`, `+` and `,` come before it.
const NAMES: &[&str] = &[
    "a%b/1",
    "a+",
    "a-",
    "a-/x",
    "a.",
    "a./b",
    "a/-",
    "a/.x",
    "a/0",
    "a/b%/c",
    "a/b-c",
    "a/b/c",
    "a/b/c0",
    "a/b0",
    "a0",
    "aB",
    "ab",
    "b",
    "t/x/points/1",
    "t/x/points/2",
    "t/xy/points/1",
];

fn put_names(store: &dyn ObjectStore) {
    for name in NAMES {
        put(store, &name.replace("a-/x", "a-x/y").replace("a./b", "a.b/c"), body(1, 3));
    }
}

fn sorted_names() -> Vec<String> {
    let mut names: Vec<String> =
        NAMES.iter().map(|name| name.replace("a-/x", "a-x/y").replace("a./b", "a.b/c")).collect();
    names.sort();
    names
}

pub(super) fn byte_order(store: &dyn ObjectStore) {
    assert!(list_keys(store, "", None, 10).is_empty());
    put_names(store);
    for max in [1, 2, 3, 7, 1_000] {
        assert_eq!(list_keys(store, "", None, max), sorted_names(), "pages of {max}");
    }
}

/// Lists all of every prefix in pages of every length.
fn check_prefixes(store: &dyn ObjectStore, prefixes: &[&str], pages: &[usize]) {
    put_names(store);
    for prefix in prefixes {
        let expected: Vec<String> =
            sorted_names().into_iter().filter(|name| name.starts_with(prefix)).collect();
        for max in pages {
            assert_eq!(list_keys(store, prefix, None, *max), expected, "prefix {prefix}, pages of {max}");
        }
    }
}

const PREFIXES: &[&str] = &[
    "a",
    "a/",
    "a/b",
    "a/b/",
    "a/b/c",
    "a-",
    "a.",
    "t/",
    "t/x",
    "t/x/",
    "t/x/points/",
    "z",
    "a/z",
    "a/b/c/",
    "/",
    "//",
    "a//",
    "../",
    "./",
    "a/../",
    "a/./b",
    "€",
    ".tmp/",
    "a/b/c0",
];

pub(super) fn prefixes(store: &dyn ObjectStore) {
    check_prefixes(store, PREFIXES, &[2, 3, 1_000]);
}

/// Pages of one object, and a prefix that could be a directory's name for the one above.
pub(super) fn odd_prefixes(store: &dyn ObjectStore) {
    check_prefixes(store, PREFIXES, &[1]);
    assert_eq!(list_keys(store, "..", None, 1_000), Vec::<String>::new());
}

pub(super) fn start_after(store: &dyn ObjectStore) {
    put_names(store);
    let mut afters = sorted_names();
    afters.extend(
        ["", "a/", "a/b/", "a/b/c/", "a0/", "a\u{7f}", "zz", "a/b.", "t/x/points", "/"].map(str::to_owned),
    );
    for after in &afters {
        for prefix in ["", "a/", "a/b", "t/x/points/", "b"] {
            let is_due = |name: &String| name > after && name.starts_with(prefix);
            let expected: Vec<String> = sorted_names().into_iter().filter(is_due).collect();
            assert_eq!(list_keys(store, prefix, Some(after), 2), expected, "prefix {prefix} after {after}");
        }
    }
}

pub(super) fn pages(store: &dyn ObjectStore) {
    let mut expected: Vec<String> = (0..2_500).map(|n| format!("p/{}/{n}", n % 7)).collect();
    for name in &expected {
        put(store, name, body(1, 1));
    }
    put(store, "q", body(1, 1));
    expected.sort();
    for max in [1_000, 999, 500] {
        assert!(list_keys(store, "p/", None, max) == expected, "pages of {max} differ");
    }
    let first = store.list("p/", None, 1_000).expect("a list succeeds");
    assert_eq!((first.objects.len(), first.next.as_deref()), (1_000, Some(expected[999].as_str())));
    let all = list_all(store, "").expect("a list succeeds");
    assert_eq!(all.len(), 2_501);
    assert!(all.iter().all(|object| object.len == 1));
}

pub(super) fn page_is_bounded(store: &dyn ObjectStore) {
    put(store, "a", body(1, 1));
    for max in [0, 1_001] {
        assert!(matches!(store.list("", None, max), Err(StoreError::Misuse { .. })), "{max}");
    }
    let page = store.list("", None, 1).expect("a list succeeds");
    assert_eq!((page.objects.len(), page.next), (1, None));
}
