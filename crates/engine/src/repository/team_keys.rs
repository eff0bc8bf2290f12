//! What the key's generation means: which one is the newest, who may still write, and which secrets open which chain.

use coffer_format::{Id, KeyFile, Label, PlanId, TeamSecrets, object_key};

use super::{Access, Repository};
use crate::EngineError;
use crate::chain_keys;
use crate::generations::{Listed, NewestKey, OwnStatement, Statements};
use crate::request_error::RequestError;

impl Repository {
    /// What new chains are sealed to.
    ///
    /// # Errors
    /// [`EngineError::Usage`] without a key.
    pub fn newest_key(&self) -> Result<NewestKey, EngineError> {
        self.newest.ok_or_else(no_key)
    }

    /// An error unless the key may make points of `team`: it is of the team, was published, and is of the newest generation.
    ///
    /// # Errors
    /// [`EngineError::Refused`] where the key was replaced by a rotation, or is of one that was never published; [`EngineError::Usage`] where it is of another team or missing.
    pub fn check_writing(&self, team: &Label) -> Result<(), EngineError> {
        let Some(key) = self.key_of(team)? else { return Ok(()) };
        let newest = self.newest_key()?.generation;
        if !self.is_published {
            return Err(EngineError::Refused(format!(
                "the key is of generation {} of team {}, and the repository knows another key of that generation: its rotation was never published, \
                 and what it signs counts for nobody; use the key that was",
                key.generation, key.team
            )));
        }
        if key.generation == newest {
            return Ok(());
        }
        let (kind, team, generation) = (key.kind, key.team.clone(), key.generation);
        Err(RequestError::KeyReplaced { kind, team, generation, newest }.into())
    }

    /// The secrets that open the maps and hash the blocks of a chain; needs any key of its team that is not older than the secrets.
    pub fn chain_secrets(&self, plan: &PlanId, chain: Id) -> Result<TeamSecrets, EngineError> {
        let Some(key) = self.key_of(&plan.team)? else { return Ok(TeamSecrets::unencrypted(&self.id)) };
        let generation = self.chain_secrets_generation(plan, chain)?;
        self.secrets_of(key, generation, &format!("chain {chain} of plan {plan}"))
    }

    /// The secrets of a chain that is opened now.
    pub(crate) fn new_chain_secrets(&self, team: &Label) -> Result<TeamSecrets, EngineError> {
        match self.key_of(team)? {
            None => Ok(TeamSecrets::unencrypted(&self.id)),
            Some(key) => self.secrets_of(key, self.newest_key()?.secrets, "a new chain"),
        }
    }

    /// Generation of the secrets of a chain.
    pub(crate) fn chain_secrets_generation(&self, plan: &PlanId, chain: Id) -> Result<u32, EngineError> {
        // No rotation brought others.
        if self.newest_key()?.secrets == 1 {
            return Ok(1);
        }
        let seen = || self.chain_secrets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let entry = (plan.clone(), chain);
        if let Some(generation) = seen().get(&entry) {
            return Ok(*generation);
        }
        let generation = chain_keys::secrets_generation(self, plan, chain)?;
        seen().insert(entry, generation);
        Ok(generation)
    }

    fn secrets_of(&self, key: &KeyFile, generation: u32, what: &str) -> Result<TeamSecrets, EngineError> {
        key.secrets_of(generation).cloned().map_err(|error| {
            EngineError::Usage(format!("{what}: {error}; give a key of generation {generation} or later"))
        })
    }

    /// The key, if it is of `team`; `None` where nothing is encrypted.
    pub(super) fn key_of(&self, team: &Label) -> Result<Option<&KeyFile>, EngineError> {
        match &self.access {
            Access::Unencrypted => Ok(None),
            Access::Locked => Err(no_key()),
            Access::Key(key) if key.team == *team => Ok(Some(key)),
            Access::Key(key) => Err(EngineError::Usage(format!(
                "the key is of team {}, the points are of team {team}: give that team's key",
                key.team
            ))),
        }
    }

    /// The newest generation, if there is one that was not there when the repository was opened. Always asks the store.
    pub(crate) fn newer_generation(&self) -> Result<Option<u32>, EngineError> {
        let (Access::Key(key), Some(known)) = (&self.access, self.newest) else { return Ok(None) };
        let learnt = self.statements(&key.team).follow(known, &mut self.verifier.clone())?;
        Ok((learnt.newest.generation != known.generation).then_some(learnt.newest.generation))
    }

    /// Reads statements and lists of `team`.
    pub(crate) fn statements<'a>(&'a self, team: &'a Label) -> Statements<'a> {
        Statements {
            store: self.store.as_ref(),
            rereads: &self.rereads,
            cancel: &self.environment.cancel,
            team,
        }
    }

    /// Follows the rotations after the generation of the key.
    pub(super) fn follow_rotations(&mut self) -> Result<(), EngineError> {
        let Access::Key(key) = &self.access else { return Ok(()) };
        let mut verifier = self.verifier.clone();
        let statements = self.statements(&key.team);
        let learnt = statements.follow(NewestKey::of(key), &mut verifier)?;
        for error in &learnt.strange {
            tracing::warn!(%error, "what lies at the name of a team's statement is none of ours; going on without it");
        }
        let own = statements.own(key, &verifier)?;
        if let OwnStatement::Lost(error) = &own {
            warn_of_lost(&object_key::team(&key.team, key.generation), error.as_ref());
        }
        if let Some((generation, listed)) = statements.learn_newest_points(&mut verifier)?.first() {
            warn_of_list(*generation, listed);
        }
        self.is_published = !matches!(own, OwnStatement::OfAnother);
        (self.verifier, self.newest) = (verifier, Some(learnt.newest));
        Ok(())
    }
}

fn warn_of_lost(statement: &str, error: Option<&EngineError>) {
    let error = error.map(ToString::to_string);
    tracing::warn!(
        statement,
        error,
        "the statement of the key's own generation is gone: who has only older keys goes on with those; bring it back by finishing the rotation"
    );
}

fn warn_of_list(generation: u32, listed: &Listed) {
    let next = "finish it; until then points of replaced keys cannot be told from forged ones";
    match listed {
        Listed::Strange(error) => {
            tracing::warn!(generation, %error, "the list of what the rotation found is none of ours; remove it, and {next}")
        }
        Listed::Known | Listed::Missing => {
            tracing::warn!(generation, "the rotation was not finished; {next}")
        }
    }
}

fn no_key() -> EngineError {
    RequestError::NoKey.into()
}
