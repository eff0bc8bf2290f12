//! The checks of `doctor`. Each adds lines; none ends the run.

use coffer_blockio::{Arena, BlockSource, EngineWish, PreadSource, SourceOpener, describe_path};
use coffer_engine::one_line;
use coffer_engine::{Access, MEMORY_BYTES_MIN};

use crate::documents::doctor::{Check, CheckStatus};
use crate::documents::key::kind_name;
use crate::error::CliError;
use crate::options::{KeyOptions, RepositoryOptions};
use crate::probe::{self, Capabilities};
use crate::session::{Session, processors};
use crate::verbs::backup::cluster_name;
use crate::volume_words::SourceWord;
use crate::{human, key_files};

/// Clocks that differ by more make forget refuse to go by rules.
const CLOCK_DIFFERENCE_MAX_MS: u64 = 5 * 60 * 1000;
/// Read from a device to see that it answers, bytes.
const PROBE_READ_BYTES: usize = 4096;

/// Room for the read that tries io_uring out, bytes.
const PROBE_ARENA_BYTES: usize = 1 << 20;

/// Checks so far.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<Check>);

impl Checks {
    pub(super) fn done(self) -> Vec<Check> {
        self.0
    }

    fn add(&mut self, name: &'static str, status: CheckStatus, detail: impl Into<String>) {
        self.0.push(Check { name, status, detail: detail.into() });
    }

    fn fail(&mut self, name: &'static str, error: &CliError) {
        self.add(name, CheckStatus::Failed, error.line());
    }

    /// Whether the store can be reached and keeps what is written.
    pub(super) fn store(
        &mut self,
        session: &Session,
        repository: &RepositoryOptions,
    ) -> Option<Capabilities> {
        let probed = session.open_store(repository, false).and_then(|store| {
            probe::probe(store.as_ref(), &session.environment())
                .map(|capabilities| (store.describe(), capabilities))
        });
        match probed {
            Err(error) => {
                self.fail("store", &error);
                None
            }
            Ok((address, capabilities)) => {
                self.add("store", CheckStatus::Ok, format!("{address}: put, get, list and delete work"));
                self.capabilities(&capabilities);
                self.record(session, repository, &capabilities);
                Some(capabilities)
            }
        }
    }

    /// Keeps the findings where there is a repository and the rights allow it.
    fn record(&mut self, session: &Session, repository: &RepositoryOptions, found: &Capabilities) {
        let kept = session.open_without_key(repository).and_then(|opened| {
            probe::record(opened.store().as_ref(), &session.environment(), &cluster_name()?, found)
        });
        match kept {
            Ok(()) => self.add("record", CheckStatus::Ok, "the findings are kept below capabilities/"),
            Err(error) => {
                let text = format!("the findings could not be kept below capabilities/: {}", error.line());
                self.add("record", CheckStatus::Warning, text);
            }
        }
    }

    fn capabilities(&mut self, capabilities: &Capabilities) {
        for finding in capabilities.findings() {
            self.add("server", CheckStatus::Warning, finding);
        }
        match capabilities.refuses_overwriting() {
            true => self.add("overwriting", CheckStatus::Ok, "the store refuses to overwrite an object"),
            false => self.add(
                "overwriting",
                CheckStatus::Warning,
                "the store would overwrite; names are never used twice, so backups work. On S3 say conditional-put=false \
                 in the address",
            ),
        }
        match capabilities.checksum() {
            "none" => self.add(
                "checksums",
                CheckStatus::Ok,
                "the store tells no checksum; what is read is authenticated by Coffer itself",
            ),
            name => self.add("checksums", CheckStatus::Ok, format!("the store checks and keeps {name}")),
        }
        let difference = capabilities.clock_difference_ms();
        let (status, hint) = match difference.unsigned_abs() > CLOCK_DIFFERENCE_MAX_MS {
            true => (CheckStatus::Failed, "; set the clock, forget refuses to go by rules beyond 5 minutes"),
            false => (CheckStatus::Ok, ""),
        };
        self.add(
            "clock",
            status,
            format!("the store's clock is {difference} ms ahead of this machine's{hint}"),
        );
    }

    /// Whether there is a repository, and whether the key fits.
    pub(super) fn repository(&mut self, session: &Session, repository: &RepositoryOptions, key: &KeyOptions) {
        let opened = match session.open(repository, key) {
            Ok(opened) => opened,
            Err(error) => return self.fail("repository", &error),
        };
        let encrypted = if opened.is_encrypted() { "encrypted" } else { "not encrypted" };
        self.add("repository", CheckStatus::Ok, format!("{} ({encrypted})", opened.id()));
        match opened.access() {
            Access::Key(held) => {
                let text = format!(
                    "{} key of team {}, generation {}",
                    kind_name(held.kind),
                    held.team,
                    held.generation
                );
                self.add("key", CheckStatus::Ok, text);
            }
            Access::Locked => {
                self.add("key", CheckStatus::Warning, "none given; backups and restores need --key FILE")
            }
            Access::Unencrypted => {}
        }
        if let Some(mode) = key.key.as_deref().and_then(key_files::open_to_others) {
            let text = format!("the key file has mode {mode:04o}: others can read it; run chmod 600");
            self.add("key file", CheckStatus::Warning, text);
        }
    }

    /// What the process may use.
    pub(super) fn memory(&mut self) {
        let least = human::size(MEMORY_BYTES_MIN);
        self.add(
            "processors",
            CheckStatus::Ok,
            format!("{}; a run takes {least} of memory at least", processors()),
        );
    }

    /// What volumes are read with. Less than the best is no fault.
    pub(super) fn read_engine(&mut self) {
        let arena = Arena::new(PROBE_ARENA_BYTES).map_err(|error| one_line(&error));
        let opener = arena
            .and_then(|arena| SourceOpener::new(EngineWish::Uring, &arena).map_err(|error| one_line(&error)));
        let text = match opener {
            Ok(_) => "io_uring works; backup --io auto reads scattered blocks with it".to_owned(),
            Err(reason) => format!("pread: {reason}"),
        };
        self.add("read engine", CheckStatus::Ok, text);
    }

    /// Whether a volume can be read.
    pub(super) fn volume(&mut self, word: &SourceWord) {
        match read_a_little(word) {
            Err(text) => self.add("volume", CheckStatus::Failed, format!("{}: {text}", word.path.display())),
            Ok((source, user)) => {
                let around = if source.is_direct() { "around" } else { "through" };
                let holes = if source.knows_holes() { ", holes are known" } else { "" };
                let size = human::size(source.size_bytes());
                let text = format!("{}: {size}, read {around} the page cache{holes}", word.path.display());
                match user {
                    None => self.add("volume", CheckStatus::Ok, text),
                    Some(user) => self.add("volume", CheckStatus::Warning, format!("{text}; in use: {user}")),
                }
            }
        }
    }
}

fn read_a_little(word: &SourceWord) -> Result<(PreadSource, Option<String>), String> {
    let info = describe_path(&word.path).map_err(|error| one_line(&error))?;
    let source = PreadSource::open(&word.path).map_err(|error| one_line(&error))?;
    let len = usize::try_from(source.size_bytes()).unwrap_or(usize::MAX).min(PROBE_READ_BYTES);
    source.read_exact_at(0, &mut vec![0; len]).map_err(|error| one_line(&error))?;
    Ok((source, info.mounted_or_held))
}
