//! `coffer-plugin-trove --socket PATH`: who it is to Keystone comes from the environment.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Protects database instances of OpenStack Trove; settings are the variables OS_AUTH_URL, OS_APPLICATION_CREDENTIAL_ID, … of OpenStack's clients.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where it listens
    #[arg(long, value_name = "PATH", default_value = "/run/coffer/plugins/trove.sock")]
    socket: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::INFO).init();
    let plugin = match coffer_plugin_trove::plugin(|name| std::env::var(name).ok()) {
        Ok(plugin) => plugin,
        Err(error) => {
            tracing::error!(error, "settings cannot be used");
            return ExitCode::from(2);
        }
    };
    match coffer_plugin_sdk::serve(plugin, &arguments.socket).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "plugin cannot be served");
            ExitCode::FAILURE
        }
    }
}
