//! The program: arguments, settings, runtime, and the exit status.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use coffer_blockio::outlive_file_limit;
use coffer_terminal::{clean_lines, print, remark};
use tracing::info;

use crate::composition;
use crate::config::{Config, Told};
use crate::directories;
use crate::edge::tls::{ALPN_GRPC, Certificates};
use crate::logging;
use crate::operations::secrets::Mounted;

/// Threads that carry gRPC and HTTP; work on volumes has its own.
const RUNTIME_THREADS: usize = 2;
/// Threads for calls that block, such as reading a directory.
const BLOCKING_THREADS: usize = 16;
/// Status of a program that was called or set up wrongly.
const EXIT_USAGE: u8 = 2;

/// The node agent of Coffer: backs up and restores the volumes of the node it runs on.
#[derive(Debug, Parser)]
#[command(name = "coffer-agent", version)]
pub struct Arguments {
    /// Settings (TOML); docs/agent.md lists them.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Check the settings and the certificates they name, show what is in force, and end.
    #[arg(long)]
    pub check: bool,
}

/// Runs the program with its arguments.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            error.render().to_string().lines().for_each(remark);
            return ExitCode::from(EXIT_USAGE);
        }
        Err(help) => {
            // Nothing is left to tell whoever closed the output.
            let _printed = help.print();
            return ExitCode::SUCCESS;
        }
    };
    let config = match prepare(&arguments) {
        Ok(config) => config,
        Err(error) => {
            remark(format_args!("coffer-agent: {error:#}"));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if arguments.check {
        return show(&config);
    }
    logging::start(config.log_format, config.log_level);
    outlive_file_limit();
    info!(settings = config.effective(), version = env!("CARGO_PKG_VERSION"), "starting");
    if let Err(error) = directories::make(&config) {
        remark(format_args!("coffer-agent: {error:#}"));
        return ExitCode::from(EXIT_USAGE);
    }
    match serve(config, arguments.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            remark(format_args!("coffer-agent: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints the settings that are in force.
fn show(config: &Config) -> ExitCode {
    match print(clean_lines(&config.effective()).as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            remark(format_args!("coffer-agent: print the settings: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The settings, if they and all that they name can be used. `--check` and the start ask the same.
fn prepare(arguments: &Arguments) -> anyhow::Result<Config> {
    let config = Config::read(&arguments.config, &Told::by(|name| std::env::var(name).ok()))?;
    config.check_places(&std::path::absolute(&arguments.config)?)?;
    directories::check(&config)?;
    if let Some(files) = &config.tls {
        Certificates::load(files, ALPN_GRPC)?;
    }
    Mounted::new(config.credentials_dir.clone()).check()?;
    composition::check(&config)?;
    Ok(config)
}

fn serve(config: Config, path: PathBuf) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("edge")
        .enable_all()
        .build()
        .context("start the runtime")?;
    let served = runtime.block_on(composition::serve(config, path));
    // Operations are drained by now; what still blocks is not waited for.
    runtime.shutdown_background();
    served
}
