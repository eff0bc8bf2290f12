//! `coffer bench`: small honest measurements on the user's own disk and repository. What is written is removed again.

mod cpu;
mod pipeline;
mod read;
mod sink;
mod steps;
mod store;

use clap::Subcommand;

use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::session::Session;

/// What is measured.
#[derive(Subcommand, Debug)]
pub(crate) enum BenchVerb {
    /// Read a volume as a backup does, and do nothing with it
    Read(read::ReadArguments),
    /// Take a volume's blocks through each step of a backup and a restore, and say what each costs
    Cpu(cpu::CpuArguments),
    /// Back a volume up into nowhere: all the work but storing
    Pipeline(pipeline::PipelineArguments),
    /// Put, get, list and delete objects in the repository's store
    Store(store::StoreArguments),
}

pub(crate) fn run(session: &Session, verb: &BenchVerb) -> Result<ExitStatus, CliError> {
    match verb {
        BenchVerb::Read(arguments) => read::run(session, arguments),
        BenchVerb::Cpu(arguments) => cpu::run(session, arguments),
        BenchVerb::Pipeline(arguments) => pipeline::run(session, arguments),
        BenchVerb::Store(arguments) => store::run(session, arguments),
    }
}
