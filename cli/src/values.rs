//! From one word of the command line to a checked value. Pure. A wrong word is answered with what to write instead.

use std::num::NonZeroU64;

use coffer_blockio::EngineWish;
use coffer_engine::Intent;
use coffer_engine::backup::ChangeSource;
use coffer_format::{BlockSize, Compression, Timestamp};
use jiff::tz::TimeZone;

use crate::volume_words::ChangesWord;

const UNITS: [(&str, u32); 5] = [("bytes", 0), ("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];

/// A size: a number with KiB, MiB, GiB or TiB, or bytes without a unit.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let shift = match UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, shift)) => *shift,
        None if unit.is_empty() => 0,
        None => return Err(unit_hint(number, unit)),
    };
    let number: u64 =
        number.parse().map_err(|_| "write a whole number with a unit, such as 256MiB".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "that is more than 16 EiB".to_owned())
}

/// Bytes per second: a size, which may end in `/s`.
pub(crate) fn rate(text: &str) -> Result<NonZeroU64, String> {
    let bytes = size(text.strip_suffix("/s").unwrap_or(text))?;
    NonZeroU64::new(bytes)
        .ok_or_else(|| "nothing would ever move; leave the option out for no limit".to_owned())
}

fn unit_hint(number: &str, unit: &str) -> String {
    let meant = unit
        .chars()
        .next()
        .map(|letter| letter.to_ascii_uppercase())
        .filter(|letter| "KMGT".contains(*letter));
    match meant {
        Some(letter) if !number.is_empty() => {
            format!("`{unit}` is no unit here; units are powers of 1024: did you mean {number}{letter}iB?")
        }
        _ => "write bytes, or a number with KiB, MiB, GiB or TiB, such as 256MiB".to_owned(),
    }
}

/// A block size: a power of two from 16 KiB to 1 MiB.
pub(crate) fn block_size(text: &str) -> Result<BlockSize, String> {
    let hint = "a block size is a power of two from 16KiB to 1MiB";
    let bytes = u32::try_from(size(text)?).map_err(|_| hint.to_owned())?;
    BlockSize::new(bytes).map_err(|_| hint.to_owned())
}

/// `lz4`, `zstd`, `zstd:N` or `none`.
pub(crate) fn compression(text: &str) -> Result<Compression, String> {
    let hint = || "write lz4, zstd, zstd:1 to zstd:22, or none".to_owned();
    match text.split_once(':') {
        None if text == "lz4" => Ok(Compression::Lz4),
        None if text == "none" => Ok(Compression::None),
        None if text == "zstd" => Ok(Compression::Zstd(3)),
        Some(("zstd", level)) => {
            let level = level.parse().ok().filter(|level| (1..=22).contains(level));
            level.map(Compression::Zstd).ok_or_else(hint)
        }
        _ => Err(hint()),
    }
}

/// Where changes come from.
pub(crate) fn changes(text: &str) -> Result<ChangesWord, String> {
    match text {
        "auto" => Ok(ChangesWord::Source(ChangeSource::Auto)),
        "hash" => Ok(ChangesWord::Source(ChangeSource::Hash)),
        "fiemap" => Ok(ChangesWord::Source(ChangeSource::Fiemap)),
        _ => match text.strip_prefix("list:") {
            Some(list) => ChangesWord::list(list),
            None => Err("write auto, hash, fiemap, list:FILE or list:NAME=FILE".into()),
        },
    }
}

/// The read engine. There is one; the word is checked and then not needed.
pub(crate) fn read_engine(text: &str) -> Result<EngineWish, String> {
    text.parse().map_err(str::to_owned)
}

/// A moment, RFC 3339 with an offset.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_lenient(text)
        .map_err(|_| "write a time with its offset, such as 2026-11-21T09:00:00Z".into())
}

/// A time zone by its IANA name.
pub(crate) fn time_zone(text: &str) -> Result<TimeZone, String> {
    // The default must work where no time zones are installed, as in a container's image.
    if text.eq_ignore_ascii_case("UTC") {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(text)
        .map_err(|_| "no such time zone here; write an IANA name such as UTC or Europe/Berlin".into())
}

/// Which point of a plan is meant.
pub(crate) fn intent(text: &str) -> Result<Intent, String> {
    match text.strip_prefix("as-of=") {
        // Stored times have one form only; a person may write others.
        Some(moment) => time(moment).map(Intent::AsOf),
        None => text.parse().map_err(|error: coffer_engine::EngineError| error.to_string()),
    }
}

/// `KEY=VALUE`.
pub(crate) fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write a tag as KEY=VALUE".into()),
    }
}

/// A share of more than 0 up to 100.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.strip_suffix('%').unwrap_or(text).parse().ok();
    number
        .filter(|share| *share > 0.0 && *share <= 100.0)
        .ok_or_else(|| "write a share above 0 up to 100".into())
}

/// A value of the repository format: an id, a label, a volume name.
pub(crate) fn format_value<T: std::str::FromStr<Err = coffer_format::FormatError>>(
    text: &str,
) -> Result<T, String> {
    text.parse().map_err(|error| match error {
        coffer_format::FormatError::Text { what, rule, .. } => format!("not a valid {what}: {rule}"),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use coffer_format::{Id, Label};

    use super::*;

    #[test]
    fn sizes_are_powers_of_1024_and_say_so() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65_536),
            ("64KiB", 65_536),
            ("1 GiB", 1 << 30),
            ("2TiB", 2 << 40),
            ("7bytes", 7),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for (text, hint) in [
            ("64KB", "did you mean 64KiB"),
            ("1g", "did you mean 1GiB"),
            ("10M", "did you mean 10MiB"),
            ("5x", "KiB, MiB"),
            ("MiB", "whole number"),
            ("", "whole number"),
            ("1.5GiB", "KiB, MiB"),
            ("-1", "KiB, MiB"),
            ("99999999999999999999", "whole number"),
            ("99999999TiB", "16 EiB"),
        ] {
            let error = size(text).unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn words_with_a_closed_set_refuse_all_others() {
        assert_eq!(compression("zstd"), Ok(Compression::Zstd(3)));
        assert_eq!(compression("zstd:19"), Ok(Compression::Zstd(19)));
        for wrong in ["gzip", "zstd:0", "zstd:23", "zstd:", "lz4:1", ""] {
            assert!(compression(wrong).is_err(), "{wrong}");
        }
        assert_eq!(rate("10MiB/s").map(NonZeroU64::get), Ok(10 << 20));
        assert!(rate("0").unwrap_err().contains("no limit"));
        assert!(rate("fast").is_err());
        assert_eq!(changes("fiemap"), Ok(ChangesWord::Source(ChangeSource::Fiemap)));
        assert!(changes("cbt").unwrap_err().contains("list:NAME=FILE"));
        assert_eq!(read_engine("uring"), Ok(EngineWish::Uring));
        assert!(read_engine("io_uring").unwrap_err().contains("auto, uring or pread"));
        for wrong in ["0", "101", "x", "nan", "-1", ""] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
        assert_eq!(percent("2.5%"), Ok(2.5));
        assert!(block_size("32KiB").is_ok());
        for wrong in ["8KiB", "2MiB", "65535", "8TiB"] {
            assert!(block_size(wrong).unwrap_err().contains("power of two"), "{wrong}");
        }
    }

    #[test]
    fn times_and_intents_take_any_offset() {
        let moment = time("2026-11-21T09:00:00Z").unwrap();
        assert_eq!(intent("as-of=2026-11-21T10:00:00+01:00"), Ok(Intent::AsOf(moment)));
        assert_eq!(intent("previous:2"), Ok(Intent::Previous(2)));
        for wrong in ["", "newest", "previous:x", "day=3", "as-of=yesterday", "oldest-day:middle", "latest:1"]
        {
            assert!(intent(wrong).is_err(), "{wrong}");
        }
        assert!(time("2026-11-21").is_err());
    }

    #[test]
    fn names_of_the_format_are_refused_with_their_rule() {
        assert!(format_value::<Label>("A_b").unwrap_err().contains("a-z"));
        assert!(format_value::<Id>("latest").unwrap_err().contains("26 characters"));
        assert_eq!(tag("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(tag("=b").is_err() && tag("b").is_err());
    }
}
