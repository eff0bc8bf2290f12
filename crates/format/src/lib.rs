//! Bytes in the bucket <-> checked types: the repository format, version 1, as `docs/format.md` specifies it.
//!
//! Pure: no I/O, no async, no unsafe, no clock, no randomness of its own (entropy is an argument). A decoder never
//! panics, never allocates by an unchecked length and accepts exactly what the encoder writes. Nothing here may know
//! devices, object stores or the engine.
#![deny(clippy::print_stdout, clippy::print_stderr)]
#![forbid(unsafe_code)]

pub mod block;
pub mod codec;
pub mod crypto;
mod cursor;
pub mod digest;
pub mod document;
pub mod error;
mod hex;
pub mod id;
pub mod key_file;
pub mod map;
pub mod name;
pub mod object_key;
pub mod pack;
pub mod point_type;
mod reason;
pub mod resource;
pub mod summary;
pub mod time;

pub use block::BlockSize;
pub use codec::{
    Codec, Compression, Compressor, Effort, compress_bound, decompress, decompress_within, is_zero,
};
pub use crypto::{
    BlockHasher, ChainPrivateKey, ChainPublicKey, FreshPackKey, MetadataCipher, ObjectContext, PAGE_LEN_MAX,
    PackKey, PageKind, RecoveryPrivateKey, RecoveryPublicKey, SealedSecret, Secret32, Signature, SigningKey,
    Suite, TeamSecrets, VerifyingKey, generate_chain_pair, open_chain_key, open_pack_key, seal_chain_key,
    seal_pack_key,
};
pub use digest::Digest;
pub use document::{
    ArtefactRecord, Artefacts, Attributes, Certificate, ChainKeyDocument, ChangeSource, Config, Confirmed,
    Damaged, DamagedOrdinals, Document, Ended, EndedObjects, EndedVolume, Ending, FORMAT_VERSION,
    LineageEntry, Manifest, NamedObjects, Names, PackRanges, Pin, PinKind, ReasonRecord, Recipient,
    ResourceRecord, RootRef, RotationPoints, Seal, Signed, SignedBy, Signer, StandingPoint, TeamStatement,
    Verifier, VolumeKind, VolumeNames, VolumeRecord, VolumeState, WARNING_LEN_MAX, WARNINGS_MAX,
};
pub use error::FormatError;
pub use id::{Id, RepositoryId};
pub use key_file::{
    GenerationSecrets, KeyFile, KeyKind, OpenedChain, PinnedKey, RecoverySecrets, SecretsWish,
};
pub use map::{
    Child, EXTENT_BYTES_MAX, Extent, LEAF_BLOCKS, LINEAGE_MAX, Leaf, MAP_FOOTER_LEN, MAP_HEADER_LEN,
    MapFooter, MapHeader, NODE_LEAVES, Node, PACK_TABLE_PAGE_PACKS, PackInfo, PackTableIndex, PackTablePage,
    PackTableRef, PageRef, Place, Root, RootLineage, TakenPacksPage, push_extent,
};
pub use name::{Label, PlanId, VolumeName};
pub use object_key::{DataObject, VolumePath};
pub use pack::{
    FOOTER_LEN, FRAME_HEADER_LEN, FRAME_OVERHEAD, Footer, FrameHeader, FrameOpener, FrameSealer,
    PACK_BLOCKS_MAX, PACK_BYTES_MAX, PACK_HEADER_LEN, PackHeader, SealedFrame, TAG_LEN, TRAILER_ENTRY_LEN,
    TRAILER_PAGE_ENTRIES, Trailer, TrailerBuilder, TrailerEntry, decode_trailer_page, trailer_page_range,
};
pub use reason::Reason;
pub use resource::{ResourceId, ResourceRef, ResourceType};
pub use summary::{PointState, PointType, Summary, VOLUMES_MAX};
pub use time::Timestamp;
