//! `psql` and `pg_dump`: names travel in variables and the environment, never in text of SQL or of a connection.

use std::process::{ExitStatus, Stdio};

use coffer_plugin_sdk::{DataStream, Failure, Job, Reason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, Command};

const PIECE: usize = 1 << 20;
/// Most bytes of an answer or an error text.
const TEXT_LEN_MAX: u64 = 16 << 20;

/// A server that libpq's environment variables name.
#[derive(Default)]
pub(crate) struct Server {}

impl Server {
    /// Runs SQL in a database; `variables` are `:'name'` and `:"name"` in it.
    pub(crate) async fn query(
        &self,
        database: &str,
        sql: &str,
        variables: &[(&str, &str)],
    ) -> Result<String, Failure> {
        let mut command = psql(database);
        command.args(["-At", "-f", "-"]);
        for (name, value) in variables {
            command.arg("-v").arg(format!("{name}={value}"));
        }
        let mut child = start(command.stdin(Stdio::piped()), "psql")?;
        write(&mut child, sql.as_bytes()).await?;
        drop(child.stdin.take());
        let mut text = String::new();
        let errors = tokio::spawn(read_errors(child.stderr.take()));
        if let Some(out) = child.stdout.take() {
            out.take(TEXT_LEN_MAX)
                .read_to_string(&mut text)
                .await
                .map_err(|error| failed("psql", &error.to_string()))?;
        }
        end(child, errors, "psql").await.map(|()| text)
    }

    /// Sends a dump as data of the job; returns its bytes.
    pub(crate) async fn dump(
        &self,
        database: &str,
        schema_only: bool,
        owners: bool,
        job: &Job,
    ) -> Result<u64, Failure> {
        let mut command = Command::new("pg_dump");
        command.args(["--no-password", "--format=plain", "--encoding=UTF8"]).env("PGDATABASE", database);
        if schema_only {
            command.arg("--schema-only");
        }
        if !owners {
            command.args(["--no-owner", "--no-privileges"]);
        }
        let mut child = start(command.stdin(Stdio::null()), "pg_dump")?;
        let errors = tokio::spawn(read_errors(child.stderr.take()));
        let mut bytes = 0;
        let mut piece = vec![0; PIECE];
        if let Some(out) = &mut child.stdout {
            loop {
                let read =
                    out.read(&mut piece).await.map_err(|error| failed("pg_dump", &error.to_string()))?;
                if read == 0 {
                    break;
                }
                bytes += read as u64;
                job.send(&piece[..read]).await?;
            }
        }
        end(child, errors, "pg_dump").await.map(|()| bytes)
    }

    /// Loads a dump into a database, all of it or nothing.
    pub(crate) async fn load(&self, database: &str, data: &mut DataStream) -> Result<(), Failure> {
        let mut command = psql(database);
        // The last statement is sent only after the last piece came: a stream that breaks off commits nothing.
        command.args(["-q", "-f", "-"]);
        let mut child = start(command.stdin(Stdio::piped()).stdout(Stdio::null()), "psql")?;
        let errors = tokio::spawn(read_errors(child.stderr.take()));
        let loaded = feed(&mut child, data).await;
        drop(child.stdin.take());
        let ended = end(child, errors, "psql").await;
        // What psql says tells more than a pipe that it closed.
        ended.and(loaded)
    }
}

async fn feed(child: &mut Child, data: &mut DataStream) -> Result<(), Failure> {
    write(child, b"begin;\n").await?;
    while let Some(piece) = data.next().await? {
        write(child, &piece).await?;
    }
    write(child, b"\ncommit;\n").await
}

fn psql(database: &str) -> Command {
    let mut command = Command::new("psql");
    command.args(["--no-psqlrc", "--no-password", "-v", "ON_ERROR_STOP=1"]).env("PGDATABASE", database);
    command
}

fn start(command: &mut Command, program: &str) -> Result<Child, Failure> {
    if command.as_std().get_program() == "pg_dump" || command.as_std().get_args().any(|word| word == "-At") {
        command.stdout(Stdio::piped());
    }
    // Whoever drops the work ends the program.
    let child = command.stderr(Stdio::piped()).kill_on_drop(true).spawn();
    child.map_err(|error| failed(program, &format!("{error}; install PostgreSQL's client programs")))
}

async fn write(child: &mut Child, bytes: &[u8]) -> Result<(), Failure> {
    let Some(input) = &mut child.stdin else { return Ok(()) };
    input.write_all(bytes).await.map_err(|error| failed("psql", &error.to_string()))
}

async fn read_errors(errors: Option<ChildStderr>) -> String {
    let mut text = Vec::new();
    if let Some(errors) = errors {
        // What cannot be read is missing in the text of an error only.
        let _read = errors.take(TEXT_LEN_MAX).read_to_end(&mut text).await;
    }
    String::from_utf8_lossy(&text).into_owned()
}

async fn end(
    mut child: Child,
    errors: tokio::task::JoinHandle<String>,
    program: &str,
) -> Result<(), Failure> {
    let status: ExitStatus = child.wait().await.map_err(|error| failed(program, &error.to_string()))?;
    let text = errors.await.unwrap_or_default();
    if status.success() {
        return Ok(());
    }
    let said: String =
        text.trim().chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(500).collect();
    // Status 2 of psql, 1 of pg_dump with these words: no connection.
    let is_away = ["could not connect", "connection to server", "the database system is"]
        .iter()
        .any(|words| said.contains(words));
    let reason = if is_away { Reason::Unreachable } else { Reason::Failed };
    Err(Failure::new(reason, format!("{program} ends with {status}: {said}")))
}

fn failed(program: &str, detail: &str) -> Failure {
    Failure::new(Reason::Failed, format!("{program}: {detail}"))
}
