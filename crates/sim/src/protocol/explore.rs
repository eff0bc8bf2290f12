//! Explores every state of a scenario, breadth first, until all are seen or a property is broken.
//!
//! The search itself is `stateright`'s; here are only the model that it asks and the answer put in words.

use super::forger_steps;
use super::forgetter_steps;
use super::holder_steps;
use super::property::{self, Property};
use super::pruner_steps;
use super::reader_steps;
use super::rotator_steps;
use super::scenario::Scenario;
use super::state::State;
use super::step::{Actor, Request, Step, Turn};
use super::writer_steps;
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
    search(scenario, threads, Question::Holds(None))
}

/// Explores `scenario` with `threads` threads until `property` is broken; others may be.
pub fn explore_for(scenario: &Scenario, threads: usize, property: Property) -> Outcome {
    search(scenario, threads, Question::Holds(Some(property)))
}

/// Explores `scenario` with one thread until a state in which `goal` is true; the steps that lead there, if any do.
pub fn reach(scenario: &Scenario, goal: fn(&State) -> bool) -> Option<Vec<String>> {
    let checker = spawn(scenario, 1, Question::Reaches(goal));
    checker.discovery(ANSWERED).map(|path| path.into_actions().iter().map(Step::to_string).collect())
}

fn search(scenario: &Scenario, threads: usize, question: Question) -> Outcome {
    let checker = spawn(scenario, threads, question);
    let counterexample = checker.discovery(ANSWERED).map(|path| Counterexample {
        property: checker
            .model()
            .broken(path.last_state())
            .expect("the search stopped where a property is broken"),
        steps: path.into_actions().iter().map(Step::to_string).collect(),
    });
    Outcome { states: checker.unique_state_count(), counterexample }
}

fn spawn(scenario: &Scenario, threads: usize, question: Question) -> impl Checker<World> {
    scenario.check_bounds();
    let world = World { scenario: scenario.clone(), after: scenario.aftermath(), question };
    world.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join()
}

/// The checker's name for a state that answers the question.
const ANSWERED: &str = "the search goes on";

/// What is looked for.
#[derive(Clone, Copy)]
enum Question {
    /// A state that breaks a property: this one, or any.
    Holds(Option<Property>),
    /// A state in which this is true.
    Reaches(fn(&State) -> bool),
}

struct World {
    scenario: Scenario,
    after: Scenario,
    question: Question,
}

impl World {
    fn broken(&self, state: &State) -> Option<Property> {
        let Question::Holds(only) = self.question else { return None };
        property::broken(&self.scenario, &self.after, state, only)
    }

    fn steps(&self, state: &State, steps: &mut Vec<Step>) {
        let scenario = &self.scenario;
        let mut turn = Turn { scenario, state, actor: Actor::Network, steps };
        deliver_late(&mut turn);
        for i in 0..scenario.writers.len() {
            writer_steps::steps(&mut turn, i);
        }
        for i in 0..scenario.pruners.len() {
            turn.actor = Actor::Pruner(i as u8);
            pruner_steps::steps(&mut turn, i);
        }
        for i in 0..scenario.forgetters {
            turn.actor = Actor::Forgetter(i as u8);
            forgetter_steps::steps(&mut turn, i);
        }
        for i in 0..scenario.readers.len() {
            turn.actor = Actor::Reader(i as u8);
            reader_steps::steps(&mut turn, i);
        }
        turn.actor = Actor::Holder;
        holder_steps::steps(&mut turn);
        turn.actor = Actor::Rotator;
        rotator_steps::steps(&mut turn);
        turn.actor = Actor::Forger;
        forger_steps::steps(&mut turn);
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
        vec![stateright::Property::always(ANSWERED, |world: &Self, state| match world.question {
            Question::Holds(_) => world.broken(state).is_none(),
            Question::Reaches(goal) => !goal(state),
        })]
    }
}
