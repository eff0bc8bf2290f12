//! Conditions of a restore. Pure.

use coffer_api::{Restore, RestoreStatus};

use crate::status::{State, set_state};

pub(super) fn in_progress(status: &mut RestoreStatus, restore: &Restore, message: &str, now: &str) {
    status.message = Some(message.to_owned());
    set(status, restore, &State::InProgress { reason: "Running", message: message.to_owned() }, now);
}

pub(super) fn ready(status: &mut RestoreStatus, restore: &Restore, message: &str, now: &str) {
    set(status, restore, &State::Ready { reason: "Completed", message: message.to_owned() }, now);
}

pub(super) fn stalled(status: &mut RestoreStatus, restore: &Restore, message: &str, now: &str) {
    status.message = Some(message.to_owned());
    set(status, restore, &State::Stalled { reason: "Failed", message: message.to_owned() }, now);
}

fn set(status: &mut RestoreStatus, restore: &Restore, state: &State, now: &str) {
    let generation = restore.metadata.generation;
    status.observed_generation = generation;
    set_state(&mut status.conditions, state, generation, now);
}
