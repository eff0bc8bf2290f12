//! Repositories of a group: where the root's group may write it, what is made in it is the group's too.
//!
//! Whoever makes a directory for a group to write says that the group shares what is in it. Without that all is for its owner only, and
//! nothing is ever for others.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{self, Gid, Mode};

/// The group that shares a repository.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sharing {
    group: u32,
}

impl Sharing {
    /// What the repository's root says.
    pub(super) fn of(root: &File) -> io::Result<Option<Sharing>> {
        let root = fs::fstat(root)?;
        let is_shared = Mode::from_raw_mode(root.st_mode).contains(Mode::WGRP);
        Ok(is_shared.then_some(Sharing { group: root.st_gid }))
    }

    /// Shares a directory that was just made. What is made in it later belongs to the group by itself.
    pub(super) fn dir(self, dir: &OwnedFd) {
        self.share(dir, Mode::RWXU | Mode::RWXG | Mode::SGID);
    }

    /// Shares a file that was just made.
    pub(super) fn file(self, file: &File) {
        self.share(file, Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP);
    }

    /// What cannot be given to the group (its owner is no member, or the file system keeps no rights) stays as it was made.
    fn share(self, made: impl AsFd, mode: Mode) {
        // The group first: to change it clears the bit that hands it on.
        let is_theirs = fs::fstat(&made).is_ok_and(|made| made.st_gid == self.group)
            || fs::fchown(&made, None, Some(Gid::from_raw(self.group))).is_ok();
        if is_theirs {
            let _stays_private = fs::fchmod(&made, mode);
        }
    }
}
