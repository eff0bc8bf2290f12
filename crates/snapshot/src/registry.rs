//! All engines in their order of merit: the first that can take a snapshot does.

use std::path::Path;

use crate::error::SnapshotError;
use crate::live::LiveProvider;
use crate::provider::{Probe, Snapshot, SnapshotProvider, SnapshotRequest};
use crate::reflink::ReflinkProvider;

/// The engines, best first. A new engine is one module and one line here.
pub struct Registry {
    engines: Vec<Box<dyn SnapshotProvider>>,
}

/// What was found out about a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// The engine that would be used.
    pub engine: &'static str,
    /// Better engines, and why each cannot be used.
    pub not_better_because: Vec<(&'static str, String)>,
}

impl Default for Registry {
    fn default() -> Self {
        Registry { engines: vec![Box::new(ReflinkProvider), Box::new(LiveProvider)] }
    }
}

impl Registry {
    /// Which engine would be used for `path`. Changes nothing.
    #[must_use]
    pub fn assess(&self, path: &Path) -> Assessment {
        let mut not_better_because = Vec::new();
        for engine in &self.engines {
            match engine.probe(path) {
                Probe::Can => return Assessment { engine: engine.engine(), not_better_because },
                Probe::Cannot(reason) => not_better_because.push((engine.engine(), reason)),
            }
        }
        Assessment { engine: "none", not_better_because }
    }

    /// Takes a snapshot with the best engine that can; the reasons why better ones did not come back with it.
    ///
    /// # Errors
    /// The last engine's.
    pub fn take(
        &self,
        request: &SnapshotRequest<'_>,
    ) -> Result<(Box<dyn Snapshot>, Vec<String>), SnapshotError> {
        let mut reasons = Vec::new();
        let mut last_error = None;
        for engine in &self.engines {
            if let Probe::Cannot(reason) = engine.probe(request.path) {
                reasons.push(format!("{}: {reason}", engine.engine()));
                continue;
            }
            match engine.take(request) {
                Ok(snapshot) => return Ok((snapshot, reasons)),
                Err(error) => {
                    reasons.push(format!("{}: {error}", engine.engine()));
                    last_error = Some(error);
                }
            }
        }
        Err(last_error.unwrap_or_else(|| SnapshotError::Io {
            step: "find an engine for",
            path: request.path.into(),
            source: std::io::ErrorKind::Unsupported.into(),
        }))
    }
}
