//! Which volumes of a point go where.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use coffer_format::{Manifest, VolumeName, VolumeRecord};

use crate::error::CliError;
use crate::paths::directory_of;
use crate::targets::Wanted;
use crate::volume_words::{TargetPlace, TargetWord, reread};

/// The caller's words about targets, free of contradictions.
#[derive(Debug)]
pub(super) enum Places {
    /// One volume, to standard output.
    Stream(VolumeName),
    /// These volumes, each to its path.
    Named(Vec<(VolumeName, PathBuf)>),
    /// All volumes, into a directory.
    Directory(PathBuf),
    /// All volumes, to nowhere: a dry run.
    Nowhere,
}

/// Volumes that can be restored, and those that the point lacks.
#[derive(Debug)]
pub(super) struct Chosen {
    /// What goes where.
    pub(super) wanted: Vec<Wanted>,
    /// Volumes that failed when the point was made.
    pub(super) failed: Vec<String>,
}

impl Places {
    pub(super) fn new(
        words: &[TargetWord],
        directory: Option<&Path>,
        dry_run: bool,
    ) -> Result<Places, CliError> {
        let usage = |text: String| Err(CliError::Usage(text));
        if let Some(directory) = directory {
            return Ok(Places::Directory(directory.to_owned()));
        }
        let mut names = BTreeSet::new();
        let mut paths = BTreeSet::new();
        let mut named = Vec::new();
        for word in words {
            // Where a `=` is left, the name may be longer: the point's volumes tell.
            let is_whole =
                !matches!(&word.place, TargetPlace::Path(path) if path.to_string_lossy().contains('='));
            if is_whole && !names.insert(&word.name) {
                return usage(given_twice(&word.name));
            }
            match &word.place {
                TargetPlace::Stream if words.len() > 1 => {
                    return usage("standard output takes one volume; give one --volume NAME=-".into());
                }
                TargetPlace::Stream if dry_run => {
                    return usage("--dry-run writes nothing to standard output".into());
                }
                TargetPlace::Stream => return Ok(Places::Stream(word.name.clone())),
                TargetPlace::Path(path) if !paths.insert(identity(path)) => {
                    return usage(format!(
                        "two volumes go to {}; give each a target of its own",
                        path.display()
                    ));
                }
                TargetPlace::Path(path) => named.push((word.name.clone(), path.clone())),
            }
        }
        match (named.is_empty(), dry_run) {
            (false, _) => Ok(Places::Named(named)),
            (true, true) => Ok(Places::Nowhere),
            (true, false) => {
                usage("say where volumes go: --volume NAME=TARGET for each, or --to DIR for all".into())
            }
        }
    }

    /// The volume that goes to standard output.
    pub(super) fn stream(&self) -> Option<&VolumeName> {
        match self {
            Places::Stream(name) => Some(name),
            _ => None,
        }
    }

    /// Whether there is nothing to look at yet: a dry run without targets, or into a directory that would be made.
    pub(super) fn are_imagined(&self, dry_run: bool) -> bool {
        match self {
            Places::Nowhere => true,
            Places::Directory(directory) => dry_run && !directory.exists(),
            Places::Named(_) | Places::Stream(_) => false,
        }
    }

    /// The one path of a request that names one volume.
    pub(super) fn only(&self) -> Option<(&VolumeName, &Path)> {
        match self {
            Places::Named(named) => match named.as_slice() {
                [(name, path)] => Some((name, path)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Makes the directory of `--to`, but not the directories on the way to it.
    pub(super) fn make_directory(&self) -> Result<(), CliError> {
        let Places::Directory(directory) = self else { return Ok(()) };
        if directory.exists() && !directory.is_dir() {
            return Err(CliError::Usage(format!("--to {} is no directory; name one", directory.display())));
        }
        match std::fs::create_dir(directory) {
            Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(CliError::File { step: "make directory", path: directory.clone(), source })
            }
            _ => Ok(()),
        }
    }

    /// Matches the words with what the point has.
    pub(super) fn choose(&self, manifest: &Manifest) -> Result<Chosen, CliError> {
        match self {
            Places::Named(given) => {
                let known = || manifest.volume_records().map(|record| &record.name);
                let named: Vec<_> = given.iter().map(|(name, path)| reread(name, path, known())).collect();
                let mut names = BTreeSet::new();
                if let Some((name, _)) = named.iter().find(|(name, _)| !names.insert(name)) {
                    return Err(CliError::Usage(given_twice(name)));
                }
                let wanted = named.iter().map(|(name, path)| wanted(find(manifest, name)?, path.clone()));
                Ok(Chosen { wanted: wanted.collect::<Result<_, _>>()?, failed: Vec::new() })
            }
            Places::Directory(directory) => all(manifest, |record| directory.join(record.name.encoded())),
            Places::Nowhere | Places::Stream(_) => all(manifest, |_| PathBuf::from("nowhere")),
        }
    }
}

fn given_twice(name: &VolumeName) -> String {
    format!("--volume {name} is given twice; a volume has one target")
}

/// All volumes; those that failed are left out, unless nothing is left.
fn all(manifest: &Manifest, path: impl Fn(&VolumeRecord) -> PathBuf) -> Result<Chosen, CliError> {
    let mut chosen = Chosen { wanted: Vec::new(), failed: Vec::new() };
    for record in manifest.volume_records() {
        match &record.error {
            None => chosen.wanted.push(wanted(record, path(record))?),
            Some(error) => chosen.failed.push(format!("{} ({error})", record.name)),
        }
    }
    if chosen.wanted.is_empty() {
        return Err(CliError::NotFound(format!(
            "point {} holds no volume; choose another point",
            manifest.point
        )));
    }
    Ok(chosen)
}

fn find<'m>(manifest: &'m Manifest, name: &VolumeName) -> Result<&'m VolumeRecord, CliError> {
    manifest.volume_records().find(|record| record.name == *name).ok_or_else(|| {
        let names: Vec<String> = manifest.volume_records().map(|record| record.name.to_string()).collect();
        CliError::NotFound(format!(
            "point {} has no volume {name}; it has {}",
            manifest.point,
            names.join(", ")
        ))
    })
}

fn wanted(record: &VolumeRecord, path: PathBuf) -> Result<Wanted, CliError> {
    match &record.error {
        None => Ok(Wanted { name: record.name.clone(), size: record.size, path }),
        Some(error) => Err(CliError::NotFound(format!(
            "volume {} failed when point {} was made ({error}); choose another point",
            record.name, record.point
        ))),
    }
}

/// What makes two paths the same target, as far as can be told before they exist.
fn identity(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (directory_of(path).canonicalize(), path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}
