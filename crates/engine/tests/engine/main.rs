//! The engine against real stores in memory and on disk, with a clock and a random source that the tests own.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod attributes;
mod cancel;
mod chains;
mod clocks;
mod damage;
mod faults;
mod forged;
mod golden;
mod history;
mod keys;
mod lists;
mod node;
mod parent;
mod partial;
mod parts;
mod power_cut;
mod prune;
mod requests;
mod restore;
mod resume;
mod rotation;
mod roundtrip;
mod sending;
mod shrunk;
mod sources;
mod staged;
mod strangers;
mod world;
