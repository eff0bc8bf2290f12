//! The number by which the kernel knows a block device, and what sysfs says it is.
//!
//! A number is good only while somebody holds the device open or looks again: it must never be stored as a name.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use crate::device_class::DeviceClass;

/// Major and minor number of a block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// The driver's number; 0 for file systems that have no device.
    pub major: u32,
    /// The device's number among the driver's.
    pub minor: u32,
}

impl DeviceNumber {
    /// From `st_rdev` or `st_dev`.
    pub(crate) fn of_raw(raw: u64) -> Self {
        Self { major: rustix::fs::major(raw), minor: rustix::fs::minor(raw) }
    }

    /// Reads `8:16`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim_ascii().split_once(':')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.major, self.minor)
    }
}

/// What sysfs knows a device number as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownDevice {
    /// The number.
    pub number: DeviceNumber,
    /// The kernel's name: `sda1`, `dm-0`.
    pub name: String,
    /// Its class.
    pub class: DeviceClass,
    /// For a partition the class of the device that it is a part of.
    pub whole_class: Option<DeviceClass>,
}

impl KnownDevice {
    /// Looks `number` up below `sys` (`/sys`).
    pub(crate) fn look_up(sys: &Path, number: DeviceNumber) -> io::Result<Self> {
        let directory = fs::canonicalize(sys.join(format!("dev/block/{number}")))?;
        let name = |path: &Path| -> io::Result<String> {
            let name = path.file_name().and_then(|name| name.to_str());
            name.map(str::to_owned).ok_or_else(|| io::ErrorKind::InvalidData.into())
        };
        let own = name(&directory)?;
        if !directory.join("partition").try_exists()? {
            let class = DeviceClass::of_kernel_name(&own);
            return Ok(Self { number, name: own, class, whole_class: None });
        }
        let whole = directory.parent().map_or_else(|| Err(io::ErrorKind::InvalidData.into()), name)?;
        let whole_class = Some(DeviceClass::of_kernel_name(&whole));
        Ok(Self { number, name: own, class: DeviceClass::Partition, whole_class })
    }
}
