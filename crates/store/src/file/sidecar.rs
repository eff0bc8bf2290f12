//! The small file beside an upload that says which object it will be, so that any process can list and abort it.
//!
//! It is written before the upload's data and removed after it. After a power cut it may be damaged: then the upload
//! is not listed, and swept when it is old. Must never be trusted without its checks.

use std::io;
use std::time::SystemTime;

use super::fs::{Fs, WriteMode};
use super::names::SIDECAR_SUFFIX;
use crate::key::{KEY_LEN_MAX, Key};

const FIRST_LINE: &str = "coffer upload 1";
const LAST_LINE: &str = "end";
const LEN_MAX: usize = KEY_LEN_MAX + 64;

/// What a sidecar says.
#[derive(Debug)]
pub(super) struct Sidecar {
    pub(super) key: Key,
    pub(super) started: SystemTime,
}

/// Writes the sidecar of upload `id`.
pub(super) fn write<F: Fs>(fs: &F, dir: &F::Dir, id: &str, key: &Key) -> io::Result<()> {
    let name = sidecar_name(id);
    let file = fs.create(dir, &name, WriteMode::Buffered)?;
    let text = format!("{FIRST_LINE}\n{key}\n{LAST_LINE}\n");
    fs.write_at(&file, 0, text.as_bytes()).inspect_err(|_| {
        let _ = fs.unlink(dir, &name);
    })
}

/// Reads the sidecar of upload `id`; none if it is missing, damaged or not a file.
pub(super) fn read<F: Fs>(fs: &F, dir: &F::Dir, id: &str) -> io::Result<Option<Sidecar>> {
    let file = match fs.open(dir, &sidecar_name(id)) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; LEN_MAX];
    let len = fs.read_at(&file, 0, &mut bytes)?;
    let started = fs.stat_file(&file)?.modified;
    let text = std::str::from_utf8(&bytes[..len]).ok();
    Ok(text.and_then(parse).map(|key| Sidecar { key, started }))
}

/// Removes the sidecar of upload `id`.
pub(super) fn remove<F: Fs>(fs: &F, dir: &F::Dir, id: &str) -> io::Result<()> {
    fs.unlink(dir, &sidecar_name(id))
}

fn sidecar_name(id: &str) -> String {
    format!("{id}{SIDECAR_SUFFIX}")
}

fn parse(text: &str) -> Option<Key> {
    let mut lines = text.split('\n');
    let (first, key, last) = (lines.next()?, lines.next()?, lines.next()?);
    let is_whole = first == FIRST_LINE && last == LAST_LINE && lines.eq([""]);
    if is_whole { Key::new(key).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_sidecars_are_read() {
        let whole = "coffer upload 1\nt/a/b\nend\n";
        assert_eq!(parse(whole), Some(Key::new("t/a/b").unwrap()));
        for len in 0..whole.len() {
            assert_eq!(parse(&whole[..len]), None, "{len}");
            let mut damaged = whole.as_bytes().to_vec();
            damaged[len..].fill(0);
            assert_eq!(parse(std::str::from_utf8(&damaged).unwrap()), None, "{len}");
        }
        assert_eq!(parse(&format!("{whole}x")), None);
        assert_eq!(parse("coffer upload 1\n../x\nend\n"), None);
    }
}
