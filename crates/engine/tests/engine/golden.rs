//! Golden repositories: what version 1 wrote once, it lists, verifies and restores for ever. So does the reader in `tests/reader`, which was
//! written from `docs/format.md` alone.
//!
//! They lie in `tests/golden`. Those that are missing are made when `COFFER_WRITE_GOLDEN` is set; what is there is never replaced.
//! `scripts/golden.sh` makes all of them anew.

mod make;
mod read;
mod sparse;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a golden repository must give back: `expected.json` beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Expected {
    /// Files with the keys; none where nothing is encrypted. Each reads the points that name it.
    keys: Vec<String>,
    /// All manifests that are not void, by point.
    points: Vec<ExpectedPoint>,
    /// Points whose manifests stand and are void.
    void: Vec<String>,
    /// Keys of objects that are none of ours: each is a finding, and blocks nobody.
    strange: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ExpectedPoint {
    point: String,
    state: String,
    confirmed: bool,
    /// The recovery keys that open its data; none where nothing is encrypted.
    opened_by: Vec<String>,
    volumes: Vec<ExpectedVolume>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ExpectedVolume {
    name: String,
    size: u64,
    /// BLAKE3 of the content; none for a volume that failed.
    blake3: Option<String>,
}

fn directory(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

fn check(name: &str, make: fn() -> make::Golden) {
    if !directory(name).exists() && std::env::var_os("COFFER_WRITE_GOLDEN").is_some() {
        make().write(&directory(name));
    }
    read::check(&directory(name));
}

#[test]
fn suite_0_is_read() {
    check("suite0", make::suite0);
}

#[test]
fn small_points_of_suite_0_are_read() {
    check("suite0-small", make::suite0_small);
}

#[test]
fn suite_1_is_read() {
    check("suite1", make::suite1);
}

#[test]
fn a_chain_gone_on_with_is_read() {
    check("resumed", make::resumed);
}

#[test]
fn what_forget_and_prune_left_is_read() {
    check("pruned", make::pruned);
}

#[test]
fn points_around_a_rotation_are_read() {
    check("rotated", make::rotated);
}

#[test]
fn points_around_rotations_with_new_secrets_are_read() {
    check("rotated-writers", make::rotated_writers);
}
