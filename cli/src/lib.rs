//! The command line of Coffer: arguments in, calls of the engine, one result out.
//!
//! What scripts rely on (verbs, options, exit statuses, JSON) is fixed in `docs/cli.md` and `docs/json.md`, and tests hold the
//! program to them. Nothing here decides about stored data: the engine does. Nothing here ever prints a secret of a key file.
//!
//! # Map
//! - `arguments`, `options`, `values`: from words to checked values.
//! - `verbs`: one file per verb; each calls the engine and returns a document.
//! - `documents`: what is printed, as JSON and for people.
//! - `session`: what a verb needs of the process: repository, clock, memory, cancellation, output.
//! - `agent`: the same verbs through node agents.
//! - `plugins`, `stored_resources`: what verbs need to call plugins.
//! - `kubernetes`: what Kubernetes knows of volumes that agents list.
//! - `key_files`, `change_list`, `targets`, `selection`, `probe`: checks and choices before the engine is called.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod agent;
mod agent_words;
mod arguments;
mod cancellation;
mod change_list;
mod dense;
mod documents;
mod environment;
mod error;
mod exit_status;
mod human;
mod key_files;
mod key_targets;
mod kubernetes;
mod logging;
mod options;
mod output;
mod paths;
mod plugins;
mod probe;
mod progress;
mod request_words;
mod room;
mod selection;
mod session;
mod stored_resources;
mod table;
mod targets;
mod text;
mod usage_error;
mod values;
mod verbs;
mod volume_words;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::arguments::Arguments;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::session::Session;

/// Runs the program with `words`, of which the first is its name, and returns its exit status.
pub fn run(words: Vec<OsString>) -> ExitCode {
    let wants_json = usage_error::wants_json(&words);
    let mut command = Arguments::command();
    let parsed = command.try_get_matches_from_mut(words).and_then(|given| {
        let arguments = Arguments::from_arg_matches(&given).map_err(|error| error.format(&mut command))?;
        Ok((arguments, agent::contradiction(&command, &given)))
    });
    match parsed {
        Ok((arguments, contradiction)) => run_parsed(arguments, contradiction).into(),
        Err(error) => usage_error::report(&error, wants_json).into(),
    }
}

/// The definition of the command line, for documentation and completion.
pub fn command() -> clap::Command {
    Arguments::command()
}

fn run_parsed(arguments: Arguments, contradiction: Option<String>) -> ExitStatus {
    if let Some(text) = contradiction {
        return output::Output::new(&arguments.output).fail(&CliError::Usage(text));
    }
    let session = match Session::start(&arguments.output, arguments.agents) {
        Ok(session) => session,
        Err(error) => return output::Output::new(&arguments.output).fail(&error),
    };
    match verbs::run(&session, arguments.verb) {
        Ok(status) => status,
        Err(error) => session.output.fail(&error),
    }
}
