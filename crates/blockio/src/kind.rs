//! What a path or a volume is.

use std::fmt;
use std::fs::FileType;
use std::os::unix::fs::FileTypeExt;

/// What a path names, symbolic links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PathKind {
    /// Nothing, or a link to nothing.
    Missing,
    /// A regular file.
    Image,
    /// A block device.
    Device,
    /// A directory.
    Directory,
    /// A character device.
    CharacterDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl PathKind {
    pub(crate) fn of(file_type: FileType) -> Self {
        if file_type.is_dir() {
            Self::Directory
        } else if file_type.is_block_device() {
            Self::Device
        } else if file_type.is_char_device() {
            Self::CharacterDevice
        } else if file_type.is_fifo() {
            Self::Fifo
        } else if file_type.is_socket() {
            Self::Socket
        } else {
            Self::Image
        }
    }
}

impl fmt::Display for PathKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Missing => "missing",
            Self::Image => "a regular file",
            Self::Device => "a block device",
            Self::Directory => "a directory",
            Self::CharacterDevice => "a character device",
            Self::Fifo => "a named pipe",
            Self::Socket => "a socket",
        })
    }
}

/// What a volume's bytes come from or go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// A block device.
    Device,
    /// A regular file that holds a disk image.
    Image,
    /// Kubernetes objects of an application, in memory.
    Resources,
}
