//! JSON documents (`docs/format.md` section 6): signed ones as two lines or nested, `coffer.json` with a line that holds its digest. A
//! document decodes only from the very bytes that it encodes to, so field order, spacing and escapes are fixed.

mod artefacts;
mod attributes;
mod config;
mod ended;
mod json;
mod manifest;
mod manifest_check;
mod names;
mod pack_ranges;
mod record;
mod resource;
mod rotation_points;
mod seal;
mod signed;
mod signer;
mod team;
mod verifier;
mod volume;

pub use artefacts::Artefacts;
pub use attributes::Attributes;
pub use config::Config;
pub use ended::{Ended, EndedObjects, EndedVolume};
pub use manifest::{Manifest, ReasonRecord};
pub use names::{NamedObjects, Names, VolumeNames};
pub use pack_ranges::PackRanges;
pub use record::{Confirmed, Damaged, DamagedOrdinals, Ending, Pin, PinKind};
pub use resource::{ArtefactRecord, DETAILS_LEN_MAX, OPTIONS_LEN_MAX, RESOURCES_MAX, ResourceRecord};
pub use rotation_points::{RotationPoints, StandingPoint};
pub(crate) use seal::signed_bytes;
pub use seal::{Certificate, Seal};
pub use signed::{Document, Issuer, Signed, SignedBy};
pub use signer::Signer;
pub use team::{ChainKeyDocument, Recipient, TeamStatement};
pub use verifier::Verifier;
pub use volume::{
    ChangeSource, LineageEntry, RootRef, VolumeKind, VolumeRecord, VolumeState, WARNING_LEN_MAX, WARNINGS_MAX,
};

pub use self::json::{DOCUMENT_LEN_MAX, FORMAT_VERSION, MANIFEST_LEN_MAX};
pub(crate) use self::json::{check_format, to_json, with_digest, without_digest};
