//! Moments as the format writes them. No clock is read here.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use jiff::civil::DateTime;

use crate::FormatError;
use crate::error::shorten;
use crate::hex::serde_as_text;

const UNIX_MS_MAX: i64 = 253_402_300_799_999;

/// A moment in Unix milliseconds, from 1970 to the end of 9999. Text form: RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `unix_ms` milliseconds after 1970; before it or past 9999 the nearest of both ends.
    #[must_use]
    pub fn from_unix_ms(unix_ms: i64) -> Self {
        Self(unix_ms.clamp(0, UNIX_MS_MAX))
    }

    /// Unix milliseconds.
    #[must_use]
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// A moment that a person wrote: any RFC 3339 text with an offset, cut to milliseconds. Stored text goes through
    /// `FromStr`, which takes only the canonical form.
    pub fn parse_lenient(text: &str) -> Result<Self, FormatError> {
        let moment: jiff::Timestamp = text.parse().map_err(|_| not_a_time(text))?;
        let unix_ms = moment.as_millisecond();
        if (0..=UNIX_MS_MAX).contains(&unix_ms) { Ok(Self(unix_ms)) } else { Err(not_a_time(text)) }
    }

    pub(crate) fn from_varint(unix_ms: u64) -> Option<Self> {
        i64::try_from(unix_ms).ok().filter(|unix_ms| *unix_ms <= UNIX_MS_MAX).map(Self)
    }
}

fn not_a_time(text: &str) -> FormatError {
    FormatError::Text {
        what: "time",
        value: shorten(text),
        rule: "RFC 3339, UTC with milliseconds, 1970 to 9999",
    }
}

/// `jiff::Timestamp` ends a day before the year 9999 does; the civil calendar goes to its end.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = EPOCH.checked_add(SignedDuration::from_millis(self.0)).map_err(|_| fmt::Error)?;
        write!(formatter, "{moment:.3}Z")
    }
}

impl FromStr for Timestamp {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let wrong = || not_a_time(text);
        let civil: DateTime = text.strip_suffix('Z').ok_or_else(wrong)?.parse().map_err(|_| wrong())?;
        let unix_ms = i64::try_from(civil.duration_since(EPOCH).as_millis()).map_err(|_| wrong())?;
        let moment = Self::from_unix_ms(unix_ms);
        if moment.to_string() == text { Ok(moment) } else { Err(wrong()) }
    }
}

serde_as_text!(Timestamp, "a time in RFC 3339, UTC with milliseconds");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_text() {
        let moment: Timestamp = "2026-11-21T09:00:00.000Z".parse().unwrap();
        assert_eq!(moment.to_string(), "2026-11-21T09:00:00.000Z");
        assert_eq!(Timestamp::from_unix_ms(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_unix_ms(i64::MIN).to_string(), "1970-01-01T00:00:00.000Z");
        let last = Timestamp::from_unix_ms(i64::MAX);
        assert_eq!(last.to_string().parse::<Timestamp>().unwrap(), last);
        for second in ["2026-11-21T09:00:00Z", "2026-11-21T10:00:00.000+01:00", "2026-11-21 09:00:00.000Z"] {
            assert!(second.parse::<Timestamp>().is_err(), "{second}");
            assert_eq!(Timestamp::parse_lenient(second).unwrap(), moment);
        }
        assert!(Timestamp::parse_lenient("1969-12-31T23:59:59.999Z").is_err());
    }
}
