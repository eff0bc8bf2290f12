//! `NAME=PATH` and `PATH`, as `backup`, `restore` and `doctor` take them, and `list:NAME=FILE`. Pure: nothing is opened.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use coffer_engine::backup::ChangeSource;
use coffer_format::VolumeName;

/// A volume to back up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceWord {
    /// Its name in the point.
    pub(crate) name: VolumeName,
    /// The device or image.
    pub(crate) path: PathBuf,
}

impl FromStr for SourceWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, path) = match split(text) {
            Some((name, path)) => (name.to_owned(), path),
            None => (last_component(text)?, text),
        };
        if path.is_empty() {
            return Err("write NAME=PATH or PATH; the path is missing".into());
        }
        Ok(SourceWord { name: parse_name(&name)?, path: PathBuf::from(path) })
    }
}

/// Where changes come from: of all volumes, or a list of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChangesWord {
    /// `auto`, `hash`, `fiemap`.
    Source(ChangeSource),
    /// `list:FILE`, `list:NAME=FILE`.
    List {
        /// The volume, where it is named.
        volume: Option<VolumeName>,
        /// The list.
        file: PathBuf,
        /// What stands behind `list:`, for names that have a `=`.
        text: String,
    },
}

impl ChangesWord {
    /// What stands behind `list:`.
    pub(crate) fn list(text: &str) -> Result<Self, String> {
        let (name, file) = match split(text) {
            Some((name, file)) => (Some(parse_name(name)?), file),
            None => (None, text),
        };
        if file.is_empty() {
            return Err("write list:FILE or list:NAME=FILE; the file is missing".into());
        }
        Ok(ChangesWord::List { volume: name, file: PathBuf::from(file), text: text.to_owned() })
    }
}

/// Where a restored volume goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TargetPlace {
    /// Standard output.
    Stream,
    /// A block device or an image.
    Path(PathBuf),
}

/// A volume to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TargetWord {
    /// Its name in the point.
    pub(crate) name: VolumeName,
    /// Where it goes.
    pub(crate) place: TargetPlace,
}

/// `NAME=PATH` read again with the names that there are, as a name may have a `=` itself.
pub(crate) fn reread<'n>(
    name: &VolumeName,
    path: &Path,
    known: impl IntoIterator<Item = &'n VolumeName>,
) -> (VolumeName, PathBuf) {
    let word = path.to_str().map(|path| format!("{name}={path}"));
    let found = word.as_ref().and_then(|word| split_among(word, known));
    found.map_or_else(|| (name.clone(), path.to_owned()), |(name, path)| (name, PathBuf::from(path)))
}

impl FromStr for TargetWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Standard output is told by the end, wherever the name ends.
        let split = text.strip_suffix("=-").map(|name| (name, "-")).or_else(|| text.split_once('='));
        let Some((name, target)) = split else {
            return Err(
                "write NAME=TARGET, such as vdb=/dev/vdb, vdb=disk.img or vdb=- for standard output".into()
            );
        };
        if target.is_empty() {
            return Err("write NAME=TARGET; the target is missing".into());
        }
        Ok(TargetWord { name: parse_name(name)?, place: place(target) })
    }
}

fn place(target: &str) -> TargetPlace {
    match target {
        "-" => TargetPlace::Stream,
        path => TargetPlace::Path(PathBuf::from(path)),
    }
}

/// Splits behind the longest of the `known` names that stands before a `=`; a name may have some itself.
pub(crate) fn split_among<'t, 'n>(
    text: &'t str,
    known: impl IntoIterator<Item = &'n VolumeName>,
) -> Option<(VolumeName, &'t str)> {
    let splits = known.into_iter().filter_map(|name| {
        let rest = text.strip_prefix(name.as_ref())?.strip_prefix('=').filter(|rest| !rest.is_empty())?;
        Some((name.clone(), rest))
    });
    splits.min_by_key(|(_, rest)| rest.len())
}

/// Splits at the first `=`, unless what stands before it is a part of a path.
fn split(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').filter(|(name, _)| !name.contains('/'))
}

fn last_component(path: &str) -> Result<String, String> {
    let name = Path::new(path).file_name().and_then(|name| name.to_str());
    name.map(str::to_owned)
        .ok_or_else(|| "this path has no last component to name the volume; write NAME=PATH".into())
}

fn parse_name(name: &str) -> Result<VolumeName, String> {
    name.parse().map_err(|_| {
        "a volume's name has 1 to 128 bytes without NUL, and at most 200 when percent-encoded; write NAME=PATH".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_by_its_last_component_or_by_the_word_before_the_first_equals_sign() {
        let check = |text: &str, name: &str, path: &str| {
            let word: SourceWord = text.parse().unwrap();
            assert_eq!(
                (word.name.to_string().as_str(), word.path.as_path()),
                (name, Path::new(path)),
                "{text}"
            );
        };
        check("/dev/vdb", "vdb", "/dev/vdb");
        check("data=/dev/vdb", "data", "/dev/vdb");
        check("data=a=b.img", "data", "a=b.img");
        check("/srv/a=b.img", "a=b.img", "/srv/a=b.img");
        check("disk.img", "disk.img", "disk.img");
        for wrong in ["", "=x", "name=", "/", "..", &format!("{}=/x", "n".repeat(129))] {
            assert!(wrong.parse::<SourceWord>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_list_may_name_its_volume() {
        let check = |text: &str, name: Option<&str>, path: &str| {
            let volume = name.map(|name| name.parse().unwrap());
            let expected = ChangesWord::List { volume, file: path.into(), text: text.into() };
            assert_eq!(ChangesWord::list(text), Ok(expected), "{text}");
        };
        check("x.json", None, "x.json");
        check("vdb=x.json", Some("vdb"), "x.json");
        check("/srv/a=b.json", None, "/srv/a=b.json");
        check("./a=b.json", None, "./a=b.json");
        check("vdb=a=b", Some("vdb"), "a=b");
        for wrong in ["", "vdb=", "=x"] {
            assert!(ChangesWord::list(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_target_is_a_path_or_standard_output() {
        let word: TargetWord = "vdb=-".parse().unwrap();
        assert_eq!(word.place, TargetPlace::Stream);
        let word: TargetWord = "vdb=/x=y".parse().unwrap();
        assert_eq!(word.place, TargetPlace::Path("/x=y".into()));
        for wrong in ["", "vdb", "vdb=", "=/x"] {
            assert!(wrong.parse::<TargetWord>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_target_belongs_to_the_longest_known_name_that_it_begins_with() {
        let names: Vec<VolumeName> = ["a", "a=b", "a=b=c"].map(|name| name.parse().unwrap()).to_vec();
        let check = |text: &str, known: &[VolumeName], name: &str, target: &str| {
            let word = text.parse::<TargetWord>().unwrap();
            let TargetPlace::Path(path) = &word.place else { panic!("{word:?}") };
            let (found, path) = reread(&word.name, path, known);
            assert_eq!((found.to_string().as_str(), path.to_str().unwrap()), (name, target), "{text}");
        };
        check("a=b=/x", &names, "a=b", "/x");
        check("a=b=c=/x", &names, "a=b=c", "/x");
        check("a=b=c=/x", &names[..1], "a", "b=c=/x");
        check("a=/b=c", &names, "a", "/b=c");
        check("z=b=/x", &names, "z", "b=/x");
        check("a=b", &names, "a", "b");
        let word: TargetWord = "a=b=-".parse().unwrap();
        assert_eq!((word.name.to_string().as_str(), word.place), ("a=b", TargetPlace::Stream));
    }
}
