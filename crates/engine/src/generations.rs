//! Which generations of a team's recovery key are believed, and what a rotation said of the points that stood then.
//!
//! A statement is believed if the newest generation before it signed it. Whatever else lies at a statement's name is a stranger's: it is
//! named, and blocks nobody. A LIST finds statements behind gaps; the next number is asked for by exact key, so a LIST that hides names hides
//! no rotation.

use std::collections::BTreeSet;

use coffer_format::{
    Document, KeyFile, Label, RecoveryPublicKey, RotationPoints, Signed, TeamStatement, Verifier, object_key,
};
use coffer_store::{ObjectStore, StoreError};

use crate::read::reread::Rereads;
use crate::repository::{DOCUMENT_BYTES_MAX, find_object, store_key};
use crate::{CancelToken, EngineError};

/// Most names of statements that are looked at: the lowest. A rotation takes the lowest that is free, so what is beyond is never ours.
pub(crate) const STATEMENTS_MAX: usize = 1_024;

/// What new chains are sealed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestKey {
    /// Generation of the recovery key.
    pub generation: u32,
    /// Its public key.
    pub x25519: RecoveryPublicKey,
    /// Generation of the secrets for maps, trailers and hashes.
    pub secrets: u32,
}

impl NewestKey {
    /// The newest that a key file knows of.
    pub(crate) fn of(key: &KeyFile) -> Self {
        NewestKey {
            generation: key.generation,
            x25519: key.x25519_public,
            secrets: key.newest_secrets().generation,
        }
    }
}

/// Reads statements and lists of one team.
#[derive(Clone, Copy)]
pub(crate) struct Statements<'a> {
    pub(crate) store: &'a dyn ObjectStore,
    pub(crate) rereads: &'a Rereads,
    pub(crate) cancel: &'a CancelToken,
    pub(crate) team: &'a Label,
}

/// What was found beyond the generations that are pinned.
pub(crate) struct Learnt {
    pub(crate) newest: NewestKey,
    /// Objects at a statement's name that are none of ours, and why.
    pub(crate) strange: Vec<EngineError>,
}

/// What the repository says of the generation that a key file is of.
pub(crate) enum OwnStatement {
    /// The key is the one that was published.
    Published,
    /// A genuine statement names another key: this one was made by a rotation that never published it.
    OfAnother,
    /// There is none, or it is none of ours, and why.
    Lost(Option<EngineError>),
}

/// What is known of a rotation's list of points.
pub(crate) enum Listed {
    /// It was learnt.
    Known,
    /// It is not there: the rotation was not finished.
    Missing,
    /// Something else lies under its name.
    Strange(EngineError),
}

impl Statements<'_> {
    /// Follows the rotations after `known`; `verifier` believes their statements from now on.
    pub(crate) fn follow(&self, known: NewestKey, verifier: &mut Verifier) -> Result<Learnt, EngineError> {
        let mut numbers = self.listed()?;
        let mut learnt = Learnt { newest: known, strange: Vec::new() };
        numbers.retain(|number| *number > known.generation);
        numbers.extend(known.generation.checked_add(1));
        let mut looked = 0;
        while let Some(number) = numbers.pop_first().filter(|_| looked < STATEMENTS_MAX) {
            self.cancel.check()?;
            looked += 1;
            match self.believe(number, verifier) {
                Ok(None) => continue,
                Ok(Some(newest)) => learnt.newest = newest,
                Err(error) if is_strange(&error) => learnt.strange.push(error),
                Err(error) => return Err(error),
            }
            numbers.extend(number.checked_add(1));
        }
        Ok(learnt)
    }

    /// Whether `key` is the one that was published for its generation. The first is the one that everything else is held against.
    pub(crate) fn own(&self, key: &KeyFile, verifier: &Verifier) -> Result<OwnStatement, EngineError> {
        if key.generation == 1 {
            return Ok(OwnStatement::Published);
        }
        match self.statement(key.generation, |statement| verifier.verify(statement)) {
            Ok(Some(statement)) if statement.payload.x25519 == key.x25519_public => {
                Ok(OwnStatement::Published)
            }
            Ok(Some(_)) => Ok(OwnStatement::OfAnother),
            Ok(None) => Ok(OwnStatement::Lost(None)),
            Err(error) if is_strange(&error) => Ok(OwnStatement::Lost(Some(error))),
            Err(error) => Err(error),
        }
    }

    /// The statement of `generation`, if there is one and it is believed.
    fn believe(&self, generation: u32, verifier: &mut Verifier) -> Result<Option<NewestKey>, EngineError> {
        let Some(statement) = self.statement(generation, |statement| verifier.learn(statement))? else {
            return Ok(None);
        };
        let TeamStatement { generation, x25519, secrets, .. } = statement.payload;
        Ok(Some(NewestKey { generation, x25519, secrets }))
    }

    /// The statement of `generation`, if there is one and `check` has nothing against it.
    pub(crate) fn statement(
        &self,
        generation: u32,
        check: impl FnMut(&Signed<TeamStatement>) -> Result<(), coffer_format::FormatError>,
    ) -> Result<Option<Signed<TeamStatement>>, EngineError> {
        self.document(&object_key::team(self.team, generation), check)
    }

    /// Learns the list of points that the rotation to `generation` left.
    pub(crate) fn learn_points(
        &self,
        generation: u32,
        verifier: &mut Verifier,
    ) -> Result<Listed, EngineError> {
        let key = object_key::team_points(self.team, generation);
        match self.document::<RotationPoints>(&key, |list| verifier.learn_points(list)) {
            Ok(Some(_)) => Ok(Listed::Known),
            Ok(None) => Ok(Listed::Missing),
            Err(error) if is_strange(&error) => Ok(Listed::Strange(error)),
            Err(error) => Err(error),
        }
    }

    /// Learns the newest list that is there: it names all that counts of earlier generations. Returns what is wrong with the lists of later
    /// rotations.
    pub(crate) fn learn_newest_points(
        &self,
        verifier: &mut Verifier,
    ) -> Result<Vec<(u32, Listed)>, EngineError> {
        let generations: Vec<u32> = verifier.generations().filter(|generation| *generation > 1).collect();
        let mut wrong = Vec::new();
        for generation in generations.into_iter().rev() {
            match self.learn_points(generation, verifier)? {
                Listed::Known => break,
                other => wrong.push((generation, other)),
            }
        }
        Ok(wrong)
    }

    fn document<T: Document>(
        &self,
        key: &str,
        mut check: impl FnMut(&Signed<T>) -> Result<(), coffer_format::FormatError>,
    ) -> Result<Option<Signed<T>>, EngineError> {
        self.rereads.reread_damage(|| {
            let Some(bytes) = find_object(self.store, key, DOCUMENT_BYTES_MAX)? else { return Ok(None) };
            let document = Signed::<T>::decode_at(key, &bytes).map_err(EngineError::object(key))?;
            check(&document).map_err(EngineError::object(key))?;
            Ok(Some(document))
        })
    }

    /// Generations of whose statement a LIST shows the name: the lowest ones.
    pub(crate) fn listed(&self) -> Result<BTreeSet<u32>, EngineError> {
        let mut numbers = BTreeSet::new();
        self.for_each_name(|key| {
            if let Ok((team, generation)) = object_key::parse_team(key)
                && team == *self.team
            {
                numbers.insert(generation);
            }
            if numbers.len() > STATEMENTS_MAX {
                numbers.pop_last();
            }
        })?;
        Ok(numbers)
    }

    /// Every name beside the team's statements.
    pub(crate) fn for_each_name(&self, mut each: impl FnMut(&str)) -> Result<(), EngineError> {
        let prefix = object_key::team_statements_prefix(self.team);
        let mut after: Option<String> = None;
        loop {
            self.cancel.check()?;
            let page = self.store.list(&prefix, after.as_deref(), 1_000)?;
            page.objects.iter().for_each(|object| each(object.key.as_str()));
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// The lowest generation after `newest` whose names are free.
    pub(crate) fn free_after(&self, newest: u32) -> Result<u32, EngineError> {
        let first = newest.saturating_add(1);
        for generation in (first..).take(STATEMENTS_MAX) {
            self.cancel.check()?;
            let taken =
                |key: String| -> Result<bool, EngineError> { Ok(self.store.exists(&store_key(&key)?)?) };
            if !taken(object_key::team(self.team, generation))?
                && !taken(object_key::team_points(self.team, generation))?
            {
                return Ok(generation);
            }
        }
        Err(EngineError::Refused(format!(
            "{STATEMENTS_MAX} objects that are none of ours lie from {} on, where the statement of the new key would; remove them, and rotate \
             again",
            object_key::team(self.team, first)
        )))
    }
}

/// Whether an error says that an object is none of ours, rather than that it could not be read.
pub(crate) fn is_strange(error: &EngineError) -> bool {
    error.is_damage() || matches!(error, EngineError::Store(StoreError::TooLarge { .. }))
}
