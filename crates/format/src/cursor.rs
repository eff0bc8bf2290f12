//! Reading and writing of little-endian fields and varints. It must never read past the end or accept a varint that
//! is not in its shortest form.

use crate::FormatError;
use crate::error::check_range;

/// Bytes of the longest varint.
pub(crate) const VARINT_LEN_MAX: usize = 10;

/// A position in bytes of a structure named `what`.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, what }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.truncated(N));
        };
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn slice(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.truncated(len));
        };
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FormatError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FormatError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Skips `N` bytes that must be zero.
    pub(crate) fn reserved<const N: usize>(&mut self) -> Result<(), FormatError> {
        if self.array::<N>()? == [0; N] { Ok(()) } else { Err(FormatError::Reserved { what: self.what }) }
    }

    pub(crate) fn magic(&mut self, magic: &[u8; 8]) -> Result<(), FormatError> {
        match self.rest.split_first_chunk::<8>() {
            Some((head, rest)) if head == magic => {
                self.rest = rest;
                Ok(())
            }
            _ => Err(FormatError::Magic { what: self.what }),
        }
    }

    pub(crate) fn varint(&mut self) -> Result<u64, FormatError> {
        let mut value = 0_u64;
        for index in 0..VARINT_LEN_MAX {
            let byte = self.u8()?;
            if index == VARINT_LEN_MAX - 1 && byte > 1 {
                return Err(self.not_canonical("varint beyond 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return if byte == 0 && index > 0 {
                    Err(self.not_canonical("varint is not in its shortest form"))
                } else {
                    Ok(value)
                };
            }
        }
        Err(self.not_canonical("varint of more than 10 bytes"))
    }

    /// A varint within `min` to `max`.
    pub(crate) fn varint_in(&mut self, field: &'static str, min: u64, max: u64) -> Result<u64, FormatError> {
        let value = self.varint()?;
        check_range(self.what, field, value, min, max)
    }

    /// A varint within `min` to `max` as 32 bits.
    pub(crate) fn varint_u32(&mut self, field: &'static str, min: u32, max: u32) -> Result<u32, FormatError> {
        let value = self.varint_in(field, min.into(), max.into())?;
        Ok(u32::try_from(value).expect("the value was checked to be at most a u32"))
    }

    pub(crate) fn finish(self) -> Result<(), FormatError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(FormatError::TrailingBytes { what: self.what, left: self.rest.len() })
        }
    }

    pub(crate) fn not_canonical(&self, detail: &'static str) -> FormatError {
        FormatError::NotCanonical { what: self.what, detail }
    }

    fn truncated(&self, needed: usize) -> FormatError {
        FormatError::Truncated { what: self.what, needed, left: self.rest.len() }
    }
}

/// Appends `value` as a varint in its shortest form.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_one_form_and_end_at_64_bits() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut cursor = Cursor::new("test", &bytes);
            assert_eq!(cursor.varint().unwrap(), value);
            cursor.finish().unwrap();
            assert!(Cursor::new("test", &bytes[..bytes.len() - 1]).varint().is_err());
        }
        for wrong in [
            &[0x80, 0][..],
            &[0xff, 0x80, 0],
            &[0xff; 11],
            &[0xff, 255, 255, 255, 255, 255, 255, 255, 255, 2],
        ] {
            assert!(Cursor::new("test", wrong).varint().is_err(), "{wrong:?}");
        }
    }
}
