//! `coffer-plugin-postgres --socket PATH`: which server is told by libpq's environment variables.

use std::path::PathBuf;

use clap::Parser;
use coffer_plugin_postgres::Postgres;

/// Protects databases of a PostgreSQL server as logical dumps; PGHOST, PGPORT, PGUSER, PGPASSFILE, … name the server and the user.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where it listens
    #[arg(long, value_name = "PATH", default_value = "/run/coffer/plugins/postgres.sock")]
    socket: PathBuf,
}

#[tokio::main]
async fn main() -> Result<(), coffer_plugin_sdk::ServeError> {
    coffer_plugin_sdk::serve(Postgres::from_environment(), &Arguments::parse().socket).await
}
