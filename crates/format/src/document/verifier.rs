//! Who signed a document, judged by the public keys that a key file pins. Nothing from the bucket is trusted by itself.

use std::collections::BTreeMap;

use super::seal::signed_bytes;
use super::{Certificate, Document, Issuer, Signed, TeamStatement, to_json};
use crate::{FormatError, Label, RepositoryId, VerifyingKey};

/// Verifies documents of one repository.
#[derive(Clone, Debug)]
pub struct Verifier(Rule);

#[derive(Clone, Debug)]
enum Rule {
    /// Digests only.
    Digest,
    /// Digests, and neither certificate nor signature.
    Unencrypted(RepositoryId),
    Team(Box<Team>),
}

#[derive(Clone, Debug)]
struct Team {
    repository: RepositoryId,
    team: Label,
    /// Recovery keys by generation: pinned and learnt.
    recovery: BTreeMap<u32, VerifyingKey>,
}

impl Verifier {
    /// For use without a key: checks digests and tells nothing about who wrote.
    #[must_use]
    pub const fn digest_only() -> Self {
        Self(Rule::Digest)
    }

    /// For a repository without encryption: checks digests, and that nothing pretends to be signed.
    #[must_use]
    pub const fn unencrypted(repository: RepositoryId) -> Self {
        Self(Rule::Unencrypted(repository))
    }

    /// For documents of `team` that `repository` wrote; `pinned` are recovery keys by generation, from a key file.
    #[must_use]
    pub fn new(
        repository: RepositoryId,
        team: Label,
        pinned: impl IntoIterator<Item = (u32, VerifyingKey)>,
    ) -> Self {
        let recovery = pinned.into_iter().collect();
        Self(Rule::Team(Box::new(Team { repository, team, recovery })))
    }

    /// Believes a later generation if the one before signed it. A statement of a known generation must agree with it.
    pub fn learn(&mut self, statement: &Signed<TeamStatement>) -> Result<(), FormatError> {
        self.verify(statement)?;
        let Rule::Team(team) = &mut self.0 else { return Ok(()) };
        let TeamStatement { generation, ed25519, .. } = statement.payload;
        let known = *team.recovery.entry(generation).or_insert(ed25519);
        let what = TeamStatement::KIND;
        crate::error::check(known == ed25519, what, "names another key than the one known for its generation")
    }

    /// An error unless digest, certificate and signature are right and the document is of this repository and team;
    /// volume records inside it are verified too.
    pub fn verify<T: Document>(&self, signed: &Signed<T>) -> Result<(), FormatError> {
        signed.payload.records().iter().try_for_each(|record| self.verify(record))?;
        let what = T::KIND;
        signed.check_digest()?;
        match &self.0 {
            Rule::Digest => Ok(()),
            Rule::Unencrypted(repository) => {
                check_same(what, "repository", repository, signed.payload.repository())?;
                let unsigned = signed.seal.certificate.is_none() && signed.seal.signature.is_none();
                if unsigned { Ok(()) } else { Err(FormatError::Seal { what, detail: "signed in suite 0" }) }
            }
            Rule::Team(team) => team.verify(signed),
        }
    }

    /// An error unless `certificate` is of this team and signed by a recovery key that is known.
    pub fn verify_certificate(&self, certificate: &Certificate) -> Result<(), FormatError> {
        match &self.0 {
            Rule::Team(team) => team.writer(certificate).map(drop),
            Rule::Digest | Rule::Unencrypted(_) => Err(FormatError::Seal {
                what: "certificate",
                detail: "cannot be verified without a team's keys",
            }),
        }
    }
}

impl Team {
    fn verify<T: Document>(&self, signed: &Signed<T>) -> Result<(), FormatError> {
        let what = T::KIND;
        check_same(what, "repository", &self.repository, signed.payload.repository())?;
        check_same(what, "team", &self.team, signed.payload.team())?;
        let signature =
            signed.seal.signature.ok_or(FormatError::Seal { what, detail: "has no signature" })?;
        let public = match (signed.payload.issuer(), &signed.seal.certificate) {
            (Issuer::Writer, Some(certificate)) => self.writer(certificate)?,
            (Issuer::Writer, None) => return Err(FormatError::Seal { what, detail: "has no certificate" }),
            (Issuer::Recovery(generation), None) => self.recovery(what, generation)?,
            (Issuer::Recovery(_), Some(_)) => {
                return Err(FormatError::Seal { what, detail: "has a certificate" });
            }
        };
        let message = signed_bytes(what, &to_json(&signed.payload));
        if public.verifies(&message, &signature) { Ok(()) } else { Err(FormatError::Signature { what }) }
    }

    fn writer(&self, certificate: &Certificate) -> Result<VerifyingKey, FormatError> {
        let what = "certificate";
        check_same(what, "repository", &self.repository, &certificate.repository)?;
        check_same(what, "team", &self.team, &certificate.team)?;
        let recovery = self.recovery(what, certificate.generation)?;
        if certificate.verifies(&recovery) {
            Ok(certificate.public)
        } else {
            Err(FormatError::Signature { what })
        }
    }

    fn recovery(&self, what: &'static str, generation: u32) -> Result<VerifyingKey, FormatError> {
        self.recovery.get(&generation).copied().ok_or(FormatError::Generation { what, generation })
    }
}

fn check_same<T: PartialEq + std::fmt::Display>(
    what: &'static str,
    field: &'static str,
    expected: &T,
    found: &T,
) -> Result<(), FormatError> {
    if expected == found {
        Ok(())
    } else {
        Err(FormatError::Foreign { what, field, found: found.to_string(), expected: expected.to_string() })
    }
}
