//! Makes a recovery point: decides the type, backs each volume up, commits.

mod block_pass;
mod choose;
mod commit;
mod leftovers;
mod line;
mod opening;
mod request;
mod resume;
mod run;
mod segments;
mod volume;

pub use choose::{TypeChoice, TypeWish, choose_type};
pub(crate) use commit::read_chain_key;
pub use request::{BackupReport, BackupRequest, ChangeSource, Progress, VolumeReport, VolumeSource};
pub use run::run_backup;
