//! Errors of the command line itself, as clap finds them: one closing line that stands alone, and JSON on request.
//!
//! It must never repeat the value of `--repo`, which might hold a secret by mistake; that is parsed later for this reason.

use std::ffi::OsString;

use clap::error::ErrorKind;
use coffer_terminal::{print, remark};
use serde_json::json;

use crate::exit_status::ExitStatus;

/// Whether the result is to be JSON, told from the raw words, as they could not be parsed.
pub(crate) fn wants_json(words: &[OsString]) -> bool {
    words.iter().take_while(|word| *word != "--").any(|word| word == "--json")
}

/// Prints help, version or what is wrong with the words.
pub(crate) fn report(error: &clap::Error, wants_json: bool) -> ExitStatus {
    // What cannot be printed cannot be reported either; the status still tells.
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitStatus::Done;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        remark("coffer: no verb given; see `coffer --help`");
        return ExitStatus::Usage;
    }
    // Without colours: it repeats words, and what is in these could not be told from them.
    let rendered = error.render().to_string();
    rendered.lines().for_each(remark);
    let message = summary(&rendered);
    remark(format_args!("coffer: {message}; see `coffer --help`"));
    if wants_json {
        let error = json!({ "kind": "usage", "message": message, "advice": "configure", "context": {} });
        let _ = print(format!("{}\n", json!({ "error": error })).as_bytes());
    }
    ExitStatus::Usage
}

/// The first paragraph of clap's message in one line.
fn summary(rendered: &str) -> String {
    let paragraph = rendered.split("\n\n").next().unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    line.strip_prefix("error: ").map(str::to_owned).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_paragraph_becomes_one_line() {
        let rendered =
            "error: the following required arguments were not provided:\n  --plan <PLAN>\n\nUsage: x\n";
        assert_eq!(summary(rendered), "the following required arguments were not provided: --plan <PLAN>");
    }

    #[test]
    fn json_is_wanted_only_before_a_double_dash() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert!(wants_json(&words("coffer points --json")));
        assert!(!wants_json(&words("coffer backup -- --json")));
    }
}
