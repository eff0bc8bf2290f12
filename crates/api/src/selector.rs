//! Selecting objects by their labels, with the meaning that `metav1.LabelSelector` has.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Objects by their labels. Empty, it selects all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Labels that an object has to have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Further requirements; all have to be met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub match_expressions: Vec<LabelRequirement>,
}

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// The label's value is one of `values`.
    In,
    /// The label is missing or its value is none of `values`.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
}

/// A requirement on one label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)")
    .message("In and NotIn need values; Exists and DoesNotExist take none"))]
pub struct LabelRequirement {
    /// The label's key.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// What it is compared with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63)))]
    pub values: Vec<String>,
}

impl LabelSelector {
    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self
                .match_expressions
                .iter()
                .all(|requirement| requirement.is_met(labels.get(&requirement.key)))
    }
}

impl LabelRequirement {
    fn is_met(&self, value: Option<&String>) -> bool {
        let is_one = value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            Operator::In => is_one,
            Operator::NotIn => !is_one,
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn all_requirements_have_to_be_met() {
        let requirement = |operator, values: &[&str]| LabelRequirement {
            key: "tier".into(),
            operator,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let check = |operator, values: &[&str], found: [bool; 3]| {
            let selector = LabelSelector {
                match_labels: labels(&[("app", "shop")]),
                match_expressions: vec![requirement(operator, values)],
            };
            let objects = [
                labels(&[("app", "shop"), ("tier", "db")]),
                labels(&[("app", "shop")]),
                labels(&[("tier", "db")]),
            ];
            assert_eq!(objects.map(|labels| selector.matches(&labels)), found, "{operator:?}");
        };
        check(Operator::In, &["db"], [true, false, false]);
        check(Operator::NotIn, &["db"], [false, true, false]);
        check(Operator::Exists, &[], [true, false, false]);
        check(Operator::DoesNotExist, &[], [false, true, false]);
        assert!(LabelSelector::default().matches(&labels(&[])));
    }
}
