//! The volumes, the repository, and copies of what every point must give back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use coffer_tests::chance::Chance;
use coffer_tests::content;
use coffer_tests::leftovers;
use coffer_tests::process::{Outcome, Program, run, run_until};
use coffer_tests::repository::{Repository, text};
use serde_json::Value;
use tempfile::TempDir;

use crate::rounds::Verb;
use crate::tally::Tally;
use crate::timing::Timing;

/// Names and sizes of the volumes. The last is large enough to be sent in parts where memory is short.
const VOLUMES: [(&str, u64); 4] =
    [("a", 1 << 20), ("b", (2 << 20) + 512), ("c", 4 << 20), ("parts", 13 << 20)];
const UNIT_BYTES: u64 = 512;

/// Contents of a point's volumes, by name.
pub(crate) type Contents = BTreeMap<String, Arc<Vec<u8>>>;

/// Everything of a run.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) repository: Repository,
    pub(crate) tally: Tally,
    /// What each point must give back; ids ascend with their age.
    pub(crate) points: BTreeMap<String, Contents>,
    pub(crate) current: Contents,
    timing: Timing,
    directory: TempDir,
}

impl World {
    pub(crate) fn new(program: &Program, mut chance: Chance) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let repository = Repository::init(program, &directory.path().join("repository"), directory.path());
        let new = |(name, size): (&str, u64)| (name.to_owned(), Arc::new(content::mixed(&mut chance, size)));
        let current = VOLUMES.map(new).into();
        let (points, tally, timing) = Default::default();
        Self { chance, repository, tally, points, current, timing, directory }
    }

    /// A path for a file or directory of the test.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs `command` and kills it at some moment, and counts that.
    #[track_caller]
    pub(crate) fn run_and_kill(&mut self, verb: Verb, command: Command, changes: &Path) -> Outcome {
        let root = self.repository.root().to_owned();
        let mut places = vec![root.as_path()];
        if !changes.starts_with(&root) {
            places.push(changes);
        }
        let moment = self.timing.moment(&mut self.chance, verb, places);
        let outcome = run_until(command, &moment);
        let (runs, killed) = self.tally.kills.entry(verb).or_default();
        *runs += 1;
        if outcome.is_killed() {
            *killed += 1;
        } else {
            self.timing.learn(verb, &outcome);
        }
        outcome
    }

    /// Changes the volumes' contents, and now and then their sizes.
    pub(crate) fn change_volumes(&mut self) {
        for content in self.current.values_mut() {
            let content = Arc::make_mut(content);
            content::change(&mut self.chance, content);
            if self.chance.happens(10) {
                let less = self.chance.below(64) * UNIT_BYTES;
                let more = self.chance.below(128) * UNIT_BYTES;
                content.truncate(content.len().saturating_sub(usize::try_from(less).expect("small")));
                content.resize(content.len() + usize::try_from(more).expect("small"), 7);
            }
        }
    }

    /// Writes the images of a choice of volumes; returns the words for them and their contents.
    pub(crate) fn write_images(&mut self) -> (Vec<String>, Contents) {
        let (mut words, mut contents) = (Vec::new(), Contents::new());
        for ((name, _), percent) in VOLUMES.iter().zip([100, 100, 60, 25]) {
            if !self.chance.happens(percent) {
                continue;
            }
            let path = self.path(&format!("{name}.img"));
            let content = &self.current[*name];
            std::fs::write(&path, content.as_slice()).expect("write an image");
            words.push(format!("{name}={}", path.display()));
            contents.insert((*name).to_owned(), Arc::clone(content));
        }
        (words, contents)
    }

    /// Takes up what a backup of `contents` made. A reported success must be there, and nothing else new.
    #[track_caller]
    pub(crate) fn note_backup(&mut self, outcome: &Outcome, contents: Contents) {
        let listed = self.repository.points();
        let new: Vec<&Value> =
            listed.iter().filter(|it| !self.points.contains_key(&text(&it["point"]))).collect();
        assert!(new.len() <= 1, "one run, {} points\n{}", new.len(), outcome.story());
        assert!(new.iter().all(|point| point["state"] == "available"), "{new:?}\n{}", outcome.story());
        if !outcome.is_killed() {
            assert_eq!(outcome.status, Some(0), "{}", outcome.story());
            let report = outcome.json();
            assert!(
                new.len() == 1 && new[0]["point"] == report["point"],
                "reported and not there\n{}",
                outcome.story()
            );
            let resumed_bytes = report["resumed_bytes"].as_u64().expect("a number");
            self.tally.resumed += u64::from(resumed_bytes > 0);
            self.tally.resumed_bytes += resumed_bytes;
        }
        if let Some(point) = new.first() {
            self.tally.points += 1;
            self.tally.points_of_killed += u64::from(outcome.is_killed());
            self.points.insert(text(&point["point"]), contents);
        }
    }

    /// Fails unless exactly the known points are listed.
    #[track_caller]
    pub(crate) fn check_points(&self, after: &str) {
        let known: Vec<&String> = self.points.keys().collect();
        let listed = self.repository.point_ids();
        assert!(listed.iter().eq(known.iter().copied()), "after {after}: listed {listed:?}, made {known:?}");
    }

    /// Restores all volumes of a point to new files, or one of them, and compares them.
    #[track_caller]
    pub(crate) fn compare(&mut self, point: &str, only: Option<&str>) {
        let target = self.path("compared");
        let contents = self.points[point].clone();
        std::fs::create_dir(&target).expect("make a directory");
        let wanted: Vec<&String> =
            contents.keys().filter(|name| only.is_none_or(|only| only == *name)).collect();
        let words: Vec<String> =
            wanted.iter().map(|name| format!("--volume={name}={}", target.join(name).display())).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let outcome = run(self.repository.restore(point, &words)).expect_status(0);
        for name in wanted {
            self.compare_file(&target.join(name), &contents[name], &outcome.story());
        }
        std::fs::remove_dir_all(&target).expect("remove a directory");
    }

    /// Compares one restored file.
    #[track_caller]
    pub(crate) fn compare_file(&mut self, path: &Path, content: &[u8], story: &str) {
        let restored = std::fs::read(path).expect("read a restored file");
        if let Some(difference) = content::first_difference(&restored, content) {
            panic!("{} is not what was backed up: {difference}\n{story}", path.display());
        }
        self.tally.volumes_compared += 1;
    }

    /// A complete backup, then forget and prune: nothing stays that the last point does not need.
    #[track_caller]
    pub(crate) fn finish(&mut self) {
        self.change_volumes();
        let (words, contents) = self.write_images();
        let outcome = run(self.repository.backup(&words, &[]));
        self.note_backup(&outcome, contents);
        for point in self.points.keys().cloned().collect::<Vec<_>>() {
            self.compare(&point, None);
        }
        // What killed restores pinned stays for seven days, by design: here they are over.
        leftovers::drop_pins(self.repository.root());
        run(self.repository.forget(1)).expect_status(0);
        let pruned = run(self.repository.prune()).expect_status(0);
        assert_eq!(pruned.json()["notices"].as_array().map(Vec::len), Some(0), "{}", pruned.story());
        let last = self.points.keys().next_back().expect("a point was just made").clone();
        self.points.retain(|point, _| *point == last);
        self.check_points("the last prune");
        self.repository.expect_clean(&["--read-data"]);
        self.compare(&last, None);
        self.check_leftovers(&last);
    }

    #[track_caller]
    fn check_leftovers(&self, last: &str) {
        let root = self.repository.root();
        let unneeded = leftovers::unneeded(&self.repository, &[last.to_owned()]);
        assert!(unneeded.is_empty(), "not needed by {last} and still there: {unneeded:#?}");
        let uploads = leftovers::listed_uploads(root);
        assert!(uploads.is_empty(), "prune left uploads of runs that are over: {uploads:?}");
        println!(
            "scratch files of killed writes, before their day is over: {}",
            leftovers::scratch_files(root).len()
        );
        leftovers::age_scratch_files(root);
        self.repository.expect_clean(&[]);
        let scratch = leftovers::scratch_files(root);
        assert!(scratch.is_empty(), "a day later still there: {scratch:?}");
        println!("empty directories: {:?}", leftovers::empty_directories(root));
    }
}
