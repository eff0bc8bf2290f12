//! The controller against a Kubernetes API in memory: what it writes, what it does when writes fail, where it goes on after a kill.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "api/certificates.rs"]
mod certificates;
#[path = "api/clock.rs"]
mod clock;
#[path = "api/fake.rs"]
mod fake;
#[path = "support/fake_api.rs"]
mod fake_api;
#[path = "api/leader.rs"]
mod leader;
#[path = "api/plan.rs"]
mod plan;
#[path = "api/serve.rs"]
mod serve;
#[path = "api/team.rs"]
mod team;
#[path = "support/world.rs"]
mod world;
