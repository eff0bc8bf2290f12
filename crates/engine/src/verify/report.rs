//! What verify is asked and what it answers.

use coffer_format::Id;
use coffer_store::RequestCounts;

use crate::catalog::Filter;

/// Problems beyond this number are counted, not listed.
const PROBLEMS_MAX: usize = 10_000;

/// What to verify.
#[derive(Debug, Clone, Default)]
pub struct VerifyRequest {
    /// Which points.
    pub filter: Filter,
    /// Share of packs whose blocks are read, 0-100; `None` reads none.
    pub read_data_percent: Option<f64>,
    /// A point that must be there.
    pub expect_head: Option<Id>,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct VerifyReport {
    /// Points checked.
    pub points: u64,
    /// Packs checked.
    pub packs: u64,
    /// Bytes of packs read.
    pub bytes_read: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is odd, or was not checked.
    pub notices: Vec<String>,
    /// Requests to the store.
    pub requests: RequestCounts,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A short closed-set name.
    pub kind: &'static str,
    /// Key of the object.
    pub key: String,
    /// What is wrong, with offset where there is one.
    pub detail: String,
    /// Points that it touches.
    pub points: Vec<Id>,
}

impl VerifyReport {
    pub(crate) fn problem(
        &mut self,
        kind: &'static str,
        key: impl Into<String>,
        detail: impl ToString,
        points: impl IntoIterator<Item = Id>,
    ) {
        if self.problems.len() < PROBLEMS_MAX {
            let points = points.into_iter().collect();
            self.problems.push(Problem { kind, key: key.into(), detail: detail.to_string(), points });
        }
    }

    /// As [`VerifyReport::notice`], of what is met again and again.
    pub(crate) fn notice_once(&mut self, text: String) {
        if !self.notices.contains(&text) {
            self.notice(text);
        }
    }

    pub(crate) fn notice(&mut self, text: impl Into<String>) {
        if self.notices.len() < PROBLEMS_MAX {
            self.notices.push(text.into());
        }
    }

    /// Notes objects that are not ours: they harm nothing but room and patience.
    pub(crate) fn strange(&mut self, keys: Vec<String>) {
        for key in keys {
            self.notice(format!("{key} is not an object of this format; it was set aside"));
        }
    }
}
