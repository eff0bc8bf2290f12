//! Which team a volume of this node belongs to, by the settings alone. Pure; whoever asks has looked at the node.
//!
//! It must never guess: what two teams could claim belongs to none, and only the controller reaches it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use coffer_format::Label;
use coffer_volume::{Volume, VolumeId};

use crate::config::Team;

/// The teams of the settings.
#[derive(Debug, Clone, Default)]
pub struct Teams(Vec<Rule>);

#[derive(Debug, Clone)]
struct Rule {
    name: Label,
    namespaces: BTreeSet<String>,
    roots: Vec<PathBuf>,
    volumes: BTreeSet<String>,
}

impl Teams {
    /// As the settings say.
    pub fn new(teams: &[Team]) -> Self {
        let rule = |team: &Team| Rule {
            name: team.name.clone(),
            namespaces: team.namespaces.iter().map(ToString::to_string).collect(),
            roots: team.roots.clone(),
            volumes: team.volumes.iter().cloned().collect(),
        };
        Teams(teams.iter().map(rule).collect())
    }

    /// The team that a volume belongs to: one that names it, in whose directories it lies, or in whose namespaces all pods run that use it.
    pub fn owner_of(&self, volume: &Volume) -> Option<&Label> {
        self.only(|rule| rule.names(volume) || rule.holds(&volume.path) || rule.runs_all_pods_of(volume))
    }

    /// As [`Teams::owner_of`], of an image by its id and path alone: no pod uses one.
    pub fn owner_of_image(&self, id: &VolumeId, path: &Path) -> Option<&Label> {
        self.only(|rule| {
            let named = rule.volumes.contains(id.as_str());
            named || path.to_str().is_some_and(|path| rule.volumes.contains(path)) || rule.holds(path)
        })
    }

    /// The team in whose directories a path lies, or that names it.
    pub fn owner_of_path(&self, path: &Path) -> Option<&Label> {
        let named = |rule: &Rule| path.to_str().is_some_and(|path| rule.volumes.contains(path));
        self.only(|rule| rule.holds(path) || named(rule))
    }

    fn only(&self, fits: impl Fn(&Rule) -> bool) -> Option<&Label> {
        let mut fitting = self.0.iter().filter(|rule| fits(rule));
        let first = fitting.next()?;
        fitting.next().is_none().then_some(&first.name)
    }
}

impl Rule {
    fn names(&self, volume: &Volume) -> bool {
        let ids = std::iter::once(&volume.id).chain(&volume.aliases);
        let path = volume.path.to_str();
        ids.map(coffer_volume::VolumeId::as_str).chain(path).any(|name| self.volumes.contains(name))
    }

    /// By text: the gate follows no link below its roots, so text and place agree.
    fn holds(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| path.starts_with(root) && path != root)
    }

    /// Kubelet, which runs as root, names the directories that pods' names are read from. A pod whose name is not known belongs to nobody.
    fn runs_all_pods_of(&self, volume: &Volume) -> bool {
        let ours = |claim: &coffer_volume::Claim| {
            claim.pod.as_ref().is_some_and(|pod| self.namespaces.contains(&pod.namespace))
        };
        !volume.claims.is_empty() && volume.claims.iter().all(ours)
    }
}

#[cfg(test)]
mod tests;
