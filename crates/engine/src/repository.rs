//! An open repository: the store, its id, and what the caller's key allows.
//!
//! Nothing here changes an object that exists; `init` writes the objects that make a prefix a repository.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use coffer_format::{
    Config, KeyFile, KeyKind, Label, RecoveryPublicKey, RepositoryId, Signed, Signer, Suite, TeamSecrets, TeamStatement,
    Verifier, object_key,
};
use coffer_store::{Key, ObjectStore, StoreError};

use crate::{EngineError, Environment};

/// Largest JSON object that is read, but for manifests.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 16 << 20;
/// Largest manifest that is read.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 64 << 20;

/// What the caller's key allows.
pub enum Access {
    /// The repository is not encrypted; everything is allowed.
    Unencrypted,
    /// No key was given: keys, sizes and manifests can be read, but not trusted, maps and data not at all.
    Locked,
    /// A writer or recovery key of one team.
    Key(Box<KeyFile>),
}

/// An open repository.
pub struct Repository {
    store: Arc<dyn ObjectStore>,
    id: RepositoryId,
    encrypted: bool,
    access: Access,
    verifier: Verifier,
    environment: Environment,
    recipient: Option<(u32, RecoveryPublicKey)>,
}

impl Repository {
    /// Makes a repository in an empty prefix and, unless `encrypted` is false, the keys of its team `default`.
    ///
    /// `save` gets the recovery key first, then the team statement is written, then `coffer.json`: a repository that can be opened
    /// is complete, and no data is ever encrypted to a key that was not saved. An interrupted `init` is run again in another place.
    pub fn init(
        store: &dyn ObjectStore,
        environment: &Environment,
        encrypted: bool,
        save: SaveKey<'_>,
    ) -> Result<Config, EngineError> {
        let team: Label = "default".parse().expect("a valid label");
        let config_key = store_key(&object_key::config())?;
        if store.exists(&config_key)? || store.exists(&store_key(&object_key::team(&team, 1))?)? {
            return Err(EngineError::Refused(format!(
                "{} already holds a repository or the beginnings of one; choose another place",
                store.describe()
            )));
        }
        let mut id = [0; 16];
        environment.entropy.fill(&mut id)?;
        let config = Config::new(RepositoryId::from_bytes(id), encrypted);
        if encrypted {
            create_team(store, environment, config.repository, &team, save)?;
        }
        store.put(&config_key, Bytes::from(config.encode()))?;
        Ok(config)
    }

    /// Opens a repository with whatever key the caller has.
    pub fn open(
        store: Arc<dyn ObjectStore>,
        environment: Environment,
        key: Option<KeyFile>,
    ) -> Result<Repository, EngineError> {
        let config = read_config(store.as_ref())?;
        let access = choose_access(&config, key, store.as_ref())?;
        let mut repository = Repository {
            id: config.repository,
            encrypted: config.encrypted,
            verifier: match &access {
                Access::Unencrypted => Verifier::unencrypted(config.repository),
                Access::Locked => Verifier::digest_only(),
                Access::Key(key) => key.verifier(),
            },
            access,
            store,
            environment,
            recipient: None,
        };
        repository.learn_generations()?;
        Ok(repository)
    }

    /// Adds a team with keys of its own.
    pub /// Saves a key where its owner keeps it. It is called before anything in the repository depends on the key.
pub type SaveKey<'a> = &'a mut dyn FnMut(&KeyFile) -> Result<(), EngineError>;

fn create_team(
    store: &dyn ObjectStore,
    environment: &Environment,
    repository: RepositoryId,
    team: &Label,
    save: SaveKey<'_>,
) -> Result<(), EngineError> {
    let key = environment.with_entropy(|draw| KeyFile::generate_team(repository, team.clone(), draw))?;
    save(&key)?;
    let statement = key.team_statement().map_err(EngineError::Limit)?;
    store.put(&store_key(&object_key::team(team, 1))?, Bytes::from(statement.encode()))?;
    Ok(())
}

fn read_config(store: &dyn ObjectStore) -> Result<Config, EngineError> {
    let key = object_key::config();
    let bytes = find_object(store, &key, DOCUMENT_BYTES_MAX)?.ok_or_else(|| {
        EngineError::NotFound(format!(
            "{} holds no repository (no {key}); make one with `coffer init`, or check the path",
            store.describe()
        ))
    })?;
    Config::decode(&bytes).map_err(EngineError::object(&key))
}

fn choose_access(config: &Config, key: Option<KeyFile>, store: &dyn ObjectStore) -> Result<Access, EngineError> {
    match (config.encrypted, key) {
        (false, None) => Ok(Access::Unencrypted),
        (true, None) => Ok(Access::Locked),
        (false, Some(_)) => Err(EngineError::Usage(format!(
            "{} says that it is not encrypted, yet a key was given: it is not the repository that the key belongs to",
            store.describe()
        ))),
        (true, Some(key)) if key.repository == config.repository => Ok(Access::Key(Box::new(key))),
        (true, Some(key)) => Err(EngineError::Usage(format!(
            "the key belongs to repository {}, {} is repository {}: give the right key",
            key.repository,
            store.describe(),
            config.repository
        ))),
    }
}
