//! The store's scratch directory: names in it, and clearing what dead processes left.
//!
//! Must never touch a file that a living process may still publish.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::dirs;
use super::fs::Fs;
use super::names::{SIDECAR_SUFFIX, TEMP_DIR};
use super::sidecar;

/// Starts the name of an object being put.
const PUT_PREFIX: &str = "p-";
/// Starts the name of an upload.
const UPLOAD_PREFIX: &str = "u-";
/// Starts the name of a file made to ask for the time.
const CLOCK_PREFIX: &str = "n-";
/// What nobody wrote to for this long has no owner any more. No put of one buffer takes a day; if one did, it would fail
/// and be repeated.
const STALE_AGE: Duration = Duration::from_secs(24 * 3_600);

/// What a scratch file is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum TempKind {
    Put,
    Upload,
    Clock,
}

/// A name that no other process, on this host or another, has used or will use.
pub(super) fn unique_name(kind: TempKind) -> io::Result<String> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let prefix = match kind {
        TempKind::Put => PUT_PREFIX,
        TempKind::Upload => UPLOAD_PREFIX,
        TempKind::Clock => CLOCK_PREFIX,
    };
    let chance = getrandom::u64().map_err(io::Error::other)?;
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    Ok(format!("{prefix}{}-{count}-{chance:016x}", std::process::id()))
}

/// Whether `id` is a name that [`unique_name`] could have given to an upload.
pub(super) fn is_upload_name(id: &str) -> bool {
    id.strip_prefix(UPLOAD_PREFIX).is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

/// Removes scratch files that dead processes left long ago. Uploads that say what they are for stay: they are listed, and
/// their owner decides.
pub(super) fn sweep<F: Fs>(fs: &F, now: SystemTime) -> io::Result<()> {
    let Some(dir) = dirs::find(fs, TEMP_DIR)? else { return Ok(()) };
    let names: Vec<String> = fs.read_dir(&dir)?.into_iter().map(|entry| entry.name).collect();
    for name in names.iter().filter(|name| is_ours(name)) {
        let owner = name.strip_suffix(SIDECAR_SUFFIX).unwrap_or(name);
        if is_upload_name(owner) && sidecar::read(fs, &dir, owner)?.is_some() {
            continue;
        }
        let modified = fs.stat(&dir, name)?.modified;
        if now.duration_since(modified).is_ok_and(|age| age > STALE_AGE) {
            fs.unlink(&dir, name)?;
        }
    }
    Ok(())
}

fn is_ours(name: &str) -> bool {
    [PUT_PREFIX, UPLOAD_PREFIX, CLOCK_PREFIX].iter().any(|prefix| name.starts_with(prefix))
}
