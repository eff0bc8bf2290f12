//! Who signed a document, judged by the public keys that a key file pins. Nothing from the bucket is trusted by itself.
//!
//! Keys that were replaced sign no new points: what they signed counts by the list that the rotation left.

use std::collections::{BTreeMap, BTreeSet};

use super::seal::signed_bytes;
use super::{Certificate, Document, Issuer, RotationPoints, Signed, SignedBy, TeamStatement, to_json};
use crate::error::check;
use crate::{Digest, FormatError, Label, RepositoryId, VerifyingKey};

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
    /// Recovery keys by generation: pinned and learnt. One at least.
    recovery: BTreeMap<u32, VerifyingKey>,
    /// What the newest rotation found whose list is known.
    standing: Option<Standing>,
}

#[derive(Clone, Debug)]
struct Standing {
    /// Generation that left the list.
    generation: u32,
    /// Digests of the manifests on it.
    manifests: BTreeSet<Digest>,
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
        Self(Rule::Team(Box::new(Team { repository, team, recovery, standing: None })))
    }

    /// Believes a later generation if the newest one before signed it; a generation that was replaced cannot bring up another
    /// successor. A statement of a known generation must agree with it.
    pub fn learn(&mut self, statement: &Signed<TeamStatement>) -> Result<(), FormatError> {
        self.verify(statement)?;
        let Rule::Team(team) = &mut self.0 else { return Ok(()) };
        let TeamStatement { generation, signed_by, ed25519, .. } = statement.payload;
        let what = TeamStatement::KIND;
        if let Some(known) = team.recovery.get(&generation) {
            return check(*known == ed25519, what, "names another key than the one known for its generation");
        }
        let newest = team.newest();
        check(generation > newest, what, "is of a generation that was passed over")?;
        check(signed_by == newest, what, "is signed by a generation that was replaced before")?;
        team.recovery.insert(generation, ed25519);
        Ok(())
    }

    /// Believes the list of what a rotation found. That of the newest generation holds all that counts of the earlier ones.
    pub fn learn_points(&mut self, list: &Signed<RotationPoints>) -> Result<(), FormatError> {
        self.verify(list)?;
        let Rule::Team(team) = &mut self.0 else { return Ok(()) };
        let generation = list.payload.generation;
        if team.standing.as_ref().is_none_or(|known| known.generation < generation) {
            let manifests = list.payload.points.iter().map(|standing| standing.manifest).collect();
            team.standing = Some(Standing { generation, manifests });
        }
        Ok(())
    }

    /// Generations whose recovery keys are known, ascending; none without a team's keys.
    pub fn generations(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        let team = match &self.0 {
            Rule::Team(team) => Some(team.recovery.keys().copied()),
            Rule::Digest | Rule::Unencrypted(_) => None,
        };
        team.into_iter().flatten()
    }

    /// An error unless digest, certificate and signature are right and the document is of this repository and team;
    /// volume records inside it are verified too.
    pub fn verify<T: Document>(&self, signed: &Signed<T>) -> Result<(), FormatError> {
        self.verify_within(signed, false)
    }

    /// As [`Verifier::verify`]; `listed` if it is inside a document that stood when its key was replaced.
    fn verify_within<T: Document>(&self, signed: &Signed<T>, listed: bool) -> Result<(), FormatError> {
        let listed = listed || self.lists(signed);
        self.verify_own(signed, listed)?;
        signed.payload.nested().iter().try_for_each(|record| self.verify_within(record, listed))
    }

    /// As [`Verifier::verify_within`], without the records inside.
    fn verify_own<T: Document>(&self, signed: &Signed<T>, listed: bool) -> Result<(), FormatError> {
        let what = T::KIND;
        signed.check_digest()?;
        match &self.0 {
            Rule::Digest => Ok(()),
            Rule::Unencrypted(repository) => {
                check_same(what, "repository", repository, signed.payload.repository())?;
                let unsigned = signed.seal.certificate.is_none() && signed.seal.signature.is_none();
                if unsigned { Ok(()) } else { Err(FormatError::Seal { what, detail: "signed in suite 0" }) }
            }
            Rule::Team(team) => team.verify(signed, listed),
        }
    }

    fn lists<T: Document>(&self, signed: &Signed<T>) -> bool {
        let Rule::Team(team) = &self.0 else { return false };
        let Some(certificate) = &signed.seal.certificate else { return false };
        T::SIGNED_BY == SignedBy::NewestOrListed && team.lists(certificate.generation, &signed.seal.digest)
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
    fn newest(&self) -> u32 {
        self.recovery.last_key_value().map_or(0, |(generation, _)| *generation)
    }

    /// Whether what a replaced key of `generation` signed stood when it was replaced. While no later rotation's list is there that
    /// cannot be told, and what the key signed is let pass: else nothing could be read until the rotation is finished.
    fn lists(&self, generation: u32, digest: &Digest) -> bool {
        if generation >= self.newest() {
            return false;
        }
        match &self.standing {
            Some(standing) if standing.generation > generation => standing.manifests.contains(digest),
            _ => true,
        }
    }

    fn verify<T: Document>(&self, signed: &Signed<T>, listed: bool) -> Result<(), FormatError> {
        let what = T::KIND;
        check_same(what, "repository", &self.repository, signed.payload.repository())?;
        check_same(what, "team", &self.team, signed.payload.team())?;
        let signature =
            signed.seal.signature.ok_or(FormatError::Seal { what, detail: "has no signature" })?;
        let public = match (signed.payload.issuer(), &signed.seal.certificate) {
            (Issuer::Writer, Some(certificate)) => {
                if T::SIGNED_BY != SignedBy::AnyKnown && !listed {
                    self.check_newest(what, certificate)?;
                }
                self.writer(certificate)?
            }
            (Issuer::Writer, None) => return Err(FormatError::Seal { what, detail: "has no certificate" }),
            (Issuer::Recovery(generation), None) => self.recovery(what, generation)?,
            (Issuer::Recovery(_), Some(_)) => {
                return Err(FormatError::Seal { what, detail: "has a certificate" });
            }
        };
        let message = signed_bytes(what, &to_json(&signed.payload));
        if public.verifies(&message, &signature) { Ok(()) } else { Err(FormatError::Signature { what }) }
    }

    fn check_newest(&self, what: &'static str, certificate: &Certificate) -> Result<(), FormatError> {
        let (generation, newest) = (certificate.generation, self.newest());
        if generation >= newest { Ok(()) } else { Err(FormatError::Replaced { what, generation, newest }) }
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
