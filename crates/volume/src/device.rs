//! Block devices as sysfs shows them.
//!
//! Nothing is opened but sysfs's own text files: a device that hangs, or spins up, is not disturbed.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::device_class::DeviceClass;
use crate::device_number::DeviceNumber;
use crate::reader::{Reader, is_gone};

/// sysfs counts sizes in units of 512 bytes, whatever the device's own sectors are.
const SYSFS_SECTOR_BYTES: u64 = 512;

/// What device mapper says of one of its devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapper {
    /// Its name, as below `/dev/mapper`.
    pub name: String,
    /// Its uuid, which begins with the word of who made it: `LVM-`, `mpath-`, `CRYPT-`; empty if there is none.
    pub uuid: String,
}

/// A block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The kernel's name, with `!` where the path has a directory.
    pub name: String,
    /// Its node.
    pub path: PathBuf,
    /// Its links below `/dev/disk`, the best first.
    pub stable_names: Vec<PathBuf>,
    /// Its number, until it is detached.
    pub number: DeviceNumber,
    /// Its class.
    pub class: DeviceClass,
    /// For a partition the kernel's name of the whole device.
    pub whole: Option<String>,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// The unit of direct I/O, in bytes.
    pub logical_block_bytes: Option<u32>,
    /// The unit that it writes without reading first, in bytes.
    pub physical_block_bytes: Option<u32>,
    /// Whether it refuses writes.
    pub is_read_only: Option<bool>,
    /// Whether it seeks.
    pub is_rotational: Option<bool>,
    /// The devices on top of it.
    pub holders: Vec<String>,
    /// The devices below it.
    pub slaves: Vec<String>,
    /// What device mapper says, if it is one of its devices.
    pub mapper: Option<Mapper>,
    /// The file behind a loop device, as its owner saw it.
    pub loop_file: Option<PathBuf>,
    /// The model that it says it is.
    pub model: Option<String>,
    /// The serial number that it says it has.
    pub serial: Option<String>,
    /// What could not be read, in words.
    pub problems: Vec<String>,
}

/// Reads the device `name` below `sys/class/block`. `None` if it vanished or holds nothing: no medium, nothing
/// attached.
pub(crate) fn read_device(
    reader: &Reader<'_>,
    sys: &Path,
    dev: &Path,
    name: &str,
) -> io::Result<Option<Device>> {
    let directory = sys.join("class/block").join(name);
    let required = |file: &str| match reader.text(&directory.join(file)) {
        Err(error) if is_gone(&error) => Ok(None),
        result => result,
    };
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("`{what}` makes no sense"));
    let (Some(number), Some(sectors)) = (required("dev")?, required("size")?) else { return Ok(None) };
    let number = DeviceNumber::parse(&number).ok_or_else(|| invalid("dev"))?;
    let sectors: u64 = sectors.parse().map_err(|_| invalid("size"))?;
    let size_bytes = sectors.checked_mul(SYSFS_SECTOR_BYTES).ok_or_else(|| invalid("size"))?;
    if size_bytes == 0 {
        return Ok(None);
    }
    let mut facts = Facts { reader, directory: &directory, problems: Vec::new() };
    let is_partition = facts.text("partition").is_some();
    let whole = if is_partition { facts.whole() } else { None };
    let class = if is_partition { DeviceClass::Partition } else { DeviceClass::of_kernel_name(name) };
    // Partitions have no queue of their own.
    let queue = whole
        .as_ref()
        .map_or_else(|| directory.join("queue"), |whole| sys.join("class/block").join(whole).join("queue"));
    let number_in = |facts: &mut Facts<'_>, file: &str| facts.text_at(&queue.join(file))?.parse().ok();
    Ok(Some(Device {
        path: dev.join(name.replace('!', "/")),
        stable_names: Vec::new(),
        number,
        class,
        size_bytes,
        logical_block_bytes: number_in(&mut facts, "logical_block_size"),
        physical_block_bytes: number_in(&mut facts, "physical_block_size"),
        is_rotational: number_in(&mut facts, "rotational").map(|value| value != 0),
        is_read_only: facts.text("ro").map(|value| value != "0"),
        holders: facts.names("holders"),
        slaves: facts.names("slaves"),
        mapper: (class == DeviceClass::DeviceMapper).then(|| facts.mapper()),
        loop_file: if class == DeviceClass::Loop { facts.path("loop/backing_file") } else { None },
        model: if has_identity(class) { facts.text("device/model") } else { None },
        serial: if has_identity(class) { facts.serial() } else { None },
        problems: facts.problems,
        name: name.to_owned(),
        whole,
    }))
}

/// Whether devices of this class are hardware, or pretend to be.
fn has_identity(class: DeviceClass) -> bool {
    matches!(class, DeviceClass::Disk | DeviceClass::Nvme | DeviceClass::Virtio)
}

/// Reads what may be missing; keeps what could not be read.
struct Facts<'a> {
    reader: &'a Reader<'a>,
    directory: &'a Path,
    problems: Vec<String>,
}

impl Facts<'_> {
    fn text(&mut self, file: &str) -> Option<String> {
        self.text_at(&self.directory.join(file))
    }

    fn text_at(&mut self, path: &Path) -> Option<String> {
        let result = self.reader.text(path);
        self.keep(path, result).flatten()
    }

    fn path(&mut self, file: &str) -> Option<PathBuf> {
        let path = self.directory.join(file);
        let result = self.reader.bytes(&path);
        let mut bytes = self.keep(&path, result)?;
        if bytes.ends_with(b"\n") {
            bytes.pop();
        }
        Some(OsString::from_vec(bytes).into())
    }

    fn names(&mut self, file: &str) -> Vec<String> {
        let path = self.directory.join(file);
        let result = self.reader.names_if_any(&path);
        let names = self.keep(&path, result).unwrap_or_default();
        names.into_iter().map(|name| name.to_string_lossy().into_owned()).collect()
    }

    fn mapper(&mut self) -> Mapper {
        let name = self.text("dm/name").unwrap_or_default();
        Mapper { name, uuid: self.text("dm/uuid").unwrap_or_default() }
    }

    /// NVMe and SCSI keep it with the device, virtio with the disk.
    fn serial(&mut self) -> Option<String> {
        self.text("device/serial").or_else(|| self.text("serial")).or_else(|| self.text("device/wwid"))
    }

    /// The directory above a partition's is that of the whole device; the entry itself is a link there.
    fn whole(&mut self) -> Option<String> {
        let result = self.reader.link(self.directory);
        let target = self.keep(self.directory, result)?;
        target.parent()?.file_name()?.to_str().map(str::to_owned)
    }

    fn keep<T>(&mut self, path: &Path, result: io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) if is_gone(&error) => None,
            Err(error) => {
                self.problems.push(format!("{} cannot be read: {error}", path.display()));
                None
            }
        }
    }
}
