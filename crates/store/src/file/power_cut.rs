//! What a disk may hold after a power cut, according to the log of a [`RecordingFs`](super::recording::RecordingFs).
//!
//! Only what was synced is certain. Of the rest, each name of each directory may be as any later change left it, each
//! sector of a file may be old, new or zero, and a file may have any length between. This is harsher than any journal,
//! on purpose. The same log, length and seed give the same disk.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::recording::{Change, Node};

/// The unit that a disk writes whole.
const SECTOR_LEN: usize = 512;
/// The seeds below this are the extremes: nothing that was not synced, all names without data, all of it.
const EXTREMES: u64 = 3;

/// Makes in the empty directory `into` a state that the disk may have if power fails after the first `len` changes.
///
/// Seeds 0, 1 and 2 are extremes (only what was synced; all names and no data; everything), the others are chance.
///
/// # Errors
/// Those of the real file system that holds `into`.
pub fn materialise(log: &[Change], len: usize, seed: u64, into: &Path) -> io::Result<()> {
    let mut disk = Disk::default();
    for change in &log[..len] {
        disk.apply(change);
    }
    let mut dice = Dice { seed, state: (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ disk.changes) | 1 };
    let mut written = HashMap::new();
    disk.write_dir(0, into, &mut dice, &mut written, &mut HashSet::new())
}

/// All that can still happen to the disk.
#[derive(Debug, Default)]
struct Disk {
    dirs: HashMap<Node, BTreeMap<String, Versions>>,
    files: HashMap<Node, Content>,
    changes: u64,
}

/// What a name may stand for: as it was synced, then each later change.
#[derive(Debug, Default)]
struct Versions {
    synced: Option<Node>,
    later: Vec<Option<Node>>,
}

/// A file's synced bytes and the writes since.
#[derive(Debug, Default)]
struct Content {
    synced: Vec<u8>,
    later: Vec<(usize, Vec<u8>)>,
}

impl Disk {
    fn apply(&mut self, change: &Change) {
        self.changes += 1;
        match change {
            Change::Mkdir { dir, name, node } => {
                self.dirs.insert(*node, BTreeMap::new());
                self.name(*dir, name, Some(*node));
            }
            Change::Create { dir, name, node } => {
                self.files.insert(*node, Content::default());
                self.name(*dir, name, Some(*node));
            }
            Change::Link { dir, name, node } => self.name(*dir, name, Some(*node)),
            Change::Unlink { dir, name } => self.name(*dir, name, None),
            Change::Rename { from, name, to, to_name, node } => {
                self.name(*from, name, None);
                self.name(*to, to_name, Some(*node));
            }
            Change::Write { node, offset, data } => {
                let offset = usize::try_from(*offset).expect("recorded files fit into memory");
                self.files.entry(*node).or_default().later.push((offset, data.to_vec()));
            }
            Change::SyncFile(node) => self.files.entry(*node).or_default().sync(),
            Change::SyncDir(node) => {
                self.dirs.entry(*node).or_default().values_mut().for_each(Versions::sync);
            }
            Change::Mark(_) => {}
        }
    }

    fn name(&mut self, dir: Node, name: &str, node: Option<Node>) {
        self.dirs.entry(dir).or_default().entry(name.to_owned()).or_default().later.push(node);
    }

    fn write_dir(
        &self,
        dir: Node,
        into: &Path,
        dice: &mut Dice,
        written: &mut HashMap<Node, PathBuf>,
        above: &mut HashSet<Node>,
    ) -> io::Result<()> {
        let Some(names) = self.dirs.get(&dir) else { return Ok(()) };
        above.insert(dir);
        for (name, versions) in names {
            let Some(node) = versions.pick(dice) else { continue };
            let path = into.join(name);
            if self.dirs.contains_key(&node) && !above.contains(&node) {
                std::fs::create_dir(&path)?;
                self.write_dir(node, &path, dice, written, above)?;
            } else if let Some(content) = self.files.get(&node) {
                write_file(content, node, path, dice, written)?;
            }
        }
        above.remove(&dir);
        Ok(())
    }
}

impl Versions {
    fn sync(&mut self) {
        if let Some(last) = self.later.pop() {
            self.synced = last;
            self.later.clear();
        }
    }

    fn pick(&self, dice: &mut Dice) -> Option<Node> {
        let kept = dice
            .pick(self.later.len(), Extreme { synced: 0, names: self.later.len(), all: self.later.len() });
        if kept == 0 { self.synced } else { self.later[kept - 1] }
    }
}

impl Content {
    fn sync(&mut self) {
        for (offset, data) in std::mem::take(&mut self.later) {
            overwrite(&mut self.synced, offset, &data);
        }
    }

    /// The bytes after the cut.
    fn pick(&self, dice: &mut Dice) -> Vec<u8> {
        let len_max = self.later.iter().map(|(offset, data)| offset + data.len()).max().unwrap_or(0);
        let grown = len_max.saturating_sub(self.synced.len());
        let kept_len = self.synced.len() + dice.pick(grown, Extreme { synced: 0, names: grown, all: grown });
        let mut bytes = self.synced.clone();
        for (offset, data) in &self.later {
            let sectors = data.chunks(SECTOR_LEN).zip((*offset..).step_by(SECTOR_LEN));
            for (sector, offset) in sectors {
                if dice.pick(1, Extreme { synced: 0, names: 0, all: 1 }) == 1 {
                    overwrite(&mut bytes, offset, sector);
                }
            }
        }
        bytes.resize(kept_len, 0);
        bytes
    }
}

fn overwrite(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if bytes.len() < offset + data.len() {
        bytes.resize(offset + data.len(), 0);
    }
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

/// Writes a file at its first name and links its others.
fn write_file(
    content: &Content,
    node: Node,
    path: PathBuf,
    dice: &mut Dice,
    written: &mut HashMap<Node, PathBuf>,
) -> io::Result<()> {
    if let Some(first) = written.get(&node) {
        return std::fs::hard_link(first, &path);
    }
    std::fs::File::create(&path)?.write_all_at(&content.pick(dice), 0)?;
    written.insert(node, path);
    Ok(())
}

/// Seeded chance.
#[derive(Debug)]
struct Dice {
    seed: u64,
    state: u64,
}

/// What the seeds 0, 1 and 2 pick.
struct Extreme {
    synced: usize,
    names: usize,
    all: usize,
}

impl Dice {
    /// A number from 0 to `max`; both ends are likely.
    fn pick(&mut self, max: usize, extreme: Extreme) -> usize {
        match self.seed {
            0 => return extreme.synced,
            1 => return extreme.names,
            2 => return extreme.all,
            _ => debug_assert!(self.seed >= EXTREMES),
        }
        let roll = self.roll();
        match roll % 4 {
            0 => 0,
            1 => max,
            _ => usize::try_from((roll >> 2) % (max as u64 + 1)).expect("at most `max`"),
        }
    }

    /// xorshift64*; the state is never 0.
    fn roll(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}
