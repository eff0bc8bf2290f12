//! What a run builds on: its parent and the parent's chain, a chain that only incomplete runs have, or a chain of its own.

use coffer_format::{Id, Manifest, PlanId, Reason};

use super::choose::TypeChoice;
use super::incomplete_runs::{self, IncompleteRuns};
use super::open_chain::{OpenChain, continue_chain, new_chain};
use crate::catalog::load_manifest;
use crate::records::is_ending;
use crate::request_error::{IncrementalObstacle, RequestError};
use crate::{EngineError, Repository};

/// What a run builds on.
pub(super) struct ChainContext {
    pub(super) parent: Option<Manifest>,
    pub(super) chain: OpenChain,
    pub(super) incomplete_runs: IncompleteRuns,
}

/// Reads the parent and its chain's key; or continues a chain that only incomplete runs have, or opens a new one. `newest` is the newest
/// complete point.
pub(super) fn open_chain(
    repository: &Repository,
    plan: &PlanId,
    mut choice: TypeChoice,
    run: Id,
    newest: Option<Id>,
) -> Result<(Reason, ChainContext), EngineError> {
    // Rule parent_not_ending: what builds on it could only be fenced.
    if let Some(parent) = choice.parent.take() {
        if !is_ending(repository, &plan.team, &parent.id)? {
            choice.parent = Some(parent);
        } else if matches!(choice.reason, Reason::AskedIncremental(_)) {
            return Err(RequestError::NoIncremental(IncrementalObstacle::ParentEnding(parent.id)).into());
        } else {
            tracing::warn!(parent = %parent.id, "parent is being ended; making a full backup");
            choice.reason = Reason::ParentUnusable;
        }
    }
    if let Some(parent) = &choice.parent {
        let opened = load_manifest(repository, parent)
            .and_then(|manifest| Ok((continue_chain(repository, plan, manifest.payload.chain)?, manifest)));
        match opened {
            Ok((None, manifest)) if matches!(choice.reason, Reason::AskedIncremental(_)) => {
                let obstacle = IncrementalObstacle::OtherKey(manifest.payload.chain);
                return Err(RequestError::NoIncremental(obstacle).into());
            }
            Ok((None, _)) => {
                tracing::info!(parent = %parent.id, "the team's key was rotated since the chain was opened; making a full backup");
                choice = TypeChoice { parent: None, reason: Reason::KeyRotated };
            }
            Ok((Some(chain), manifest)) => {
                let incomplete_runs = incomplete_runs::of_chain(repository, plan, chain.id, parent.id, run);
                return Ok((
                    choice.reason,
                    ChainContext { parent: Some(manifest.payload), chain, incomplete_runs },
                ));
            }
            Err(error) if can_start_anew(&error, &choice) => {
                tracing::warn!(parent = %parent.id, %error, "parent cannot be built on; making a full backup");
                choice = TypeChoice { parent: None, reason: Reason::ParentUnusable };
            }
            // It stood a moment ago: somebody forgot it.
            Err(EngineError::Store(coffer_store::StoreError::NotFound { .. })) => {
                return Err(EngineError::Fenced {
                    run,
                    reason: format!("its parent {} was forgotten as it began", parent.id),
                });
            }
            Err(error) => return Err(error),
        }
    }
    if let Some((chain, incomplete_runs)) = incomplete_runs::chain_to_adopt(repository, plan, newest, run) {
        tracing::info!(chain = %chain.id, runs = incomplete_runs.runs.len(), "resuming the chain of an incomplete run");
        return Ok((choice.reason, ChainContext { parent: None, chain, incomplete_runs }));
    }
    let chain = new_chain(repository, plan, run)?;
    Ok((choice.reason, ChainContext { parent: None, chain, incomplete_runs: IncompleteRuns::default() }))
}

fn can_start_anew(error: &EngineError, choice: &TypeChoice) -> bool {
    let unusable = matches!(error, EngineError::Object { .. } | EngineError::Damaged { .. });
    unusable && !matches!(choice.reason, Reason::AskedIncremental(_))
}
