//! The rules of the repository protocol, by name. Code that follows a rule points back to its [`Rule`] variant.
//!
//! A rule is one sentence that one actor can obey alone. Each can be switched off in the model, to see that it is
//! needed. Must never hold behaviour: what a rule does is written where the actor acts.

use std::fmt;
use std::str::FromStr;

macro_rules! rules {
    ($($(#[doc = $sentence:literal])+ $variant:ident $name:literal $origin:ident;)+) => {
        /// One rule of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $($(#[doc = $sentence])+ $variant,)+
        }

        impl Rule {
            /// Every rule: writer, rotation, forget, hold, restore, prune.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The rule's name in traces, tables and the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What the rule asks for.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => concat!($($sentence,)+).trim_ascii(),)+ }
            }

            /// Where the rule comes from.
            pub const fn origin(self) -> Origin {
                match self { $(Self::$variant => Origin::$origin,)+ }
            }
        }
    };
}

/// Where a rule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The protocol as it was first designed says it.
    Design,
    /// The first design means it or leaves it open; the model shows that it has to be said.
    Said,
    /// The first design is wrong without it: the model found the counterexample, and this is the mend.
    Mend,
}

rules! {
    /// A writer puts the manifest after everything that it names.
    ManifestLast "manifest_last" Design;
    /// After putting its manifest a writer looks for an `ending` record of its own id, and is fenced by one.
    CheckOwnEnding "check_own_ending" Design;
    /// After putting its manifest a writer looks whether its parent still stands, and is fenced if it does not.
    CheckParent "check_parent" Design;
    /// Whether the parent stands is told by its `ending` record, which stays, not by its manifest, which a late
    /// duplicate of its PUT can bring back.
    ParentByEnding "parent_by_ending" Mend;
    /// After putting its manifest a writer looks for an `ending` record of each unfinished id whose packs it took
    /// over, and is fenced by one.
    CheckTakenEnding "check_taken_ending" Design;
    /// A writer puts `confirmed/<point>` only after its manifest and all checks.
    ConfirmAfterChecks "confirm_after_checks" Mend;
    /// After putting its `confirmed` record a writer looks once more for an `ending` record of its own id, and is
    /// fenced by one.
    CheckOwnEndingAgain "check_own_ending_again" Mend;
    /// A writer takes as parent only a point whose `confirmed` record it has read.
    ParentConfirmed "parent_confirmed" Mend;
    /// A writer takes as parent only a point that has no `ending` record when it looks; without one it opens a chain.
    ParentNotEnding "parent_not_ending" Mend;
    /// A writer reports success as its last act, after all checks and the `confirmed` record.
    ReportLast "report_last" Design;
    /// A retried PUT sends the same bytes under the same name; a new encoding has a new name.
    RetrySameBytes "retry_same_bytes" Design;
    /// A run takes over packs only of an id that has no `ending` record when it looks.
    TakeoverSkipsEnding "takeover_skips_ending" Said;
    /// A point names all objects of every ancestor in its lineage, needed or not.
    NamesWholeLineage "names_whole_lineage" Said;
    /// Every point of a chain names the chain's keys, which belong to the id that opened the chain.
    ChainKeysNamed "chain_keys_named" Said;
    /// A coordinator puts the manifest only when every volume record has come in or its agent has given up.
    CoordinatorWaits "coordinator_waits_for_all_records" Design;
    /// A partial point is never a parent and never counts as the newest or as a later point.
    PartialNeverCounts "partial_never_counts" Design;

    /// After putting a chain's keys a writer looks for a newer recovery key, and is fenced by one before it puts any data.
    ChainKeyLooksForNewer "chain_key_looks_for_newer" Mend;
    /// A writer goes on with a chain only if its keys are sealed to the newest recovery key; else it opens one.
    ContinuesSealedToNewest "continues_sealed_to_newest" Mend;
    /// After putting its manifest a writer looks for a newer recovery key, and is fenced by one.
    CommitLooksForNewer "commit_looks_for_newer" Mend;
    /// A rotation lists the points that stand only after its statement does.
    ListsAfterStatement "lists_after_statement" Said;

    /// Forget never deletes the newest complete point that it sees.
    ForgetKeepsNewest "forget_keeps_newest" Design;
    /// Forget and prune take as newest only a point whose `confirmed` record they have read.
    NewestConfirmed "newest_confirmed" Mend;
    /// Forget deletes only points that are older than the newest that it keeps.
    ForgetOnlyOlder "forget_only_older" Said;
    /// Forget puts `ending/<point>` before it looks for pins and holds, and deletes the manifest after.
    ForgetAnnounces "forget_announces" Mend;
    /// Of a point that was not confirmed when it was chosen forget looks for the `confirmed` record again after its
    /// announcement, and leaves the point if there is one.
    ForgetAsksConfirmed "forget_asks_confirmed_again" Mend;
    /// Forget leaves a point that a restore has pinned.
    PinChecked "pin_checked_by_forget" Design;
    /// Forget leaves a point that a person holds.
    HoldChecked "hold_checked_by_forget" Design;
    /// A hold is reported as set only if no `ending` record of the point stands after it was put.
    HoldLooksAtEnding "hold_looks_at_ending" Mend;
    /// A hold has a name of its own, which no restore removes.
    HoldOwnRecord "hold_own_record" Mend;

    /// Each restore pins under a name of its own and removes only that.
    PinPerReader "pin_per_reader" Mend;
    /// A restore looks for an `ending` record after putting its pin; if there is one it is not protected.
    ReaderLooksAtEnding "reader_looks_at_ending" Mend;
    /// A restore whose object has vanished reads the manifest again before it says damaged.
    ReaderRereadsManifest "reader_rereads_manifest" Design;
    /// A restore whose object has vanished says damaged only of a confirmed point.
    ReaderAsksConfirmed "reader_asks_confirmed" Mend;
    /// An object that cannot be read ends the restore; it is never taken for zeroes.
    ReaderReadsAll "reader_reads_all" Design;

    /// Prune ends an unfinished or forgotten id only when a later confirmed point stands or a person named the id.
    EndOnlyAfterLater "end_only_after_later" Design;
    /// Prune puts `ending/<id>` for every id it will take from before it reads the manifests for the second time.
    EndingBeforeReread "ending_before_reread" Design;
    /// After the `ending` records prune reads all manifests a second time and takes back what they name.
    RereadAfterEnding "reread_after_ending" Design;
    /// Prune reads again until no manifest vanished during a reading: an id without manifest either has no `ending`
    /// record, so never had one, or was already gone before the reading began.
    RereadUntilStill "reread_until_still" Mend;
    /// Prune puts the list of what will go under `ended/` before it deletes any of it.
    EndedBeforeDelete "ended_before_delete" Design;
    /// A manifest that names an object on an `ended` list is void: not listed, not picked, and it protects nothing.
    VoidByEnded "void_by_ended" Design;
    /// Of manifests prune deletes only void ones.
    PruneDeletesOnlyVoid "prune_deletes_only_void" Said;
    /// A list under `ended/` alone destroys nothing: prune keeps the objects of a confirmed point of which nothing is gone yet, and
    /// any manifest of whose objects nothing is gone, whoever ended the point.
    WholeStays "whole_stays" Mend;
    /// An `ending` record is never deleted.
    EndingStays "ending_stays" Said;
    /// An `ended` record is never deleted.
    EndedStays "ended_stays" Said;
    /// A LIST never proves absence: prune looks up by exact key the manifest of every id that any name mentions.
    ListIsNoProof "list_is_no_proof_of_absence" Design;
    /// The second reading lists the data again too, so that new ids come from the owner parts of names.
    RereadListsData "reread_lists_data" Said;
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|rule| rule.name() == name)
            .ok_or_else(|| format!("no rule is called {name}"))
    }
}

/// Which rules are obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    off: u64,
}

impl Rules {
    /// Every rule is obeyed.
    pub const FULL: Self = Self { off: 0 };

    /// The same without `rule`.
    #[must_use]
    pub const fn without(self, rule: Rule) -> Self {
        Self { off: self.off | 1 << rule as u64 }
    }

    /// The protocol as first designed: every rule but the mends.
    pub fn first_design() -> Self {
        let mends = Rule::ALL.iter().filter(|rule| rule.origin() == Origin::Mend);
        mends.fold(Self::FULL, |rules, &mend| rules.without(mend))
    }

    /// Whether `rule` is obeyed.
    pub const fn obeys(self, rule: Rule) -> bool {
        self.off & (1 << rule as u64) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, Rule, Rules};

    #[test]
    fn names_are_unique_and_parse_back() {
        for &rule in Rule::ALL {
            assert_eq!(rule.name().parse(), Ok(rule));
            assert!(rule.sentence().ends_with('.'), "{rule}");
        }
        assert!("no_such_rule".parse::<Rule>().is_err());
    }

    #[test]
    fn switching_off_one_rule_leaves_the_others() {
        let rules = Rules::FULL.without(Rule::CheckParent);
        let off: Vec<_> = Rule::ALL.iter().copied().filter(|&rule| !rules.obeys(rule)).collect();
        assert_eq!(off, [Rule::CheckParent]);
        assert!(Rule::ALL.iter().all(|&r| Rules::first_design().obeys(r) == (r.origin() != Origin::Mend)));
    }
}
