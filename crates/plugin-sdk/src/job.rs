//! One piece of work as a plugin sees it: what is asked, until when, and where progress and data go.

use std::sync::Mutex;
use std::time::Duration;

use coffer_format::ResourceRef;
use coffer_proto::checked::{DATA_LEN_MAX, PluginWork};
use coffer_proto::plugin::v1::{self, update};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::{Status, Streaming};

use crate::failure::{Failure, Reason};

const WARNINGS_MAX: usize = 16;
const WARNING_LEN_MAX: usize = 500;

/// Updates on their way to the caller.
pub(crate) type Updates = mpsc::Sender<Result<v1::Update, Status>>;

/// One piece of work.
pub struct Job {
    /// The resource.
    pub reference: ResourceRef,
    /// Names the work: 1 to 128 printable ASCII characters.
    pub key: String,
    /// When it has to be over.
    pub deadline: Instant,
    /// Version of the schema that the options keep.
    pub schema_version: String,
    /// The options, with defaults.
    pub options: Value,
    updates: Updates,
    progress: Mutex<String>,
    warnings: Mutex<Vec<String>>,
}

impl Job {
    pub(crate) fn new(work: PluginWork, schema_version: String, options: Value, updates: Updates) -> Self {
        Job {
            deadline: Instant::now() + work.timeout,
            key: work.key.to_string(),
            reference: work.reference,
            schema_version,
            options,
            updates,
            progress: Mutex::new(String::new()),
            warnings: Mutex::new(Vec::new()),
        }
    }

    /// An option that is a text; nothing where it is null or left out.
    pub fn text(&self, option: &str) -> Option<&str> {
        self.options.get(option).and_then(Value::as_str)
    }

    /// Time that is left.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Says what is done at the moment.
    pub async fn progress(&self, text: impl Into<String>) {
        let text = text.into();
        text.clone_into(&mut self.progress.lock().expect("nobody panics with the text in hand"));
        self.update(update::Update::Progress(v1::Progress { text, percent: 0 })).await;
    }

    /// Says that something was odd; work goes on. More than 16 are left out.
    pub fn warn(&self, text: &str) {
        let mut warnings = self.warnings.lock().expect("nobody panics with the warnings in hand");
        if warnings.len() < WARNINGS_MAX && !text.is_empty() {
            let end = text.floor_char_boundary(WARNING_LEN_MAX);
            warnings.push(text[..end].to_owned());
        }
    }

    /// Sends data of protect, in messages of 1 MiB at most; waits while the caller is slower.
    ///
    /// # Errors
    /// Where the caller has gone.
    pub async fn send(&self, data: &[u8]) -> Result<(), Failure> {
        for part in data.chunks(DATA_LEN_MAX) {
            let update = v1::Update { update: Some(update::Update::Data(part.to_vec())) };
            let sent = self.updates.send(Ok(update)).await;
            sent.map_err(|_| Failure::new(Reason::Deadline, "the caller has gone"))?;
        }
        Ok(())
    }

    /// Says once more what is done, so that the caller sees a living plugin.
    pub(crate) async fn heartbeat(&self) {
        let text = self.progress.lock().expect("nobody panics with the text in hand").clone();
        self.update(update::Update::Progress(v1::Progress { text, percent: 0 })).await;
    }

    pub(crate) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().expect("nobody panics with the warnings in hand"))
    }

    async fn update(&self, update: update::Update) {
        // Who does not listen any more ends the work elsewhere.
        let _gone = self.updates.send(Ok(v1::Update { update: Some(update) })).await;
    }
}

/// Data of an artefact on their way to restore.
pub struct DataStream {
    requests: Option<Streaming<v1::RestoreRequest>>,
}

impl DataStream {
    pub(crate) fn new(requests: Streaming<v1::RestoreRequest>) -> Self {
        DataStream { requests: Some(requests) }
    }

    /// The next piece, 1 MiB at most; `None` at the end.
    ///
    /// # Errors
    /// Where the caller breaks off: what was read is not all.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(requests) = &mut self.requests else { return Ok(None) };
        let broken = |status: Status| {
            Failure::new(Reason::Deadline, format!("data of the artefact: {}", status.message()))
        };
        match requests.message().await.map_err(broken)? {
            None => Ok(None),
            Some(v1::RestoreRequest { message: Some(v1::restore_request::Message::Data(data)) }) => {
                if data.len() > DATA_LEN_MAX {
                    return Err(Failure::new(Reason::Invalid, "a message has more than 1 MiB of data"));
                }
                Ok(Some(data))
            }
            Some(_) => Err(Failure::new(Reason::Invalid, "after `start` only data may come")),
        }
    }
}
