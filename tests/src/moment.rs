//! When a process is killed: after a time, or at the nth event in the directories that it changes. Must not miss the process's end.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// When a process is killed.
#[derive(Debug, Clone)]
pub enum Moment<'a> {
    /// It comes to its end.
    Never,
    /// So long after its start.
    After(Duration),
    /// At the nth event, from 1, below `places`; without a number events are only counted.
    Event {
        /// Directories, with all below them.
        places: Vec<&'a Path>,
        /// Which event.
        number: Option<u64>,
    },
}

impl Moment<'_> {
    /// What watches for it, if anything must.
    pub(crate) fn watch(&self) -> Option<Watch> {
        match self {
            Self::Event { places, .. } => Some(Watch::new(places)),
            Self::Never | Self::After(_) => None,
        }
    }
}

/// Watches directories for files that come, go or change.
#[derive(Debug)]
pub(crate) struct Watch {
    inotify: Inotify,
}

impl Watch {
    fn new(places: &[&Path]) -> Self {
        let inotify =
            Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).expect("make an inotify queue");
        let watch = Self { inotify };
        for place in places {
            watch.add(place);
        }
        watch
    }

    /// Directories made later are not watched; a store moves objects there from its scratch directory, which is.
    fn add(&self, directory: &Path) {
        let flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_ONLYDIR;
        self.inotify.add_watch(directory, flags).expect("watch a directory");
        for entry in std::fs::read_dir(directory).expect("read a directory").flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.add(&entry.path());
            }
        }
    }

    /// Waits at most `limit`, at least one millisecond apart from zero, for events; returns how many came.
    pub(crate) fn wait(&mut self, limit: Duration) -> u64 {
        let timeout = PollTimeout::try_from(limit).expect("a short time");
        let _ = poll(&mut [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)], timeout);
        self.inotify.read_events().map_or(0, |events| events.len() as u64)
    }
}
