//! The mount table: read once for a listing, looked up by device, by mount point and by path.
//!
//! It must never panic on odd bytes: what a line does not say clearly is left out.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::device_number::DeviceNumber;

/// A line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The device of the file system; major 0 if it has none, or (btrfs) makes up a number of its own.
    pub number: DeviceNumber,
    /// Which directory of the file system is mounted: `/` for all of it, else a part (a bind mount, a subvolume).
    pub root: PathBuf,
    /// Where, as the writer of the table sees it.
    pub point: PathBuf,
    /// `ext4`, `xfs`, `nfs4`, …
    pub file_system: String,
    /// What was mounted, in the words of who did: a device's path, a server, anything.
    pub source: OsString,
    /// Whether the mount or its file system is read-only.
    pub is_read_only: bool,
}

impl Mount {
    /// Whether the whole file system of a device is mounted, not a part of it.
    pub fn is_whole_device(&self) -> bool {
        self.root == Path::new("/") && self.number.major != 0
    }

    /// Whether asking this file system may wait for a network or for another program.
    pub fn may_hang(&self) -> bool {
        const REMOTE: [&str; 12] = [
            "nfs",
            "nfs4",
            "cifs",
            "smb3",
            "ceph",
            "9p",
            "afs",
            "glusterfs",
            "lustre",
            "gpfs",
            "autofs",
            "beegfs",
        ];
        REMOTE.contains(&self.file_system.as_str()) || self.file_system.starts_with("fuse")
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let separator = fields.iter().skip(6).position(|field| *field == b"-")? + 6;
        let is_ro = |options: &[u8]| options.split(|byte| *byte == b',').any(|option| option == b"ro");
        Some(Self {
            number: DeviceNumber::parse(std::str::from_utf8(fields.get(2)?).ok()?)?,
            root: unescape(fields.get(3)?).into(),
            point: unescape(fields.get(4)?).into(),
            file_system: String::from_utf8_lossy(fields.get(separator + 1)?).into_owned(),
            source: unescape(fields.get(separator + 2)?),
            is_read_only: is_ro(fields.get(5)?)
                || fields.get(separator + 3).is_some_and(|options| is_ro(options)),
        })
    }
}

/// All mounts, with the ways to find them.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    all: Vec<Mount>,
    by_number: HashMap<DeviceNumber, Vec<usize>>,
    by_point: HashMap<PathBuf, usize>,
}

impl Mounts {
    pub(crate) fn parse(mountinfo: &[u8]) -> Self {
        let mut mounts = Self::default();
        for mount in mountinfo.split(|byte| *byte == b'\n').filter_map(Mount::parse) {
            let index = mounts.all.len();
            mounts.by_number.entry(mount.number).or_default().push(index);
            // A later mount on the same place hides the earlier one.
            mounts.by_point.insert(mount.point.clone(), index);
            mounts.all.push(mount);
        }
        mounts
    }

    /// The mounts of a device, by its number.
    pub(crate) fn of_device(&self, number: DeviceNumber) -> impl Iterator<Item = &Mount> {
        self.by_number.get(&number).into_iter().flatten().filter_map(|index| self.all.get(*index))
    }

    /// The mounts that name a device by path and have no number of a device (btrfs).
    pub(crate) fn without_number(&self) -> impl Iterator<Item = &Mount> {
        self.all.iter().filter(|mount| mount.number.major == 0 && mount.source.as_bytes().starts_with(b"/"))
    }

    /// What is mounted at exactly this place of the table's writer.
    pub(crate) fn at(&self, point: &Path) -> Option<&Mount> {
        self.by_point.get(point).and_then(|index| self.all.get(*index))
    }

    /// The mount that a path of the table's writer lies on.
    pub(crate) fn above(&self, path: &Path) -> Option<&Mount> {
        path.ancestors().find_map(|ancestor| self.at(ancestor))
    }
}

/// Undoes the kernel's `\040` way of writing spaces, tabs, newlines and backslashes.
pub(crate) fn unescape(field: &[u8]) -> OsString {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail.split_first_chunk::<3>()) {
            (b'\\', Some((digits, after))) if let Some(escaped) = octal(digits) => {
                plain.push(escaped);
                rest = after;
            }
            _ => plain.push(byte),
        }
    }
    OsString::from_vec(plain)
}

fn octal(digits: &[u8; 3]) -> Option<u8> {
    digits.iter().try_fold(0_u8, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(digit - b'0'),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    use proptest::collection::vec;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_oneof, proptest};
    use proptest::sample::select;

    use super::{Mounts, unescape};
    use crate::device_number::DeviceNumber;

    const TABLE: &[u8] = b"22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
        31 22 7:3 / /mnt/my\\040disk rw,noatime shared:5 master:1 - xfs /dev/loop3 ro,attr2\n\
        32 22 254:0 /var/openebs/local/pvc-1 /pods/pvc-1 ro shared:1 - ext4 /dev/vda rw\n\
        33 22 0:44 /sub /srv/\xff rw - btrfs /dev/vdb rw\n\
        34 22 7:4 / /mnt/my\\040disk rw - ext4 /dev/loop4 rw\n\
        35 22 0:50 / /nfs rw - nfs4 server:/x rw\n\
        garbage\n36 22 nonsense / /x rw - ext4 x rw\n37 22 8:1 / /short rw - ext4\n\n";

    fn number(major: u32, minor: u32) -> DeviceNumber {
        DeviceNumber { major, minor }
    }

    #[test]
    fn whole_devices_are_told_from_parts_of_a_file_system() {
        let mounts = Mounts::parse(TABLE);
        assert_eq!(mounts.all.len(), 6, "lines that make no sense are left out");
        let part = mounts.at(Path::new("/pods/pvc-1")).unwrap();
        assert_eq!(part.root, Path::new("/var/openebs/local/pvc-1"));
        assert!(!part.is_whole_device() && part.is_read_only && part.number == number(254, 0));
        assert!(mounts.at(Path::new("/")).unwrap().is_whole_device());
        let by_path: Vec<_> = mounts.without_number().map(|mount| mount.source.as_os_str()).collect();
        assert_eq!(by_path, ["/dev/vdb"], "btrfs, and no server's path");
        assert!(!mounts.without_number().next().unwrap().is_whole_device());
        assert!(mounts.at(Path::new("/nfs")).unwrap().may_hang());
        assert!(!part.may_hang());
    }

    #[test]
    fn the_last_mount_on_a_place_is_the_one_that_is_seen() {
        let mounts = Mounts::parse(TABLE);
        let on_top = mounts.at(Path::new("/mnt/my disk")).unwrap();
        assert_eq!((on_top.number, on_top.is_read_only), (number(7, 4), false));
        let below = mounts.of_device(number(7, 3)).next().unwrap();
        assert!(below.is_read_only, "the file system says ro");
        assert_eq!(mounts.above(Path::new("/mnt/my disk/a/b")).unwrap().number, number(7, 4));
        assert_eq!(mounts.above(Path::new("/mnt/other")).unwrap().number, number(254, 0));
        let odd = Path::new(OsStr::from_bytes(b"/srv/\xff"));
        assert_eq!(mounts.above(&odd.join("x")).unwrap().file_system, "btrfs");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_make_it_panic_and_what_is_understood_is_found(
            bytes in vec(prop_oneof![any::<u8>(), select(&b" -:/\\0471,\n"[..])], 0..300)
        ) {
            let mounts = Mounts::parse(&bytes);
            for mount in &mounts.all {
                prop_assert!(mounts.at(&mount.point).is_some());
                prop_assert!(mounts.of_device(mount.number).any(|found| found == mount));
            }
            prop_assert!(unescape(&bytes).len() <= bytes.len());
        }
    }

    #[test]
    fn escapes_are_undone_and_lone_backslashes_kept() {
        for (escaped, plain) in [
            ("a\\134b", "a\\b"),
            ("\\040\\011", " \t"),
            ("a\\9", "a\\9"),
            ("\\04", "\\04"),
            ("\\777x", "\\777x"),
        ] {
            assert_eq!(unescape(escaped.as_bytes()), plain);
        }
    }
}
