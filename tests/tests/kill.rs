//! SIGKILL at any moment of backup, forget, prune and restore: no point that was reported is ever lost or changed, everything goes on
//! afterwards, and in the end nothing is left behind.
//!
//! `KILL_ROUNDS` says how many rounds, `KILL_SEED` which decisions. When a kill hits is up to the machine: a seed repeats what was
//! done, not the very instant. Must never look into the repository through the program's own code.

#[path = "kill/rounds.rs"]
mod rounds;
#[path = "kill/tally.rs"]
mod tally;
#[path = "kill/timing.rs"]
mod timing;
#[path = "kill/world.rs"]
mod world;

use coffer_tests::chance::Chance;
use coffer_tests::process::Program;

use crate::world::World;

const ROUNDS: u64 = 200;
const SEED: u64 = 1;

#[test]
fn a_kill_at_any_moment_loses_no_reported_point_and_leaves_nothing_behind() {
    let rounds = from_environment("KILL_ROUNDS", ROUNDS);
    let seed = from_environment("KILL_SEED", SEED);
    println!("KILL_SEED={seed} KILL_ROUNDS={rounds}");
    let program = Program::new(env!("CARGO_BIN_EXE_coffer-under-test"));
    let mut world = World::new(&program, Chance::new(seed));
    for round in 1..=rounds {
        world.round(round);
        if round.is_multiple_of(500) {
            println!("after {round} rounds: {}", world.tally);
        }
    }
    world.finish();
    println!("{rounds} rounds: {}", world.tally);
    world.tally.check_it_did_something(rounds);
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}
