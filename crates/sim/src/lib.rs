//! Test support for Coffer: reference models and fakes. Never linked into a program that a user runs.

pub mod protocol;
