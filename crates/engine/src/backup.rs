//! Makes a recovery point: decides the type, backs each volume up, commits.
//!
//! [`run_backup`] does all of it. A point of volumes on several nodes is made in three steps: a coordinator calls [`open_point`], each node
//! [`back_up_volumes`] with the point's point reference, and the coordinator [`commit_point`] with all records that came back.

mod base;
mod block_pass;
mod chain_context;
mod changed_ranges;
mod choose;
mod commit;
mod damage_notes;
mod incomplete_runs;
mod list_checks;
mod listed_segment;
mod map_pass;
mod open_chain;
mod open_point;
mod pass_context;
mod point;
mod point_reference;
mod read_batches;
mod read_runs;
mod reading;
mod records;
mod reorder_queue;
mod report;
mod request;
mod resume;
mod run;
mod sample;
mod segments;
mod staged;
mod volume;
mod volume_context;
mod volume_record;
mod volumes;
mod volumes_done;

pub use changed_ranges::{ChangedRanges, LIST_RANGES_MAX, RangeMerger};
pub use choose::{TypeChoice, TypeWish, choose_type};
pub(crate) use damage_notes::read_damaged;
pub use open_point::{find_made, open_point};
pub use point::{OpenOutcome, OpenPoint, PointReference, PointRequest};
pub use request::{
    BackupReport, BackupRequest, ChangeLists, ChangeSource, Progress, VolumeReport, VolumeSource,
};
pub use run::{commit_point, run_backup};
pub use sample::SAMPLE_BLOCKS_MAX;
pub use volumes::{VolumesRequest, back_up_volumes};
pub use volumes_done::VolumesDone;
