//! One file per verb: its options, and how it calls the engine. A verb decides nothing about stored data.

pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod cat;
pub(crate) mod completion;
pub(crate) mod doctor;
pub(crate) mod forget;
pub(crate) mod hold;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod node;
pub(crate) mod operations;
pub(crate) mod plugin;
pub(crate) mod points;
pub(crate) mod prune;
pub(crate) mod resources;
pub(crate) mod restore;
pub(crate) mod show;
pub(crate) mod usage;
pub(crate) mod verify;
pub(crate) mod version;
pub(crate) mod volumes;

use clap::Subcommand;

use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::session::Session;

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Make a repository and the keys of its team `default`
    Init(init::InitArguments),
    /// Make a recovery point of one or more volumes
    Backup(Box<backup::BackupArguments>),
    /// List recovery points; needs no key
    Points(points::PointsArguments),
    /// Show one point: volumes, sizes, chain, why this type
    Show(show::ShowArguments),
    /// Bring volumes of a point back
    Restore(Box<restore::RestoreArguments>),
    /// Check what is stored
    Verify(verify::VerifyArguments),
    /// Give points up, by name or by rules
    Forget(Box<forget::ForgetArguments>),
    /// Exempt a point from forget
    Hold(hold::HoldArguments),
    /// Give back the space of what nobody needs
    Prune(prune::PruneArguments),
    /// Who uses how much of the repository
    Usage(usage::UsageArguments),
    /// Make, check, rotate and show keys
    #[command(subcommand)]
    Key(key::KeyVerb),
    /// Look inside a stored object; always JSON
    #[command(subcommand)]
    Cat(cat::CatVerb),
    /// Check endpoint, clock, key, memory and device access
    Doctor(doctor::DoctorArguments),
    /// Measure this machine's disk and repository
    #[command(subcommand)]
    Bench(bench::BenchVerb),
    /// List what can be protected on agents' nodes
    Volumes(volumes::VolumesArguments),
    /// See, follow and stop what agents do
    #[command(subcommand)]
    Operations(operations::OperationsVerb),
    /// Show what agents say about themselves: version, limits, abilities
    Node(node::NodeArguments),
    /// See what plugins find beside volumes
    #[command(subcommand)]
    Resources(resources::ResourcesVerb),
    /// For authors of plugins
    #[command(subcommand)]
    Plugin(plugin::PluginVerb),
    /// Print the program's version
    Version(version::VersionArguments),
    /// Print a completion script for a shell
    Completion(completion::CompletionArguments),
}

/// Runs a verb. The result was printed when this returns; an error was not.
pub(crate) fn run(session: &Session, verb: Verb) -> Result<ExitStatus, CliError> {
    match verb {
        Verb::Init(arguments) => init::run(session, &arguments),
        Verb::Backup(arguments) => backup::run(session, &arguments),
        Verb::Points(arguments) => points::run(session, &arguments),
        Verb::Show(arguments) => show::run(session, &arguments),
        Verb::Restore(arguments) => restore::run(session, &arguments),
        Verb::Verify(arguments) => verify::run(session, &arguments),
        Verb::Forget(arguments) => forget::run(session, &arguments),
        Verb::Hold(arguments) => hold::run(session, &arguments),
        Verb::Prune(arguments) => prune::run(session, &arguments),
        Verb::Usage(arguments) => usage::run(session, &arguments),
        Verb::Key(verb) => key::run(session, &verb),
        Verb::Cat(verb) => cat::run(session, &verb),
        Verb::Doctor(arguments) => doctor::run(session, &arguments),
        Verb::Bench(verb) => bench::run(session, &verb),
        Verb::Volumes(arguments) => volumes::run(session, &arguments),
        Verb::Operations(verb) => operations::run(session, &verb),
        Verb::Node(arguments) => node::run(session, &arguments),
        Verb::Resources(verb) => resources::run(session, &verb),
        Verb::Plugin(verb) => plugin::run(session, &verb),
        Verb::Version(arguments) => version::run(session, &arguments),
        Verb::Completion(arguments) => completion::run(session, &arguments),
    }
}
