//! After a power cut at any moment, what was reported is there, and nothing is there with wrong bytes.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;

use bytes::Bytes;
use coffer_store::file::fs::{Fs, WriteMode};
use coffer_store::file::power_cut::materialise;
use coffer_store::file::real::RealFs;
use coffer_store::file::recording::{Change, Lapses, RecordingFs};
use coffer_store::{FileStore, Key, ObjectStore, OpenOptions, PutOutcome, StoreError, list_all};

/// What a job said about object `n`, as a note in the log.
#[derive(Debug, Clone, Copy)]
enum Said {
    Put(u64),
    DeleteBegins(u64),
    Deleted(u64),
}

impl Said {
    fn note(self) -> u64 {
        match self {
            Self::Put(n) => n * 3,
            Self::DeleteBegins(n) => n * 3 + 1,
            Self::Deleted(n) => n * 3 + 2,
        }
    }

    fn from_note(note: u64) -> Self {
        match note % 3 {
            0 => Self::Put(note / 3),
            1 => Self::DeleteBegins(note / 3),
            _ => Self::Deleted(note / 3),
        }
    }
}

/// Names share directories that come and go.
fn key(n: u64) -> Key {
    Key::new(format!("t/{}/{}/{n}", n % 2, n % 3)).unwrap()
}

fn body(n: u64) -> Bytes {
    let lens = [0, 1, 511, 512, 513, 1_500, 5_000, 9_000];
    let len = lens[usize::try_from(n).unwrap() % lens.len()];
    (0..len).map(|place| (place as u64 * 7 + n * 13 + place as u64 / 512) as u8 | 1).collect()
}

type Recording = RecordingFs<RealFs>;
type Store = FileStore<Recording>;

fn put(store: &Store, log: &Recording, n: u64) {
    store.put(&key(n), body(n)).unwrap();
    log.mark(Said::Put(n).note());
}

/// In parts, the last one first.
fn upload(store: &Store, log: &Recording, n: u64) {
    let (whole, part_len) = (body(n), 1_000);
    let upload = store.start_upload(&key(n), part_len as u64).unwrap();
    let parts: Vec<_> = whole.chunks(part_len).map(Bytes::copy_from_slice).zip(1..).collect();
    let mut tags: Vec<_> = parts
        .into_iter()
        .rev()
        .map(|(part, number)| store.put_part(&upload, number, part).unwrap())
        .collect();
    tags.reverse();
    store.complete_upload(&upload, &tags).unwrap();
    log.mark(Said::Put(n).note());
}

fn delete(store: &Store, log: &Recording, these: &[u64]) {
    these.iter().for_each(|n| log.mark(Said::DeleteBegins(*n).note()));
    store.delete(&these.iter().map(|n| key(*n)).collect::<Vec<_>>()).unwrap();
    these.iter().for_each(|n| log.mark(Said::Deleted(*n).note()));
}

/// Puts, uploads, aborts and deletes objects from `base` on.
fn work(store: &Store, log: &Recording, base: u64) {
    for n in base..base + 6 {
        put(store, log, n);
    }
    for n in [6, 7, 14, 15].map(|n| base + n).into_iter().filter(|n| !body(*n).is_empty()) {
        upload(store, log, n);
    }
    let aborted = store.start_upload(&key(base + 30), 100).unwrap();
    store.put_part(&aborted, 1, body(2)).unwrap_err();
    store.put_part(&aborted, 1, body(2).slice(..100)).unwrap();
    store.abort_upload(&aborted).unwrap();
    delete(store, log, &[base, base + 1, base + 4]);
    // The same name again, with the same bytes: a lost answer.
    assert_eq!(store.put(&key(base + 2), body(base + 2)).unwrap(), PutOutcome::AlreadyThere);
    delete(store, log, &[base + 2, base + 3, base + 5, base + 6, base + 7]);
    for n in base + 20..base + 24 {
        put(store, log, n);
    }
}

fn record(lapses: Lapses, job: impl Fn(&Recording)) -> Vec<Change> {
    let dir = quick_dir();
    let recording = RecordingFs::new(RealFs::open(dir.path()).unwrap(), lapses);
    job(&recording);
    recording.changes()
}

fn store(recording: &Recording) -> Store {
    FileStore::with_fs(recording.clone(), "recorded".to_owned())
}

/// One process after the other, and two in turn that make the same directories.
fn in_turn(recording: &Recording) {
    let (one, two) = (store(recording), store(recording));
    work(&one, recording, 0);
    put(&two, recording, 100);
    put(&one, recording, 102);
    delete(&two, recording, &[100]);
    delete(&one, recording, &[102]);
    put(&two, recording, 104);
    work(&two, recording, 200);
}

/// A process was killed at the worst places, and another one goes on where it left off.
fn after_a_killed_process(recording: &Recording) {
    let root = recording.root().unwrap();
    let make = |dir: &_, name: &str| {
        recording.mkdir(dir, name).unwrap();
        recording.open_dir(dir, name).unwrap()
    };
    // It made directories on the way to objects, and synced none.
    let one = make(&make(&root, "t"), "1");
    put(&store(recording), recording, 1);
    // It gave an object its name, and did not sync that.
    let parent = make(&one, "0");
    let scratch = recording.open_dir(&root, ".tmp").unwrap();
    let file = recording.create(&scratch, "p-killed", WriteMode::Buffered).unwrap();
    recording.write_at(&file, 0, &body(3)).unwrap();
    recording.sync_file(&file).unwrap();
    recording.rename_noreplace(&scratch, "p-killed", &parent, key(3).name()).unwrap();
    assert_eq!(store(recording).put(&key(3), body(3)).unwrap(), PutOutcome::AlreadyThere);
    recording.mark(Said::Put(3).note());
    // It removed an object's name, and did not sync that. The next one sees nothing to delete.
    put(&store(recording), recording, 5);
    put(&store(recording), recording, 11);
    let parent = recording.open_dir(&one, "2").unwrap();
    recording.mark(Said::DeleteBegins(5).note());
    recording.unlink(&parent, key(5).name()).unwrap();
    delete(&store(recording), recording, &[5]);
}

/// Where syncs cost nothing, if there is such a place.
fn quick_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// What may be seen of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    There,
    Gone,
    Either,
}

fn due_after(log: &[Change]) -> BTreeMap<u64, Due> {
    let mut due = BTreeMap::new();
    for change in log {
        if let Change::Mark(note) = change {
            match Said::from_note(*note) {
                Said::Put(n) => due.insert(n, Due::There),
                Said::DeleteBegins(n) => due.insert(n, Due::Either),
                Said::Deleted(n) => due.insert(n, Due::Gone),
            };
        }
    }
    due
}

/// Looks at the directory `root` as the next process would. `Err` says what is wrong.
fn check(root: &Path, log: &[Change]) -> Result<(), String> {
    let store = FileStore::open(root, OpenOptions::default()).map_err(|error| error.to_string())?;
    let due = due_after(log);
    let listed: Vec<Key> = list_all(&store, "").unwrap().into_iter().map(|it| it.key).collect();
    for name in &listed {
        let n: u64 = name.name().parse().unwrap();
        if store.get(name, u64::MAX).unwrap() != body(n) {
            return Err(format!("{name} has wrong bytes"));
        }
        if due.get(&n) == Some(&Due::Gone) {
            return Err(format!("{name} was deleted and is back"));
        }
    }
    let is_lost = |n: &u64| !listed.contains(&key(*n)) || store.get(&key(*n), u64::MAX).is_err();
    if let Some((n, _)) = due.iter().find(|(n, due)| **due == Due::There && is_lost(n)) {
        return Err(format!("{} was reported and is lost", key(*n)));
    }
    goes_on(&store, &due)
}

/// The next process can clear up and put what was not done.
fn goes_on(store: &FileStore, due: &BTreeMap<u64, Due>) -> Result<(), String> {
    let fail = |error: StoreError| format!("the next process fails: {error:?}");
    for found in store.list_uploads("").map_err(fail)? {
        store.abort_upload(&found.upload).map_err(fail)?;
    }
    if !store.list_uploads("").map_err(fail)?.is_empty() {
        return Err("an aborted upload is still listed".to_owned());
    }
    for n in due.keys() {
        store.put(&key(*n), body(*n)).map_err(fail)?;
        if store.get(&key(*n), u64::MAX).map_err(fail)? != body(*n) {
            return Err(format!("{} has wrong bytes after its second put", key(*n)));
        }
    }
    Ok(())
}

/// The first violation in the states after every cut, with `seeds` each.
fn first_violation(log: &[Change], seeds: std::ops::Range<u64>) -> Option<String> {
    for len in 0..=log.len() {
        for seed in seeds.clone() {
            let dir = quick_dir();
            materialise(log, len, seed, dir.path()).unwrap();
            if let Err(what) = check(dir.path(), &log[..len]) {
                return Some(format!("cut after {len} of {} changes, seed {seed}: {what}", log.len()));
            }
        }
    }
    None
}

#[test]
fn nothing_reported_is_lost_at_any_cut() {
    let log = record(Lapses::default(), in_turn);
    assert!(log.len() > 300, "{} changes", log.len());
    assert_eq!(first_violation(&log, 0..6), None);
}

#[test]
fn nothing_reported_is_lost_without_rename_noreplace() {
    let log = record(Lapses { rename_noreplace: true, ..Lapses::default() }, in_turn);
    assert!(log.iter().any(|change| matches!(change, Change::Link { .. })));
    assert_eq!(first_violation(&log, 0..5), None);
}

#[test]
fn what_a_killed_process_left_unsynced_is_not_reported_unsynced() {
    let log = record(Lapses::default(), after_a_killed_process);
    assert_eq!(first_violation(&log, 0..20), None);
}

#[test]
fn nothing_reported_is_lost_with_threads_and_processes() {
    let log = record(Lapses::default(), |recording| {
        let stores = [store(recording), store(recording)];
        thread::scope(|scope| {
            for (thread, base) in (0..).zip([0, 100, 200, 300]) {
                let store = &stores[thread % 2];
                scope.spawn(move || work(store, recording, base));
            }
        });
    });
    assert_eq!(first_violation(&log, 0..3), None);
}

/// The replayer finds what these tests are for.
#[test]
fn forgotten_syncs_are_found() {
    let found = |lapses| first_violation(&record(lapses, in_turn), 0..4).unwrap_or_default();
    let without_file_syncs = found(Lapses { file_syncs: true, ..Lapses::default() });
    assert!(without_file_syncs.contains("wrong bytes"), "{without_file_syncs}");
    let without_dir_syncs = found(Lapses { dir_syncs: true, ..Lapses::default() });
    assert!(without_dir_syncs.contains("is lost"), "{without_dir_syncs}");
}

#[test]
fn extremes_hold_only_what_was_synced_or_all() {
    let log = record(Lapses::default(), |recording| work(&store(recording), recording, 0));
    let count = |seed| {
        let dir = quick_dir();
        materialise(&log, log.len(), seed, dir.path()).unwrap();
        list_all(&FileStore::open(dir.path(), OpenOptions::default()).unwrap(), "").unwrap().len()
    };
    let due = due_after(&log).values().filter(|due| **due == Due::There).count();
    assert_eq!((count(0), count(2)), (due, due));
    let dir = quick_dir();
    materialise(&log, 0, 3, dir.path()).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
