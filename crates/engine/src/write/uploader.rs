//! Threads that carry finished parts to the object store, so that the threads that make them never wait for it but for memory.
//!
//! A part holds its arena buffer until the store has it. An object that failed is never completed; its upload is aborted.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use coffer_store::{Key, ObjectStore, PartTag, UploadId};
use crossbeam_channel::{Receiver, Sender};

use super::line_speed::LineSpeed;
use crate::{Clock, EngineError, Environment, RateLimiter};

/// A pool of sending threads.
pub(crate) struct Uploader {
    store: Arc<dyn ObjectStore>,
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    speed: Arc<LineSpeed>,
}

struct Job {
    object: Arc<ObjectUpload>,
    number: u32,
    body: Bytes,
}

/// One object on its way: its parts, and what is known of them.
pub(crate) struct ObjectUpload {
    store: Arc<dyn ObjectStore>,
    key: Key,
    part_len: u64,
    group: Arc<UploadGroup>,
    upload: Mutex<Option<UploadId>>,
    parts: Mutex<Parts>,
}

#[derive(Default)]
struct Parts {
    tags: BTreeMap<u32, PartTag>,
    total: Option<u32>,
}

/// The objects of one volume: counts what is open and keeps the first error.
#[derive(Default)]
pub(crate) struct UploadGroup {
    state: Mutex<GroupState>,
    changed: Condvar,
    bytes: AtomicU64,
    objects: AtomicU64,
}

#[derive(Default)]
struct GroupState {
    open: usize,
    error: Option<EngineError>,
    failed: bool,
}

impl Uploader {
    /// Starts `threads` threads that send to `store`, together no faster than `limit`, while `packs` packs are open.
    pub(crate) fn new(
        store: &Arc<dyn ObjectStore>,
        threads: usize,
        packs: usize,
        limit: Option<&Arc<RateLimiter>>,
        environment: &Environment,
    ) -> Result<Uploader, EngineError> {
        let (sender, receiver) = crossbeam_channel::unbounded::<Job>();
        let speed = Arc::new(LineSpeed::new(threads, packs));
        let spawn = |index| {
            let receiver = receiver.clone();
            let sending = Sending {
                store: store.clone(),
                limit: limit.cloned(),
                environment: environment.clone(),
                speed: speed.clone(),
            };
            std::thread::Builder::new()
                .name(format!("upload-{index}"))
                .stack_size(512 << 10)
                .spawn(move || sending.all(&receiver))
                .map_err(|error| EngineError::Usage(format!("cannot start a thread: {error}")))
        };
        let threads = (0..threads.max(1)).map(spawn).collect::<Result<_, _>>()?;
        Ok(Uploader { store: store.clone(), jobs: Some(sender), threads, speed })
    }

    /// Whether the pack that begins now is the one that measures the line.
    pub(crate) fn begins_probe(&self) -> bool {
        self.speed.begins_probe()
    }

    /// Bytes that a pack may hold on this line, one `probe` or another; the format's limit holds too.
    pub(crate) fn pack_bytes_max(&self, probe: bool) -> u64 {
        self.speed.pack_bytes_max(probe)
    }

    /// Opens an object; nothing is sent yet. `part_len` is the length of all parts but the last.
    pub(crate) fn open(&self, key: Key, part_len: u64, group: &Arc<UploadGroup>) -> Arc<ObjectUpload> {
        group.lock().open += 1;
        let upload = Mutex::new(None);
        let (store, group, parts) = (self.store.clone(), group.clone(), Mutex::default());
        Arc::new(ObjectUpload { store, key, part_len, group, upload, parts })
    }

    /// Sends part `number`, counted from 1.
    pub(crate) fn part(&self, object: &Arc<ObjectUpload>, number: u32, body: Bytes) {
        let job = Job { object: object.clone(), number, body };
        let jobs = self.jobs.as_ref().expect("the sender lives as long as the uploader");
        if jobs.send(job).is_err() {
            object.group.fail(EngineError::Bug("the upload threads are gone".into()));
        }
    }

    /// Sends the last part and says how many there are.
    pub(crate) fn last(&self, object: &Arc<ObjectUpload>, number: u32, body: Bytes) {
        lock(&object.parts).total = Some(number);
        self.part(object, number, body);
    }
}

impl Drop for Uploader {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A panic of a thread was reported by its panic message, and to whoever waits for the object.
            let _ = thread.join();
        }
    }
}

impl UploadGroup {
    /// Bytes of objects that the store has taken.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Objects that the store has taken.
    pub(crate) fn objects(&self) -> u64 {
        self.objects.load(Ordering::Relaxed)
    }

    /// Whether something failed; no more work is worth doing.
    pub(crate) fn has_failed(&self) -> bool {
        self.lock().failed
    }

    /// Keeps the first error.
    pub(crate) fn fail(&self, error: EngineError) {
        let mut state = self.lock();
        if !state.failed {
            state.error = Some(error);
        }
        state.failed = true;
        self.changed.notify_all();
    }

    /// Waits until every object is stored for good, or one failed.
    pub(crate) fn wait(&self) -> Result<(), EngineError> {
        self.wait_telling(|_stored| {})
    }

    /// As [`UploadGroup::wait`], and calls `tell` with [`UploadGroup::bytes`] when there are more of them, and at the end with all.
    pub(crate) fn wait_telling(&self, mut tell: impl FnMut(u64)) -> Result<(), EngineError> {
        let mut state = self.lock();
        while state.open > 0 && !state.failed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            drop(state);
            tell(self.bytes());
            state = self.lock();
        }
        drop(state);
        tell(self.bytes());
        let mut state = self.lock();
        match state.error.take() {
            Some(error) => Err(error),
            None if state.failed => {
                Err(EngineError::Bug("an upload failed and its error was taken before".into()))
            }
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, GroupState> {
        lock(&self.state)
    }

    fn object_done(&self) {
        self.lock().open -= 1;
        self.objects.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_all();
    }
}

impl ObjectUpload {
    fn send(&self, store: &dyn ObjectStore, number: u32, body: Bytes) -> Result<(), EngineError> {
        let len = body.len() as u64;
        let only_part = number == 1 && lock(&self.parts).total == Some(1);
        // Bytes are counted before the object counts as done, so that whoever waited for it sees them all.
        let count = || self.group.bytes.fetch_add(len, Ordering::Relaxed);
        if only_part {
            store.put(&self.key, body)?;
            count();
            self.group.object_done();
            return Ok(());
        }
        let tag = store.put_part(&self.upload_id(store)?, number, body)?;
        count();
        self.group.changed.notify_all();
        self.part_done(store, number, tag)
    }

    fn upload_id(&self, store: &dyn ObjectStore) -> Result<UploadId, EngineError> {
        let mut upload = lock(&self.upload);
        if let Some(upload) = upload.as_ref() {
            return Ok(upload.clone());
        }
        Ok(upload.insert(store.start_upload(&self.key, self.part_len)?).clone())
    }

    fn part_done(&self, store: &dyn ObjectStore, number: u32, tag: PartTag) -> Result<(), EngineError> {
        let tags = {
            let mut parts = lock(&self.parts);
            parts.tags.insert(number, tag);
            if parts.total != u32::try_from(parts.tags.len()).ok() {
                return Ok(());
            }
            std::mem::take(&mut parts.tags).into_values().collect::<Vec<_>>()
        };
        store.complete_upload(&self.upload_id(store)?, &tags)?;
        *lock(&self.upload) = None;
        self.group.object_done();
        Ok(())
    }

    fn abort(&self) {
        if let Some(upload) = lock(&self.upload).take()
            && let Err(error) = self.store.abort_upload(&upload)
        {
            tracing::warn!(key = %self.key, %error, "abort upload; prune removes what is left");
        }
    }
}

/// Nobody sends parts of it any more: what was not completed never will be.
impl Drop for ObjectUpload {
    fn drop(&mut self) {
        self.abort();
    }
}

/// What a sending thread has.
struct Sending {
    store: Arc<dyn ObjectStore>,
    limit: Option<Arc<RateLimiter>>,
    environment: Environment,
    speed: Arc<LineSpeed>,
}

impl Sending {
    /// Sends until nobody makes parts any more.
    fn all(&self, jobs: &Receiver<Job>) {
        for job in jobs {
            let object = job.object.clone();
            // Whoever waits for the object would wait for ever: a panic is an error like any other, and the thread goes on with the next part.
            let sent = std::panic::catch_unwind(AssertUnwindSafe(|| self.job(job)));
            let panicked = || Err(EngineError::Bug(format!("a sending thread panicked at {}", object.key)));
            if let Err(error) = sent.unwrap_or_else(|_panic| panicked()) {
                object.abort();
                object.group.fail(error);
            }
        }
    }

    fn job(&self, job: Job) -> Result<(), EngineError> {
        let cancel = &self.environment.cancel;
        cancel.check()?;
        if job.object.group.has_failed() {
            job.object.abort();
            return Ok(());
        }
        let (len, started) = (job.body.len() as u64, self.now_ms());
        if let Some(limit) = &self.limit {
            limit.pass(len, cancel)?;
        }
        job.object.send(self.store.as_ref(), job.number, job.body)?;
        self.speed.sent(len, self.now_ms().saturating_sub(started));
        Ok(())
    }

    /// A clock that is set back in between measures nothing.
    fn now_ms(&self) -> u64 {
        let clock: &dyn Clock = self.environment.clock.as_ref();
        u64::try_from(clock.now().unix_ms()).unwrap_or(0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
