//! Attributes that a reader must know: what carries another one is not read, since ignoring it would restore something wrong.

use coffer_format::{Attributes, Manifest, VolumeRecord};

use crate::EngineError;

/// Attributes that this program knows and whose name begins with `must.`.
const MUSTS_KNOWN: &[&str] = &[];

/// An error if `attributes`, those of `owner`, hold what must not be ignored and is not known here.
fn refuse_unknown(attributes: &Attributes, owner: &dyn std::fmt::Display) -> Result<(), EngineError> {
    let unknown: Vec<&str> = attributes.unknown_musts(MUSTS_KNOWN).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(EngineError::Refused(format!(
        "{owner} has the attribute {}, which this version does not know and must not ignore; use a newer coffer",
        unknown.join(", ")
    )))
}

/// An error if a volume at a point, or the point itself, cannot be read rightly by this version.
pub(crate) fn refuse_unreadable(manifest: &Manifest, record: &VolumeRecord) -> Result<(), EngineError> {
    refuse_point(manifest)?;
    refuse_volume(record)
}

/// As [`refuse_unreadable`], of the point alone.
pub(crate) fn refuse_point(manifest: &Manifest) -> Result<(), EngineError> {
    refuse_unknown(&manifest.attributes, &format_args!("point {}", manifest.point))
}

/// As [`refuse_unreadable`], of the volume alone.
pub(crate) fn refuse_volume(record: &VolumeRecord) -> Result<(), EngineError> {
    let owner = format_args!("volume {} of point {}", record.name, record.point);
    refuse_unknown(&record.attributes, &owner)
}
