//! A repository with a past: what each point must give back, so that any later state can be held against it.

use std::sync::{Arc, Mutex};

use coffer_blockio::{BlockSource, BlockTarget, ReadError, WriteError};
use coffer_engine::backup::{BackupReport, TypeWish, run_backup};
use coffer_engine::catalog::{Filter, PointEntry, list_points, load_manifest};
use coffer_engine::{EngineError, RestoreMode, RestoreRequest, RestoreVolume, run_restore};
use coffer_format::{Ending, Id, Names, PlanId, VolumeState};
use coffer_store::{Key, MemoryStore, ObjectStore, list_all};

use crate::world::{Image, Silent, World};

/// A point that was reported done, and the bytes that its volumes had.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) id: Id,
    pub(crate) volumes: Vec<(String, Arc<Vec<u8>>)>,
}

impl Made {
    pub(crate) fn new(id: Id, volumes: &[(&str, &Image)]) -> Made {
        let bytes = |(name, image): &(&str, &Image)| ((*name).to_owned(), Arc::new(image.bytes.clone()));
        Made { id, volumes: volumes.iter().map(bytes).collect() }
    }
}

impl World {
    /// Backs the volumes up, an hour later than the last time.
    pub(crate) fn try_backup_of(
        &self,
        wish: TypeWish,
        volumes: &[(&str, &Image)],
    ) -> Result<BackupReport, EngineError> {
        self.clock.advance_ms(3_600_000);
        let boxed = |(name, image): &(&'static str, &Image)| {
            (*name, Box::new((*image).clone()) as Box<dyn BlockSource>)
        };
        let volumes: Vec<(&'static str, &Image)> =
            volumes.iter().map(|(name, image)| (leak(name), *image)).collect();
        let mut request = self.request(volumes.iter().map(boxed).collect());
        request.type_wish = wish;
        run_backup(&self.open()?, &self.resources, &request)
    }

    /// As [`World::try_backup_of`], and keeps what the point must give back.
    pub(crate) fn make(&self, volumes: &[(&str, &Image)]) -> Made {
        let report = self.try_backup_of(TypeWish::Auto, volumes).unwrap();
        Made::new(report.point, volumes)
    }

    /// All points with a manifest, those among them that no run has confirmed.
    pub(crate) fn points_and_unconfirmed(&self) -> Vec<PointEntry> {
        list_points(&self.repository(), &Filter { unconfirmed: true, ..Filter::default() }).unwrap()
    }

    pub(crate) fn find(&self, id: Id) -> Option<PointEntry> {
        self.points().into_iter().find(|point| point.id == id)
    }

    /// Restores every volume onto a [`Witness`]. Panics if a wrong byte was written, or if success left one out.
    pub(crate) fn restore_made(&self, point: &PointEntry, made: &Made) -> Result<(), EngineError> {
        for (name, expected) in &made.volumes {
            let witness = Witness::of(expected);
            let volume = RestoreVolume {
                name: name.parse().unwrap(),
                target: Some(Box::new(witness.clone())),
                label: "memory".into(),
                mode: RestoreMode::Write,
                write_all_zeroes: false,
            };
            let request = RestoreRequest { point, volumes: vec![volume], progress: &Silent };
            let result = run_restore(&self.open()?, &self.resources, &request);
            let state = witness.state.lock().unwrap();
            assert_eq!(state.wrong_at, None, "a wrong byte was written to volume {name} of {}", made.id);
            result?;
            assert!(state.bytes == **expected, "success, and volume {name} of {} is not whole", made.id);
        }
        Ok(())
    }

    /// All of these are listed and come back exactly.
    pub(crate) fn assert_all_restore<'m>(&self, made: impl IntoIterator<Item = &'m Made>, context: &str) {
        for made in made {
            let point = self.find(made.id).unwrap_or_else(|| panic!("{context}: point {} is gone", made.id));
            self.restore_made(&point, made)
                .unwrap_or_else(|error| panic!("{context}: point {}: {error}", made.id));
        }
    }

    /// Nothing lies below `data/` that no standing manifest names, and no upload is left open.
    pub(crate) fn assert_nothing_unneeded(&self, context: &str) {
        let repository = self.repository();
        let mut names = Names::default();
        // A run that died between its manifest and its confirmation left a point that counts for nothing and is forgotten by rule.
        for point in self.points_and_unconfirmed() {
            names.add(&load_manifest(&repository, &point).unwrap().payload);
        }
        for object in list_all(self.store.as_ref(), "t/default/data/").unwrap() {
            let named = names.contains_key(object.key.as_str()).unwrap();
            assert!(named, "{context}: {} is needed by nobody", object.key);
        }
        assert_eq!(self.store.list_uploads("").unwrap(), [], "{context}: uploads are left");
    }

    /// Announces the end of a point or run, as forget and prune do.
    pub(crate) fn announce_end(&self, id: Id) {
        let PlanId { team, cluster, namespace, plan } = self.plan.clone();
        let repository = self.repository();
        let ending = Ending {
            format: 1,
            repository: repository.id(),
            team,
            cluster,
            namespace,
            plan,
            point: id,
            run: Id::from_parts(1, [1; 10]),
            time: coffer_engine::Clock::now(self.clock.as_ref()),
        };
        let signed = repository.signer(&self.plan.team).unwrap().sign(&ending);
        self.store.put(&Key::new(ending.key()).unwrap(), signed.encode().into()).unwrap();
    }

    /// Names of the failed volumes of a point with their errors.
    pub(crate) fn failed_volumes(&self, point: &PointEntry) -> Vec<(String, String)> {
        let manifest = load_manifest(&self.repository(), point).unwrap().payload;
        let failed = manifest.volume_records().filter(|record| record.state == VolumeState::Failed);
        failed.map(|record| (record.name.to_string(), record.error.clone().unwrap_or_default())).collect()
    }
}

/// Volume names live as long as the test program; there are a handful.
fn leak(name: &str) -> &'static str {
    ["vol", "a", "b", "c", "d"]
        .into_iter()
        .find(|known| *known == name)
        .expect("a volume name of these tests")
}

/// A store with the same objects.
pub(crate) fn copy_of(store: &MemoryStore) -> Arc<MemoryStore> {
    let copy = MemoryStore::new();
    for key in store.keys() {
        copy.put(&key, store.peek(&key).unwrap()).unwrap();
    }
    Arc::new(copy)
}

/// A target that knows what must be written to it: it keeps the first place where anything else was.
#[derive(Clone)]
pub(crate) struct Witness {
    expected: Arc<Vec<u8>>,
    state: Arc<Mutex<WitnessState>>,
}

struct WitnessState {
    bytes: Vec<u8>,
    wrong_at: Option<u64>,
}

impl Witness {
    /// Starts out with bytes that differ from the expected ones everywhere.
    pub(crate) fn of(expected: &Arc<Vec<u8>>) -> Witness {
        let bytes = expected.iter().map(|byte| !byte).collect();
        Witness {
            expected: expected.clone(),
            state: Arc::new(Mutex::new(WitnessState { bytes, wrong_at: None })),
        }
    }

    fn put(&self, offset: u64, bytes: &[u8]) {
        let start = usize::try_from(offset).unwrap();
        let mut state = self.state.lock().unwrap();
        let expected = self.expected.get(start..start + bytes.len());
        if expected != Some(bytes) {
            state.wrong_at.get_or_insert(offset);
        }
        if let Some(place) = state.bytes.get_mut(start..start + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
}

impl BlockTarget for Witness {
    fn size_bytes(&self) -> u64 {
        self.expected.len() as u64
    }

    fn write_all_at(&self, offset: u64, buf: &[u8]) -> Result<(), WriteError> {
        self.put(offset, buf);
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<(), WriteError> {
        self.put(offset, &vec![0; usize::try_from(len_bytes).unwrap()]);
        Ok(())
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let start = usize::try_from(offset).unwrap();
        buf.copy_from_slice(&self.state.lock().unwrap().bytes[start..start + buf.len()]);
        Ok(())
    }

    fn flush(&self) -> Result<(), WriteError> {
        Ok(())
    }

    fn is_fresh(&self) -> bool {
        false
    }
}
