//! The first 64 bytes of a map object.

use crate::cursor::Cursor;
use crate::{BlockSize, FormatError, ObjectContext, RepositoryId, Suite};

const WHAT: &str = "map header";
const MAGIC: &[u8; 8] = b"COFMAP_1";
/// Bytes of a map's header.
pub const MAP_HEADER_LEN: usize = 64;

/// Header of a map object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapHeader {
    /// Cipher suite.
    pub suite: Suite,
    /// Block size of the volume.
    pub block_size: BlockSize,
    /// Repository that wrote the map first.
    pub origin: RepositoryId,
    /// C(key) of the map.
    pub context: ObjectContext,
}

impl MapHeader {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; MAP_HEADER_LEN] {
        let mut out = Vec::with_capacity(MAP_HEADER_LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[self.suite.number(), 0, 0, 0]);
        out.extend_from_slice(&self.block_size.bytes().to_le_bytes());
        out.extend_from_slice(self.origin.as_bytes());
        out.extend_from_slice(self.context.as_bytes());
        out.try_into().expect("the fields add up to 64 bytes")
    }

    /// The header in exactly 64 bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(WHAT, bytes);
        cursor.magic(MAGIC)?;
        let suite = Suite::decode(WHAT, cursor.u8()?)?;
        cursor.reserved::<3>()?;
        let header = Self {
            suite,
            block_size: BlockSize::new(cursor.u32()?)?,
            origin: RepositoryId::from_bytes(cursor.array()?),
            context: ObjectContext::from_bytes(cursor.array()?),
        };
        cursor.finish()?;
        Ok(header)
    }
}
