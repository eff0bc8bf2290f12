//! Listing objects in byte order of their keys.
//!
//! Looks only into directories that can hold a match, and shows nothing but regular files with names that are keys.

use std::io;

use super::dirs::{self, is_absent};
use super::fs::{Entry, EntryKind, Fs};
use super::names::is_reserved;
use crate::key::{KEY_LEN_MAX, Key, is_component};
use crate::port::ObjectInfo;

/// The first `len_max` objects after `start_after` whose key starts with `prefix`.
pub(super) fn walk<F: Fs>(
    fs: &F,
    prefix: &str,
    start_after: Option<&str>,
    len_max: usize,
) -> io::Result<Vec<ObjectInfo>> {
    let mut walk = Walk { fs, prefix, start_after, len_max, found: Vec::new() };
    let base = prefix.rsplit_once('/').map_or("", |(base, _)| base);
    let is_possible = base.is_empty() && !prefix.starts_with('/') || Key::new(base).is_ok();
    if is_possible
        && !is_reserved(base.split('/').next().unwrap_or(""))
        && let Some(dir) = dirs::find(fs, base)?
    {
        walk.visit(&dir, base)?;
    }
    Ok(walk.found)
}

struct Walk<'a, F> {
    fs: &'a F,
    prefix: &'a str,
    start_after: Option<&'a str>,
    len_max: usize,
    found: Vec<ObjectInfo>,
}

/// A name with its place in the order of keys: a directory sorts as what all its keys start with.
struct Child {
    /// The object's key, or the directory's path with a slash.
    path: String,
    name: String,
    is_dir: bool,
}

impl<F: Fs> Walk<'_, F> {
    fn visit(&mut self, dir: &F::Dir, path: &str) -> io::Result<()> {
        for child in self.children(dir, path)? {
            if self.found.len() >= self.len_max {
                return Ok(());
            }
            if child.is_dir { self.descend(dir, &child)? } else { self.add(dir, child)? }
        }
        Ok(())
    }

    /// The directory's entries that can be or hold a match, in order.
    fn children(&self, dir: &F::Dir, path: &str) -> io::Result<Vec<Child>> {
        let entries = match self.fs.read_dir(dir) {
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut children = Vec::new();
        for entry in entries {
            if is_component(&entry.name)
                && !(path.is_empty() && is_reserved(&entry.name))
                && let Some(is_dir) = self.is_dir(dir, &entry)?
            {
                let slash = if path.is_empty() { "" } else { "/" };
                let end = if is_dir { "/" } else { "" };
                let path = format!("{path}{slash}{}{end}", entry.name);
                children.push(Child { path, name: entry.name, is_dir });
            }
        }
        children.retain(|child| self.may_match(child));
        children.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(children)
    }

    /// Whether the entry is a directory or a file; none for what is neither.
    fn is_dir(&self, dir: &F::Dir, entry: &Entry) -> io::Result<Option<bool>> {
        let kind = match entry.kind {
            EntryKind::Unknown => match self.fs.stat(dir, &entry.name) {
                Err(error) if is_absent(&error) => return Ok(None),
                stat => stat?.kind,
            },
            kind => kind,
        };
        Ok(match kind {
            EntryKind::File => Some(false),
            EntryKind::Dir => Some(true),
            _ => None,
        })
    }

    fn may_match(&self, child: &Child) -> bool {
        let path = child.path.as_str();
        let is_later = self.start_after.is_none_or(|after| after < path);
        if !child.is_dir {
            return is_later && path.starts_with(self.prefix);
        }
        let holds_next = self.start_after.is_some_and(|after| after.starts_with(path));
        let overlaps = path.starts_with(self.prefix) || self.prefix.starts_with(path);
        path.len() <= KEY_LEN_MAX && overlaps && (is_later || holds_next)
    }

    fn descend(&mut self, dir: &F::Dir, child: &Child) -> io::Result<()> {
        match self.fs.open_dir(dir, &child.name) {
            Err(error) if is_absent(&error) => Ok(()),
            opened => self.visit(&opened?, child.path.trim_end_matches('/')),
        }
    }

    /// An object that vanished since its directory was read is not shown.
    fn add(&mut self, dir: &F::Dir, child: Child) -> io::Result<()> {
        let stat = match self.fs.stat(dir, &child.name) {
            Err(error) if is_absent(&error) => return Ok(()),
            stat => stat?,
        };
        if let Ok(key) = Key::new(child.path)
            && stat.kind == EntryKind::File
        {
            self.found.push(ObjectInfo { key, len: stat.len, modified: Some(stat.modified) });
        }
        Ok(())
    }
}
