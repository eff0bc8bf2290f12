//! The one result on standard output, and the last line on standard error.
//!
//! With `--json` standard output carries exactly one document: the result, or the error. It must never carry anything else.

use std::io::{self, IsTerminal};

use coffer_terminal::{remark, remark_exactly};
use serde::Serialize;
use serde_json::json;

use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::options::{LogFormat, OutputOptions};
use crate::text::Text;

/// A result, for scripts and for people.
pub(crate) trait Document: Serialize {
    /// The result for people.
    fn text(&self) -> Text;
}

/// Where results go.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    log_format: LogFormat,
}

impl Output {
    /// As the options say.
    pub(crate) fn new(options: &OutputOptions) -> Output {
        Output { json: options.json, quiet: options.quiet, log_format: options.log_format }
    }

    /// Whether the result is JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// How progress is shown.
    pub(crate) fn progress_style(&self) -> ProgressStyle {
        match (self.quiet, self.log_format) {
            (true, _) => ProgressStyle::None,
            (false, LogFormat::Json) => ProgressStyle::JsonLines,
            (false, LogFormat::Text) if io::stderr().is_terminal() => ProgressStyle::Bar,
            (false, LogFormat::Text) => ProgressStyle::Lines,
        }
    }

    /// Prints the result.
    pub(crate) fn show<D: Document>(&self, document: &D) -> Result<(), CliError> {
        if self.json { self.show_json(document) } else { print(document.text().as_str().as_bytes()) }
    }

    /// Prints a document as JSON, whatever the options say.
    pub(crate) fn show_json<D: Serialize>(&self, document: &D) -> Result<(), CliError> {
        let text = serde_json::to_string(document).map_err(|error| CliError::Print(error.into()))?;
        print(format!("{text}\n").as_bytes())
    }

    /// A remark for people on standard error, not shown with `--quiet`.
    pub(crate) fn remark(&self, text: &str) {
        if !self.quiet {
            self.closing_line("INFO", text, &json!({}));
        }
    }

    /// Says in the last line why the status is not 0 although there is a result.
    pub(crate) fn close(&self, status: ExitStatus, text: &str) -> ExitStatus {
        self.closing_line("ERROR", text, &json!({ "status": status as u8 }));
        status
    }

    /// Reports an error in the last line, and as JSON where that was asked for.
    pub(crate) fn fail(&self, error: &CliError) -> ExitStatus {
        let status = error.status();
        let (kind, advice, line) = (error.kind(), error.advice().as_str(), error.line());
        if self.json {
            let error =
                json!({ "kind": kind, "message": line, "advice": advice, "context": error.context() });
            // A reader that is gone is told by the status.
            let _ = self.show_json(&json!({ "error": error }));
        }
        self.closing_line("ERROR", &line, &json!({ "kind": kind, "advice": advice, "status": status as u8 }));
        status
    }

    fn closing_line(&self, level: &str, text: &str, fields: &serde_json::Value) {
        match self.log_format {
            LogFormat::Text => remark(format_args!("coffer: {text}")),
            LogFormat::Json => {
                let timestamp = jiff::Timestamp::now().to_string();
                let mut line =
                    json!({ "timestamp": timestamp, "level": level, "fields": fields, "target": "coffer" });
                line["fields"]["message"] = json!(text);
                remark_exactly(line);
            }
        }
    }
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProgressStyle {
    /// Not at all.
    None,
    /// A bar that is drawn anew.
    Bar,
    /// One line every 10 s.
    Lines,
    /// One JSON object every 10 s.
    JsonLines,
}

/// Writes to standard output. A reader that went away, such as `head`, is no failure of ours.
pub(crate) fn print(bytes: &[u8]) -> Result<(), CliError> {
    coffer_terminal::print(bytes).map_err(CliError::Print)
}
