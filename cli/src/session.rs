//! What a verb needs of the process: repository, clock, memory, cancellation and output.

use std::sync::Arc;
use std::time::Instant;

use coffer_blockio::{SourceOpener, outlive_file_limit};
use coffer_coordinator::Agents;
use coffer_engine::one_line;
use coffer_engine::{Environment, Repository, Resources};
use coffer_format::KeyFile;
use coffer_store::{ObjectStore, OpenOptions, RepositoryUrl};

use crate::agent::{self, AgentOptions};
use crate::cancellation::Cancellation;
use crate::environment;
use crate::error::CliError;
use crate::key_files;
use crate::logging;
use crate::options::{KeyOptions, MemoryOptions, OutputOptions, ReadOptions, RepositoryOptions};
use crate::output::Output;

/// One run of the program.
pub(crate) struct Session {
    /// Where results go.
    pub(crate) output: Output,
    /// Through which agents.
    pub(crate) agents: AgentOptions,
    cancellation: Cancellation,
    started: Instant,
}

impl Session {
    /// Starts the log and listens to signals.
    pub(crate) fn start(options: &OutputOptions, agents: AgentOptions) -> Result<Session, CliError> {
        logging::start(options);
        outlive_file_limit();
        let cancellation = Cancellation::listen().map_err(|source| CliError::File {
            step: "listen to",
            path: "signals".into(),
            source,
        })?;
        Ok(Session { output: Output::new(options), agents, cancellation, started: Instant::now() })
    }

    /// Clock, random source and the wish to stop.
    pub(crate) fn environment(&self) -> Environment {
        environment::system(self.cancellation.token())
    }

    /// Milliseconds since the start.
    pub(crate) fn duration_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Connects to the agents of `--agent`.
    pub(crate) fn connect(&self) -> Result<Agents, CliError> {
        if !self.agents.are_given() {
            return Err(CliError::Usage("this asks agents: give --agent ADDR or COFFER_AGENT".into()));
        }
        agent::connect(&self.agents, self.cancellation.stop_wish())
    }

    /// The key file once more, for whom it is sent to.
    pub(crate) fn key(&self, key: &KeyOptions) -> Result<Option<KeyFile>, CliError> {
        key.key.as_deref().map(key_files::read_again).transpose()
    }

    /// The address of the repository.
    pub(crate) fn address(&self, repository: &RepositoryOptions) -> Result<RepositoryUrl, CliError> {
        RepositoryUrl::parse(&repository.repo).map_err(|error| CliError::Usage(format!("--repo: {error}")))
    }

    /// Opens the store; `create` makes its directory where it is missing.
    pub(crate) fn open_store(
        &self,
        repository: &RepositoryOptions,
        create: bool,
    ) -> Result<Arc<dyn ObjectStore>, CliError> {
        let cancelled = Some(self.cancellation.token().shared_flag());
        Ok(coffer_store::open(
            &self.address(repository)?,
            OpenOptions { create, cancelled, ..OpenOptions::default() },
        )?)
    }

    /// Opens the repository with whatever key the caller has.
    pub(crate) fn open(
        &self,
        repository: &RepositoryOptions,
        key: &KeyOptions,
    ) -> Result<Repository, CliError> {
        let store = self.open_store(repository, false)?;
        let key = key.key.as_deref().map(key_files::read).transpose()?;
        Ok(Repository::open(store, self.environment(), key)?)
    }

    /// Opens the repository without a key.
    pub(crate) fn open_without_key(&self, repository: &RepositoryOptions) -> Result<Repository, CliError> {
        Ok(Repository::open(self.open_store(repository, false)?, self.environment(), None)?)
    }

    /// Opens volumes with the read engine that was asked for, or the one that works here.
    pub(crate) fn opener(
        &self,
        options: &ReadOptions,
        resources: &Resources,
    ) -> Result<SourceOpener, CliError> {
        let opener = SourceOpener::new(options.io, &resources.arena).map_err(|error| {
            CliError::Usage(format!("--io {}: {}; use --io auto or --io pread", options.io, one_line(&error)))
        })?;
        if let Some(reason) = opener.fallback() {
            tracing::info!(reason = one_line(reason), "reading with pread instead of io_uring");
        }
        Ok(opener)
    }

    /// Shares the memory out among buffers and caches.
    pub(crate) fn resources(memory: &MemoryOptions) -> Result<Resources, CliError> {
        Ok(Resources::within(memory.memory, processors())?)
    }
}

/// Processors that this process may use; limits of the control group count.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}
