//! The stable names of udev: which links below `/dev/disk` lead to which device.
//!
//! Links are read, not followed: what one says is enough to know the kernel's name, and nothing is opened.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::inventory::Problem;
use crate::reader::Reader;

/// The directories of links, the best names first.
const DIRECTORIES: [&str; 6] = ["by-id", "by-uuid", "by-path", "by-partuuid", "by-label", "by-partlabel"];

/// The links below `dev/disk` by the kernel's name of the device, the best first.
pub(crate) fn read_stable_names(
    reader: &Reader<'_>,
    dev: &Path,
    problems: &mut Vec<Problem>,
) -> HashMap<String, Vec<PathBuf>> {
    let mut by_device: HashMap<String, Vec<PathBuf>> = HashMap::new();
    for directory in DIRECTORIES {
        let directory = dev.join("disk").join(directory);
        let names = reader.names_if_any(&directory).unwrap_or_else(|error| {
            problems.push(Problem::new(&directory, "list the stable names", &error));
            Vec::new()
        });
        for name in names {
            let link = directory.join(name);
            // A link that vanished, or is none, names nothing.
            let Ok(target) = reader.link(&link) else { continue };
            if let Some(device) = kernel_name(dev, &directory, &target) {
                by_device.entry(device).or_default().push(link);
            }
        }
    }
    for links in by_device.values_mut() {
        links.sort_by(|left, right| rank(left).cmp(&rank(right)).then_with(|| left.cmp(right)));
    }
    by_device
}

/// The kernel's name of the device that a link in `directory` leads to; `None` if it leads out of `dev`.
pub(crate) fn kernel_name(dev: &Path, directory: &Path, target: &Path) -> Option<String> {
    let mut place = PathBuf::new();
    for component in directory.join(target).components() {
        match component {
            Component::ParentDir => {
                place.pop();
            }
            other => place.push(other),
        }
    }
    let inner = place.strip_prefix(dev).or_else(|_| place.strip_prefix("/dev")).ok()?;
    // sysfs writes `!` where the name below /dev has a directory: `cciss!c0d0`.
    inner.to_str().filter(|inner| !inner.is_empty()).map(|inner| inner.replace('/', "!"))
}

/// The name of a link in `by-id`, which ids are made of.
pub(crate) fn by_id_name(link: &Path) -> Option<&OsStr> {
    (link.parent()?.file_name()? == "by-id").then(|| link.file_name()).flatten()
}

/// Names that come from the hardware, or from the volume manager's own numbers, before those that a person may change,
/// and last those that are copied with the contents.
fn rank(link: &Path) -> (usize, usize) {
    const PREFIXES: [&[u8]; 5] = [b"dm-uuid-", b"md-uuid-", b"nvme-eui.", b"nvme-uuid.", b"wwn-"];
    const LAST: [&[u8]; 3] = [b"dm-name-", b"md-name-", b"lvm-pv-uuid-"];
    let directory = link.parent().and_then(Path::file_name);
    let group = DIRECTORIES.iter().position(|known| directory == Some(OsStr::new(known)));
    let name = link.file_name().map(OsStr::as_bytes).unwrap_or_default();
    let begins = |prefixes: &[&[u8]]| prefixes.iter().position(|prefix| name.starts_with(prefix));
    let within = begins(&PREFIXES)
        .or_else(|| begins(&LAST).map(|place| PREFIXES.len() + 1 + place))
        .unwrap_or(PREFIXES.len());
    (group.unwrap_or(DIRECTORIES.len()), within)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{kernel_name, rank};

    #[test]
    fn a_link_names_a_device_only_below_dev() {
        let check = |target: &str, expected: Option<&str>| {
            let name =
                kernel_name(Path::new("/host/dev"), Path::new("/host/dev/disk/by-id"), Path::new(target));
            assert_eq!(name.as_deref(), expected, "{target}");
        };
        check("../../sda1", Some("sda1"));
        check("../../cciss/c0d0", Some("cciss!c0d0"));
        check("/dev/loop5", Some("loop5"));
        check("/host/dev/loop5", Some("loop5"));
        check("../../../etc/passwd", None);
        check("../..", None);
        check("/etc/passwd", None);
    }

    #[test]
    fn hardware_names_come_first_and_copied_ones_last() {
        let mut links = ["lvm-pv-uuid-x", "scsi-1", "dm-name-vg-lv", "wwn-0x5", "dm-uuid-LVM-x"]
            .map(|name| Path::new("/dev/disk/by-id").join(name));
        links.sort_by_key(|link| rank(link));
        let names: Vec<_> = links.iter().filter_map(|link| link.file_name()?.to_str()).collect();
        assert_eq!(names, ["dm-uuid-LVM-x", "wwn-0x5", "scsi-1", "dm-name-vg-lv", "lvm-pv-uuid-x"]);
    }
}
