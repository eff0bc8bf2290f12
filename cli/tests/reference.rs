//! `docs/cli.md` is what the definitions of the command line say. `UPDATE_DOCS=1` writes it anew.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "harness/sandbox.rs"]
mod sandbox;

use std::fmt::Write;
use std::path::Path;

use clap::{ArgAction, Command};
use sandbox::Sandbox;

const HEAD: &str = "\
# Command line

Made from the program's own definitions; `UPDATE_DOCS=1 cargo test -p coffer-cli --test reference` writes it anew. The JSON of every
verb is in `docs/json.md`.

- Results go to standard output, everything else to standard error. With `--json` standard output carries exactly one document.
- The last line on standard error of a command that fails says what was wrong, with which value, and what to do next.
- What is for people shows control characters, line breaks and marks of direction in names and texts, such as `\\u{1b}`; JSON has them as they are.
- A reader that goes away ends nothing; a result that a full disk does not take is a failure (1). What standard error does not take is left out.
- Where a volume's name has a `=` itself, the longest name that is there counts: `--volume a=b=/dev/vdb` is volume `a=b`, if the point has one.
- Progress is a bar on a terminal, otherwise one line every 10 s, and nothing with `--quiet`.
- Sizes are bytes, or numbers with `KiB`, `MiB`, `GiB`, `TiB`. Times are RFC 3339 with an offset.
- SIGINT and SIGTERM end a command soon; the second one at once. Nothing that was not finished is reported done.

| exit status | meaning |
|---|---|
| 0 | done |
| 1 | failed |
| 2 | usage or configuration |
| 3 | partly done: some volumes failed; the point says so |
| 4 | not found: repository, plan, point, volume |
| 5 | integrity: something stored is damaged or forged |
| 6 | refused for safety: a guard said no, nothing was changed |
| 130 | cancelled |
";

#[test]
fn the_reference_is_what_the_program_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let made = reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "docs/cli.md is not what the program says; run with UPDATE_DOCS=1 and look at the difference"
    );
}

#[test]
fn the_help_of_every_verb_has_an_example() {
    let sandbox = Sandbox::new();
    for words in verbs(&built(), &[]) {
        let mut line: Vec<&str> = words.iter().map(String::as_str).collect();
        line.push("--help");
        let help = sandbox.done(&line).text();
        let example = format!("  coffer {}", words.join(" "));
        assert!(
            help.contains("Examples:") && help.contains(&example),
            "coffer {} --help:\n{help}",
            words.join(" ")
        );
    }
}

#[test]
fn completion_knows_every_verb() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = sandbox.done(&["completion", shell]).text();
        for verb in built().get_subcommands().map(Command::get_name) {
            assert!(script.contains(verb), "the {shell} script does not know {verb}");
        }
    }
}

#[test]
fn every_option_has_a_help_text() {
    for words in verbs(&built(), &[]) {
        let command = find(&built(), &words);
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{}: {} has no help", words.join(" "), argument.get_id());
        }
    }
}

fn built() -> Command {
    let mut command = coffer_cli::command();
    command.build();
    command
}

/// The words of every verb that does something itself.
fn verbs(command: &Command, before: &[String]) -> Vec<Vec<String>> {
    let own = command.get_subcommands().filter(|verb| verb.get_name() != "help");
    own.flat_map(|verb| {
        let words = [before, &[verb.get_name().to_owned()]].concat();
        if verb.has_subcommands() { verbs(verb, &words) } else { vec![words] }
    })
    .collect()
}

fn find(command: &Command, words: &[String]) -> Command {
    words.iter().fold(command.clone(), |command, word| command.find_subcommand(word).unwrap().clone())
}

fn reference() -> String {
    let root = built();
    let mut out = HEAD.to_owned();
    out.push_str("\n## Options of all verbs\n\n");
    push_options(&mut out, &root, |global| global);
    for words in verbs(&root, &[]) {
        let command = find(&root, &words);
        write!(out, "\n## coffer {}\n\n{}.\n\n", words.join(" "), command.get_about().unwrap()).unwrap();
        let usage = command.clone().render_usage().to_string();
        writeln!(
            out,
            "`{}`\n",
            usage.trim_start_matches("Usage: ").split_whitespace().collect::<Vec<_>>().join(" ")
        )
        .unwrap();
        push_options(&mut out, &command, |global| !global);
        let examples = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        writeln!(out, "\n```text\n{}\n```", examples.trim()).unwrap();
    }
    out
}

fn push_options(out: &mut String, command: &Command, wanted: impl Fn(bool) -> bool) {
    let arguments = command.get_arguments().filter(|argument| wanted(argument.is_global_set()));
    let arguments: Vec<_> =
        arguments.filter(|argument| !["help", "version"].contains(&argument.get_id().as_str())).collect();
    if arguments.is_empty() {
        return;
    }
    out.push_str("| option | meaning |\n|---|---|\n");
    for argument in arguments {
        let mut help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let values: Vec<String> =
            argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
        if argument.get_action().takes_values() && !values.is_empty() {
            write!(help, ": {}", values.join(", ")).unwrap();
        }
        let defaults: Vec<String> =
            argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
        if argument.get_action().takes_values() && !defaults.concat().is_empty() {
            write!(help, " [{}]", defaults.join(" ")).unwrap();
        }
        if let Some(variable) = argument.get_env() {
            write!(help, " (or `{}`)", variable.to_string_lossy()).unwrap();
        }
        writeln!(out, "| `{}` | {} |", shown(argument), help.replace('|', "\\|")).unwrap();
    }
}

fn shown(argument: &clap::Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let value = names.first().map(ToString::to_string).unwrap_or_default();
    let repeated = if matches!(argument.get_action(), ArgAction::Append) { "…" } else { "" };
    match argument.get_long() {
        Some(long) if argument.get_action().takes_values() => format!("--{long} {value}{repeated}"),
        Some(long) => format!("--{long}"),
        None => format!("{value}{repeated}"),
    }
}
