//! Fields that several requests have, and the error that names the one that is wrong.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use coffer_format::FormatError;
/// Most volumes of one operation.
pub use coffer_format::VOLUMES_MAX;

/// Most characters of an idempotency key.
pub const KEY_LEN_MAX: usize = 128;
/// Longest time-out, and what holds without one: 7 days.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// A request says something that it must not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field `{field}` {problem}")]
pub struct RequestError {
    /// The field, as in `volumes[3].block_bytes`.
    pub field: String,
    /// What is wrong with it and what to write instead.
    pub problem: String,
}

impl RequestError {
    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        RequestError { field: field.into(), problem: problem.into() }
    }
}

/// Names a piece of work to its caller: 1 to 128 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey(String);

impl FromStr for IdempotencyKey {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        if (1..=KEY_LEN_MAX).contains(&text.len()) && text.bytes().all(printable) {
            return Ok(IdempotencyKey(text.to_owned()));
        }
        let problem = if text.is_empty() {
            "is missing: give a key that names this work, so that it is never done twice".to_owned()
        } else {
            format!(
                "has {} bytes or is not printable ASCII: give 1 to {KEY_LEN_MAX} such characters",
                text.len()
            )
        };
        Err(RequestError::new("idempotency_key", problem))
    }
}

impl AsRef<str> for IdempotencyKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A message that must be there.
pub(super) fn required<T>(field: &str, value: Option<T>) -> Result<T, RequestError> {
    value.ok_or_else(|| RequestError::new(field, "is missing and required"))
}

/// Text of a type of the format: a label, an id, a volume's name.
pub(super) fn parsed<T: FromStr<Err = FormatError>>(field: &str, text: &str) -> Result<T, RequestError> {
    if text.is_empty() {
        return Err(RequestError::new(field, "is missing and required"));
    }
    text.parse().map_err(|error: FormatError| RequestError::new(field, format!("is wrong: {error}")))
}

/// As [`parsed`], where empty means none.
pub(super) fn parsed_or_none<T: FromStr<Err = FormatError>>(
    field: &str,
    text: &str,
) -> Result<Option<T>, RequestError> {
    if text.is_empty() { Ok(None) } else { parsed(field, text).map(Some) }
}

/// A time-out above zero and up to [`TIMEOUT_MAX`], which also holds where none is given.
pub(super) fn timeout(given: Option<prost_types::Duration>) -> Result<Duration, RequestError> {
    let Some(given) = given else { return Ok(TIMEOUT_MAX) };
    let wrong = || {
        let shown = format!("{}.{:09} s", given.seconds, given.nanos.unsigned_abs());
        RequestError::new("timeout", format!("is {shown}: give more than 0 s and at most 7 days (604800 s)"))
    };
    let seconds = u64::try_from(given.seconds).map_err(|_| wrong())?;
    let nanos = u32::try_from(given.nanos).ok().filter(|nanos| *nanos < 1_000_000_000).ok_or_else(wrong)?;
    let timeout =
        Duration::from_secs(seconds.min(TIMEOUT_MAX.as_secs() + 1)) + Duration::from_nanos(nanos.into());
    if timeout.is_zero() || timeout > TIMEOUT_MAX { Err(wrong()) } else { Ok(timeout) }
}

/// Fails unless there are 1 to [`VOLUMES_MAX`] volumes.
pub(super) fn volume_count(count: usize) -> Result<(), RequestError> {
    if (1..=VOLUMES_MAX).contains(&count) {
        return Ok(());
    }
    Err(RequestError::new("volumes", format!("has {count} entries: give 1 to {VOLUMES_MAX}")))
}

/// Fails where two of `names`, in the order of the request, are equal; `what` is the field of an entry.
pub(super) fn distinct<'a>(what: &str, names: impl IntoIterator<Item = &'a str>) -> Result<(), RequestError> {
    let mut seen = std::collections::HashMap::new();
    for (index, name) in names.into_iter().enumerate() {
        if let Some(first) = seen.insert(name, index) {
            let problem = format!("is the same as of volumes[{first}]: each volume needs its own");
            return Err(RequestError::new(format!("volumes[{index}].{what}"), problem));
        }
    }
    Ok(())
}
