//! Opens the volumes of a backup. Nothing is ever written to them.

use std::collections::{BTreeMap, BTreeSet};

use coffer_blockio::{BlockSource, OpenError, PathKind, ReadEngine, SourceOpener, describe_path};
use coffer_engine::EngineError;
use coffer_engine::backup::VolumeSource;
use coffer_engine::one_line;
use coffer_format::VolumeName;

use crate::error::CliError;
use crate::volume_words::SourceWord;

/// Fails for what can be told from the words and the kinds of paths alone.
pub(super) fn check(words: &[SourceWord]) -> Result<(), CliError> {
    let mut names = BTreeSet::new();
    for word in words {
        if !names.insert(&word.name) {
            return Err(CliError::Usage(format!(
                "two volumes are named {}; give them names of their own: NAME=PATH",
                word.name
            )));
        }
        let path = word.path.display();
        // What cannot be looked at fails when it is opened, and then only its volume.
        let Ok(info) = describe_path(&word.path) else { continue };
        match info.kind {
            PathKind::Missing | PathKind::Image | PathKind::Device => {}
            PathKind::Directory => {
                return Err(CliError::Usage(format!(
                    "volume {}: {path} is a directory; this version protects block devices and disk images, directories come \
                     later. Give the device below it (`findmnt -T {path}` names it) or an image file",
                    word.name
                )));
            }
            kind => {
                return Err(CliError::Usage(format!(
                    "volume {}: {path} is {kind}; give a block device or a disk image",
                    word.name
                )));
            }
        }
        if let Some(user) = info.mounted_or_held {
            tracing::warn!(
                volume = %word.name, path = %path, used_by = user,
                "volume is in use: the point is crash-consistent at best, back a snapshot up instead"
            );
        }
    }
    Ok(())
}

/// Opens every volume. One that fails makes the point partial, unless none can be opened: then that is the error.
pub(crate) fn open(words: &[SourceWord], opener: &SourceOpener) -> Result<Vec<VolumeSource>, CliError> {
    let mut sources = Vec::new();
    let mut first_error = None;
    for word in words {
        let source: Result<Box<dyn BlockSource>, EngineError> = match opener.open(&word.path) {
            Ok(source) => {
                tracing::info!(volume = %word.name, io = %source.engine(), "opened volume");
                Ok(source)
            }
            Err(error) => {
                let text = one_line(&error);
                first_error.get_or_insert(failure(word, error));
                Err(EngineError::Usage(text))
            }
        };
        sources.push(VolumeSource { name: word.name.clone(), source });
    }
    match first_error {
        Some(error) if sources.iter().all(|volume| volume.source.is_err()) => Err(error),
        _ => Ok(sources),
    }
}

/// Which engine reads which volume, of those that could be opened.
pub(super) fn engines(volumes: &[VolumeSource]) -> BTreeMap<VolumeName, ReadEngine> {
    let opened = volumes.iter().filter_map(|volume| Some((volume, volume.source.as_ref().ok()?)));
    opened.map(|(volume, source)| (volume.name.clone(), source.engine())).collect()
}

fn failure(word: &SourceWord, source: OpenError) -> CliError {
    CliError::Open { what: format!("volume {}", word.name), source }
}
