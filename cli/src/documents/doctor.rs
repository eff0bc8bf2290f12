//! The result of `doctor`: a list of checks.

use serde::Serialize;

use crate::output::Document;
use crate::probe::Capabilities;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CheckStatus {
    /// Fine.
    Ok,
    /// Works, but should be looked at.
    Warning,
    /// Does not work.
    Failed,
}

/// One check.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) status: CheckStatus,
    pub(crate) detail: String,
}

/// All checks.
#[derive(Debug, Serialize)]
pub(crate) struct DoctorDocument {
    pub(crate) checks: Vec<Check>,
    pub(crate) capabilities: Option<Capabilities>,
}

impl DoctorDocument {
    /// Names of the checks that failed.
    pub(crate) fn failed(&self) -> Vec<&'static str> {
        let failed = self.checks.iter().filter(|check| check.status == CheckStatus::Failed);
        failed.map(|check| check.name).collect()
    }
}

impl Document for DoctorDocument {
    fn text(&self) -> String {
        let word = |status| match status {
            CheckStatus::Ok => "ok     ",
            CheckStatus::Warning => "warning",
            CheckStatus::Failed => "failed ",
        };
        let lines = self
            .checks
            .iter()
            .map(|check| format!("{}  {:<12} {}\n", word(check.status), check.name, check.detail));
        lines.collect()
    }
}
