//! Label and field selectors as lists and watches use them.

use std::collections::BTreeMap;

use serde_json::Value;

/// Which objects of a collection are meant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selector {
    pub(crate) namespace: Option<String>,
    labels: Vec<String>,
    fields: Vec<String>,
}

impl Selector {
    pub(crate) fn new(namespace: Option<String>, query: &BTreeMap<String, String>) -> Selector {
        let terms = |name: &str| split(query.get(name).map_or("", String::as_str));
        Selector { namespace, labels: terms("labelSelector"), fields: terms("fieldSelector") }
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let namespace = object["metadata"]["namespace"].as_str();
        self.namespace.as_deref().is_none_or(|wanted| namespace == Some(wanted))
            && self.labels.iter().all(|term| label_holds(term, &object["metadata"]["labels"]))
            && self.fields.iter().all(|term| field_holds(term, object))
    }
}

/// Terms are separated by commas outside of brackets.
fn split(text: &str) -> Vec<String> {
    let mut terms = vec![String::new()];
    let mut is_inside = false;
    for letter in text.chars() {
        is_inside = (is_inside || letter == '(') && letter != ')';
        if letter == ',' && !is_inside {
            terms.push(String::new());
        } else {
            terms.last_mut().expect("one term at least").push(letter);
        }
    }
    terms.into_iter().map(|term| term.trim().to_owned()).filter(|term| !term.is_empty()).collect()
}

fn label_holds(term: &str, labels: &Value) -> bool {
    let value = |name: &str| labels.get(name.trim()).and_then(Value::as_str);
    let is_in = |list: &str, value: &str| {
        list.trim().trim_matches(['(', ')']).split(',').any(|one| one.trim() == value)
    };
    if let Some((name, list)) = term.split_once(" notin ") {
        value(name).is_none_or(|value| !is_in(list, value))
    } else if let Some((name, list)) = term.split_once(" in ") {
        value(name).is_some_and(|value| is_in(list, value))
    } else if let Some((name, wanted)) = term.split_once("!=") {
        value(name) != Some(wanted.trim())
    } else if let Some((name, wanted)) = term.split_once('=') {
        value(name) == Some(wanted.trim_start_matches('=').trim())
    } else if let Some(name) = term.strip_prefix('!') {
        value(name).is_none()
    } else {
        value(term).is_some()
    }
}

fn field_holds(term: &str, object: &Value) -> bool {
    let (name, wanted, is_equal) = match term.split_once("!=") {
        Some((name, wanted)) => (name, wanted, false),
        None => {
            let (name, wanted) = term.split_once('=').expect("a field selector has `=`");
            (name, wanted.trim_start_matches('='), true)
        }
    };
    let found = name.split('.').try_fold(object, |value, name| value.get(name));
    (found.and_then(Value::as_str).unwrap_or_default() == wanted) == is_equal
}
