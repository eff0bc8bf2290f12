//! How a request names a volume of the node.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use super::field::RequestError;

const ID_LEN_MAX: usize = 512;
const PATH_LEN_MAX: usize = 4_095;

/// A volume of the node, by the id that `Volumes.List` gave or by its path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VolumeRef {
    /// An id: 1 to 512 printable ASCII characters, not beginning with a slash.
    Id(String),
    /// An absolute path without `.` and `..`.
    Path(PathBuf),
}

impl VolumeRef {
    /// Reads the value of `field`.
    pub(super) fn parse(field: &str, text: &str) -> Result<Self, RequestError> {
        if text.is_empty() {
            return Err(RequestError::new(field, "is missing: give a volume's id or its absolute path"));
        }
        if !text.starts_with('/') {
            return Self::id(field, text);
        }
        let path = Path::new(text);
        let straight =
            path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        // `components` leaves single dots in the middle out.
        let dots = text.split('/').any(|part| part == "." || part == "..");
        if text.len() > PATH_LEN_MAX || text.contains('\0') || dots || !straight {
            let problem =
                "is no plain path: give an absolute path without `.` and `..`, of at most 4095 bytes";
            return Err(RequestError::new(field, problem));
        }
        // Several slashes in a row mean one, and a path has one text.
        Ok(VolumeRef::Path(path.components().collect()))
    }

    fn id(field: &str, text: &str) -> Result<Self, RequestError> {
        if text.len() <= ID_LEN_MAX && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(VolumeRef::Id(text.to_owned()));
        }
        let problem = "is neither an absolute path nor an id that Volumes.List gives";
        Err(RequestError::new(field, problem))
    }
}

impl fmt::Display for VolumeRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VolumeRef::Id(id) => formatter.write_str(id),
            VolumeRef::Path(path) => write!(formatter, "{}", path.display()),
        }
    }
}
