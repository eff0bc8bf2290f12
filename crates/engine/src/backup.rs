//! Makes a recovery point: decides the type, backs each volume up, commits.

mod block_pass;
mod changed_ranges;
mod choose;
mod commit;
mod leftovers;
mod line;
mod list_checks;
mod listed_segment;
mod loads;
mod opening;
mod read_runs;
mod reading;
mod request;
mod resume;
mod run;
mod sample;
mod segments;
mod volume;

pub use changed_ranges::{ChangedRanges, LIST_RANGES_MAX, RangeMerger};
pub use choose::{TypeChoice, TypeWish, choose_type};
pub(crate) use commit::read_chain_key;
pub use request::{
    BackupReport, BackupRequest, ChangeLists, ChangeSource, Progress, VolumeReport, VolumeSource,
};
pub use run::run_backup;
pub use sample::SAMPLE_BLOCKS_MAX;
