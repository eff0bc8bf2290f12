//! The results of `forget` and `hold`.

use coffer_engine::Verdict;
use coffer_format::Id;
use serde::Serialize;

use crate::output::Document;
use crate::text::Text;

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
    fn text(&self) -> Text {
        let mut text = Text::default();
        for kept in &self.kept {
            text.line(format_args!("kept       {}  {}", kept.point, kept.reason));
        }
        let word = if self.dry_run { "would go  " } else { "forgotten " };
        for point in &self.forgotten {
            text.line(format_args!("{word} {point}"));
        }
        text.line(format_args!("{} kept, {} {}", self.kept.len(), self.forgotten.len(), word.trim_end()));
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
    fn text(&self) -> Text {
        Text::of(match (self.held, self.released) {
            (true, _) => format!("point {} is held: forget leaves it alone", self.point),
            (false, 0) => format!("point {} was not held", self.point),
            (false, _) => format!("point {} is held no more", self.point),
        })
    }
}
