//! The text of a key file. Secrets pass from the parsed text into their types without a copy that is not wiped.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use super::{GenerationSecrets, KeyFile, KeyKind, OpenedChain, PinnedKey, RecoverySecrets, WHAT};
use crate::error::check_range;
use crate::{
    Certificate, ChainPrivateKey, FormatError, Id, Label, RecoveryPrivateKey, RecoveryPublicKey,
    RepositoryId, Secret32, SigningKey, TeamSecrets,
};

const RECOVERY: &str = "coffer recovery key 1";
const WRITER: &str = "coffer writer key 1";
const CHAIN: &str = "coffer chain key 1";
const CHECK_LEN: usize = 8;
const TEXT_LEN_MAX: usize = 1 << 20;
/// Room for the text of a file with one generation, and for each more, so that the text is not moved while it grows.
const TEXT_LEN_FIRST: usize = 4 << 10;
const TEXT_LEN_MORE: usize = 512;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: String,
    repository: RepositoryId,
    team: Label,
    generation: u32,
    pinned: Vec<PinnedKey>,
    x25519_public: RecoveryPublicKey,
    secrets: Vec<StoredSecrets>,
    writer_private: SecretText,
    certificate: Certificate,
    x25519_private: Option<SecretText>,
    ed25519_private: Option<SecretText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chain: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chain_private: Option<SecretText>,
    check: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredSecrets {
    generation: u32,
    metadata_key: SecretText,
    hash_secret: SecretText,
}

/// A secret as 64 hexadecimal digits.
struct SecretText(Secret32);

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = Zeroizing::new([0_u8; 64]);
        HEXLOWER.encode_mut(self.0.expose(), text.as_mut_slice());
        serializer.serialize_str(std::str::from_utf8(text.as_slice()).expect("hexadecimal digits are ASCII"))
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(SecretVisitor)
    }
}

struct SecretVisitor;

impl serde::de::Visitor<'_> for SecretVisitor {
    type Value = SecretText;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("64 lower-case hexadecimal digits")
    }

    // An error must not carry the text: it is a secret, perhaps with one digit mistyped.
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SecretText, E> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        if text.len() != 64 || HEXLOWER.decode_mut(text.as_bytes(), bytes.as_mut_slice()).is_err() {
            return Err(E::custom("a secret is not 64 lower-case hexadecimal digits"));
        }
        Ok(SecretText(Secret32::new(*bytes)))
    }
}

impl Stored {
    fn json(&self) -> Zeroizing<Vec<u8>> {
        let room = TEXT_LEN_FIRST + TEXT_LEN_MORE * self.pinned.len();
        let mut json = Zeroizing::new(Vec::with_capacity(room));
        serde_json::to_writer(&mut *json, self).expect("writing to memory does not fail");
        json
    }
}

/// Where parsing failed, without the parser's message: that could quote a secret that stands in the wrong place.
fn without_values(error: &serde_json::Error) -> FormatError {
    let place = format!("line {}, column {}", error.line(), error.column());
    FormatError::Json { what: WHAT, source: serde::de::Error::custom(place) }
}

fn check_of(json: &[u8]) -> String {
    let hash = blake3::hash(json);
    HEXLOWER.encode(hash.as_bytes().first_chunk::<CHECK_LEN>().expect("a BLAKE3 hash has 32 bytes"))
}

impl KeyFile {
    /// The file's text: one line.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        let recovery = self.recovery.as_ref().filter(|_| self.kind == KeyKind::Recovery);
        let chain = self.chain.as_ref().filter(|_| self.kind == KeyKind::Chain);
        let mut stored = Stored {
            format: match self.kind {
                KeyKind::Recovery => RECOVERY,
                KeyKind::Writer => WRITER,
                KeyKind::Chain => CHAIN,
            }
            .to_owned(),
            repository: self.repository,
            team: self.team.clone(),
            generation: self.generation,
            pinned: self.pinned.clone(),
            x25519_public: self.x25519_public,
            secrets: self.secrets.iter().map(StoredSecrets::from).collect(),
            writer_private: SecretText(self.writer.seed().clone()),
            certificate: self.certificate.clone(),
            x25519_private: recovery.map(|recovery| SecretText(recovery.x25519.0.clone())),
            ed25519_private: recovery.map(|recovery| SecretText(recovery.ed25519.seed().clone())),
            chain: chain.map(|opened| opened.chain),
            chain_private: chain.map(|opened| SecretText(opened.private.0.clone())),
            check: String::new(),
        };
        stored.check = check_of(&stored.json());
        let mut json = stored.json();
        json.push(b'\n');
        let text = String::from_utf8(std::mem::take(&mut *json)).expect("JSON is UTF-8");
        Zeroizing::new(text)
    }

    /// The key file with this text. White space at its end is let pass, since editors and Secrets add or drop it.
    pub fn decode(text: &str) -> Result<Self, FormatError> {
        check_range(WHAT, "bytes", text.len() as u64, 1, TEXT_LEN_MAX as u64)?;
        let line = text.trim_ascii_end();
        let mut stored: Stored = serde_json::from_str(line).map_err(|error| without_values(&error))?;
        if stored.json().as_slice() != line.as_bytes() {
            return Err(FormatError::NotCanonical {
                what: WHAT,
                detail: "not the text that this version writes",
            });
        }
        let stated = std::mem::take(&mut stored.check);
        if check_of(&stored.json()) != stated {
            return Err(FormatError::Checksum { what: WHAT });
        }
        let key = stored.into_key_file()?;
        key.check()?;
        Ok(key)
    }
}

impl Stored {
    fn into_key_file(self) -> Result<KeyFile, FormatError> {
        let kind = match self.format.as_str() {
            RECOVERY => KeyKind::Recovery,
            WRITER => KeyKind::Writer,
            CHAIN => KeyKind::Chain,
            other => {
                let rule = "coffer recovery key 1, coffer writer key 1 or coffer chain key 1";
                let value = crate::error::shorten(other);
                return Err(FormatError::Text { what: "format of a key file", value, rule });
            }
        };
        let recovery = match (self.x25519_private, self.ed25519_private) {
            (Some(x25519), Some(ed25519)) => Some(RecoverySecrets {
                x25519: RecoveryPrivateKey(x25519.0),
                ed25519: SigningKey::from_seed(ed25519.0),
            }),
            (None, None) => None,
            _ => {
                let detail = "one of two recovery keys is missing";
                return Err(FormatError::Inconsistent { what: WHAT, detail });
            }
        };
        let chain = match (self.chain, self.chain_private) {
            (Some(chain), Some(private)) => Some(OpenedChain { chain, private: ChainPrivateKey(private.0) }),
            (None, None) => None,
            _ => {
                let detail = "a chain is named without its key, or a key without its chain";
                return Err(FormatError::Inconsistent { what: WHAT, detail });
            }
        };
        Ok(KeyFile {
            kind,
            repository: self.repository,
            team: self.team,
            generation: self.generation,
            pinned: self.pinned,
            x25519_public: self.x25519_public,
            secrets: self.secrets.into_iter().map(GenerationSecrets::from).collect(),
            writer: SigningKey::from_seed(self.writer_private.0),
            certificate: self.certificate,
            recovery,
            chain,
        })
    }
}

impl From<&GenerationSecrets> for StoredSecrets {
    fn from(held: &GenerationSecrets) -> Self {
        Self {
            generation: held.generation,
            metadata_key: SecretText(held.secrets.metadata.clone()),
            hash_secret: SecretText(held.secrets.hash.clone()),
        }
    }
}

impl From<StoredSecrets> for GenerationSecrets {
    fn from(stored: StoredSecrets) -> Self {
        let secrets = TeamSecrets { metadata: stored.metadata_key.0, hash: stored.hash_secret.0 };
        Self { generation: stored.generation, secrets }
    }
}
