//! Who uses a device or file: mounts, devices on top of it, swap, loop devices.
//!
//! It only reads `/proc` and `/sys`, of this mount namespace. It must never claim that something is free for certain:
//! what it cannot read it leaves out, and the exclusive open has the last word.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};

use crate::kind::PathKind;

/// In words for a person, why what `metadata` describes must not be written to; `None` if nothing is known.
pub(crate) fn mounted_or_held(metadata: &Metadata) -> Option<String> {
    match PathKind::of(metadata.file_type()) {
        PathKind::Device => device_usage(metadata.rdev()),
        PathKind::Image => image_usage(metadata),
        _ => None,
    }
}

fn device_usage(device: u64) -> Option<String> {
    let link = format!("/sys/dev/block/{}:{}", major(device), minor(device));
    let directory = fs::canonicalize(link).ok()?;
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let swaps = fs::read("/proc/swaps").unwrap_or_default();
    usage_in_sysfs(&directory, &mounts, &swaps)
}

/// Looks at the device that sysfs shows in `directory`, and at what shares its bytes.
fn usage_in_sysfs(directory: &Path, mounts: &[u8], swaps: &[u8]) -> Option<String> {
    related_devices(directory).into_iter().find_map(|related| {
        let name = related.name.display();
        mount_point(mounts, &related.number)
            .map(|place| format!("{name} is mounted on {}", place.display()))
            .or_else(|| holder(&related.directory).map(|by| format!("{name} is held by {}", by.display())))
            .or_else(|| is_swap(swaps, &related.number).then(|| format!("{name} is in use as swap")))
    })
}

fn image_usage(metadata: &Metadata) -> Option<String> {
    let is_this = |path: &Path| same_file(path, metadata);
    let looped = entries(Path::new("/sys/block")).into_iter().find_map(|device| {
        let name = Path::new("/dev").join(device.file_name()?);
        is_this(&backing_file(&device)?).then(|| format!("it backs {}", name.display()))
    });
    let swaps = fs::read("/proc/swaps").unwrap_or_default();
    looped
        .or_else(|| swap_paths(&swaps).any(|path| is_this(&path)).then(|| "it is in use as swap".to_owned()))
}

/// The file behind a loop device; `None` for every other device.
pub(crate) fn backing_file(device: &Path) -> Option<PathBuf> {
    let line = fs::read(device.join("loop/backing_file")).ok()?;
    Some(PathBuf::from(OsStr::from_bytes(line.strip_suffix(b"\n").unwrap_or(&line))))
}

/// A device as sysfs shows it.
#[derive(Debug)]
struct Related {
    name: OsString,
    /// `major:minor`.
    number: String,
    directory: PathBuf,
}

/// The device itself, its partitions, and the whole disk if it is a partition.
fn related_devices(directory: &Path) -> Vec<Related> {
    let is_partition = |directory: &Path| directory.join("partition").exists();
    let mut directories = vec![directory.to_path_buf()];
    directories.extend(entries(directory).into_iter().filter(|child| is_partition(child)));
    if is_partition(directory) {
        directories.extend(directory.parent().map(Path::to_path_buf));
    }
    directories.into_iter().filter_map(related).collect()
}

fn related(directory: PathBuf) -> Option<Related> {
    let number = fs::read_to_string(directory.join("dev")).ok()?.trim_end().to_owned();
    let name = Path::new("/dev").join(directory.file_name()?).into_os_string();
    Some(Related { name, number, directory })
}

/// The first device on top of this one: device mapper, md, bcache.
fn holder(directory: &Path) -> Option<PathBuf> {
    let holder = entries(&directory.join("holders")).into_iter().next()?;
    Some(Path::new("/dev").join(holder.file_name()?))
}

fn is_swap(swaps: &[u8], number: &str) -> bool {
    swap_paths(swaps).any(|path| device_number(&path).as_deref() == Some(number))
}

/// Finds where the device `number` (`major:minor`) is mounted.
///
/// A mount names its device by number, or, where the file system makes up a number of its own (btrfs), by path.
fn mount_point(mountinfo: &[u8], number: &str) -> Option<PathBuf> {
    mountinfo.split(|byte| *byte == b'\n').find_map(|line| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let separator = fields.iter().position(|field| *field == b"-")?;
        let by_number = *fields.get(2)? == number.as_bytes();
        let source = unescape(fields.get(separator + 2)?);
        let by_path = || {
            source.as_bytes().starts_with(b"/")
                && device_number(Path::new(&source)).as_deref() == Some(number)
        };
        if by_number || by_path() { Some(PathBuf::from(unescape(fields.get(4)?))) } else { None }
    })
}

/// The first column of `/proc/swaps`, its heading left out.
fn swap_paths(swaps: &[u8]) -> impl Iterator<Item = PathBuf> {
    swaps.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
        let column = line.split(u8::is_ascii_whitespace).next().filter(|column| !column.is_empty())?;
        Some(PathBuf::from(unescape(column)))
    })
}

/// Undoes the kernel's `\040` way of writing spaces, tabs, newlines and backslashes.
fn unescape(field: &[u8]) -> OsString {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let octal =
            tail.get(..3).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match (byte, octal) {
            (b'\\', Some(escaped)) => {
                plain.push(escaped);
                rest = tail.get(3..).unwrap_or_default();
            }
            _ => plain.push(byte),
        }
    }
    OsString::from_vec(plain)
}

/// `major:minor` of the block device at `path`.
fn device_number(path: &Path) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    let is_device = PathKind::of(metadata.file_type()) == PathKind::Device;
    is_device.then(|| format!("{}:{}", major(metadata.rdev()), minor(metadata.rdev())))
}

fn same_file(path: &Path, metadata: &Metadata) -> bool {
    fs::metadata(path).is_ok_and(|other| other.dev() == metadata.dev() && other.ino() == metadata.ino())
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(listing) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = listing.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort_unstable_by(|left, right| OsStr::cmp(left.as_os_str(), right.as_os_str()));
    paths
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{mount_point, swap_paths, unescape, usage_in_sysfs};

    /// A disk `sdx` (8:0) with partitions `sdx1` (8:1) and `sdx2` (8:2), as sysfs shows it.
    fn fake_disk(sysfs: &Path) -> PathBuf {
        let disk = sysfs.join("sdx");
        for (directory, number) in [("", "8:0"), ("sdx1", "8:1"), ("sdx2", "8:2")] {
            let directory = disk.join(directory);
            fs::create_dir_all(directory.join("holders")).unwrap();
            fs::write(directory.join("dev"), format!("{number}\n")).unwrap();
        }
        fs::write(disk.join("sdx1/partition"), "1\n").unwrap();
        fs::write(disk.join("sdx2/partition"), "2\n").unwrap();
        disk
    }

    #[test]
    fn a_disk_is_in_use_if_a_partition_is_and_a_partition_if_the_disk_is() {
        let sysfs = tempfile::tempdir().unwrap();
        let disk = fake_disk(sysfs.path());
        let check = |directory: &Path, mounts: &str, expected: Option<&str>| {
            assert_eq!(usage_in_sysfs(directory, mounts.as_bytes(), b"").as_deref(), expected, "{mounts}");
        };
        let on_partition = "31 22 8:1 / /data rw - xfs none rw\n";
        let on_disk = "31 22 8:0 / /data rw - xfs none rw\n";
        check(&disk, "", None);
        check(&disk, on_partition, Some("/dev/sdx1 is mounted on /data"));
        check(&disk.join("sdx1"), on_partition, Some("/dev/sdx1 is mounted on /data"));
        check(&disk.join("sdx2"), on_partition, None);
        check(&disk.join("sdx2"), on_disk, Some("/dev/sdx is mounted on /data"));
        fs::create_dir(disk.join("sdx2/holders/dm-0")).unwrap();
        check(&disk, "", Some("/dev/sdx2 is held by /dev/dm-0"));
        check(&disk.join("sdx1"), "", None);
        check(&disk.join("missing"), on_disk, None);
    }

    #[test]
    fn a_mount_is_found_by_the_number_of_its_device() {
        let mountinfo = b"22 1 254:0 / / rw,relatime - ext4 /nonexistent/a rw\n\
            31 22 7:3 / /mnt/my\\040disk rw shared:5 master:1 - xfs /nonexistent/b rw\n\
            32 22 0:44 / /proc rw - proc proc rw\n";
        assert_eq!(mount_point(mountinfo, "7:3"), Some(PathBuf::from("/mnt/my disk")));
        assert_eq!(mount_point(mountinfo, "254:0"), Some(PathBuf::from("/")));
        assert_eq!(mount_point(mountinfo, "7:30"), None);
        assert_eq!(mount_point(b"garbage\n\n", "7:3"), None);
    }

    #[test]
    fn swaps_are_the_first_column_without_the_heading() {
        let swaps = b"Filename\t\t\tType\t\tSize\n/dev/sda2          partition\t8\n/my\\040swap\tfile\t8\n";
        let paths: Vec<PathBuf> = swap_paths(swaps).collect();
        assert_eq!(paths, [PathBuf::from("/dev/sda2"), PathBuf::from("/my swap")]);
    }

    #[test]
    fn escapes_are_undone_and_lone_backslashes_kept() {
        for (escaped, plain) in
            [("a\\134b", "a\\b"), ("\\040\\011", " \t"), ("a\\9", "a\\9"), ("\\04", "\\04")]
        {
            assert_eq!(unescape(escaped.as_bytes()), plain);
        }
    }
}
