//! `--changes`, `--list-base` and `--sample`: which volumes have a list, and whether the words fit together. The lists themselves are
//! read once the volumes are open, as only then their sizes are known.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use coffer_engine::backup::{ChangeLists, ChangeSource, LIST_RANGES_MAX, SAMPLE_BLOCKS_MAX, VolumeSource};
use coffer_format::{Id, VolumeName};

use crate::change_list;
use crate::error::CliError;
use crate::values;
use crate::volume_words::{ChangesWord, SourceWord, split_among};

/// Where changes come from.
#[derive(Args, Debug)]
pub(super) struct ChangesOptions {
    /// Where changes come from: auto, hash (read everything), fiemap (skip holes) or list:[NAME=]FILE (read what a change tracker of your own names, see below); lists may be given for several volumes
    #[arg(long, value_name = "SOURCE", default_value = "auto", value_parser = values::changes)]
    changes: Vec<ChangesWord>,

    /// The point since which the lists hold every change; needed with a list, and refused unless this run builds on that point
    #[arg(long, value_name = "POINT", value_parser = values::format_value::<Id>)]
    list_base: Option<Id>,

    /// How many blocks of each volume that its list calls unchanged are read and compared, up to 262144 [default: 1 % of them, 64 to 4096]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(SAMPLE_BLOCKS_MAX)))]
    sample: Option<u32>,
}

/// What the words wish.
#[derive(Debug)]
pub(super) struct ChangesWish {
    /// For volumes without a list.
    pub(super) source: ChangeSource,
    lists: Option<ListsWish>,
}

impl ChangesWish {
    /// Whether a volume has a list.
    pub(super) fn has_lists(&self) -> bool {
        self.lists.is_some()
    }
}

#[derive(Debug)]
struct ListsWish {
    base: Id,
    sample: Option<u32>,
    files: BTreeMap<VolumeName, PathBuf>,
}

/// Fails for what can be told from the words alone.
pub(super) fn check(options: &ChangesOptions, volumes: &[SourceWord]) -> Result<ChangesWish, CliError> {
    let mut sources = Vec::new();
    let mut files = BTreeMap::new();
    for word in &options.changes {
        match word {
            ChangesWord::Source(source) => sources.push(*source),
            ChangesWord::List { volume, file, text } => {
                // A name may have a `=` itself: what is backed up tells where it ends.
                let known = split_among(text, volumes.iter().map(|volume| &volume.name));
                let (volume, file) = match known {
                    Some((name, file)) => (Some(name), PathBuf::from(file)),
                    None => (volume.clone(), file.clone()),
                };
                let name = volume_of(volume.as_ref(), &file, volumes)?;
                if files.insert(name.clone(), file).is_some() {
                    return usage(format!(
                        "--changes: volume {name} has two lists; give one with all ranges"
                    ));
                }
            }
        }
    }
    if sources.len() > 1 {
        return usage("--changes: give one of auto, hash and fiemap, and lists beside it".into());
    }
    let lists = match (files.is_empty(), options.list_base) {
        (false, Some(base)) => Some(ListsWish { base, sample: options.sample, files }),
        (false, None) => {
            return usage(
                "--changes list: the list says what changed since which point? give --list-base POINT, as `coffer points` shows it"
                    .into(),
            );
        }
        (true, Some(base)) => {
            return usage(format!("--list-base {base} is given without a list; give --changes list:FILE"));
        }
        (true, None) if options.sample.is_some() => {
            return usage("--sample is given without a list; give --changes list:FILE".into());
        }
        (true, None) => None,
    };
    Ok(ChangesWish { source: sources.first().copied().unwrap_or_default(), lists })
}

fn volume_of(
    name: Option<&VolumeName>,
    file: &std::path::Path,
    volumes: &[SourceWord],
) -> Result<VolumeName, CliError> {
    let names = || volumes.iter().map(|volume| volume.name.to_string()).collect::<Vec<_>>().join(", ");
    match (name, volumes) {
        (Some(name), _) if volumes.iter().any(|volume| volume.name == *name) => Ok(name.clone()),
        (Some(name), _) => usage(format!(
            "--changes list:{name}={file}: there is no volume {name}, but {}; write list:NAME=FILE, or list:./FILE for a file with = in its name",
            names(),
            file = file.display()
        )),
        (None, [volume]) => Ok(volume.name.clone()),
        (None, _) => usage(format!(
            "--changes list:{}: which of the volumes {} is it for? write list:NAME=FILE, once for each",
            file.display(),
            names()
        )),
    }
}

impl ChangesWish {
    /// Reads the lists of the volumes that could be opened.
    pub(super) fn read(&self, volumes: &[VolumeSource]) -> Result<Option<ChangeLists>, CliError> {
        let Some(wish) = &self.lists else { return Ok(None) };
        let mut lists = BTreeMap::new();
        for (name, file) in &wish.files {
            let volume = volumes.iter().find(|volume| volume.name == *name);
            if let Some(Ok(source)) = volume.map(|volume| &volume.source) {
                let ranges_max = LIST_RANGES_MAX / wish.files.len();
                lists.insert(name.clone(), change_list::read(file, source.size_bytes(), ranges_max)?);
            }
        }
        Ok(Some(ChangeLists { base: wish.base, sample: wish.sample, volumes: lists }))
    }
}

fn usage<T>(text: String) -> Result<T, CliError> {
    Err(CliError::Usage(text))
}
