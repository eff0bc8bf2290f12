//! Which disks a volume's bytes come from, and how many reads these have done for everybody.
//!
//! It only reads `/sys` of the running kernel (`Documentation/block/stat.rst`). It must never claim more than it saw: what it cannot find out it
//! leaves out, and then nobody steps back for anybody.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};

/// Devices on devices on devices: more layers are not followed.
const LAYERS_MAX: usize = 8;
/// What the kernel sends to a disk at once, where `/sys` does not tell.
const REQUEST_BYTES_MAX: u64 = 512 << 10;

/// What a disk does, for whoever watches it.
pub trait DiskActivity: Send + Sync {
    /// Tells the disk from others of this machine.
    fn id(&self) -> u64;

    /// How many reads it has done, for everybody, since the machine started; `None` where that is not known.
    fn reads(&self) -> Option<u64>;

    /// How many of its reads one of `len_bytes` takes.
    fn reads_for(&self, len_bytes: u64) -> u64;
}

/// A disk of this machine.
#[derive(Debug)]
pub(crate) struct Disk {
    number: u64,
    stat: PathBuf,
    request_bytes_max: u64,
}

impl Disk {
    /// The disks below a block device or a file. Empty where the kernel tells of none, as for network and memory file systems.
    pub(crate) fn below(metadata: &Metadata) -> Vec<Disk> {
        let mut found = Vec::new();
        collect(metadata, LAYERS_MAX, &mut found);
        found.sort_unstable_by_key(|disk| disk.number);
        found.dedup_by_key(|disk| disk.number);
        found
    }

    fn at(directory: &Path) -> Option<Disk> {
        let number = device_number(directory)?;
        let kib = fs::read_to_string(directory.join("queue/max_sectors_kb")).ok();
        let kib = kib.and_then(|kib| kib.trim().parse::<u64>().ok()).filter(|kib| *kib > 0);
        let request_bytes_max = kib.map_or(REQUEST_BYTES_MAX, |kib| kib.saturating_mul(1024));
        Some(Disk { number, stat: directory.join("stat"), request_bytes_max })
    }
}

impl DiskActivity for Disk {
    fn id(&self) -> u64 {
        self.number
    }

    fn reads(&self) -> Option<u64> {
        fs::read_to_string(&self.stat).ok()?.split_ascii_whitespace().next()?.parse().ok()
    }

    fn reads_for(&self, len_bytes: u64) -> u64 {
        len_bytes.div_ceil(self.request_bytes_max)
    }
}

fn collect(metadata: &Metadata, layers: usize, found: &mut Vec<Disk>) {
    let device = if metadata.file_type().is_block_device() { metadata.rdev() } else { metadata.dev() };
    let link = format!("/sys/dev/block/{}:{}", major(device), minor(device));
    if let Ok(directory) = fs::canonicalize(link) {
        descend(&directory, layers, found);
    }
}

/// Goes down from a device to those that its bytes lie on.
fn descend(directory: &Path, layers: usize, found: &mut Vec<Disk>) {
    let Some(layers) = layers.checked_sub(1) else { return };
    if directory.join("partition").exists()
        && let Some(whole) = directory.parent()
    {
        return descend(whole, layers, found);
    }
    if let Some(backing) = crate::usage::backing_file(directory)
        && let Ok(metadata) = fs::metadata(backing)
    {
        return collect(&metadata, layers, found);
    }
    let below: Vec<PathBuf> = fs::read_dir(directory.join("slaves"))
        .map(|listing| listing.filter_map(|entry| fs::canonicalize(entry.ok()?.path()).ok()).collect())
        .unwrap_or_default();
    if below.is_empty() {
        found.extend(Disk::at(directory));
    }
    below.iter().for_each(|device| descend(device, layers, found));
}

/// `major:minor` of a device's directory in sysfs as one number.
fn device_number(directory: &Path) -> Option<u64> {
    let text = fs::read_to_string(directory.join("dev")).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some(major.parse::<u64>().ok()? << 32 | minor.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_longer_than_a_request_is_several() {
        let disk = Disk { number: 1, stat: PathBuf::new(), request_bytes_max: 512 << 10 };
        let reads = [1, 4096, 512 << 10, (512 << 10) + 1, 1 << 20].map(|len| disk.reads_for(len));
        assert_eq!(reads, [1, 1, 1, 2, 2]);
        assert_eq!(disk.reads(), None);
    }

    #[test]
    fn layers_end_at_disks_with_their_counters() {
        let sys = tempfile::tempdir().unwrap();
        let device = |name: &str, number: &str| {
            let directory = sys.path().join(name);
            fs::create_dir_all(directory.join("slaves")).unwrap();
            fs::write(directory.join("dev"), format!("{number}\n")).unwrap();
            fs::write(directory.join("stat"), format!("  {}  7 8 9\n", number.len())).unwrap();
            directory
        };
        let (one, two, volume) = (device("sda", "8:0"), device("sdb", "8:16"), device("dm-0", "253:0"));
        let partition = device("sda/sda1", "8:1");
        fs::write(partition.join("partition"), "1").unwrap();
        for (name, below) in [("a", &partition), ("b", &two), ("c", &one)] {
            std::os::unix::fs::symlink(below, volume.join("slaves").join(name)).unwrap();
        }
        let mut found = Vec::new();
        descend(&volume, LAYERS_MAX, &mut found);
        let mut ids: Vec<(u64, Option<u64>)> = found.iter().map(|disk| (disk.id(), disk.reads())).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids, [(8 << 32, Some(3)), (8 << 32 | 16, Some(4))]);
        // A ring of devices ends too.
        std::os::unix::fs::symlink(&volume, two.join("slaves").join("back")).unwrap();
        descend(&volume, LAYERS_MAX, &mut Vec::new());
    }
}
