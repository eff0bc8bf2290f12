//! The first 192 bytes of a pack: what it is and, sealed, its key.

use crate::cursor::Cursor;
use crate::error::check_range;
use crate::object_key::PACKS_MAX;
use crate::pack::PACK_HEADER_LEN;
use crate::{BlockSize, FormatError, ObjectContext, RepositoryId, SealedSecret, Suite};

const WHAT: &str = "pack header";
const MAGIC: &[u8; 8] = b"COFPACK1";
const CHECKSUM_LEN: usize = 16;
const NO_KEY: [u8; 80] = [0; 80];

/// Header of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackHeader {
    /// Cipher suite.
    pub suite: Suite,
    /// Block size of the volume.
    pub block_size: BlockSize,
    /// Number of the pack among those of its volume and point.
    pub number: u32,
    /// Repository that wrote the pack first.
    pub origin: RepositoryId,
    /// C(key) of the pack.
    pub context: ObjectContext,
    /// The pack's key, sealed to its chain: present in suite 1 and only there.
    pub sealed_key: Option<SealedSecret>,
}

impl PackHeader {
    /// The header's bytes. A header whose `sealed_key` does not fit its suite is a mistake that `decode` refuses.
    #[must_use]
    pub fn encode(&self) -> [u8; PACK_HEADER_LEN] {
        let mut out = Vec::with_capacity(PACK_HEADER_LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[self.suite.number(), 0, 0, 0]);
        out.extend_from_slice(&self.block_size.bytes().to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(self.origin.as_bytes());
        out.extend_from_slice(self.context.as_bytes());
        out.extend_from_slice(self.sealed_key.as_ref().map_or(NO_KEY.as_slice(), |sealed| sealed.as_bytes()));
        out.extend_from_slice(&[0; 24]);
        let checksum = checksum(&out);
        out.extend_from_slice(&checksum);
        out.try_into().expect("the fields add up to 192 bytes")
    }

    /// The header in exactly 192 bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(WHAT, bytes);
        cursor.magic(MAGIC)?;
        let suite = Suite::decode(WHAT, cursor.u8()?)?;
        cursor.reserved::<3>()?;
        let block_size = cursor.u32()?;
        let number = cursor.u32()?;
        cursor.reserved::<4>()?;
        let origin = RepositoryId::from_bytes(cursor.array()?);
        let context = ObjectContext::from_bytes(cursor.array()?);
        let sealed_key = cursor.array::<80>()?;
        cursor.reserved::<24>()?;
        let stored = cursor.array::<CHECKSUM_LEN>()?;
        cursor.finish()?;
        let covered = bytes.get(..PACK_HEADER_LEN - CHECKSUM_LEN).unwrap_or_default();
        if checksum(covered) != stored {
            return Err(FormatError::Checksum { what: WHAT });
        }
        check_range(WHAT, "pack number", number.into(), 0, u64::from(PACKS_MAX) - 1)?;
        let sealed_key = (sealed_key != NO_KEY).then_some(SealedSecret::from_bytes(sealed_key));
        check_sealed_key(WHAT, suite, sealed_key.as_ref())?;
        Ok(Self { suite, block_size: BlockSize::new(block_size)?, number, origin, context, sealed_key })
    }
}

/// An error unless a sealed key is there exactly in suite 1.
pub(crate) fn check_sealed_key(
    what: &'static str,
    suite: Suite,
    sealed_key: Option<&SealedSecret>,
) -> Result<(), FormatError> {
    let detail = "a sealed pack key is there in suite 1 and only there";
    crate::error::check(sealed_key.is_some() == (suite == Suite::Aes256Gcm), what, detail)
}

fn checksum(covered: &[u8]) -> [u8; CHECKSUM_LEN] {
    *blake3::hash(covered).as_bytes().first_chunk().expect("a BLAKE3 hash has 32 bytes")
}
