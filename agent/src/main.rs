//! `coffer-agent --config FILE`: starts the node agent and ends with its exit status. Everything else is in the library.

fn main() {}
