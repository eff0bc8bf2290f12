//! A file system that notes every change in the order it was made, so that a power cut can be replayed at any point.
//!
//! Changes are made one at a time under a lock, so the log is the true order. Syncs are noted and not done. The log holds
//! all data ever written: for tests only.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustix::io::Errno;

use super::fs::{Entry, Fs, Stat, WriteMode};

/// A file or directory of the log, whatever its names; 0 is the root.
pub type Node = usize;

/// One change, or something the test said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The directory `node` was made.
    Mkdir {
        /// The directory that holds the name.
        dir: Node,
        /// The name.
        name: String,
        /// What has the name.
        node: Node,
    },
    /// The file `node` was made.
    Create {
        /// The directory that holds the name.
        dir: Node,
        /// The name.
        name: String,
        /// What has the name.
        node: Node,
    },
    /// The file `node` got one more name.
    Link {
        /// The directory that holds the name.
        dir: Node,
        /// The name.
        name: String,
        /// What has the name.
        node: Node,
    },
    /// A name was removed, of a file or an empty directory.
    Unlink {
        /// The directory that held the name.
        dir: Node,
        /// The name.
        name: String,
    },
    /// A name of the file `node` was exchanged for another.
    Rename {
        /// The directory that held the old name.
        from: Node,
        /// The old name.
        name: String,
        /// The directory that holds the new name.
        to: Node,
        /// The new name.
        to_name: String,
        /// What has the name.
        node: Node,
    },
    /// Bytes were written to a file.
    Write {
        /// The file.
        node: Node,
        /// Where.
        offset: u64,
        /// What.
        data: Bytes,
    },
    /// The content of a file became durable.
    SyncFile(Node),
    /// The names in a directory became durable.
    SyncDir(Node),
    /// A note of the test: what it was told until here.
    Mark(u64),
}

/// Faults of the recorder: ways in which a file system, or a store that forgets something, would be worse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lapses {
    /// Syncs of files do nothing.
    pub file_syncs: bool,
    /// Syncs of directories do nothing.
    pub dir_syncs: bool,
    /// There is no rename without replacing.
    pub rename_noreplace: bool,
    /// There are no second names of files.
    pub links: bool,
}

/// `F` with a log. Its root must be empty at first. Clones share all: stores on them are as several processes.
#[derive(Debug)]
pub struct RecordingFs<F> {
    inner: Arc<F>,
    lapses: Lapses,
    log: Arc<Mutex<Log>>,
}

impl<F> Clone for RecordingFs<F> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), lapses: self.lapses, log: Arc::clone(&self.log) }
    }
}

/// An open directory or file of the inner file system, with its node.
#[derive(Debug)]
pub struct Recorded<T> {
    inner: T,
    node: Node,
}

#[derive(Debug, Default)]
struct Log {
    changes: Vec<Change>,
    names: HashMap<(Node, String), Node>,
    nodes: Node,
}

impl<F: Fs> RecordingFs<F> {
    /// Records what is done to `inner`.
    pub fn new(inner: F, lapses: Lapses) -> Self {
        Self { inner: Arc::new(inner), lapses, log: Arc::default() }
    }

    /// Notes that everything before was reported to the caller.
    pub fn mark(&self, note: u64) {
        self.lock().changes.push(Change::Mark(note));
    }

    /// The log so far.
    pub fn changes(&self) -> Vec<Change> {
        self.lock().changes.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn node_of(&self, dir: Node, name: &str) -> io::Result<Node> {
        let node = self.names.get(&(dir, name.to_owned())).copied();
        node.ok_or_else(|| io::Error::other(format!("`{name}` was not made through the recorder")))
    }

    fn add(&mut self, dir: Node, name: &str) -> Node {
        self.nodes += 1;
        self.names.insert((dir, name.to_owned()), self.nodes);
        self.nodes
    }

    fn remove(&mut self, dir: Node, name: &str) {
        self.names.remove(&(dir, name.to_owned()));
        self.changes.push(Change::Unlink { dir, name: name.to_owned() });
    }
}

impl<F: Fs> Fs for RecordingFs<F> {
    type Dir = Recorded<F::Dir>;
    type File = Recorded<F::File>;

    fn root(&self) -> io::Result<Self::Dir> {
        Ok(Recorded { inner: self.inner.root()?, node: 0 })
    }

    fn open_dir(&self, dir: &Self::Dir, name: &str) -> io::Result<Self::Dir> {
        let log = self.lock();
        let inner = self.inner.open_dir(&dir.inner, name)?;
        Ok(Recorded { inner, node: log.node_of(dir.node, name)? })
    }

    fn mkdir(&self, dir: &Self::Dir, name: &str) -> io::Result<()> {
        let mut log = self.lock();
        self.inner.mkdir(&dir.inner, name)?;
        let node = log.add(dir.node, name);
        log.changes.push(Change::Mkdir { dir: dir.node, name: name.to_owned(), node });
        Ok(())
    }

    fn rmdir(&self, dir: &Self::Dir, name: &str) -> io::Result<()> {
        let mut log = self.lock();
        self.inner.rmdir(&dir.inner, name)?;
        log.remove(dir.node, name);
        Ok(())
    }

    fn sync_dir(&self, dir: &Self::Dir) -> io::Result<()> {
        let mut log = self.lock();
        if !self.lapses.dir_syncs {
            log.changes.push(Change::SyncDir(dir.node));
        }
        Ok(())
    }

    fn read_dir(&self, dir: &Self::Dir) -> io::Result<Vec<Entry>> {
        self.inner.read_dir(&dir.inner)
    }

    fn create(&self, dir: &Self::Dir, name: &str, mode: WriteMode) -> io::Result<Self::File> {
        let mut log = self.lock();
        let inner = self.inner.create(&dir.inner, name, mode)?;
        let node = log.add(dir.node, name);
        log.changes.push(Change::Create { dir: dir.node, name: name.to_owned(), node });
        Ok(Recorded { inner, node })
    }

    fn open(&self, dir: &Self::Dir, name: &str) -> io::Result<Self::File> {
        let log = self.lock();
        let inner = self.inner.open(&dir.inner, name)?;
        Ok(Recorded { inner, node: log.node_of(dir.node, name)? })
    }

    fn write_at(&self, file: &Self::File, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut log = self.lock();
        self.inner.write_at(&file.inner, offset, data)?;
        log.changes.push(Change::Write { node: file.node, offset, data: Bytes::copy_from_slice(data) });
        Ok(())
    }

    fn read_at(&self, file: &Self::File, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.inner.read_at(&file.inner, offset, out)
    }

    fn sync_file(&self, file: &Self::File) -> io::Result<()> {
        let mut log = self.lock();
        if !self.lapses.file_syncs {
            log.changes.push(Change::SyncFile(file.node));
        }
        Ok(())
    }

    fn stat_file(&self, file: &Self::File) -> io::Result<Stat> {
        self.inner.stat_file(&file.inner)
    }

    fn stat(&self, dir: &Self::Dir, name: &str) -> io::Result<Stat> {
        self.inner.stat(&dir.inner, name)
    }

    fn rename_noreplace(
        &self,
        from: &Self::Dir,
        name: &str,
        to: &Self::Dir,
        to_name: &str,
    ) -> io::Result<()> {
        if self.lapses.rename_noreplace {
            return Err(Errno::INVAL.into());
        }
        let mut log = self.lock();
        self.inner.rename_noreplace(&from.inner, name, &to.inner, to_name)?;
        let node = log.node_of(from.node, name)?;
        log.names.remove(&(from.node, name.to_owned()));
        log.names.insert((to.node, to_name.to_owned()), node);
        let (name, to_name) = (name.to_owned(), to_name.to_owned());
        log.changes.push(Change::Rename { from: from.node, name, to: to.node, to_name, node });
        Ok(())
    }

    fn link(&self, from: &Self::Dir, name: &str, to: &Self::Dir, to_name: &str) -> io::Result<()> {
        if self.lapses.links {
            return Err(Errno::PERM.into());
        }
        let mut log = self.lock();
        self.inner.link(&from.inner, name, &to.inner, to_name)?;
        let node = log.node_of(from.node, name)?;
        log.names.insert((to.node, to_name.to_owned()), node);
        log.changes.push(Change::Link { dir: to.node, name: to_name.to_owned(), node });
        Ok(())
    }

    fn unlink(&self, dir: &Self::Dir, name: &str) -> io::Result<()> {
        let mut log = self.lock();
        self.inner.unlink(&dir.inner, name)?;
        log.remove(dir.node, name);
        Ok(())
    }
}
