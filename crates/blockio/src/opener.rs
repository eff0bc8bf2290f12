//! Opens volumes for reading with the engine that was asked for, or the better one that works here.
//!
//! It must never fall back in silence: why `auto` reads with `pread` can be asked for, and what was asked for by name is
//! used or refused.

use std::fmt;
use std::os::fd::AsFd;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use crate::arena::Arena;
use crate::error::OpenError;
use crate::pread::PreadSource;
use crate::source::BlockSource;
use crate::uring::{Ring, RingUse, UringError, UringSource};

/// Which engine a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineWish {
    /// io_uring where it works, for scattered blocks of what is read around the page cache; else `pread`.
    #[default]
    Auto,
    /// io_uring for every batch, or nothing.
    Uring,
    /// `pread`.
    Pread,
}

/// Opens any number of volumes with one engine.
#[derive(Debug)]
pub struct SourceOpener {
    wish: EngineWish,
    ring: Option<Arc<Ring>>,
    fallback: Option<UringError>,
}

impl SourceOpener {
    /// Tries out what `wish` needs. Volumes are to be read into buffers of `arena`.
    ///
    /// # Errors
    /// [`UringError`] if io_uring was asked for by name and does not work here.
    pub fn new(wish: EngineWish, arena: &Arc<Arena>) -> Result<Self, UringError> {
        let (ring, fallback) = match wish {
            EngineWish::Pread => (None, None),
            EngineWish::Uring => (Some(Ring::start(arena)?), None),
            EngineWish::Auto => match Ring::start(arena) {
                Ok(ring) => (Some(ring), None),
                Err(error) => (None, Some(error)),
            },
        };
        Ok(Self { wish, ring, fallback })
    }

    /// Why `auto` reads with `pread`; `None` where it does not.
    pub fn fallback(&self) -> Option<&UringError> {
        self.fallback.as_ref()
    }

    /// Opens the block device or regular file at `path`. [`BlockSource::engine`] says which engine reads it.
    ///
    /// # Errors
    /// As of [`PreadSource::open`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Box<dyn BlockSource>, OpenError> {
        Ok(self.with_engine(PreadSource::open(path)?))
    }

    /// Opens what `handle` holds, as [`PreadSource::open_handle`] does.
    ///
    /// # Errors
    /// As of [`PreadSource::open_handle`].
    pub fn open_handle(
        &self,
        handle: impl AsFd,
        label: impl AsRef<Path>,
    ) -> Result<Box<dyn BlockSource>, OpenError> {
        Ok(self.with_engine(PreadSource::open_handle(handle, label)?))
    }

    fn with_engine(&self, files: PreadSource) -> Box<dyn BlockSource> {
        let Some(ring) = &self.ring else { return Box::new(files) };
        let use_for = match self.wish {
            EngineWish::Uring => RingUse::All,
            // A read that only copies from the page cache is done by the time that another thread could begin it.
            _ if !files.is_direct() => return Box::new(files),
            _ => RingUse::Scattered,
        };
        Box::new(UringSource::new(files, Arc::clone(ring), use_for))
    }
}

impl FromStr for EngineWish {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "uring" => Ok(Self::Uring),
            "pread" => Ok(Self::Pread),
            _ => Err("write auto, uring or pread"),
        }
    }
}

impl fmt::Display for EngineWish {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Auto => "auto",
            Self::Uring => "uring",
            Self::Pread => "pread",
        })
    }
}
