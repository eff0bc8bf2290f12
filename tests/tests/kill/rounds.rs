//! The rounds: one command is killed, then everything that was promised is checked.

use std::path::{Path, PathBuf};

use coffer_tests::content;
use coffer_tests::leftovers;
use coffer_tests::process::run;

use crate::world::World;

/// More points than this are forgotten.
const POINTS_MAX: usize = 14;

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Full,
    Incremental,
    Forget,
    Prune,
    RestoreNew,
    RestoreOverwrite,
    RestoreInPlace,
}

impl Verb {
    pub(crate) const ALL: [Verb; 7] = [
        Verb::Full,
        Verb::Incremental,
        Verb::Forget,
        Verb::Prune,
        Verb::RestoreNew,
        Verb::RestoreOverwrite,
        Verb::RestoreInPlace,
    ];
    /// How often each has its turn.
    const TURNS: [Verb; 14] = [
        Verb::Full,
        Verb::Full,
        Verb::Incremental,
        Verb::Incremental,
        Verb::Incremental,
        Verb::Incremental,
        Verb::Incremental,
        Verb::Forget,
        Verb::Forget,
        Verb::Prune,
        Verb::Prune,
        Verb::RestoreNew,
        Verb::RestoreOverwrite,
        Verb::RestoreInPlace,
    ];
}

impl World {
    /// Kills one command and checks what was promised.
    pub(crate) fn round(&mut self, round: u64) {
        let verb = self.next_verb();
        match verb {
            Verb::Full | Verb::Incremental => self.backup_round(verb),
            Verb::Forget => self.forget_round(),
            Verb::Prune => self.prune_round(),
            Verb::RestoreNew | Verb::RestoreOverwrite | Verb::RestoreInPlace => self.restore_round(verb),
        }
        self.check_points(&format!("round {round}, {verb:?}"));
        self.check_promises(round);
    }

    fn next_verb(&mut self) -> Verb {
        match self.points.len() {
            0 | 1 => *self.chance.pick(&[Verb::Full, Verb::Incremental]),
            POINTS_MAX.. => Verb::Forget,
            _ => *self.chance.pick(&Verb::TURNS),
        }
    }

    fn check_promises(&mut self, round: u64) {
        if round.is_multiple_of(10) {
            self.repository.expect_clean(&["--read-data"]);
        } else {
            self.repository.expect_clean(&[]);
        }
        if round.is_multiple_of(25) {
            for point in self.points.keys().cloned().collect::<Vec<_>>() {
                self.compare(&point, None);
            }
        } else if let Some((point, volume)) = self.any_volume() {
            self.compare(&point, Some(&volume));
        }
        if self.chance.happens(25) {
            self.next_backup();
        }
    }

    /// A backup that is not killed, also right after others that were.
    fn next_backup(&mut self) {
        self.change_volumes();
        let (words, contents) = self.write_images();
        let outcome = run(self.repository.backup(&words, &["--memory", "64MiB"]));
        self.note_backup(&outcome, contents);
    }

    fn any_volume(&mut self) -> Option<(String, String)> {
        let points: Vec<String> = self.points.keys().cloned().collect();
        if points.is_empty() {
            return None;
        }
        let point = self.chance.pick(&points).clone();
        let volumes: Vec<String> = self.points[&point].keys().cloned().collect();
        Some((point, self.chance.pick(&volumes).clone()))
    }

    fn backup_round(&mut self, verb: Verb) {
        // Now and then the run before is repeated with nothing changed, so that it can take over what was stored.
        if self.chance.happens(70) {
            self.change_volumes();
        }
        let (words, contents) = self.write_images();
        let wish = if verb == Verb::Full { "full" } else { "auto" };
        let options = ["--type", wish, "--memory", "64MiB", "--full-every", "6"];
        let command = self.repository.backup(&words, &options);
        let root = self.repository.root().to_owned();
        let outcome = self.run_and_kill(verb, command, &root);
        self.note_backup(&outcome, contents);
    }

    /// The newest stay whatever happens; of the others any may be gone.
    fn forget_round(&mut self) {
        if self.chance.happens(50) {
            leftovers::drop_pins(self.repository.root());
        }
        let keep = 2 + usize::try_from(self.chance.below(4)).expect("small");
        let root = self.repository.root().to_owned();
        let command = self.repository.forget(keep);
        let outcome = self.run_and_kill(Verb::Forget, command, &root);
        assert!(outcome.is_killed() || outcome.status == Some(0), "{}", outcome.story());
        let listed = self.repository.point_ids();
        let newest: Vec<String> = self.points.keys().rev().take(keep).cloned().collect();
        for point in &newest {
            assert!(
                listed.contains(point),
                "{point} is among the last {keep}, and gone\n{}",
                outcome.story()
            );
        }
        let before = self.points.len();
        self.points.retain(|point, _| listed.contains(point));
        self.tally.forgotten += (before - self.points.len()) as u64;
    }

    fn prune_round(&mut self) {
        let root = self.repository.root().to_owned();
        let command = self.repository.prune();
        let outcome = self.run_and_kill(Verb::Prune, command, &root);
        assert!(outcome.is_killed() || outcome.status == Some(0), "{}", outcome.story());
    }

    /// A killed restore is finished by running it again in place.
    fn restore_round(&mut self, verb: Verb) {
        let Some((point, volume)) = self.any_volume() else { return };
        let content = self.points[&point][&volume].clone();
        let directory = self.path("target");
        std::fs::create_dir(&directory).expect("make a directory");
        let target = self.prepare_target(verb, &directory, content.len());
        let word = format!("--volume={volume}={}", target.display());
        let mode = match verb {
            Verb::RestoreOverwrite => Some("--overwrite"),
            Verb::RestoreInPlace => Some("--in-place"),
            _ => None,
        };
        let mut words = vec![word.as_str(), "--memory=64MiB"];
        words.extend(mode);
        let command = self.repository.restore(&point, &words);
        let outcome = self.run_and_kill(verb, command, &directory);
        let mut story = outcome.story();
        if outcome.is_killed() {
            let again = run(self.repository.restore(&point, &[&word, "--in-place"])).expect_status(0);
            story = format!("{story}\n{}", again.story());
            self.tally.restores_finished += 1;
        } else {
            assert_eq!(outcome.status, Some(0), "{story}");
        }
        self.compare_file(&target, &content, &story);
        std::fs::remove_dir_all(&directory).expect("remove a directory");
    }

    /// What is at the target before: nothing, noise, or an older content with a few changes.
    fn prepare_target(&mut self, verb: Verb, directory: &Path, len: usize) -> PathBuf {
        let target = directory.join("restored");
        let mut before = match verb {
            Verb::RestoreOverwrite => content::mixed(&mut self.chance, len as u64),
            Verb::RestoreInPlace => self.current["parts"].iter().copied().cycle().take(len).collect(),
            _ => return target,
        };
        content::change(&mut self.chance, &mut before);
        std::fs::write(&target, before).expect("write a target");
        target
    }
}
