//! Whether restored volumes fit on the file systems of their targets.
//!
//! A target that is full is noticed here, before anything is written, and not when most of it is.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use coffer_format::VolumeName;

use crate::error::CliError;
use crate::human;
use crate::paths::directory_of;
use crate::targets::{Checked, How};

/// What a target takes of its file system.
#[derive(Debug, Clone, Copy)]
struct Need {
    /// Bytes that will be written at most.
    bytes: u64,
    /// Bytes that the target has already, and that become free or are used again.
    has: u64,
}

/// Fails where the volumes' data does not fit.
///
/// `data_bytes` tells how many bytes of each volume hold data; it is asked only where the sizes alone do not fit, and not at all
/// where holes are to be written too (`sparse` is false).
pub(crate) fn check(
    targets: &[Checked],
    sparse: bool,
    data_bytes: impl FnOnce() -> Result<BTreeMap<VolumeName, u64>, CliError>,
) -> Result<(), CliError> {
    let by_size = |target: &Checked| target.wanted.size;
    let Err(error) = fits(targets, by_size) else { return Ok(()) };
    if !sparse {
        return Err(error);
    }
    let data = data_bytes()?;
    fits(targets, |target| data.get(&target.wanted.name).copied().unwrap_or(target.wanted.size))
}

fn fits(targets: &[Checked], bytes_of: impl Fn(&Checked) -> u64) -> Result<(), CliError> {
    let mut needs: BTreeMap<u64, (Vec<Need>, &Checked)> = BTreeMap::new();
    for target in targets.iter().filter(|target| is_file(target)) {
        let Some(file_system) = file_system(&target.wanted.path) else { continue };
        let need = Need { bytes: bytes_of(target), has: target.info.allocated_bytes };
        needs.entry(file_system).or_insert_with(|| (Vec::new(), target)).0.push(need);
    }
    for (needs, target) in needs.values() {
        let free = target.info.free_bytes;
        let needed = added(needs);
        if needed > free {
            return Err(CliError::Refused(format!(
                "not enough space at {}: {} more are needed ({needed} bytes), {} are free ({free} bytes); free some or choose \
                 another place",
                target.wanted.path.display(),
                human::size(needed),
                human::size(free)
            )));
        }
    }
    Ok(())
}

/// Bytes that a file system gives up for all of these.
fn added(needs: &[Need]) -> u64 {
    needs.iter().map(|need| need.bytes.saturating_sub(need.has)).fold(0, u64::saturating_add)
}

fn is_file(target: &Checked) -> bool {
    matches!(target.how, How::Create | How::Resume) || target.info.kind == coffer_blockio::PathKind::Image
}

fn file_system(path: &Path) -> Option<u64> {
    let place = if path.exists() { path } else { directory_of(path) };
    Some(std::fs::metadata(place).ok()?.dev())
}

#[cfg(test)]
mod tests {
    use coffer_blockio::{PathInfo, PathKind};

    use super::*;
    use crate::targets::Wanted;

    fn target(name: &str, size: u64, free_bytes: u64, allocated_bytes: u64) -> Checked {
        let path = std::env::temp_dir().join(name);
        let wanted = Wanted { name: name.parse().unwrap(), size, path: path.clone() };
        let info = PathInfo {
            path,
            kind: PathKind::Missing,
            exists: false,
            size_bytes: 0,
            allocated_bytes,
            mounted_or_held: None,
            free_bytes,
        };
        Checked { wanted, how: How::Create, info }
    }

    fn never() -> Result<BTreeMap<VolumeName, u64>, CliError> {
        panic!("the sizes decide")
    }

    #[test]
    fn targets_on_one_file_system_share_its_room() {
        let two = [target("a", 60, 100, 0), target("b", 60, 100, 0)];
        assert!(check(&two[..1], true, never).is_ok());
        assert!(
            matches!(check(&two, false, never), Err(CliError::Refused(text)) if text.contains("120 bytes"))
        );
        assert!(check(&[target("a", 160, 100, 60)], false, never).is_ok(), "what it has is used again");
    }

    #[test]
    fn holes_need_no_room_unless_they_are_written() {
        let data = |bytes: u64| move || Ok(BTreeMap::from([("a".parse().unwrap(), bytes)]));
        assert!(check(&[target("a", 1000, 100, 0)], true, data(100)).is_ok());
        assert!(check(&[target("a", 1000, 100, 0)], true, data(101)).is_err());
        assert!(check(&[target("a", 1000, 100, 0)], false, never).is_err());
    }
}
