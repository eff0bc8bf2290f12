//! `coffer completion`: a script for a shell, always as text.

use clap::Args;
use clap_complete::Shell;

use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::output::print;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  coffer completion bash > /etc/bash_completion.d/coffer
  coffer completion zsh > \"${fpath[1]}/_coffer\"
  coffer completion fish > ~/.config/fish/completions/coffer.fish";

/// Options of `completion`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct CompletionArguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(session: &Session, arguments: &CompletionArguments) -> Result<ExitStatus, CliError> {
    if session.output.is_json() {
        return Err(CliError::Usage("a completion script is no JSON; leave --json out".into()));
    }
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut crate::command(), "coffer", &mut script);
    print(&script)?;
    Ok(ExitStatus::Done)
}
