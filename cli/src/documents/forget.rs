//! The results of `forget` and `hold`.

use coffer_engine::Verdict;
use coffer_format::Id;
use serde::Serialize;

use crate::output::Document;

/// What forget did, or would do.
#[derive(Debug, Serialize)]
pub(crate) struct ForgetDocument {
    kept: Vec<KeptDocument>,
    forgotten: Vec<Id>,
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct KeptDocument {
    point: Id,
    reason: String,
}

impl ForgetDocument {
    /// The verdict of the engine.
    pub(crate) fn new(verdict: Verdict, dry_run: bool) -> Self {
        let kept = verdict.kept.into_iter().map(|(point, reason)| KeptDocument { point, reason }).collect();
        ForgetDocument { kept, forgotten: verdict.forgotten, dry_run }
    }
}

impl Document for ForgetDocument {
    fn text(&self) -> String {
        let mut text = String::new();
        for kept in &self.kept {
            text.push_str(&format!("kept       {}  {}\n", kept.point, kept.reason));
        }
        let word = if self.dry_run { "would go  " } else { "forgotten " };
        for point in &self.forgotten {
            text.push_str(&format!("{word} {point}\n"));
        }
        text.push_str(&format!("{} kept, {} {}\n", self.kept.len(), self.forgotten.len(), word.trim_end()));
        text
    }
}

/// Whether a point is held now.
#[derive(Debug, Serialize)]
pub(crate) struct HoldDocument {
    pub(crate) point: Id,
    pub(crate) held: bool,
    pub(crate) released: u64,
}

impl Document for HoldDocument {
    fn text(&self) -> String {
        match (self.held, self.released) {
            (true, _) => format!("point {} is held: forget leaves it alone\n", self.point),
            (false, 0) => format!("point {} was not held\n", self.point),
            (false, _) => format!("point {} is held no more\n", self.point),
        }
    }
}
