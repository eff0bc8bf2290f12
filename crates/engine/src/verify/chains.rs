//! The keys of the chains that points lie in: each document is genuine, they agree, and the newest recovery key opens the chain.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use coffer_format::{ChainPublicKey, Id, KeyKind, PlanId, object_key};

use super::note::{Note, keep_damage};
use super::report::{VerifyReport, VerifyRequest};
use crate::chain_keys::{self, ChainKey, open_chain_key};
use crate::{Access, EngineError, Repository};

/// Checks the keys of every chain that points of `notes` lie in.
pub(super) fn check_chains(
    repository: &Repository,
    notes: &[Note],
    request: &VerifyRequest,
    report: &mut VerifyReport,
) -> Result<(), EngineError> {
    if !repository.is_encrypted() {
        return Ok(());
    }
    let mut chains: BTreeMap<(PlanId, Id), Vec<Id>> = BTreeMap::new();
    for note in notes.iter().filter(|note| note.counts()) {
        chains.entry((note.plan.clone(), note.chain)).or_default().push(note.point);
    }
    for ((plan, chain), points) in chains {
        let check = ChainCheck { repository, plan: &plan, chain, points: &points };
        check.documents(report)?;
        check.opens(request, report)?;
    }
    Ok(())
}

struct ChainCheck<'a> {
    repository: &'a Repository,
    plan: &'a PlanId,
    chain: Id,
    points: &'a [Id],
}

impl ChainCheck<'_> {
    fn documents(&self, report: &mut VerifyReport) -> Result<(), EngineError> {
        let verifier = self.repository.verifier_of(&self.plan.team);
        let (mut bad, mut genuine) = (Vec::new(), Vec::new());
        chain_keys::walk(self.repository, verifier, (self.plan, self.chain), |key| {
            match key {
                Ok(key) => genuine.push(key),
                Err(found) => bad.push(found),
            }
            ControlFlow::Continue(())
        })?;
        if genuine.is_empty() && bad.is_empty() {
            bad.push((1, chain_keys::missing(self.plan, self.chain)));
        }
        for (number, error) in bad {
            keep_damage(report, "chain-key", self.key(number), error, self.points)?;
        }
        self.agree(&genuine, report);
        if !genuine.is_empty() {
            self.sealed_to_newest(&genuine, report);
        }
        Ok(())
    }

    fn agree(&self, genuine: &[ChainKey], report: &mut VerifyReport) {
        let says = |key: &ChainKey| -> (ChainPublicKey, u32) { (key.document.public, key.document.secrets) };
        let first = genuine.first().map(says);
        for key in genuine.iter().filter(|key| Some(says(key)) != first) {
            let detail = "it names another public key or other secrets than the chain's first one";
            report.problem("chain-key", self.key(key.number), detail, self.points.iter().copied());
        }
    }

    /// What the newest recovery key cannot open, nobody may be able to read once the older keys are put away.
    fn sealed_to_newest(&self, genuine: &[ChainKey], report: &mut VerifyReport) {
        let Ok(newest) = self.repository.newest_key() else { return };
        let own = self.repository.team() == Some(&self.plan.team);
        let mut recipients = genuine.iter().flat_map(|key| &key.document.recipients);
        if !own || recipients.any(|recipient| recipient.x25519 == newest.x25519) {
            return;
        }
        let detail = format!(
            "the chain is not sealed to the newest recovery key, of generation {}: that key cannot read it; keep the key before, and finish the rotation",
            newest.generation
        );
        report.problem("chain-key", self.key(1), detail, self.points.iter().copied());
    }

    fn opens(&self, request: &VerifyRequest, report: &mut VerifyReport) -> Result<(), EngineError> {
        let Access::Key(key) = self.repository.access() else { return Ok(()) };
        if key.kind != KeyKind::Recovery || key.team != self.plan.team {
            return Ok(());
        }
        let replaced = self.repository.newest_key()?.generation != key.generation;
        match open_chain_key(self.repository, self.plan, self.chain) {
            Ok(_) => Ok(()),
            // Of the newest key it was said already.
            Err(EngineError::Usage(_)) if !replaced => Ok(()),
            Err(EngineError::Usage(detail)) if request.read_data_percent.is_none() => {
                report.notice(detail);
                Ok(())
            }
            Err(error) => keep_damage(report, "chain-key", self.key(1), error, self.points),
        }
    }

    fn key(&self, number: u32) -> String {
        object_key::chain_key(self.plan, &self.chain, number)
    }
}
