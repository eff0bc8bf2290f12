//! The summary in a key beside a manifest: one LIST describes 1,000 points. It is a cache; the manifest decides.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use crate::cursor::{Cursor, put_varint};
use crate::error::shorten;
pub use crate::point_type::PointType;
use crate::{FormatError, Id, Reason, Timestamp, VolumeName};

const WHAT: &str = "summary";
const VERSION: u8 = 1;
const LEN_MAX: usize = 168;
const TEXT_LEN_MAX: usize = 224;
const INCREMENTAL: u8 = 1;
const PARTIAL: u8 = 2;
const NAMES: u8 = 4;
const PARENT: u8 = 8;
/// Most volumes of a point.
pub const VOLUMES_MAX: usize = 256;

/// Whether all volumes of a point are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PointState {
    /// Complete.
    Available,
    /// Some volumes failed.
    Partial,
}

impl fmt::Display for PointState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Available => "available",
            Self::Partial => "partial",
        })
    }
}

/// What a list shows of a point. Sizes are bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Full or incremental; must be the type of `reason`.
    pub kind: PointType,
    /// Complete or partial.
    pub state: PointState,
    /// Why it is of its type.
    pub reason: Reason,
    /// When the source was frozen.
    pub time: Timestamp,
    /// When the run ended.
    pub completed: Timestamp,
    /// Number that orders points of one time.
    pub sequence: u64,
    /// Bytes of the volumes.
    pub size: u64,
    /// Bytes that differ from the parent.
    pub changed: u64,
    /// Bytes of the objects that the point wrote.
    pub stored: u64,
    /// Its chain.
    pub chain: Id,
    /// The point it follows.
    pub parent: Option<Id>,
    /// Names of its volumes in the manifest's order, at most 256; `None` where they did not fit.
    pub volumes: Option<Vec<VolumeName>>,
}

impl Summary {
    /// The text for the key, at most 224 characters. Names are left out when it would be longer.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = self.encode_fixed(0);
        if let Some(names) = self.volumes.as_deref().and_then(encode_names)
            && bytes.len() + names.len() <= LEN_MAX
        {
            bytes = self.encode_fixed(NAMES);
            bytes.extend_from_slice(&names);
        }
        BASE64URL_NOPAD.encode(&bytes)
    }

    fn encode_fixed(&self, names_flag: u8) -> Vec<u8> {
        let (code, argument) = self.reason.to_code();
        let mut flags = names_flag;
        flags |= if self.kind == PointType::Incremental { INCREMENTAL } else { 0 };
        flags |= if self.state == PointState::Partial { PARTIAL } else { 0 };
        flags |= if self.parent.is_some() { PARENT } else { 0 };
        let mut out = vec![VERSION, flags, code];
        put_varint(&mut out, argument);
        for moment in [self.time, self.completed] {
            put_varint(&mut out, u64::try_from(moment.unix_ms()).expect("a timestamp is never before 1970"));
        }
        for number in [self.sequence, self.size, self.changed, self.stored] {
            put_varint(&mut out, number);
        }
        out.extend_from_slice(self.chain.as_bytes());
        if let Some(parent) = &self.parent {
            out.extend_from_slice(parent.as_bytes());
        }
        out
    }

    /// The summary that `text` encodes.
    pub fn decode(text: &str) -> Result<Self, FormatError> {
        let wrong = || FormatError::Text {
            what: WHAT,
            value: shorten(text),
            rule: "base64url, at most 224 characters",
        };
        if text.len() > TEXT_LEN_MAX {
            return Err(wrong());
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| wrong())?;
        let mut cursor = Cursor::new(WHAT, &bytes);
        let summary = Self::read(&mut cursor)?;
        cursor.finish()?;
        Ok(summary)
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Self, FormatError> {
        let version = cursor.u8()?;
        if version != VERSION {
            return Err(FormatError::Unknown { what: WHAT, field: "version", found: version.into() });
        }
        let flags = cursor.u8()?;
        if flags & !(INCREMENTAL | PARTIAL | NAMES | PARENT) != 0 {
            return Err(FormatError::Reserved { what: WHAT });
        }
        let code = cursor.u8()?;
        let reason = Reason::from_code(code, cursor.varint()?)?;
        let kind = if flags & INCREMENTAL == 0 { PointType::Full } else { PointType::Incremental };
        if kind != reason.point_type() {
            return Err(FormatError::Inconsistent { what: WHAT, detail: "type and reason disagree" });
        }
        Ok(Self {
            kind,
            state: if flags & PARTIAL == 0 { PointState::Available } else { PointState::Partial },
            reason,
            time: read_time(cursor)?,
            completed: read_time(cursor)?,
            sequence: cursor.varint()?,
            size: cursor.varint()?,
            changed: cursor.varint()?,
            stored: cursor.varint()?,
            chain: Id::from_bytes(cursor.array()?),
            parent: if flags & PARENT == 0 { None } else { Some(Id::from_bytes(cursor.array()?)) },
            volumes: if flags & NAMES == 0 { None } else { Some(read_names(cursor)?) },
        })
    }
}

fn read_time(cursor: &mut Cursor<'_>) -> Result<Timestamp, FormatError> {
    let unix_ms = cursor.varint()?;
    Timestamp::from_varint(unix_ms).ok_or_else(|| cursor.not_canonical("time past the year 9999"))
}

fn encode_names(names: &[VolumeName]) -> Option<Vec<u8>> {
    if names.len() > VOLUMES_MAX {
        return None;
    }
    let mut out = Vec::new();
    put_varint(&mut out, names.len() as u64);
    for name in names {
        let name: &str = name.as_ref();
        put_varint(&mut out, name.len() as u64);
        out.extend_from_slice(name.as_bytes());
    }
    Some(out)
}

fn read_names(cursor: &mut Cursor<'_>) -> Result<Vec<VolumeName>, FormatError> {
    let count = cursor.varint_in("number of names", 0, VOLUMES_MAX as u64)?;
    let mut names = Vec::new();
    for _ in 0..count {
        let len = cursor.varint_in("length of a name", 1, LEN_MAX as u64)?;
        let bytes = cursor.slice(usize::try_from(len).expect("at most 168"))?;
        let text = std::str::from_utf8(bytes).map_err(|_| cursor.not_canonical("name is not UTF-8"))?;
        names.push(text.parse()?);
    }
    Ok(names)
}
