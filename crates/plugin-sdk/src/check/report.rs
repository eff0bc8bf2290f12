//! What came of the rules.

/// What came of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The rule, as a sentence.
    pub rule: &'static str,
    /// Why it is broken; `None` where it holds.
    pub problem: Option<String>,
}

/// What was found so far.
#[derive(Default)]
pub(super) struct Report {
    checked: Vec<Checked>,
}

impl Report {
    /// All rules that were tried, in order.
    pub(super) fn checked(self) -> Vec<Checked> {
        self.checked
    }

    pub(super) fn note(&mut self, rule: &'static str, problem: Option<String>) {
        self.checked.push(Checked { rule, problem });
    }

    /// Notes that something must be so.
    pub(super) fn must(&mut self, rule: &'static str, holds: bool, otherwise: impl FnOnce() -> String) {
        self.note(rule, (!holds).then(otherwise));
    }

    /// Notes that a call must succeed, and gives what it answered.
    pub(super) fn take<T, E: std::fmt::Display>(
        &mut self,
        rule: &'static str,
        result: Result<T, E>,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                self.note(rule, None);
                Some(value)
            }
            Err(error) => {
                self.note(rule, Some(error.to_string()));
                None
            }
        }
    }
}
