//! The scenarios: bounded worlds, each about one kind of meeting.
//!
//! Ids are letters in the order of time; the order in which runs start and commit is free. In all of them any actor
//! may die after any request.

use super::listing::Listing;
use super::names::{PointId, Points, Volumes};
use super::scenario::{Before, Scenario, WriterSpec};

const A: PointId = PointId::new(0);
const B: PointId = PointId::new(1);

/// The scenarios of the ordinary test run.
pub fn ordinary() -> Vec<Scenario> {
    vec![
        commit(),
        clock_order(),
        resume(),
        two_resumers(),
        take_over_alive(),
        two_pruners(),
        lost_answers(),
        skipped_volume(),
        agents(),
        agents_resume(),
        restore(),
        restore_unconfirmed(),
        hold(),
        abandoned(),
        two_forgetters(),
        stale_list(),
        stale_chain(),
        vanishing(),
        late_duplicate(),
        rotation(),
        rotation_resume(),
        forged_ended(),
    ]
}

/// Larger bounds, for a release build and patience.
pub fn deep() -> Vec<Scenario> {
    let commit = commit();
    vec![
        Scenario { forgetters: 2, name: "deep_commit", ..commit.clone() },
        Scenario { lost_answers: true, name: "deep_lost_answers", ..commit.clone() },
        Scenario { pruners: vec![Points::NONE; 2], forgetters: 1, name: "deep_two_pruners", ..two_pruners() },
        Scenario { forgetters: 1, name: "deep_resume", ..resume() },
        Scenario { lost_answers: true, name: "deep_hold", ..hold() },
        Scenario { readers: vec![Points::one(B)], name: "deep_late_duplicate", ..late_duplicate() },
        Scenario { listing: Listing::Stale, name: "deep_stale_late", ..late_duplicate() },
        deep_stale_late_child(),
        Scenario { pruners: vec![Points::NONE; 2], name: "deep_clock_order", ..clock_order() },
        Scenario { lost_answers: true, name: "deep_clock_lost", ..clock_order() },
        Scenario { lost_answers: true, name: "deep_rotation_lost", ..rotation() },
        Scenario { forgetters: 1, pruners: vec![Points::NONE], name: "deep_rotation", ..rotation() },
    ]
}

/// The scenario called `name`.
pub fn named(name: &str) -> Option<Scenario> {
    ordinary().into_iter().chain(deep()).find(|scenario| scenario.name == name)
}

fn commit() -> Scenario {
    Scenario {
        before: vec![Before::complete(0)],
        writers: vec![WriterSpec::incremental(1), WriterSpec::full(2)],
        pruners: vec![Points::NONE],
        forgetters: 1,
        ..Scenario::new("commit", "an incremental and a full side by side, forget and prune")
    }
}

fn forged_ended() -> Scenario {
    Scenario {
        before: vec![Before::complete(0)],
        writers: vec![WriterSpec::incremental(1), WriterSpec::incremental(2).after(0)],
        pruners: vec![Points::NONE; 2],
        forges: Some(A),
        ..Scenario::new(
            "forged_ended",
            "somebody with the right to write makes up that the oldest point was ended, beside backups and two prunes",
        )
    }
}

fn clock_order() -> Scenario {
    Scenario {
        before: vec![Before::complete(0)],
        writers: vec![WriterSpec::incremental(2), WriterSpec::full(1), WriterSpec::incremental(3).after(0)],
        pruners: vec![Points::NONE],
        forgetters: 1,
        ..Scenario::new(
            "clock_order",
            "a full that is older but commits first, and a child of what it overtook",
        )
    }
}

fn resume() -> Scenario {
    Scenario {
        before: vec![Before::leftover(0), Before::complete(1)],
        writers: vec![WriterSpec::full(2).resuming(0), WriterSpec::incremental(3)],
        pruners: vec![Points::NONE],
        ..Scenario::new("resume", "a run takes over packs that prune is ending, and another builds on it")
    }
}

fn two_resumers() -> Scenario {
    Scenario {
        before: vec![Before::leftover(0), Before::complete(1)],
        writers: vec![WriterSpec::full(2).resuming(0), WriterSpec::full(3).resuming(0)],
        pruners: vec![Points::NONE],
        forgetters: 1,
        ..Scenario::new("two_resumers", "two runs take over the same packs")
    }
}

fn take_over_alive() -> Scenario {
    Scenario {
        before: vec![Before::complete(0)],
        writers: vec![WriterSpec::full(1), WriterSpec::full(2).resuming(1)],
        pruners: vec![Points::NONE],
        lost_answers: true,
        ..Scenario::new("take_over_alive", "packs are taken over while their writer lives and retries")
    }
}

fn two_pruners() -> Scenario {
    Scenario {
        before: vec![Before::complete(0)],
        writers: vec![WriterSpec::incremental(1), WriterSpec::full(2)],
        pruners: vec![Points::NONE; 2],
        ..Scenario::new("two_pruners", "two prunes at once, void manifests removed while their writer lives")
    }
}

fn lost_answers() -> Scenario {
    Scenario {
        before: vec![Before::complete(0), Before::complete(2)],
        writers: vec![WriterSpec::incremental(1)],
        pruners: vec![Points::NONE; 2],
        forgetters: 1,
        lost_answers: true,
        ..Scenario::new("lost_answers", "every PUT and DELETE may be done without an answer and is retried")
    }
}

fn skipped_volume() -> Scenario {
    Scenario {
        before: vec![Before::complete(0).of_both(), Before::child(1, 0)],
        writers: vec![WriterSpec::incremental(2).of(Volumes::Both)],
        pruners: vec![Points::NONE],
        forgetters: 1,
        ..Scenario::new(
            "skipped_volume",
            "a volume whose base is older than the parent, which did not cover it",
        )
    }
}

fn agents() -> Scenario {
    Scenario {
        before: vec![Before::complete(0).of_both()],
        writers: vec![WriterSpec::incremental(1).by_agents(), WriterSpec::full(2)],
        pruners: vec![Points::NONE],
        forgetters: 1,
        ..Scenario::new("agents", "two agents write one point, either may die")
    }
}

fn agents_resume() -> Scenario {
    Scenario {
        before: vec![Before::complete(0).of_both(), Before::leftover_child(1, 0).of_both()],
        writers: vec![WriterSpec::incremental(2).by_agents().resuming(1)],
        pruners: vec![Points::one(B)],
        ..Scenario::new("agents_resume", "two agents take over packs of an id that a person calls abandoned")
    }
}

fn restore() -> Scenario {
    Scenario {
        before: vec![Before::complete(0), Before::child(1, 0), Before::complete(2)],
        readers: vec![Points::one(A).with(Points::one(B)), Points::one(B)],
        pruners: vec![Points::NONE],
        forgetters: 1,
        ..Scenario::new("restore", "two restores, forget and prune")
    }
}

fn restore_unconfirmed() -> Scenario {
    Scenario {
        before: vec![Before::complete(0)],
        writers: vec![WriterSpec::full(1)],
        readers: vec![Points::one(B)],
        pruners: vec![Points::one(B)],
        listing: Listing::Stale,
        ..Scenario::new(
            "restore_unconfirmed",
            "a restore of a point that will turn out to be void; stale LISTs",
        )
    }
}

fn hold() -> Scenario {
    Scenario {
        before: vec![Before::complete(0), Before::complete(1)],
        readers: vec![Points::one(A)],
        pruners: vec![Points::NONE],
        forgetters: 2,
        hold: Some(A),
        ..Scenario::new("hold", "a hold is set and released beside two forgets and a restore")
    }
}

fn abandoned() -> Scenario {
    Scenario {
        before: vec![Before::complete(0)],
        writers: vec![WriterSpec::full(1), WriterSpec::incremental(2)],
        pruners: vec![Points::one(B)],
        forgetters: 1,
        ..Scenario::new("abandoned", "a person calls a run abandoned that is alive")
    }
}

fn two_forgetters() -> Scenario {
    Scenario {
        before: vec![Before::complete(0)],
        writers: vec![WriterSpec::full(1), WriterSpec::incremental(2)],
        forgetters: 2,
        ..Scenario::new("two_forgetters", "two forgets at once while points are confirmed out of order")
    }
}

fn stale_list() -> Scenario {
    Scenario {
        before: vec![Before::complete(0), Before::complete(2)],
        writers: vec![WriterSpec::incremental(1)],
        pruners: vec![Points::NONE],
        forgetters: 1,
        listing: Listing::Stale,
        ..Scenario::new("stale_list", "every LIST may hide names")
    }
}

fn stale_chain() -> Scenario {
    Scenario {
        before: vec![Before::complete(0)],
        writers: vec![WriterSpec::incremental(1), WriterSpec::incremental(2).after(0)],
        pruners: vec![Points::NONE],
        forgetters: 2,
        listing: Listing::StaleForPrune,
        crashes: false,
        ..Scenario::new(
            "stale_chain",
            "a chain grows and is forgotten while prune reads; every LIST may hide names",
        )
    }
}

fn deep_stale_late_child() -> Scenario {
    Scenario {
        before: vec![Before::complete(0), Before::complete(2)],
        writers: vec![WriterSpec::incremental(3)],
        pruners: vec![Points::NONE],
        forgetters: 1,
        listing: Listing::Stale,
        late_duplicates: true,
        ..Scenario::new(
            "deep_stale_late_child",
            "a forgotten manifest comes back while LISTs hide newer ones",
        )
    }
}

fn vanishing() -> Scenario {
    Scenario {
        before: vec![Before::complete(0), Before::complete(1)],
        writers: vec![WriterSpec::incremental(2).begun_on(0), WriterSpec::incremental(3)],
        pruners: vec![Points::NONE],
        forgetters: 2,
        forgets_in_turn: true,
        crashes: false,
        ..Scenario::new(
            "vanishing",
            "a chain grows at its head and is forgotten at its tail while prune reads",
        )
    }
}

fn late_duplicate() -> Scenario {
    Scenario {
        before: vec![Before::complete(0)],
        writers: vec![WriterSpec::incremental(1), WriterSpec::full(2)],
        pruners: vec![Points::NONE],
        forgetters: 1,
        late_duplicates: true,
        ..Scenario::new("late_duplicate", "a manifest's PUT is done once more by the network, at any time")
    }
}

fn rotation() -> Scenario {
    Scenario {
        before: vec![Before::complete(0)],
        writers: vec![
            WriterSpec::incremental(1),
            WriterSpec::full(2),
            WriterSpec::incremental(3).with_new_key(),
        ],
        rotates: true,
        ..Scenario::new(
            "rotation",
            "the recovery key is rotated beside runs with the old key and one with the new",
        )
    }
}

fn rotation_resume() -> Scenario {
    Scenario {
        before: vec![Before::complete(0), Before::leftover(1)],
        writers: vec![WriterSpec::full(2).resuming(1), WriterSpec::full(3).resuming(1).with_new_key()],
        pruners: vec![Points::NONE],
        rotates: true,
        ..Scenario::new(
            "rotation_resume",
            "the recovery key is rotated while runs take over what one of the old key left",
        )
    }
}
