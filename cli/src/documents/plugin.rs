//! The result of `plugin check`.

use coffer_plugin_sdk::check::Checked;
use serde::Serialize;

use crate::output::Document;
use crate::text::Text;

/// What came of every rule.
#[derive(Debug, Serialize)]
pub(crate) struct PluginCheckDocument {
    pub(crate) rules: Vec<PluginRule>,
}

/// What came of one rule.
#[derive(Debug, Serialize)]
pub(crate) struct PluginRule {
    pub(crate) rule: &'static str,
    pub(crate) problem: Option<String>,
}

impl From<Checked> for PluginRule {
    fn from(checked: Checked) -> Self {
        PluginRule { rule: checked.rule, problem: checked.problem }
    }
}

impl Document for PluginCheckDocument {
    fn text(&self) -> Text {
        let mut text = Text::default();
        for rule in &self.rules {
            match &rule.problem {
                None => text.line(format_args!("ok      {}", rule.rule)),
                Some(problem) => text.line(format_args!("broken  {}: {problem}", rule.rule)),
            }
        }
        text
    }
}
