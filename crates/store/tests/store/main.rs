//! Tests of the stores through their public port. Nothing here may reach outside its temporary directories.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod contract;
mod directory;
mod faults;
mod no_space;
mod power_cut;
