//! The id of a volume: what a caller writes to mean this volume, today and after the next reboot.
//!
//! | form | source | holds |
//! |---|---|---|
//! | `pv.NAME` | the name of a persistent volume | while the cluster has it |
//! | `disk.NAME` | the first of its stable names of udev (`/dev/disk/by-id/NAME`) | while the disk says the same of itself |
//! | `dev.NAME` | the kernel's name | until the next reboot, at most |
//! | `path.PATH` | the path of a directory or image | while it lies there; below kubelet's directory while the pod runs |
//!
//! Letters, digits, `.`, `-` and `_` stand for themselves, every other byte is `~` and two hexadecimal digits. So an id
//! is made of the unreserved characters of URLs, and no two names have the same.

use std::ffi::OsString;
use std::fmt::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Where an id comes from, the most lasting first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdSource {
    /// The name of a persistent volume.
    PersistentVolume,
    /// A stable name of udev.
    DiskById,
    /// The path of a directory or image.
    Path,
    /// The kernel's name of a device, which may be another's after a reboot.
    KernelName,
}

impl IdSource {
    /// What ids of this source begin with, before the dot.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PersistentVolume => "pv",
            Self::DiskById => "disk",
            Self::Path => "path",
            Self::KernelName => "dev",
        }
    }
}

/// A volume's id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeId {
    source: IdSource,
    text: String,
}

impl VolumeId {
    pub(crate) fn new(source: IdSource, name: &[u8]) -> Self {
        let mut text = String::with_capacity(name.len() + 5);
        text.push_str(source.as_str());
        text.push('.');
        for byte in name {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
                text.push(char::from(*byte));
            } else {
                write!(text, "~{byte:02X}").expect("writing to a string cannot fail");
            }
        }
        Self { source, text }
    }

    /// The path that an id says, if it is one of a path in the form that ids have.
    pub fn path_in(text: &str) -> Option<PathBuf> {
        let mut rest = text.strip_prefix(IdSource::Path.as_str())?.strip_prefix('.')?.bytes();
        let mut path = Vec::new();
        while let Some(byte) = rest.next() {
            path.push(match byte {
                b'~' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                plain => plain,
            });
        }
        let path = PathBuf::from(OsString::from_vec(path));
        // Of two texts that would say the same, one is an id.
        (VolumeId::of_path(&path).as_str() == text).then_some(path)
    }

    pub(crate) fn of_path(path: &Path) -> Self {
        use std::os::unix::ffi::OsStrExt;
        Self::new(IdSource::Path, path.as_os_str().as_bytes())
    }

    /// Where it comes from, which tells how long it holds.
    pub fn source(&self) -> IdSource {
        self.source
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::{IdSource, VolumeId};

    #[test]
    fn ids_are_url_safe_and_no_two_names_share_one() {
        let check = |name: &[u8], expected: &str| {
            assert_eq!(VolumeId::new(IdSource::DiskById, name).as_str(), expected);
        };
        check(b"wwn-0x5002538d", "disk.wwn-0x5002538d");
        check(b"scsi-S:1 a", "disk.scsi-S~3A1~20a");
        check(b"a~3A", "disk.a~7E3A");
        check(b"\xff/", "disk.~FF~2F");
        assert_eq!(VolumeId::of_path("/srv/a".as_ref()).as_str(), "path.~2Fsrv~2Fa");
    }

    #[test]
    fn an_id_of_a_path_leads_back_to_it_and_nothing_else_does() {
        for path in ["/srv/a", "/srv/a b~/ü.img", "/"] {
            assert_eq!(VolumeId::path_in(VolumeId::of_path(path.as_ref()).as_str()), Some(path.into()));
        }
        for text in ["", "path", "path./srv", "path.~2fsrv", "path.~2", "path.~+1", "path.~41", "dev.~2Fsrv"]
        {
            assert_eq!(VolumeId::path_in(text), None, "{text}");
        }
    }
}
