//! Resume: packs that an incomplete run finished are used again, block by block.
//!
//! # Problem
//! A run that died leaves finished packs without a manifest. To read and store their blocks again costs hours. To believe them costs data: nobody
//! vouches for them, their run may be ended by prune at any moment, and their blocks may be of an older content of the volume.
//!
//! # What is believed
//! A pack's header and trailer are checked first. A block is reused only if a pack has it under its own number with the keyed hash of the content
//! that was read just now; the base, the compression and the run that stored it do not matter. So a resumed point is as if stored anew.
//! Packs that verify noted as damaged are left out.
//!
//! # Protocol
//! The runs were chosen after a look for their `ending` record (`takeover_skips_ending`), the commit looks again (`check_taken_ending`), and the
//! manifest names every run whose packs it uses. Between the two looks prune may delete; then the commit is fenced and nothing was reported.
//!
//! # Memory
//! A run opens packs nearly in the order of their first blocks, so numbers ascend with the volume. What is kept open is a window of packs around
//! the place that the backup is at, under 1 MiB for each run, whatever the dead run left.
//!
//! # Failures
//! Reading a reusable pack never makes a backup fail: one warning for each run and volume, and the blocks are stored anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coffer_format::{
    BlockSize, DataObject, Id, LINEAGE_MAX, PACK_TABLE_PAGE_PACKS, RootLineage, TeamSecrets, VolumePath,
    object_key,
};

use super::damage_notes::read_damaged;
use crate::read::block_states::Trailers;
use crate::read::frame_run::FramePlace;
use crate::read::reusable_pack::{ReusableFrame, ReusablePack, ReusableRun};
use crate::write::taken_table::TakenPage;
use crate::{CancelToken, EngineError, Repository};

/// Packs opened ahead of the place that is asked about: as many threads a run may have, and each has one pack in work, so packs that lie
/// this close can have their numbers in another order than their first blocks.
const AHEAD: usize = 64;
/// So many unusable packs in a row end the look at a run.
const REFUSED_MAX: u32 = 16;

/// What one volume may reuse.
pub(crate) struct Resume {
    windows: Vec<Window>,
    bytes: AtomicU64,
}

/// A block that can be reused, if its hash is the wanted one.
pub(crate) struct Found {
    frame: ReusableFrame,
    pack: Arc<ReusablePack>,
    lineage: u16,
}

/// Finished packs of one incomplete run for one volume.
struct Window {
    run: ReusableRun,
    /// Packs in which verify found damage.
    damaged: BTreeSet<u32>,
    cancel: CancelToken,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    listed: VecDeque<(u32, u64)>,
    list_after: Option<String>,
    list_ended: bool,
    /// Packs that are open, and used ones that are not yet in the pack table.
    packs: BTreeMap<u32, Arc<ReusablePack>>,
    /// All packs with smaller numbers were opened or refused.
    loaded_to: u32,
    refused: u32,
    warned: bool,
    next_page: u32,
}

impl Resume {
    /// Windows on those of `runs` (oldest first) that have packs of the volume and are not in its base's lineage already. `path` is the own one, `secrets`
    /// are the chain's.
    pub(crate) fn new(
        repository: &Repository,
        path: &VolumePath,
        secrets: &TeamSecrets,
        block_size: BlockSize,
        base: &[RootLineage],
        runs: &[Id],
    ) -> Result<Resume, EngineError> {
        let mut windows = Vec::new();
        for id in runs.iter().filter(|id| base.iter().all(|entry| entry.point != **id)) {
            let lineage = base.len() + windows.len();
            let Some(lineage) = u16::try_from(lineage).ok().filter(|_| lineage + 1 < LINEAGE_MAX) else {
                break;
            };
            let run = ReusableRun {
                store: repository.store().clone(),
                repository: repository.id(),
                suite: repository.suite(),
                secrets: secrets.clone(),
                block_size,
                path: VolumePath { point: *id, ..path.clone() },
                lineage,
            };
            match Window::open(repository, run) {
                Ok(window) => windows.extend(window),
                Err(error) => {
                    tracing::warn!(run = %id, volume = %path.volume, %error, "cannot list packs of an unfinished run; not used")
                }
            }
        }
        Ok(Resume { windows, bytes: AtomicU64::new(0) })
    }

    /// The runs, in the order of their lineage entries and of the slots of [`Resume::pages`].
    pub(crate) fn runs(&self) -> Vec<Id> {
        self.windows.iter().map(|window| window.run.path.point).collect()
    }

    /// How many runs there are.
    pub(crate) fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether there is nothing to reuse.
    pub(crate) fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Stored bytes of the packs reused so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The blocks from `first` to before `end` that reusable packs have, in block order; of one block the newest run's first.
    pub(crate) fn blocks(&self, trailers: &Trailers, first: u32, end: u32) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        for window in self.windows.iter().rev() {
            window.blocks(trailers, first, end, &mut found);
        }
        found.sort_by_key(|found| found.frame.block);
        found
    }

    /// Where in `found` a block of `len` bytes with this hash lies. Its pack is one of the new point's from now on.
    pub(crate) fn take(
        &self,
        found: &[Found],
        block: u32,
        len: usize,
        hash: &[u8; 32],
    ) -> Option<FramePlace> {
        let from = found.partition_point(|found| found.frame.block < block);
        let same = found.iter().skip(from).take_while(|found| found.frame.block == block);
        // The hash covers the content as it is, so that equal hashes mean equal lengths too.
        let mut matching = same.filter(|found| found.frame.entry.hash == *hash);
        let found = matching.find(|found| found.frame.can_hold(len).unwrap_or(false))?;
        if found.pack.set_used() {
            self.bytes.fetch_add(found.pack.info.object_len, Ordering::Relaxed);
        }
        Some(FramePlace {
            lineage: found.lineage,
            pack: found.pack.number,
            ordinal: found.frame.ordinal,
            offset: found.frame.offset,
            len: found.frame.entry.frame_len(),
        })
    }

    /// Pages of the table of the `slot`th run that are settled when all blocks before `low` are; with `None`, all that are left.
    pub(crate) fn pages(&self, slot: usize, low: Option<u32>) -> Vec<TakenPage> {
        self.windows.get(slot).map(|window| window.lock().settled_pages(low)).unwrap_or_default()
    }
}

impl Window {
    /// `None` where the run has no pack of the volume.
    fn open(repository: &Repository, run: ReusableRun) -> Result<Option<Window>, EngineError> {
        let mut state = State::default();
        while state.listed.is_empty() && !state.list_ended {
            state.list(&run)?;
        }
        if state.listed.is_empty() {
            return Ok(None);
        }
        let damaged = damaged_numbers(repository, &run)?;
        Ok(Some(Window {
            run,
            damaged,
            cancel: repository.environment().cancel.clone(),
            state: Mutex::new(state),
        }))
    }

    fn blocks(&self, trailers: &Trailers, first: u32, end: u32, found: &mut Vec<Found>) {
        let packs: Vec<Arc<ReusablePack>> = {
            let mut state = self.lock();
            self.load(&mut state, trailers, end);
            let near =
                |pack: &&Arc<ReusablePack>| pack.info.first_block < end && pack.info.last_block >= first;
            state.packs.values().filter(near).cloned().collect()
        };
        for pack in packs {
            match self.run.frames(trailers, &pack, first, end) {
                Ok(frames) => found.extend(frames.into_iter().map(|frame| Found {
                    frame,
                    pack: pack.clone(),
                    lineage: self.run.lineage,
                })),
                Err(error) => self.warn(&mut self.lock(), &error),
            }
        }
    }

    /// Opens packs until [`AHEAD`] of them begin at `end` or later.
    fn load(&self, state: &mut State, trailers: &Trailers, end: u32) {
        while state.packs.values().filter(|pack| pack.info.first_block >= end).count() < AHEAD {
            // Whoever reads the volume ends the backup; here it is enough to go no further.
            if self.cancel.is_cancelled() {
                return;
            }
            let next = match state.next(&self.run) {
                Ok(Some(next)) => next,
                Ok(None) => return,
                Err(error) => return self.give_up(state, &error),
            };
            let (number, object_len) = next;
            state.loaded_to = number + 1;
            if self.damaged.contains(&number) {
                continue;
            }
            match self.run.open(trailers, number, object_len) {
                Ok(pack) => {
                    state.refused = 0;
                    state.packs.insert(number, Arc::new(pack));
                }
                Err(error @ (EngineError::Object { .. } | EngineError::Damaged { .. })) => {
                    state.refused += 1;
                    if state.refused == REFUSED_MAX {
                        return self.give_up(state, &error);
                    }
                    self.warn(state, &error);
                }
                Err(error) => return self.give_up(state, &error),
            }
        }
    }

    fn give_up(&self, state: &mut State, error: &EngineError) {
        self.warn(state, error);
        state.listed.clear();
        state.list_ended = true;
    }

    /// Once per run and volume.
    fn warn(&self, state: &mut State, error: &EngineError) {
        if !std::mem::replace(&mut state.warned, true) {
            tracing::warn!(
                run = %self.run.path.point, volume = %self.run.path.volume, %error,
                "cannot use a pack of an unfinished run; storing its blocks anew"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next pack's number and length; they ascend as names do.
    fn next(&mut self, run: &ReusableRun) -> Result<Option<(u32, u64)>, EngineError> {
        while self.listed.is_empty() && !self.list_ended {
            self.list(run)?;
        }
        Ok(self.listed.pop_front())
    }

    fn list(&mut self, run: &ReusableRun) -> Result<(), EngineError> {
        let prefix = object_key::volume_prefix(&run.path);
        let page = run.store.list(&prefix, self.list_after.as_deref(), 1_000)?;
        for object in page.objects {
            if let Ok((_, _, DataObject::Pack { number, .. })) = object_key::parse_data(object.key.as_str()) {
                self.listed.push_back((number, object.len));
            }
        }
        self.list_ended = page.next.is_none();
        self.list_after = page.next;
        Ok(())
    }

    fn settled_pages(&mut self, low: Option<u32>) -> Vec<TakenPage> {
        if low.is_none() {
            self.listed.clear();
            self.list_ended = true;
        }
        let is_settled = |pack: &ReusablePack| low.is_none_or(|low| pack.info.last_block < low);
        self.packs.retain(|_, pack| pack.is_used() || !is_settled(pack));
        let mut pages = Vec::new();
        loop {
            let first = self.next_page.saturating_mul(PACK_TABLE_PAGE_PACKS);
            let end = first.saturating_add(PACK_TABLE_PAGE_PACKS);
            let all_loaded = self.list_ended && self.listed.is_empty();
            let is_over = all_loaded && self.packs.range(first..).next().is_none();
            let is_loaded = all_loaded || self.loaded_to >= end;
            if is_over || !is_loaded || !self.packs.range(first..end).all(|(_, pack)| is_settled(pack)) {
                return pages;
            }
            let mut page = vec![None; PACK_TABLE_PAGE_PACKS as usize];
            let later = self.packs.split_off(&end);
            for (number, pack) in std::mem::replace(&mut self.packs, later) {
                if let Some(slot) = page.get_mut((number - first) as usize) {
                    *slot = Some(pack.info.clone());
                }
            }
            pages.push(page);
            self.next_page += 1;
        }
    }
}

/// Packs of the run in which verify found damage, when another point had reused them too.
fn damaged_numbers(repository: &Repository, run: &ReusableRun) -> Result<BTreeSet<u32>, EngineError> {
    let VolumePath { plan, point, volume, .. } = &run.path;
    let prefix = format!("{}{point}/{}/", object_key::damaged_prefix(&plan.team), volume.encoded());
    let damaged = read_damaged(repository, &prefix, |_, _| true)?;
    Ok(damaged.into_iter().map(|(_, number)| number).collect())
}
