//! The results of all verbs: their JSON is fixed in `docs/json.md`, their text is for people and may change.
//!
//! A document holds plain values that the engine reported. Sizes are bytes, durations milliseconds, times RFC 3339 in UTC.

pub(crate) mod agent;
pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod doctor;
pub(crate) mod forget;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod plugin;
pub(crate) mod points;
pub(crate) mod prune;
pub(crate) mod requests;
pub(crate) mod resources;
pub(crate) mod restore;
pub(crate) mod show;
pub(crate) mod usage;
pub(crate) mod verify;
