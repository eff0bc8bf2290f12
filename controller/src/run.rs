//! The program: arguments, settings, runtime, and the exit status.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use coffer_terminal::{clean_lines, print, remark};

use crate::logging;
use crate::settings::Settings;
use crate::wiring;

/// Status of a program that was called or set up wrongly.
const EXIT_USAGE: u8 = 2;
/// Threads of the runtime; work on repositories has threads of its own.
const RUNTIME_THREADS: usize = 2;

/// The controller of Coffer: turns continuity plans into points, retention and restores.
#[derive(Debug, Parser)]
#[command(name = "coffer-controller", version)]
struct Arguments {
    /// Settings (TOML); docs/controller.md lists them.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the settings, show what is in force, and end.
    #[arg(long)]
    check: bool,
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
    let settings = match Settings::read(&arguments.config, |name| std::env::var(name).ok()) {
        Ok(settings) => settings,
        Err(error) => {
            remark(format_args!("coffer-controller: {error:#}"));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if arguments.check {
        let shown = print(clean_lines(&settings.effective()).as_bytes());
        return if shown.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    logging::start(settings.log_format, settings.log_level);
    tracing::info!(settings = settings.effective(), version = env!("CARGO_PKG_VERSION"), "starting");
    match serve(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            remark(format_args!("coffer-controller: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(settings: Settings) -> anyhow::Result<()> {
    // Libraries that use rustls need to be told once whose cryptography it has.
    let installed = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    if rustls::crypto::CryptoProvider::install_default((*installed).clone()).is_err() {
        tracing::debug!("cryptography was installed already");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .thread_name("controller")
        .enable_all()
        .build()?;
    let served = runtime.block_on(wiring::serve(settings));
    // Runs are stopped by now; what still blocks is taken up by the next controller.
    runtime.shutdown_background();
    served
}
