//! Finds out by trying what an object store honours. Objects of a probe are removed again, also when it fails.

use bytes::Bytes;
use coffer_engine::{EngineError, Environment};
use coffer_format::{Label, object_key};
use coffer_store::{Key, ObjectStore, PAGE_LEN_MAX, StoreError, list_all};
use serde::Serialize;

use crate::error::CliError;

/// What a store was found to honour.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Capabilities {
    /// A second PUT of a name with other content is refused.
    conditional_put: bool,
    /// The checksum that the store keeps with an object.
    checksum: &'static str,
    /// Objects can be uploaded in parts.
    multipart: bool,
    /// Ranges of an object can be read.
    range_get: bool,
    /// The store's clock minus ours, milliseconds.
    clock_difference_ms: i64,
    /// What the store lacks and is made allowance for, one sentence each, with the switch that says so from the start.
    findings: Vec<String>,
}

impl Capabilities {
    /// What the store lacks and is made allowance for, with the switch that says so from the start.
    pub(crate) fn findings(&self) -> &[String] {
        &self.findings
    }

    /// The store's clock minus ours, milliseconds.
    pub(crate) fn clock_difference_ms(&self) -> i64 {
        self.clock_difference_ms
    }

    /// The checksum that the store keeps with an object; `none` if it tells none.
    pub(crate) fn checksum(&self) -> &'static str {
        self.checksum
    }

    /// Whether a second PUT of a name with other content is refused.
    pub(crate) fn refuses_overwriting(&self) -> bool {
        self.conditional_put
    }
}

/// What `capabilities/<cluster>` holds.
#[derive(Serialize)]
struct Record<'a> {
    cluster: &'a Label,
    address: String,
    probed: String,
    capabilities: &'a Capabilities,
}

/// Names of one probe, never used before: a bucket that keeps versions may not take a name twice.
struct Names {
    prefix: String,
    first: Key,
    second: Key,
    parts: Key,
}

impl Names {
    fn draw(environment: &Environment) -> Result<Self, CliError> {
        let prefix = format!("capabilities/probe-{}.", environment.new_id()?);
        let name = |end: &str| Key::new(format!("{prefix}{end}"));
        let (first, second, parts) = (name("1")?, name("2")?, name("parts")?);
        Ok(Names { prefix, first, second, parts })
    }

    fn all(&self) -> [Key; 3] {
        [self.first.clone(), self.second.clone(), self.parts.clone()]
    }
}

/// Writes, reads, lists and removes objects below `capabilities/`.
pub(crate) fn probe(store: &dyn ObjectStore, environment: &Environment) -> Result<Capabilities, CliError> {
    let names = Names::draw(environment)?;
    let found = try_objects(store, environment, &names);
    let removed = store.delete(&names.all());
    let mut found = found?;
    removed?;
    for key in names.all() {
        if store.exists(&key)? {
            return Err(wrong(store, "an object that was deleted is still there"));
        }
    }
    found.findings = store.findings();
    Ok(found)
}

fn try_objects(
    store: &dyn ObjectStore,
    environment: &Environment,
    names: &Names,
) -> Result<Capabilities, CliError> {
    let key = &names.first;
    let content = Bytes::from_static(b"coffer probe: may be removed");
    store.put(key, content.clone())?;
    let conditional_put = match store.put(key, Bytes::from_static(b"coffer probe: another content")) {
        Ok(_) => false,
        Err(StoreError::Exists { .. }) => true,
        Err(error) => return Err(error.into()),
    };
    if conditional_put && store.get(key, 1024)? != content {
        return Err(wrong(store, "an object reads differently than it was written"));
    }
    let mut part = [0; 5];
    store.get_range(key, 7, &mut part)?;
    lists(store, names, content)?;
    let checksum = store.checksum_kept(key)?.unwrap_or("none");
    upload_in_parts(store, &names.parts)?;
    Ok(Capabilities {
        conditional_put,
        checksum,
        multipart: true,
        range_get: part == *b"probe",
        clock_difference_ms: clock_difference(store, environment)?,
        findings: Vec::new(),
    })
}

/// Lists tell what was written, and go on where they are told to.
fn lists(store: &dyn ObjectStore, names: &Names, content: Bytes) -> Result<(), CliError> {
    store.put(&names.second, content)?;
    let listed = |after: Option<&str>| -> Result<Vec<Key>, CliError> {
        let page = store.list(&names.prefix, after, 10)?;
        Ok(page.objects.into_iter().map(|object| object.key).collect())
    };
    if listed(None)? != [names.first.clone(), names.second.clone()] {
        return Err(wrong(store, "objects that were written are not listed"));
    }
    if listed(Some(names.first.as_str()))? != [names.second.clone()] {
        return Err(wrong(store, "a list does not go on where it is told to"));
    }
    Ok(())
}

/// Large packs come in parts; a store that cannot take them, or not as long as backups send them, fails here and not in the first backup.
fn upload_in_parts(store: &dyn ObjectStore, key: &Key) -> Result<(), CliError> {
    let end = Bytes::from_static(b"coffer probe: may be removed");
    let part_bytes = store.shape().part_bytes;
    let first = vec![0; usize::try_from(part_bytes).unwrap_or(0)];
    let upload = store.start_upload(key, part_bytes)?;
    let joined = store
        .put_part(&upload, 1, first.into())
        .and_then(|first| Ok([first, store.put_part(&upload, 2, end.clone())?]))
        .and_then(|parts| store.complete_upload(&upload, &parts));
    if let Err(error) = joined {
        // What matters is why it failed; what is left of it is prune's.
        let _left_to_prune = store.abort_upload(&upload);
        return Err(error.into());
    }
    let mut read = vec![0; end.len()];
    store.get_range(key, part_bytes, &mut read)?;
    if read != end {
        return Err(wrong(store, "an object that was uploaded in parts reads differently"));
    }
    Ok(())
}

/// Keeps what was found below `capabilities/`, for people and other programs: nothing here reads it.
pub(crate) fn record(
    store: &dyn ObjectStore,
    environment: &Environment,
    cluster: &Label,
    found: &Capabilities,
) -> Result<(), CliError> {
    let name = object_key::capabilities(cluster);
    let record = Record {
        cluster,
        address: store.describe(),
        probed: environment.clock.now().to_string(),
        capabilities: found,
    };
    let body = Bytes::from(serde_json::to_vec(&record).map_err(|error| EngineError::Bug(error.to_string()))?);
    let others = format!("{name}.");
    let before = list_all(store, &others)?.into_iter().map(|object| object.key);
    let mut before: Vec<Key> = before.take(PAGE_LEN_MAX - 1).collect();
    let key = Key::new(name)?;
    before.push(key.clone());
    store.delete(&before)?;
    match store.put(&key, body.clone()) {
        // The store takes no name twice, also when it was deleted.
        Err(StoreError::Exists { .. }) => {
            store.put(&Key::new(format!("{others}{}", environment.new_id()?))?, body)?;
        }
        put => {
            put?;
        }
    }
    Ok(())
}

fn clock_difference(store: &dyn ObjectStore, environment: &Environment) -> Result<i64, CliError> {
    let theirs = store.now()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
    let theirs = i64::try_from(theirs).unwrap_or(i64::MAX);
    Ok(theirs.saturating_sub(environment.clock.now().unix_ms()))
}

fn wrong(store: &dyn ObjectStore, what: &str) -> CliError {
    EngineError::Refused(format!("{}: {what}; a repository cannot be kept there", store.describe())).into()
}
