//! The verbs. Each verb's own options are in its file below `verbs/`.

use clap::{Parser, Subcommand};

use crate::agent::AgentOptions;
use crate::options::OutputOptions;
use crate::verbs;

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

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Make a repository and the keys of its team `default`
    Init(verbs::init::InitArguments),
    /// Make a recovery point of one or more volumes
    Backup(Box<verbs::backup::BackupArguments>),
    /// List recovery points; needs no key
    Points(verbs::points::PointsArguments),
    /// Show one point: volumes, sizes, chain, why this type
    Show(verbs::show::ShowArguments),
    /// Bring volumes of a point back
    Restore(Box<verbs::restore::RestoreArguments>),
    /// Check what is stored
    Verify(verbs::verify::VerifyArguments),
    /// Give points up, by name or by rules
    Forget(Box<verbs::forget::ForgetArguments>),
    /// Exempt a point from forget
    Hold(verbs::hold::HoldArguments),
    /// Give back the space of what nobody needs
    Prune(verbs::prune::PruneArguments),
    /// Who uses how much of the repository
    Usage(verbs::usage::UsageArguments),
    /// Make, check, rotate and show keys
    #[command(subcommand)]
    Key(verbs::key::KeyVerb),
    /// Look inside a stored object; always JSON
    #[command(subcommand)]
    Cat(verbs::cat::CatVerb),
    /// Check endpoint, clock, key, memory and device access
    Doctor(verbs::doctor::DoctorArguments),
    /// Measure this machine's disk and repository
    #[command(subcommand)]
    Bench(verbs::bench::BenchVerb),
    /// List what can be protected on agents' nodes
    Volumes(verbs::volumes::VolumesArguments),
    /// See, follow and stop what agents do
    #[command(subcommand)]
    Operations(verbs::operations::OperationsVerb),
    /// Show what agents say about themselves: version, limits, abilities
    Node(verbs::node::NodeArguments),
    /// Print the program's version
    Version(verbs::version::VersionArguments),
    /// Print a completion script for a shell
    Completion(verbs::completion::CompletionArguments),
}
