//! Names that people choose: labels, volume names, plans. A name that exists is valid; nothing checks again.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::FormatError;
use crate::error::shorten;
use crate::hex::serde_as_text;

const LABEL_LEN_MAX: usize = 63;
const VOLUME_NAME_LEN_MAX: usize = 128;
const VOLUME_NAME_ENCODED_MAX: usize = 200;
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-');

/// A DNS-1123 label of 1 to 63 bytes: name of a team, cluster, namespace or plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

impl FromStr for Label {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let valid = (1..=LABEL_LEN_MAX).contains(&text.len())
            && text.bytes().all(inner)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if valid {
            return Ok(Self(text.to_owned()));
        }
        let rule = "1 to 63 of a-z, 0-9 and -, starting and ending with a letter or digit";
        Err(FormatError::Text { what: "label", value: shorten(text), rule })
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl AsRef<str> for Label {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

serde_as_text!(Label, "a DNS-1123 label");

/// Name of a volume within a plan: 1 to 128 bytes of UTF-8 without NUL, at most 200 bytes when percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeName(String);

impl VolumeName {
    /// The name as a component of an object key: all but `A-Z a-z 0-9 . _ -` as `%XX`, a leading `.` as `%2E`.
    #[must_use]
    pub fn encoded(&self) -> String {
        encode_component(&self.0)
    }

    /// The name that `encoded` stands for. Only the canonical encoding is taken.
    pub fn decode(encoded: &str) -> Result<Self, FormatError> {
        let wrong = || FormatError::Text {
            what: "encoded volume name",
            value: shorten(encoded),
            rule: "percent-encoded as the format writes it",
        };
        if encoded.len() > VOLUME_NAME_ENCODED_MAX {
            return Err(wrong());
        }
        let text = percent_decode_str(encoded).decode_utf8().map_err(|_| wrong())?;
        let name: Self = text.parse()?;
        if name.encoded() == encoded { Ok(name) } else { Err(wrong()) }
    }
}

fn encode_component(text: &str) -> String {
    let encoded = utf8_percent_encode(text, ESCAPED).to_string();
    match encoded.strip_prefix('.') {
        Some(rest) => format!("%2E{rest}"),
        None => encoded,
    }
}

impl FromStr for VolumeName {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let valid = (1..=VOLUME_NAME_LEN_MAX).contains(&text.len())
            && !text.contains('\0')
            && encode_component(text).len() <= VOLUME_NAME_ENCODED_MAX;
        if valid {
            return Ok(Self(text.to_owned()));
        }
        let rule = "1 to 128 bytes without NUL, at most 200 when percent-encoded";
        Err(FormatError::Text { what: "volume name", value: shorten(text), rule })
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl AsRef<str> for VolumeName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

serde_as_text!(VolumeName, "a volume name");

/// A plan, the unit that has points: team, cluster, namespace and plan name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanId {
    /// Team (tenant).
    pub team: Label,
    /// Cluster or host that the plan belongs to.
    pub cluster: Label,
    /// Namespace in the cluster.
    pub namespace: Label,
    /// Name of the plan in the namespace.
    pub plan: Label,
}

impl fmt::Display for PlanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}/{}", self.team, self.cluster, self.namespace, self.plan)
    }
}

impl FromStr for PlanId {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let parts: Vec<&str> = text.splitn(5, '/').collect();
        let [team, cluster, namespace, plan] = parts[..] else {
            let rule = "team/cluster/namespace/plan";
            return Err(FormatError::Text { what: "plan", value: shorten(text), rule });
        };
        Ok(Self {
            team: team.parse()?,
            cluster: cluster.parse()?,
            namespace: namespace.parse()?,
            plan: plan.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volume_names_have_one_encoding_that_no_file_system_takes_for_a_step_up() {
        for (name, encoded) in
            [("vdb", "vdb"), ("..", "%2E."), (".x", "%2Ex"), ("a/b c~", "a%2Fb%20c%7E"), ("ü", "%C3%BC")]
        {
            let name: VolumeName = name.parse().unwrap();
            assert_eq!(name.encoded(), encoded);
            assert_eq!(VolumeName::decode(encoded).unwrap(), name);
        }
        for wrong in ["", ".", "%2e", "%76db", "a b", "%", "%FF", "a/b", "%00"] {
            assert!(VolumeName::decode(wrong).is_err(), "{wrong}");
        }
        assert!("ü".repeat(64).parse::<VolumeName>().is_err(), "384 bytes encoded");
        assert!("x".repeat(129).parse::<VolumeName>().is_err());
    }

    #[test]
    fn labels_are_dns_1123() {
        for good in ["a", "0", "a-b", &"x".repeat(63)] {
            assert_eq!(good.parse::<Label>().unwrap().as_ref(), good);
        }
        for wrong in ["", "-a", "a-", "A", "a.b", "a_b", "ü", &"x".repeat(64)] {
            assert!(wrong.parse::<Label>().is_err(), "{wrong}");
        }
        assert_eq!("t/c/n/p".parse::<PlanId>().unwrap().to_string(), "t/c/n/p");
        assert!("t/c/n".parse::<PlanId>().is_err() && "t/c/n/p/q".parse::<PlanId>().is_err());
    }
}
