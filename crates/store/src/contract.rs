//! The rules of the port as tests that any store must pass.
//!
//! Each rule gets a store of its own from `make`, so that stores with leftovers of other rules do not confuse it.
//! Nothing here may depend on one adapter.

mod concurrent;
mod listing;
mod objects;
mod tools;
mod uploads;

use crate::port::ObjectStore;

/// A rule as a function that panics if the store breaks it.
type Rule = fn(&dyn ObjectStore);

/// What a store cannot do, through no fault of its adapter. Each is a fact about a server; `docs/s3.md` tells it and what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lacks {
    /// Unfinished uploads are found only by the whole name of their object.
    pub uploads_by_prefix: bool,
    /// Lists are complete from their beginning and page by page, and not from any name on.
    pub lists_from_any_name: bool,
    /// A page of one object may seem to be the last where an object's name is the prefix itself, and the prefix `..` is refused.
    pub odd_prefixes: bool,
}

/// Whether a store that lacks something cannot keep a rule.
type Excuse = fn(&Lacks) -> bool;

/// The rules that some stores cannot keep.
const RULES_WITH_EXCUSE: &[(&str, Excuse, Rule)] = &[
    ("uploads are listed by prefix", |lacks| lacks.uploads_by_prefix, uploads::listed),
    ("odd prefixes and pages of one are no exception", |lacks| lacks.odd_prefixes, listing::odd_prefixes),
    ("start_after needs no existing key", |lacks| lacks.lists_from_any_name, listing::start_after),
];

/// Every other rule with its name.
const RULES: &[(&str, Rule)] = &[
    ("an object comes back as it was put", objects::comes_back),
    ("an empty object is an object", objects::empty),
    ("names are taken literally", objects::names_are_literal),
    ("an object is written once", objects::write_once),
    ("the same put again is a success", objects::put_again),
    ("what is absent is not found", objects::absent),
    ("a get is bounded", objects::get_is_bounded),
    ("ranges are exact or short", objects::ranges),
    ("head tells length and time", objects::head),
    ("deleted objects are gone", objects::delete),
    ("deleting what is absent is fine", objects::delete_absent),
    ("a deleted name can be put again", objects::put_after_delete),
    ("a delete has at most 1,000 keys", objects::delete_is_bounded),
    ("requests are counted by kind", objects::counted),
    ("the clock runs", objects::clock),
    ("a list is in byte order", listing::byte_order),
    ("a list matches its prefix", listing::prefixes),
    ("pages of 2,500 keys join without gap or repeat", listing::pages),
    ("a page has 1 to 1,000 keys", listing::page_is_bounded),
    ("parts in any order make the object", uploads::any_order),
    ("one short part makes an object", uploads::single_part),
    ("parts from many threads make the object", uploads::from_threads),
    ("an object appears at complete and not before", uploads::appears_at_complete),
    ("wrong parts are refused", uploads::wrong_parts),
    ("a part may be repeated", uploads::part_again),
    ("complete does not overwrite", uploads::write_once),
    ("an aborted upload is gone", uploads::abort),
    ("uploads are listed by name", uploads::listed_by_name),
    ("of concurrent puts of one key one content wins", concurrent::puts_of_one_key),
    ("concurrent uploads of one key make one object", concurrent::uploads_of_one_key),
    ("puts and deletes side by side lose nothing", concurrent::puts_beside_deletes),
];

/// Checks every rule against a fresh, empty store each.
///
/// # Panics
/// If a rule is broken, with its name on stderr.
pub fn run_contract(make: impl Fn() -> Box<dyn ObjectStore>) {
    run_contract_with(Lacks::default(), make);
}

/// Checks every rule that a store with these gaps can keep against a fresh, empty store each.
///
/// # Panics
/// If a rule is broken, with its name on stderr.
pub fn run_contract_with(lacks: Lacks, make: impl Fn() -> Box<dyn ObjectStore>) {
    let excusable = RULES_WITH_EXCUSE.iter().filter(|(_, excuse, _)| !excuse(&lacks));
    let excusable = excusable.map(|(name, _, rule)| (*name, *rule));
    for (name, rule) in RULES.iter().copied().chain(excusable) {
        let store = make();
        let on_panic = NameOnPanic { name, store: store.describe() };
        rule(store.as_ref());
        drop(on_panic);
    }
}

/// Says which rule was broken, and by whom.
struct NameOnPanic {
    name: &'static str,
    store: String,
}

impl Drop for NameOnPanic {
    #[allow(clippy::print_stderr, reason = "a test's own words")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} breaks the rule: {}", self.store, self.name);
        }
    }
}
