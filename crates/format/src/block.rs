//! Block sizes and the arithmetic of blocks in a volume.

use serde::{Deserialize, Serialize};

use crate::FormatError;
use crate::error::check_range;

const KIB: u32 = 1 << 10;
const SIZE_MIN: u32 = 16 * KIB;
/// Largest block size in bytes.
pub const BLOCK_SIZE_MAX: u32 = 1024 * KIB;
const LARGE_VOLUME: u64 = 16 << 40;

/// The size of a volume's blocks in bytes: a power of two from 16 KiB to 1 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct BlockSize(u32);

impl BlockSize {
    /// A block size of `bytes`.
    pub fn new(bytes: u32) -> Result<Self, FormatError> {
        check_range("block size", "bytes", bytes.into(), SIZE_MIN.into(), BLOCK_SIZE_MAX.into())?;
        if bytes.is_power_of_two() {
            Ok(Self(bytes))
        } else {
            Err(FormatError::NotCanonical { what: "block size", detail: "not a power of two" })
        }
    }

    /// Bytes of a full block.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        self.0
    }

    /// The default for a volume of `volume_size` bytes: 64 KiB, from 16 TiB on 256 KiB.
    #[must_use]
    pub const fn default_for(volume_size: u64) -> Self {
        if volume_size < LARGE_VOLUME { Self(64 * KIB) } else { Self(256 * KIB) }
    }

    /// Number of blocks of a volume of `volume_size` bytes; the last may be short. At most 2^32 - 1.
    pub fn block_count(self, volume_size: u64) -> Result<u32, FormatError> {
        let count = volume_size.div_ceil(self.0.into());
        check_range("volume", "number of blocks", count, 0, u32::MAX.into())?;
        Ok(u32::try_from(count).expect("the count was checked to be at most a u32"))
    }

    /// Bytes of block `index` of a volume of `volume_size` bytes: less than a full block for the last one, 0 past the
    /// end.
    #[must_use]
    pub fn block_len(self, volume_size: u64, index: u32) -> u32 {
        let left = volume_size.saturating_sub(u64::from(index) * u64::from(self.0));
        u32::try_from(left).map_or(self.0, |left| left.min(self.0))
    }
}

impl TryFrom<u32> for BlockSize {
    type Error = FormatError;

    fn try_from(bytes: u32) -> Result<Self, FormatError> {
        Self::new(bytes)
    }
}

impl From<BlockSize> for u32 {
    fn from(size: BlockSize) -> u32 {
        size.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_block_is_short_and_the_count_has_a_limit() {
        let size = BlockSize::default_for(0);
        assert_eq!(size.block_count(0).unwrap(), 0);
        assert_eq!(size.block_count(65_537).unwrap(), 2);
        assert_eq!(
            (size.block_len(65_537, 0), size.block_len(65_537, 1), size.block_len(65_537, 2)),
            (65_536, 1, 0)
        );
        assert_eq!(size.block_count(u64::from(u32::MAX) << 16).unwrap(), u32::MAX);
        assert!(size.block_count((u64::from(u32::MAX) << 16) + 1).is_err());
        assert_eq!(size.block_len(u64::MAX, u32::MAX), 65_536);
        assert_eq!(BlockSize::default_for(16 << 40).bytes(), 256 << 10);
        for wrong in [0, 1, 8 << 10, 65_535, 2 << 20, u32::MAX] {
            assert!(BlockSize::new(wrong).is_err(), "{wrong}");
        }
    }
}
