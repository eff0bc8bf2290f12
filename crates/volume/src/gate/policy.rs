//! What an operator allows on this node: directories for files, directories for device nodes, device classes.
//!
//! Nothing is allowed that no rule names. This file judges by text and facts alone and opens nothing; its one look at
//! the file system is at a root, when the rule is made.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use super::error::GateError;
use crate::device_class::DeviceClass;
use crate::device_number::KnownDevice;

/// What may be done with a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Backups read it.
    Read,
    /// Restores write it, too.
    ReadWrite,
}

/// An allowed directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root {
    /// As the operator wrote it; requests may begin with it.
    pub(crate) given: PathBuf,
    /// Without symbolic links, as they were when the rule was made; this is what is opened.
    pub(crate) real: PathBuf,
}

/// The rules of a node. An empty one allows nothing.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    files: Vec<(Root, Access)>,
    devices: Vec<Root>,
    classes: BTreeMap<DeviceClass, Access>,
}

/// Where a path lies, by its text: the deepest allowed directory above it, and what the rules say about the place.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    pub(crate) path: &'a Path,
    pub(crate) root: Root,
    /// The rest of the path: at least one component, none of them `..`.
    pub(crate) inner: PathBuf,
    /// The rule for files, if there is one.
    pub(crate) files: Option<(Root, Access)>,
    /// The directory allowed for devices, if there is one.
    pub(crate) devices: Option<Root>,
}

impl Policy {
    /// Allows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows regular files below `root`, at any depth, also on file systems mounted below it. Of two rules about a
    /// file the one with the deeper directory counts.
    ///
    /// A symbolic link in `root` itself is the operator's: it is followed now, and not again.
    ///
    /// # Errors
    /// [`GateError::BadRoot`].
    pub fn allow_files_below(mut self, root: impl AsRef<Path>, access: Access) -> Result<Self, GateError> {
        self.files.push((Root::new(root.as_ref())?, access));
        Ok(self)
    }

    /// Allows device nodes below `root` (`/dev`, kubelet's directory), if their class is allowed. Links below such a
    /// directory to a device below such a directory are followed once.
    ///
    /// # Errors
    /// [`GateError::BadRoot`].
    pub fn allow_devices_below(mut self, root: impl AsRef<Path>) -> Result<Self, GateError> {
        self.devices.push(Root::new(root.as_ref())?);
        Ok(self)
    }

    /// Allows devices of a class. A partition needs [`DeviceClass::Partition`] and the class of its whole device.
    #[must_use]
    pub fn allow_class(mut self, class: DeviceClass, access: Access) -> Self {
        self.classes.insert(class, access);
        self
    }

    /// Finds the rules about a path.
    pub(crate) fn place<'a>(&self, path: &'a Path) -> Result<Place<'a>, GateError> {
        check_text(path)?;
        let files =
            deepest(self.files.iter().filter_map(|rule| rule.0.inner(path).map(|inner| (rule, inner))));
        let devices =
            deepest(self.devices.iter().filter_map(|root| root.inner(path).map(|inner| (root, inner))));
        let (root, inner) = match (&files, &devices) {
            (Some(((root, _), inner)), Some((_, other))) if depth(inner) <= depth(other) => (root, inner),
            (_, Some((root, inner))) => (*root, inner),
            (Some(((root, _), inner)), None) => (root, inner),
            (None, None) => return Err(self.not_allowed(path)),
        };
        if depth(inner) == 0 {
            return Err(GateError::WrongKind { path: path.into(), kind: "a directory" });
        }
        Ok(Place {
            path,
            root: root.clone(),
            inner: inner.clone(),
            files: files.map(|(rule, _)| rule.clone()),
            devices: devices.map(|(root, _)| root.clone()),
        })
    }

    /// Whether the rules let a regular file at `place` be used so.
    pub(crate) fn judge_file(&self, place: &Place<'_>, links: u64, wanted: Access) -> Result<(), GateError> {
        let path = || place.path.to_path_buf();
        let Some((root, allowed)) = &place.files else {
            return Err(GateError::FileNotAllowed { path: path(), files: self.file_roots() });
        };
        if *allowed < wanted {
            return Err(GateError::ReadOnly { path: path(), rule: root.given.display().to_string() });
        }
        if links != 1 {
            return Err(GateError::OtherNames { path: path(), links });
        }
        Ok(())
    }

    /// Whether the rules let a device at `place` be used so.
    pub(crate) fn judge_device(
        &self,
        place: &Place<'_>,
        device: &KnownDevice,
        wanted: Access,
    ) -> Result<(), GateError> {
        for class in std::iter::once(device.class).chain(device.whole_class) {
            match self.classes.get(&class) {
                None => {
                    return Err(GateError::ClassNotAllowed {
                        path: place.path.into(),
                        name: device.name.clone(),
                        class,
                        allowed: list(self.classes.keys()),
                    });
                }
                Some(allowed) if *allowed < wanted => {
                    let rule = format!("the device class `{class}`");
                    return Err(GateError::ReadOnly { path: place.path.into(), rule });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The first of these classes that no rule allows, in words.
    pub(crate) fn missing_class(&self, classes: impl IntoIterator<Item = DeviceClass>) -> Option<String> {
        let missing = classes.into_iter().find(|class| !self.classes.contains_key(class))?;
        Some(format!(
            "devices of class `{missing}` are not allowed (allowed: {}); add `{missing}` to the allowed device classes in the settings of this node",
            list(self.classes.keys())
        ))
    }

    /// Whether the rules allow device nodes at `place` at all.
    pub(crate) fn judge_device_place(&self, place: &Place<'_>) -> Result<(), GateError> {
        match place.devices {
            Some(_) => Ok(()),
            None => {
                let devices = self.device_roots();
                Err(GateError::DeviceNotAllowed { path: place.path.into(), devices })
            }
        }
    }

    fn not_allowed(&self, path: &Path) -> GateError {
        let (files, devices) = (self.file_roots(), self.device_roots());
        GateError::NotAllowed { path: path.into(), files, devices }
    }

    fn file_roots(&self) -> String {
        list(self.files.iter().map(|(root, _)| root.given.display()))
    }

    fn device_roots(&self) -> String {
        list(self.devices.iter().map(|root| root.given.display()))
    }
}

impl Root {
    fn new(given: &Path) -> Result<Self, GateError> {
        let bad = |problem| GateError::BadRoot { root: given.into(), problem };
        check_text(given).map_err(|_| bad("is not an absolute path without `.` and `..`"))?;
        if given.parent().is_none() {
            return Err(bad("is the root of everything; name directories below it"));
        }
        // One that does not exist yet may come later; links in it are refused then.
        let real = std::fs::canonicalize(given).unwrap_or_else(|_| given.components().collect());
        if real.parent().is_none() {
            return Err(bad("leads to the root of everything; name directories below it"));
        }
        Ok(Self { given: given.components().collect(), real })
    }

    fn inner(&self, path: &Path) -> Option<PathBuf> {
        let inner = path.strip_prefix(&self.given).or_else(|_| path.strip_prefix(&self.real)).ok()?;
        Some(inner.components().collect())
    }
}

/// The rule with the shortest rest, which is the one with the deepest directory.
fn deepest<T>(rules: impl Iterator<Item = (T, PathBuf)>) -> Option<(T, PathBuf)> {
    rules.min_by_key(|(_, inner)| depth(inner))
}

fn depth(path: &Path) -> usize {
    path.components().count()
}

/// Absolute and without `.` and `..`, so that its text says where it lies.
fn check_text(path: &Path) -> Result<(), GateError> {
    use std::os::unix::ffi::OsStrExt;
    let bad = |problem| GateError::BadPath { path: path.into(), problem };
    let bytes = path.as_os_str().as_bytes();
    if !path.is_absolute() {
        return Err(bad("is not an absolute path"));
    }
    if bytes.contains(&0) {
        return Err(bad("contains a zero byte"));
    }
    if bytes.split(|byte| *byte == b'/').any(|part| part == b"." || part == b"..") {
        return Err(bad("contains `.` or `..`"));
    }
    Ok(())
}

/// Undoes `..` in what a link says, as far as its text goes; `None` if it climbs above `/` or is not absolute.
pub(crate) fn straighten(path: &Path) -> Option<PathBuf> {
    let mut straight = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                if !straight.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            Component::RootDir | Component::Normal(_) => straight.push(component),
            Component::Prefix(_) => return None,
        }
    }
    straight.is_absolute().then_some(straight)
}

fn list<T: fmt::Display>(items: impl Iterator<Item = T>) -> String {
    let words: Vec<String> = items.map(|item| item.to_string()).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Access, Policy, straighten};
    use crate::device_class::DeviceClass;
    use crate::device_number::{DeviceNumber, KnownDevice};
    use crate::gate::GateError;

    fn partition_of(whole: DeviceClass) -> KnownDevice {
        let number = DeviceNumber { major: 259, minor: 1 };
        KnownDevice { number, name: "p1".into(), class: DeviceClass::Partition, whole_class: Some(whole) }
    }

    #[test]
    fn a_partition_needs_both_classes() {
        let check = |classes: &[(DeviceClass, Access)], wanted: Access| {
            let mut policy = Policy::new().allow_devices_below("/dev").unwrap();
            for (class, access) in classes {
                policy = policy.allow_class(*class, *access);
            }
            let place = policy.place(Path::new("/dev/p1")).unwrap();
            policy.judge_device(&place, &partition_of(DeviceClass::Nvme), wanted)
        };
        let (nvme, part) = (DeviceClass::Nvme, DeviceClass::Partition);
        check(&[(nvme, Access::ReadWrite), (part, Access::ReadWrite)], Access::ReadWrite).unwrap();
        let lacks = |result: Result<(), GateError>| match result {
            Err(GateError::ClassNotAllowed { class, .. }) => class,
            other => panic!("{other:?}"),
        };
        assert_eq!(lacks(check(&[(part, Access::Read)], Access::Read)), nvme);
        assert_eq!(lacks(check(&[(nvme, Access::Read)], Access::Read)), part);
        let read_only = check(&[(nvme, Access::Read), (part, Access::ReadWrite)], Access::ReadWrite);
        assert!(matches!(read_only, Err(GateError::ReadOnly { .. })), "{read_only:?}");
    }

    #[test]
    fn the_deepest_directory_is_the_one_that_is_opened() {
        let policy = Policy::new().allow_files_below("/srv", Access::ReadWrite).unwrap();
        let policy = policy.allow_devices_below("/srv/pods").unwrap();
        let place = policy.place(Path::new("/srv/pods/a/b")).unwrap();
        assert_eq!(
            (place.root.given.as_path(), place.inner.as_path()),
            (Path::new("/srv/pods"), Path::new("a/b"))
        );
        assert!(place.files.is_some() && place.devices.is_some());
        let place = policy.place(Path::new("/srv/other")).unwrap();
        assert!(place.devices.is_none());
    }

    #[test]
    fn links_are_straightened_by_their_text() {
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(straighten(Path::new(path)).as_deref(), expected.map(Path::new), "{path}");
        };
        check("/dev/disk/by-id/../../sda", Some("/dev/sda"));
        check("/dev/./sda", Some("/dev/sda"));
        check("/dev/../..", None);
        check("dev/sda", None);
    }
}
