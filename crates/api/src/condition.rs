//! Conditions as `metav1.Condition` has them, so that kstatus and `kubectl wait` understand them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It is not known.
    Unknown,
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> ConditionStatus {
        if holds { ConditionStatus::True } else { ConditionStatus::False }
    }
}

/// One aspect of an object's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which aspect, such as `Ready`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// One word for the cause, in CamelCase.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// The cause in words, and what to do about it.
    #[schemars(length(max = 32768))]
    pub message: String,
    /// When `status` changed last, RFC 3339.
    pub last_transition_time: String,
    /// The generation of the object that this was found of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Sets a condition. The time of its last transition stays unless `status` changes.
pub fn set_condition(conditions: &mut Vec<Condition>, new: Condition) {
    match conditions.iter_mut().find(|known| known.kind == new.kind) {
        Some(known) if known.status == new.status => {
            let last_transition_time = std::mem::take(&mut known.last_transition_time);
            *known = Condition { last_transition_time, ..new };
        }
        Some(known) => *known = new,
        None => conditions.push(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(status: ConditionStatus, reason: &str, time: &str) -> Condition {
        Condition {
            kind: "Ready".into(),
            status,
            reason: reason.into(),
            message: String::new(),
            last_transition_time: time.into(),
            observed_generation: Some(1),
        }
    }

    #[test]
    fn the_time_changes_with_the_status_only() {
        let mut conditions = Vec::new();
        set_condition(&mut conditions, condition(ConditionStatus::True, "A", "1"));
        set_condition(&mut conditions, condition(ConditionStatus::True, "B", "2"));
        assert_eq!(conditions, [condition(ConditionStatus::True, "B", "1")]);
        set_condition(&mut conditions, condition(ConditionStatus::False, "C", "3"));
        assert_eq!(conditions, [condition(ConditionStatus::False, "C", "3")]);
    }
}
