//! Sorts claims and entries by what lies behind them, so that one thing under many names becomes one volume.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::locate::{Behind, Spot, locate};
use super::survey::Survey;
use crate::device_number::DeviceNumber;
use crate::directory::{Entry, mount_above};
use crate::kubelet::Claim;
use crate::reader::Reader;
use crate::roots::{DirectoryUse, Roots};

/// A directory under all its names.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pub(super) claims: Vec<Claim>,
    /// Where it lies below a configured directory.
    pub(super) entry: Option<PathBuf>,
}

impl Directory {
    /// The most lasting of its paths.
    pub(super) fn path(&self) -> &Path {
        let claimed = self.claims.first().map(|claim| claim.path.as_path());
        self.entry.as_deref().or(claimed).unwrap_or(Path::new("/"))
    }
}

/// Claims of which nothing is to be seen here.
#[derive(Debug)]
pub(super) struct Unseen {
    pub(super) claims: Vec<Claim>,
    pub(super) why: &'static str,
}

/// What belongs together.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// The claims of devices, by the kernel's name.
    pub(super) devices: HashMap<String, Vec<Claim>>,
    pub(super) directories: BTreeMap<Spot, Directory>,
    pub(super) images: Vec<Entry>,
    /// By what makes them one volume: the persistent volume, or else the pod and its own name for it.
    pub(super) unseen: BTreeMap<(Option<String>, String), Unseen>,
}

impl Groups {
    pub(super) fn make(roots: &Roots, reader: &Reader<'_>, survey: &Survey) -> Self {
        let mut groups = Self::default();
        for claim in &survey.claims {
            groups.claim(locate(roots, reader, survey, claim), claim.clone());
        }
        groups.join_unseen();
        for entry in &survey.entries {
            groups.entry(roots, survey, entry.clone());
        }
        groups
    }

    fn claim(&mut self, behind: Behind, claim: Claim) {
        match behind {
            Behind::Device(name) => self.devices.entry(name).or_default().push(claim),
            Behind::Directory(spot) => self.directories.entry(spot).or_default().claims.push(claim),
            Behind::Unseen(why) => {
                let key = match &claim.persistent_volume {
                    Some(volume) => (None, volume.clone()),
                    None => (Some(claim.pod_uid.clone()), claim.name.clone()),
                };
                let unseen = self.unseen.entry(key).or_insert(Unseen { claims: Vec::new(), why });
                unseen.claims.push(claim);
            }
        }
    }

    /// What one pod uses out of sight may be seen where another pod uses it.
    fn join_unseen(&mut self) {
        for (key, unseen) in std::mem::take(&mut self.unseen) {
            let volume = unseen.claims.first().and_then(|claim| claim.persistent_volume.clone());
            match volume.and_then(|volume| self.claims_of(&volume)) {
                Some(claims) => claims.extend(unseen.claims),
                None => {
                    self.unseen.insert(key, unseen);
                }
            }
        }
    }

    fn claims_of(&mut self, persistent_volume: &str) -> Option<&mut Vec<Claim>> {
        let directories = self.directories.values_mut().map(|directory| &mut directory.claims);
        let mut all = self.devices.values_mut().chain(directories);
        let is_of = |claim: &Claim| claim.persistent_volume.as_deref() == Some(persistent_volume);
        all.find(|claims| claims.iter().any(is_of))
    }

    fn entry(&mut self, roots: &Roots, survey: &Survey, entry: Entry) {
        if entry.holds == DirectoryUse::Images {
            self.images.push(entry);
            return;
        }
        let spot = match mount_above(&survey.mounts, roots, &entry.path) {
            Some(mount) => Spot::on(mount, &roots.in_mount_table(&entry.path)),
            None => Spot { number: DeviceNumber { major: 0, minor: 0 }, inner: entry.path.clone() },
        };
        self.directories.entry(spot).or_default().entry = Some(entry.path);
    }
}
