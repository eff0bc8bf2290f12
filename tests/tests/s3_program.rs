//! The program `coffer` on real servers that speak S3: a team's whole year in a minute, and everything that a setup can lack.

#[path = "s3_program/access.rs"]
mod access;
#[path = "s3_program/cycle.rs"]
mod cycle;
#[path = "s3_program/page.rs"]
mod page;
#[path = "s3_program/rights.rs"]
mod rights;
#[path = "s3_program/secrets.rs"]
mod secrets;
#[path = "s3_program/servers.rs"]
mod servers;
#[path = "s3_program/world.rs"]
mod world;
