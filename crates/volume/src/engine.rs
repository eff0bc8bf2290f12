//! Which storage engine a volume comes from: decided from facts, in one place.

use std::fmt;

use crate::device::Device;
use crate::device_class::DeviceClass;
use crate::kubelet::Claim;
use crate::volume::VolumeKind;

/// A storage engine; a closed set, for labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// A disk, a partition, or anything else that is just a device.
    RawDevice,
    /// A logical volume of LVM, thick or thin (also LVM-LocalPV, TopoLVM).
    Lvm,
    /// A volume or data set of ZFS (also ZFS-LocalPV).
    Zfs,
    /// Longhorn.
    Longhorn,
    /// OpenEBS Mayastor.
    Mayastor,
    /// OpenEBS cStor.
    CStor,
    /// OpenEBS Jiva.
    Jiva,
    /// A local persistent volume that is a whole device.
    LocalPvDevice,
    /// A local persistent volume that is a directory of a larger file system.
    LocalPvHostpath,
    /// Any other CSI driver.
    CsiOther,
    /// A regular file that is a disk image.
    ImageFile,
    /// None of these as far as can be seen.
    Unknown,
}

impl Engine {
    /// The word for labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RawDevice => "raw-device",
            Self::Lvm => "lvm",
            Self::Zfs => "zfs",
            Self::Longhorn => "longhorn",
            Self::Mayastor => "mayastor",
            Self::CStor => "cstor",
            Self::Jiva => "jiva",
            Self::LocalPvDevice => "local-pv-device",
            Self::LocalPvHostpath => "local-pv-hostpath",
            Self::CsiOther => "csi-other",
            Self::ImageFile => "image-file",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How a volume came to lie where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provision {
    /// A hostpath provisioner made it below its configured directory.
    HostPath,
    /// Nobody says.
    Unsaid,
}

/// Decides by the strongest fact: the CSI driver's name, then what the device says, then how kubelet came by it.
pub(crate) fn decide(
    kind: VolumeKind,
    device: Option<&Device>,
    file_system: Option<&str>,
    claims: &[Claim],
    provision: Provision,
) -> Engine {
    let driver = claims.iter().find_map(|claim| claim.csi.as_ref()).map(|csi| csi.driver.as_str());
    if let Some(engine) = driver.and_then(of_driver) {
        return engine;
    }
    if let Some(engine) = device.and_then(of_device) {
        return engine;
    }
    let is_local = provision == Provision::HostPath || claims.iter().any(Claim::is_local_volume);
    match kind {
        _ if driver.is_some() => Engine::CsiOther,
        VolumeKind::Device if is_local => Engine::LocalPvDevice,
        VolumeKind::Device => Engine::RawDevice,
        VolumeKind::Image => Engine::ImageFile,
        VolumeKind::Directory if file_system == Some("zfs") => Engine::Zfs,
        VolumeKind::Directory if is_local => Engine::LocalPvHostpath,
        VolumeKind::Directory => Engine::Unknown,
    }
}

fn of_driver(name: &str) -> Option<Engine> {
    Some(match name {
        "local.csi.openebs.io" | "topolvm.io" | "topolvm.cybozu.com" => Engine::Lvm,
        "zfs.csi.openebs.io" => Engine::Zfs,
        "driver.longhorn.io" => Engine::Longhorn,
        "io.openebs.csi-mayastor" => Engine::Mayastor,
        "cstor.csi.openebs.io" => Engine::CStor,
        "jiva.csi.openebs.io" => Engine::Jiva,
        _ => return None,
    })
}

fn of_device(device: &Device) -> Option<Engine> {
    let is_lvm = device.mapper.as_ref().is_some_and(|mapper| mapper.uuid.starts_with("LVM-"));
    let is_mayastor = device.model.as_ref().is_some_and(|model| model.starts_with("Mayastor NVMe"));
    match device.class {
        DeviceClass::Zvol => Some(Engine::Zfs),
        _ if is_lvm => Some(Engine::Lvm),
        _ if is_mayastor => Some(Engine::Mayastor),
        _ => None,
    }
}
