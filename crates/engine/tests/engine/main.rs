//! The engine against real stores in memory and on disk, with a clock and a random source that the tests own.

mod chains;
mod roundtrip;
mod world;
