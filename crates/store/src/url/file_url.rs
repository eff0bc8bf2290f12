//! A directory as text: `file:///absolute/directory`.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// What is not percent-encoded in the path of a `file://` address.
const PATH_ESCAPES: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'_').remove(b'-').remove(b'~');

/// The address of a directory.
pub(crate) fn file_url(root: &Path) -> String {
    format!("file://{}", percent_encode(root.as_os_str().as_bytes(), PATH_ESCAPES))
}
