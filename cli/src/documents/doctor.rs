//! The result of `doctor`: a list of checks.

use serde::Serialize;

use crate::output::Document;
use crate::probe::Capabilities;
use crate::text::Text;

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
    fn text(&self) -> Text {
        let word = |status| match status {
            CheckStatus::Ok => "ok     ",
            CheckStatus::Warning => "warning",
            CheckStatus::Failed => "failed ",
        };
        let mut text = Text::default();
        for check in &self.checks {
            text.line(format_args!("{}  {:<12} {}", word(check.status), check.name, check.detail));
        }
        text
    }
}
