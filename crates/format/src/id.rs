//! Ids of points, chains, runs and repositories. Ids come from the caller's clock and entropy; nothing here makes one.

use std::fmt;
use std::str::FromStr;

use crate::FormatError;
use crate::error::shorten;
use crate::hex::{hex_newtype, serde_as_text};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LEN: usize = 26;
const MS_BITS: u32 = 48;

/// Id of a point, a chain or a run: 48 bits of Unix milliseconds (big endian) and 80 random bits, so that ids sort
/// by time of making. Text form: 26 characters of lower-case Crockford base 32 (a ULID).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; 16]);

impl Id {
    /// An id of this moment. `unix_ms` beyond 48 bits (year 10889) is cut to its low 48 bits.
    #[must_use]
    pub fn from_parts(unix_ms: u64, random: [u8; 10]) -> Self {
        let mut bytes = [0; 16];
        let [_, _, ms @ ..] = unix_ms.to_be_bytes();
        let (head, tail) = bytes.split_at_mut(ms.len());
        head.copy_from_slice(&ms);
        tail.copy_from_slice(&random);
        Self(bytes)
    }

    /// Unix milliseconds that the id carries: when it was made by the maker's clock.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        u64::try_from(u128::from_be_bytes(self.0) >> (128 - MS_BITS)).expect("48 bits fit in 64")
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// From the bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = u128::from_be_bytes(self.0);
        for index in (0..TEXT_LEN).rev() {
            let digit = (number >> (5 * index)) as usize & 31;
            let character = ALPHABET.get(digit).expect("five bits select one of 32");
            fmt::Write::write_char(formatter, char::from(*character))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Id({self})")
    }
}

impl FromStr for Id {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let wrong = || FormatError::Text {
            what: "id",
            value: shorten(text),
            rule: "26 characters of lower-case Crockford base 32",
        };
        if text.len() != TEXT_LEN || text.as_bytes().first().is_some_and(|first| *first > b'7') {
            return Err(wrong());
        }
        let mut number = 0_u128;
        for byte in text.bytes() {
            let digit = ALPHABET.iter().position(|character| *character == byte).ok_or_else(wrong)?;
            number = number << 5 | digit as u128;
        }
        Ok(Self(number.to_be_bytes()))
    }
}

serde_as_text!(Id, "an id of 26 characters");

/// Id of a repository: 16 random bytes, 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryId([u8; 16]);

hex_newtype!(RepositoryId, 16, "repository id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_have_one_text() {
        let early = Id::from_parts(1_795_251_600_000, [0xff; 10]);
        let late = Id::from_parts(1_795_251_600_001, [0; 10]);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.unix_ms(), 1_795_251_600_000);
        assert_eq!(early.to_string().parse::<Id>().unwrap(), early);
        assert_eq!(Id::from_bytes([0xff; 16]).to_string(), "7zzzzzzzzzzzzzzzzzzzzzzzzz");
        for wrong in
            ["", "8zzzzzzzzzzzzzzzzzzzzzzzzz", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "7zzzzzzzzzzzzzzzzzzzzzzzzi"]
        {
            assert!(wrong.parse::<Id>().is_err(), "{wrong}");
        }
    }
}
