//! The verbs. Each verb's own options are in its file below `verbs/`.

use clap::Parser;

use crate::agent::AgentOptions;
use crate::options::OutputOptions;
use crate::verbs::Verb;

const AFTER_HELP: &str = "\
Examples:
  coffer init    --repo file:///srv/backup --key-out recovery.key --writer-key-out writer.key
  coffer backup  --repo file:///srv/backup --key writer.key --plan web /dev/vg0/web-snapshot
  coffer points  --repo file:///srv/backup
  coffer restore --repo file:///srv/backup --key recovery.key --plan web --pick latest --to /srv/restored

Exit status: 0 done, 1 failed, 2 usage or configuration, 3 partly done, 4 not found, 5 something stored is damaged,
6 refused for safety, 130 cancelled.";

/// Backs block devices and disk images up into an object store or a directory, and brings them back.
#[derive(Parser, Debug)]
#[command(name = "coffer", version, arg_required_else_help = true, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) verb: Verb,

    #[command(flatten)]
    pub(crate) output: OutputOptions,

    #[command(flatten)]
    pub(crate) agents: AgentOptions,
}
