//! Explores every state of a scenario, breadth first, until all are seen or a property is broken.
//!
//! The search itself is `stateright`'s; here are only the model that it asks and the answer put in words.

use super::forgetter;
use super::holder;
use super::property::{self, Property};
use super::pruner;
use super::reader;
use super::scenario::Scenario;
use super::state::State;
use super::step::{Actor, Request, Step, Turn};
use super::writer;
use stateright::{Checker, HasDiscoveries, Model};
use std::fmt;

/// What an exploration found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How many different states were seen.
    pub states: usize,
    /// How a property was broken, if one was.
    pub counterexample: Option<Counterexample>,
}

/// A shortest way found to break a property.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// What does not hold.
    pub property: Property,
    /// The steps that lead there, in words.
    pub steps: Vec<String>,
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is broken:", self.property)?;
        self.steps.iter().try_for_each(|step| write!(f, "\n  {step}"))
    }
}

/// Explores `scenario` with `threads` threads until any property is broken.
pub fn explore(scenario: &Scenario, threads: usize) -> Outcome {
    search(scenario, threads, None)
}

/// Explores `scenario` with `threads` threads until `property` is broken; others may be.
pub fn explore_for(scenario: &Scenario, threads: usize, property: Property) -> Outcome {
    search(scenario, threads, Some(property))
}

fn search(scenario: &Scenario, threads: usize, only: Option<Property>) -> Outcome {
    scenario.check_bounds();
    let world = World { scenario: scenario.clone(), after: scenario.aftermath(), only };
    let checker =
        world.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let counterexample = checker.discovery(HOLDS).map(|path| {
        let last = path.last_state();
        let property = property::broken(scenario, &scenario.aftermath(), last, only);
        Counterexample {
            property: property.expect("the checker stopped at a state that breaks a property"),
            steps: path.into_actions().iter().map(Step::to_string).collect(),
        }
    });
    Outcome { states: checker.unique_state_count(), counterexample }
}

const HOLDS: &str = "every property holds";

struct World {
    scenario: Scenario,
    after: Scenario,
    only: Option<Property>,
}

impl World {
    fn steps(&self, state: &State, steps: &mut Vec<Step>) {
        let scenario = &self.scenario;
        let mut turn = Turn { scenario, state, actor: Actor::Network, steps };
        deliver_late(&mut turn);
        for i in 0..scenario.writers.len() {
            writer::steps(&mut turn, i);
        }
        for i in 0..scenario.pruners.len() {
            turn.actor = Actor::Pruner(i as u8);
            pruner::steps(&mut turn, i);
        }
        for i in 0..scenario.forgetters {
            turn.actor = Actor::Forgetter(i as u8);
            forgetter::steps(&mut turn, i);
        }
        for i in 0..scenario.readers.len() {
            turn.actor = Actor::Reader(i as u8);
            reader::steps(&mut turn, i);
        }
        turn.actor = Actor::Holder;
        holder::steps(&mut turn);
    }
}

/// An old PUT of a manifest is done once more.
fn deliver_late(turn: &mut Turn<'_>) {
    for point in turn.state.store.in_flight.iter() {
        turn.take(Request::Put(super::step::Key::Manifest(point)), |next| {
            next.store.in_flight.remove(point);
            next.store.manifests.insert(point);
        });
    }
}

impl Model for World {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![self.scenario.start()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Step>) {
        self.steps(state, actions);
    }

    fn next_state(&self, _: &State, step: Step) -> Option<State> {
        Some(step.next)
    }

    fn properties(&self) -> Vec<stateright::Property<Self>> {
        vec![stateright::Property::always(HOLDS, |world: &Self, state| {
            property::broken(&world.scenario, &world.after, state, world.only).is_none()
        })]
    }
}
