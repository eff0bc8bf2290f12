//! What must be true of lists of changes before anything is done by them. Pure.

use coffer_format::Id;

use super::request::{ChangeLists, VolumeSource};
use super::sample::SAMPLE_BLOCKS_MAX;
use crate::EngineError;
use crate::request_error::RequestError;

/// Lists are of volumes of the request and within them.
pub(crate) fn check_lists(volumes: &[VolumeSource], lists: &ChangeLists) -> Result<(), EngineError> {
    if let Some(sample) = lists.sample.filter(|sample| *sample > SAMPLE_BLOCKS_MAX) {
        return Err(RequestError::SampleTooLarge { sample, sample_max: SAMPLE_BLOCKS_MAX }.into());
    }
    for (name, list) in &lists.volumes {
        let volume = volumes.iter().find(|volume| volume.name == *name);
        let volume = volume.ok_or_else(|| {
            EngineError::Usage(format!(
                "there is a list of changes for volume {name}, which is not backed up"
            ))
        })?;
        let size = volume.source.as_ref().map_or(u64::MAX, |source| source.size_bytes());
        if list.end() > size {
            return Err(EngineError::Usage(format!(
                "the list of changes of volume {name} goes to byte {}, the volume has {size}",
                list.end()
            )));
        }
    }
    Ok(())
}

/// A list tells what changed since one point; on another it would leave changes out. A full reads everything, and needs none.
pub(crate) fn check_list_base(base: Option<Id>, parent: Option<Id>) -> Result<(), EngineError> {
    let (Some(base), Some(parent)) = (base, parent) else { return Ok(()) };
    if base == parent {
        return Ok(());
    }
    Err(RequestError::OtherListBase { base, parent }.into())
}
