//! Byte arrays that are written as lower-case hexadecimal. Upper case is a second encoding and refused.

use data_encoding::HEXLOWER;

use crate::FormatError;
use crate::error::shorten;

/// `N` bytes from exactly `2 N` lower-case digits.
pub(crate) fn decode_array<const N: usize>(what: &'static str, text: &str) -> Result<[u8; N], FormatError> {
    let mut out = [0; N];
    let wrong =
        || FormatError::Text { what, value: shorten(text), rule: "lower-case hexadecimal of fixed length" };
    if text.len() != 2 * N {
        return Err(wrong());
    }
    HEXLOWER.decode_mut(text.as_bytes(), &mut out).map_err(|_| wrong())?;
    Ok(out)
}

/// Lower-case hexadecimal of public bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Display, FromStr and serde through text for a type that has `FromStr` and `Display`.
macro_rules! serde_as_text {
    ($name:ty, $expecting:literal) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        formatter.write_str($expecting)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}

/// `as_bytes`, `from_bytes`, text and serde for a newtype over a public byte array.
macro_rules! hex_newtype {
    ($name:ident, $len:literal, $what:literal) => {
        impl $name {
            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// From the bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(&crate::hex::encode(&self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "{}({self})", stringify!($name))
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::FormatError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                crate::hex::decode_array($what, text).map(Self)
            }
        }

        crate::hex::serde_as_text!($name, $what);
    };
}

pub(crate) use {hex_newtype, serde_as_text};
