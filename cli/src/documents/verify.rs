//! The result of `verify`.

use coffer_coordinator::plain;
use coffer_engine::{Problem, VerifyReport};
use coffer_format::Id;
use coffer_proto::agent::v1;
use coffer_store::RequestCounts;
use serde::Serialize;

use super::requests::Requests;
use crate::human;
use crate::output::Document;
use crate::text::Text;

/// What verify found.
#[derive(Debug, Serialize)]
pub(crate) struct VerifyDocument {
    pub(crate) points: u64,
    packs: u64,
    bytes_read: u64,
    pub(crate) problems: Vec<ProblemDocument>,
    notices: Vec<String>,
    requests: Requests,
    duration_ms: u64,
}

/// One thing that is wrong.
#[derive(Debug, Serialize)]
pub(crate) struct ProblemDocument {
    pub(crate) kind: String,
    pub(crate) key: String,
    pub(crate) detail: String,
    pub(crate) points: Vec<Id>,
}

impl VerifyDocument {
    /// The report of the engine.
    pub(crate) fn new(report: VerifyReport, duration_ms: u64) -> Self {
        VerifyDocument {
            points: report.points,
            packs: report.packs,
            bytes_read: report.bytes_read,
            problems: report.problems.into_iter().map(ProblemDocument::from).collect(),
            notices: report.notices,
            requests: report.requests.into(),
            duration_ms,
        }
    }
}

impl VerifyDocument {
    /// What an agent found.
    pub(crate) fn of_agent(result: v1::VerifyResult, duration_ms: u64) -> Self {
        let problem = |problem: v1::Problem| ProblemDocument {
            kind: plain(&problem.kind),
            key: plain(&problem.key),
            detail: plain(&problem.detail),
            points: problem.points.iter().filter_map(|point| point.parse().ok()).collect(),
        };
        VerifyDocument {
            points: result.points,
            packs: result.packs,
            bytes_read: result.bytes_read,
            problems: result.problems.into_iter().map(problem).collect(),
            notices: result.notices.iter().map(|notice| plain(notice)).collect(),
            // An agent does not tell them.
            requests: RequestCounts::default().into(),
            duration_ms,
        }
    }
}

impl From<Problem> for ProblemDocument {
    fn from(problem: Problem) -> Self {
        let Problem { kind, key, detail, points } = problem;
        ProblemDocument { kind: kind.into(), key, detail, points }
    }
}

impl Document for VerifyDocument {
    fn text(&self) -> Text {
        let mut text = Text::default();
        for problem in &self.problems {
            let points: Vec<String> = problem.points.iter().map(ToString::to_string).collect();
            let touched = if points.is_empty() { "none known".to_owned() } else { points.join(" ") };
            text.line(format_args!(
                "problem ({}): {}: {}; points: {touched}",
                problem.kind, problem.key, problem.detail
            ));
        }
        for notice in &self.notices {
            text.line(format_args!("notice: {notice}"));
        }
        text.line(format_args!(
            "{} and {} checked, {} of packs read, {} found in {}",
            human::count(self.points, "point"),
            human::count(self.packs, "pack"),
            human::size(self.bytes_read),
            human::count(self.problems.len() as u64, "problem"),
            human::duration(self.duration_ms)
        ));
        text
    }
}
