//! What kind of block device a kernel name stands for: a closed set, for rules and metric labels.
//!
//! It must never guess: what it does not know is `Other`, and a rule that does not name `Other` does not allow it.

use std::fmt;
use std::str::FromStr;

/// The driver family of a block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceClass {
    /// `sdX`, `hdX`, `dasdX`, `mmcblkN`, `pmemN`: a disk of SCSI, SATA, USB, iSCSI, a card, persistent memory.
    Disk,
    /// `nvmeNnN`.
    Nvme,
    /// `vdX`, `xvdX`: a disk of a hypervisor.
    Virtio,
    /// A part of another device.
    Partition,
    /// `dm-N`: device mapper, with it LVM, multipath, LUKS.
    DeviceMapper,
    /// `mdN`: software RAID.
    Md,
    /// `loopN`: a file as a device.
    Loop,
    /// `zdN`: a volume of ZFS.
    Zvol,
    /// `rbdN`: Ceph.
    Rbd,
    /// `nbdN`.
    Nbd,
    /// `drbdN`.
    Drbd,
    /// `ublkbN`: a driver in user space.
    Ublk,
    /// `bcacheN`.
    Bcache,
    /// `ramN`.
    Ram,
    /// `zramN`.
    Zram,
    /// `srN`, `fdN`: media that come and go.
    Removable,
    /// Any other driver.
    Other,
}

/// Every class with its word, in the order of the enum.
const WORDS: [(DeviceClass, &str); 17] = [
    (DeviceClass::Disk, "disk"),
    (DeviceClass::Nvme, "nvme"),
    (DeviceClass::Virtio, "virtio"),
    (DeviceClass::Partition, "partition"),
    (DeviceClass::DeviceMapper, "dm"),
    (DeviceClass::Md, "md"),
    (DeviceClass::Loop, "loop"),
    (DeviceClass::Zvol, "zvol"),
    (DeviceClass::Rbd, "rbd"),
    (DeviceClass::Nbd, "nbd"),
    (DeviceClass::Drbd, "drbd"),
    (DeviceClass::Ublk, "ublk"),
    (DeviceClass::Bcache, "bcache"),
    (DeviceClass::Ram, "ram"),
    (DeviceClass::Zram, "zram"),
    (DeviceClass::Removable, "removable"),
    (DeviceClass::Other, "other"),
];

/// What a kernel name begins with, and what follows: letters for a disk's letter, else a number.
const PREFIXES: [(&str, DeviceClass); 20] = [
    ("dm-", DeviceClass::DeviceMapper),
    ("loop", DeviceClass::Loop),
    ("nvme", DeviceClass::Nvme),
    ("zram", DeviceClass::Zram),
    ("ram", DeviceClass::Ram),
    ("rbd", DeviceClass::Rbd),
    ("nbd", DeviceClass::Nbd),
    ("drbd", DeviceClass::Drbd),
    ("ublkb", DeviceClass::Ublk),
    ("bcache", DeviceClass::Bcache),
    ("mmcblk", DeviceClass::Disk),
    ("pmem", DeviceClass::Disk),
    ("dasd", DeviceClass::Disk),
    ("xvd", DeviceClass::Virtio),
    ("vd", DeviceClass::Virtio),
    ("sd", DeviceClass::Disk),
    ("hd", DeviceClass::Disk),
    ("md", DeviceClass::Md),
    ("zd", DeviceClass::Zvol),
    ("sr", DeviceClass::Removable),
];

impl DeviceClass {
    /// The class of a whole device with this kernel name (`sda`, `nvme0n1`); never [`DeviceClass::Partition`], which
    /// only sysfs can tell.
    pub fn of_kernel_name(name: &str) -> Self {
        let found = PREFIXES.iter().find(|(prefix, class)| {
            name.strip_prefix(prefix).is_some_and(|rest| follows(*class, prefix, rest))
        });
        match found {
            Some((_, class)) => *class,
            // Floppies; `fd` is too short a prefix for the table above.
            None if name.strip_prefix("fd").is_some_and(starts_with_digit) => Self::Removable,
            None => Self::Other,
        }
    }

    /// Every class there is.
    pub fn all() -> impl Iterator<Item = Self> {
        WORDS.iter().map(|(class, _)| *class)
    }

    /// The word for settings and labels: `disk`, `nvme`, `dm`, …
    pub fn as_str(self) -> &'static str {
        WORDS.iter().find(|(class, _)| *class == self).map_or("other", |(_, word)| word)
    }
}

fn follows(class: DeviceClass, prefix: &str, rest: &str) -> bool {
    let lettered = matches!(prefix, "sd" | "hd" | "vd" | "xvd" | "dasd");
    match class {
        _ if lettered => rest.starts_with(|first: char| first.is_ascii_lowercase()),
        // `md127`, and `md_name` of a named array.
        DeviceClass::Md => starts_with_digit(rest) || rest.starts_with('_'),
        _ => starts_with_digit(rest),
    }
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
}

impl fmt::Display for DeviceClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for DeviceClass {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = WORDS.iter().find(|(_, word)| *word == text).map(|(class, _)| *class);
        found.ok_or_else(|| {
            let words: Vec<&str> = WORDS.iter().map(|(_, word)| *word).collect();
            format!("`{text}` is no device class; write one of {}", words.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceClass;

    #[test]
    fn kernel_names_have_their_class_and_odd_ones_have_none() {
        for (name, expected) in [
            ("sda", DeviceClass::Disk),
            ("sdaa", DeviceClass::Disk),
            ("mmcblk0", DeviceClass::Disk),
            ("dasda", DeviceClass::Disk),
            ("nvme0n1", DeviceClass::Nvme),
            ("vda", DeviceClass::Virtio),
            ("xvdf", DeviceClass::Virtio),
            ("dm-12", DeviceClass::DeviceMapper),
            ("md127", DeviceClass::Md),
            ("md_data", DeviceClass::Md),
            ("loop3", DeviceClass::Loop),
            ("zd16", DeviceClass::Zvol),
            ("zram0", DeviceClass::Zram),
            ("ram0", DeviceClass::Ram),
            ("rbd1", DeviceClass::Rbd),
            ("nbd0", DeviceClass::Nbd),
            ("ublkb0", DeviceClass::Ublk),
            ("sr0", DeviceClass::Removable),
            ("fd0", DeviceClass::Removable),
            ("sd", DeviceClass::Other),
            ("sd0", DeviceClass::Other),
            ("loop", DeviceClass::Other),
            ("loopy", DeviceClass::Other),
            ("mdadm", DeviceClass::Other),
            ("", DeviceClass::Other),
        ] {
            assert_eq!(DeviceClass::of_kernel_name(name), expected, "{name}");
        }
    }

    #[test]
    fn every_word_leads_back_to_its_class() {
        for class in DeviceClass::all() {
            assert_eq!(class.as_str().parse(), Ok(class));
        }
        assert!("floppy".parse::<DeviceClass>().unwrap_err().contains("`floppy`"));
    }
}
