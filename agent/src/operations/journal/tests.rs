//! At every moment of every save, and after any of its steps failed, the journal holds the state before or the state after.

use std::sync::atomic::{AtomicUsize, Ordering};

use coffer_format::Timestamp;

use super::*;
use crate::operations::files::RealFiles;
use crate::operations::record::{Kind, Outcome, Progress, SignedRecord, State};

fn record(number: u64, revision: u64) -> Record {
    let outcome = crate::operations::record::BackupOutcome {
        records: vec![SignedRecord(vec![revision as u8; 100])],
        ..Default::default()
    };
    Record {
        id: Id::from_parts(number, [7; 10]),
        kind: Kind::Backup,
        state: State::Running,
        key: format!("key {number}"),
        fingerprint: Digest::of(b"x"),
        team: "shop".parse().unwrap(),
        caller: "test".into(),
        created: Timestamp::from_unix_ms(1),
        started: None,
        ended: None,
        attempt: 1,
        volumes: vec!["db".into()],
        reference: None,
        points_used: Vec::new(),
        targets_begun: std::collections::BTreeMap::new(),
        progress: Progress { done: revision, ..Progress::default() },
        log_sequence: 0,
        failure: None,
        outcome: Some(Outcome::Backup(outcome)),
        revision,
    }
}

/// A file system of which one step fails; a write that fails leaves a part of its bytes.
struct Failing {
    steps: AtomicUsize,
    fails: usize,
    kept_bytes: usize,
    kind: io::ErrorKind,
    /// A dead process does nothing more.
    dead: bool,
}

impl Failing {
    fn step(&self) -> io::Result<()> {
        let step = self.steps.fetch_add(1, Ordering::SeqCst);
        if step == self.fails || (self.dead && step > self.fails) { Err(self.kind.into()) } else { Ok(()) }
    }
}

impl Files for Failing {
    fn write_durably(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.step() {
            RealFiles.write_durably(path, &bytes[..self.kept_bytes.min(bytes.len())])?;
            return Err(error);
        }
        RealFiles.write_durably(path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        RealFiles.rename(from, to)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.step()?;
        RealFiles.sync_directory(directory)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        RealFiles.remove(path)
    }

    fn read(&self, path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
        RealFiles.read(path, len_max)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        RealFiles.list(directory)
    }
}

fn open(state_dir: &Path) -> (Journal, Vec<Record>) {
    let (journal, found) = Journal::open(state_dir, Arc::new(RealFiles)).unwrap();
    (journal, found.into_iter().map(|(record, _)| record).collect())
}

#[test]
fn what_was_saved_is_read_and_an_older_state_replaces_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, found) = open(directory.path());
    assert_eq!(found, []);
    journal.save(&record(2, 1)).unwrap();
    journal.save(&record(1, 3)).unwrap();
    let stored = journal.save(&record(1, 2)).unwrap();
    assert_eq!(stored, std::fs::metadata(journal.path(record(1, 0).id, ENDING)).unwrap().len());
    assert_eq!(journal.load(record(1, 0).id).unwrap(), record(1, 3));
    assert!(Journal::open(directory.path(), Arc::new(RealFiles)).is_err(), "one agent at a time");
    drop(journal);
    let (journal, found) = open(directory.path());
    assert_eq!(found, [record(1, 3), record(2, 1)]);
    journal.save(&record(1, 3)).unwrap();
    journal.remove(record(1, 0).id).unwrap();
    drop(journal);
    assert_eq!(open(directory.path()).1, [record(2, 1)]);
}

#[test]
fn whatever_step_fails_the_state_before_or_after_stands() {
    let len = encode(&record(1, 2)).unwrap().len();
    for fails in 0..3 {
        for kept_bytes in [0, 1, len / 2, len - 1, len] {
            for (kind, dead) in [(io::ErrorKind::StorageFull, false), (io::ErrorKind::Other, true)] {
                let directory = tempfile::tempdir().unwrap();
                open(directory.path()).0.save(&record(1, 1)).unwrap();
                let files = Failing { steps: AtomicUsize::new(0), fails, kept_bytes, kind, dead };
                let (journal, _) = Journal::open(directory.path(), Arc::new(files)).unwrap();
                let error = journal.save(&record(1, 2)).unwrap_err();
                assert_eq!(error.kind(), "journal");
                if kind == io::ErrorKind::StorageFull {
                    assert_eq!(error.code(), tonic::Code::ResourceExhausted);
                    journal.save(&record(1, 3)).unwrap();
                }
                drop(journal);
                let (_, found) = open(directory.path());
                assert_eq!(found.len(), 1, "step {fails}, {kept_bytes} bytes");
                let allowed: &[u64] = if dead { &[1, 2] } else { &[3] };
                assert!(allowed.contains(&found[0].revision), "step {fails}: {}", found[0].revision);
                assert_eq!(found[0], record(1, found[0].revision));
                let left = std::fs::read_dir(directory.path().join("operations")).unwrap().count();
                assert_eq!(left, 1, "unfinished files are removed");
            }
        }
    }
}

#[test]
fn every_cut_or_changed_file_is_set_aside_and_the_others_are_read() {
    let good = encode(&record(1, 1)).unwrap();
    let cuts = (0..good.len()).map(|len| good[..len].to_vec());
    let flips = (0..good.len()).step_by(3).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    });
    for bytes in cuts.chain(flips).chain([b"\xff\xfe".to_vec(), b"{}\n".to_vec()]) {
        assert!(matches!(decode(&bytes, record(1, 1).id), Found::Damaged(_)));
    }
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = open(directory.path());
    for number in 1..4 {
        journal.save(&record(number, 1)).unwrap();
    }
    let path = journal.path(record(2, 0).id, ENDING);
    std::fs::write(&path, &good[..40]).unwrap();
    let swapped = journal.path(record(3, 0).id, ENDING);
    std::fs::write(&swapped, &good).unwrap();
    drop(journal);
    let (_, found) = open(directory.path());
    assert_eq!(found, [record(1, 1)]);
    assert!(path.with_extension(ENDING_DAMAGED).exists() && swapped.with_extension(ENDING_DAMAGED).exists());
}

#[test]
fn what_a_newer_agent_wrote_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = open(directory.path());
    let line = br#"{"schema":2,"record":"in a way that nobody knows yet"}"#;
    let seal = format!("\n{}\n", Digest::of(line));
    let path = journal.path(record(1, 0).id, ENDING);
    std::fs::write(&path, [line, seal.as_bytes()].concat()).unwrap();
    drop(journal);
    assert_eq!(open(directory.path()).1, []);
    assert!(path.exists());
}
