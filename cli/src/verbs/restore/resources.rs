//! Restores resources of a point: options are held against the schema of the point's version, then plugins do the work.

use std::io::{self, Write};
use std::time::Duration;

use coffer_engine::catalog::{PointEntry, load_manifest};
use coffer_engine::{Repository, Resources, restore_to_stream};
use coffer_format::{Manifest, ResourceRecord};
use coffer_plugin_sdk::{Failure, Reason};
use coffer_resources::{Registry, restore, restore_options};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::request::{RestoreArguments, choose_point};
use crate::documents::resources::ResourceRow;
use crate::documents::restore::{RestoreDocument, RestoredResource};
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::plugins::{discover, runtime};
use crate::session::Session;

/// Pieces of data between repository and plugin.
const PIECES_WAITING_MAX: usize = 4;
const PIECE_LEN_MAX: usize = 1 << 20;

pub(super) fn run(session: &Session, arguments: &RestoreArguments) -> Result<ExitStatus, CliError> {
    let repository = session.open(&arguments.repository, &arguments.key)?;
    let resources = Session::resources(&arguments.memory)?;
    let point = choose_point(&repository, arguments)?;
    let manifest = load_manifest(&repository, &point)?.payload;
    let chosen = choose(&manifest, arguments)?;
    if chosen.iter().any(|(record, _)| record.volume.is_some()) {
        repository.recovery_key(&point.plan.team)?;
    }
    let runtime = runtime()?;
    let registry = discover(&runtime, &arguments.plugins)?;
    // All options are good before anything is made.
    for (record, options) in &chosen {
        runtime.block_on(restore_options(&registry, record, options))?;
    }
    let mut restored = Vec::new();
    if !arguments.dry_run {
        let job = Job {
            session,
            arguments,
            repository: &repository,
            resources: &resources,
            point: &point,
            runtime: &runtime,
            registry: &registry,
        };
        for (record, options) in &chosen {
            restored.push(job.restore(record, options)?);
        }
    }
    let requests = repository.store().requests();
    let document =
        RestoreDocument::new(point.id, Vec::new(), arguments.dry_run, requests, session.duration_ms());
    session.output.show(&document.with_resources(restored))?;
    Ok(ExitStatus::Done)
}

fn choose<'a>(
    manifest: &'a Manifest,
    arguments: &RestoreArguments,
) -> Result<Vec<(&'a ResourceRecord, String)>, CliError> {
    let mut chosen = Vec::new();
    for word in &arguments.resource {
        let found = manifest.resources.iter().find(|record| record.reference == word.reference);
        let record = found.ok_or_else(|| {
            let all: Vec<String> =
                manifest.resources.iter().map(|record| record.reference.to_string()).collect();
            let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
            CliError::NotFound(format!(
                "point {} has no resource {}; it has {all}",
                manifest.point, word.reference
            ))
        })?;
        if record.artefact.is_none() {
            let error = record.error.as_deref().unwrap_or_default();
            return Err(CliError::Refused(format!(
                "{} failed in this point ({error}); choose another point",
                word.reference
            )));
        }
        chosen.push((record, word.read_options()?));
    }
    Ok(chosen)
}

struct Job<'a> {
    session: &'a Session,
    arguments: &'a RestoreArguments,
    repository: &'a Repository,
    resources: &'a Resources,
    point: &'a PointEntry,
    runtime: &'a Runtime,
    registry: &'a Registry,
}

impl Job<'_> {
    fn restore(&self, record: &ResourceRecord, options: &str) -> Result<RestoredResource, CliError> {
        let key = match &self.arguments.idempotency_key {
            Some(key) => key.clone(),
            None => self.session.environment().new_id()?.to_string(),
        };
        let (sender, receiver) = mpsc::channel(PIECES_WAITING_MAX);
        let timeout = Duration::from_secs(self.arguments.resource_timeout.into());
        let restored = std::thread::scope(|scope| {
            // Data are read on a thread of their own while the plugin takes them.
            let reading = scope.spawn(move || self.send_data(record, &sender));
            let work = restore(self.registry, record, &key, options, timeout, receiver);
            let restored = self.runtime.block_on(work);
            let read = reading.join().expect("reading data does not panic");
            restored.map_err(CliError::from).and_then(|restored| read.map(|()| restored))
        })?;
        let description = restored.resource.details.get("restore_description").cloned();
        Ok(RestoredResource {
            resource: record.reference.to_string(),
            restored: ResourceRow::from(restored.resource),
            description,
            options: serde_json::from_str(&restored.options).unwrap_or_default(),
            warnings: restored.warnings,
        })
    }

    fn send_data(
        &self,
        record: &ResourceRecord,
        sender: &mpsc::Sender<Result<Vec<u8>, Failure>>,
    ) -> Result<(), CliError> {
        let Some(volume) = &record.volume else { return Ok(()) };
        let mut pieces = Pieces { sender, buffer: Vec::new() };
        let sent = restore_to_stream(self.repository, self.resources, self.point, volume, &mut pieces);
        let sent = sent.map(drop).map_err(CliError::from).and_then(|()| {
            pieces.flush().map_err(|source| CliError::File {
                step: "send data to",
                path: "the plugin".into(),
                source,
            })
        });
        if let Err(error) = &sent {
            // A plugin that sees the end of its data believes that it has all.
            let _gone = sender.blocking_send(Err(Failure::new(Reason::Failed, error.line())));
        }
        sent
    }
}

/// Writes into the stream of data to a plugin.
struct Pieces<'a> {
    sender: &'a mpsc::Sender<Result<Vec<u8>, Failure>>,
    buffer: Vec<u8>,
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE_LEN_MAX - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == PIECE_LEN_MAX {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.buffer);
        if piece.is_empty() {
            return Ok(());
        }
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the plugin takes no more data");
        self.sender.blocking_send(Ok(piece)).map_err(gone)
    }
}
