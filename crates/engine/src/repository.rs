//! An open repository: the store, its id, and what the caller's key allows.
//!
//! Nothing here changes an object that exists; `init` writes the objects that make a prefix a repository.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use coffer_format::{
    Config, KeyFile, KeyKind, Label, RecoveryPublicKey, RepositoryId, Signed, Signer, Suite, TeamSecrets,
    TeamStatement, Verifier, object_key,
};
use coffer_store::{Key, ObjectStore, StoreError};

use crate::read::second_look::SecondLooks;
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
    looks: Arc<SecondLooks>,
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
        let looks = Arc::new(SecondLooks::default());
        let config = looks.twice(|| read_config(store.as_ref()))?;
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
            looks,
        };
        repository.learn_generations()?;
        Ok(repository)
    }

    /// Adds a team with keys of its own. `save` gets its recovery key before anything is written.
    pub fn create_team(&self, team: &Label, save: SaveKey<'_>) -> Result<(), EngineError> {
        if !self.encrypted {
            return Err(EngineError::Usage(
                "this repository is not encrypted, its teams have no keys".into(),
            ));
        }
        if self.store.exists(&store_key(&object_key::team(team, 1))?)? {
            return Err(EngineError::Refused(format!("team {team} exists; its keys are not made twice")));
        }
        create_team(self.store.as_ref(), &self.environment, self.id, team, save)
    }

    /// The store below.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The repository's id.
    pub fn id(&self) -> RepositoryId {
        self.id
    }

    /// Whether blocks and metadata are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// The cipher suite of new objects.
    pub fn suite(&self) -> Suite {
        if self.encrypted { Suite::Aes256Gcm } else { Suite::None }
    }

    /// Time, chance and cancellation.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// What the key allows.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Checks seals; without a key it finds damage, not forgery.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The team of the key, if there is one.
    pub fn team(&self) -> Option<&Label> {
        match &self.access {
            Access::Key(key) => Some(&key.team),
            Access::Unencrypted | Access::Locked => None,
        }
    }

    /// The secrets that open maps and hash blocks; needs any key of `team`.
    pub fn secrets(&self, team: &Label) -> Result<TeamSecrets, EngineError> {
        match &self.access {
            Access::Unencrypted => Ok(TeamSecrets::unencrypted(&self.id)),
            Access::Locked => Err(EngineError::Usage(
                "this needs a key: give --key FILE or COFFER_KEY_FILE (a writer key is enough to write, a recovery key to read)"
                    .into(),
            )),
            Access::Key(key) if key.team == *team => Ok(key.secrets.clone()),
            Access::Key(key) => Err(EngineError::Usage(format!(
                "the key is of team {}, the points are of team {team}: give that team's key",
                key.team
            ))),
        }
    }

    /// The recovery key, which alone reads data; `None` where nothing is encrypted.
    pub fn recovery_key(&self, team: &Label) -> Result<Option<&KeyFile>, EngineError> {
        match &self.access {
            Access::Unencrypted => Ok(None),
            Access::Key(key) if key.kind == KeyKind::Recovery && key.team == *team => Ok(Some(key)),
            Access::Key(key) if key.team != *team => Err(EngineError::Usage(format!(
                "the key is of team {}, the point is of team {team}: give that team's recovery key",
                key.team
            ))),
            _ => Err(EngineError::Usage(
                "reading data needs the recovery key; a writer key can write and compare, never read. Give --key RECOVERY-KEY-FILE"
                    .into(),
            )),
        }
    }

    /// Signs what this run writes.
    pub fn signer(&self, team: &Label) -> Result<Signer, EngineError> {
        self.secrets(team)?;
        match &self.access {
            Access::Key(key) => Ok(key.signer()),
            Access::Unencrypted | Access::Locked => Ok(Signer::None),
        }
    }

    /// Generation and public key to which new chain keys are sealed; `None` where nothing is encrypted.
    pub fn recipient(&self) -> Option<(u32, RecoveryPublicKey)> {
        self.recipient
    }

    /// Reads of the store that were wrong at first and right when they were repeated, since the repository was opened. Each was warned of; a
    /// line or a memory that flips bits is behind them.
    pub fn second_looks(&self) -> u64 {
        self.looks.count()
    }

    /// Reads again what looks damaged, and counts.
    pub(crate) fn looks(&self) -> &Arc<SecondLooks> {
        &self.looks
    }

    /// Reads the team's statements after the pinned generations, so that a rotation is followed.
    fn learn_generations(&mut self) -> Result<(), EngineError> {
        let Access::Key(key) = &self.access else { return Ok(()) };
        let team = key.team.clone();
        let mut generation = key.generation;
        let mut recipient = key.x25519_public;
        loop {
            let object = object_key::team(&team, generation + 1);
            let (looks, store, verifier) = (&self.looks, self.store.as_ref(), &mut self.verifier);
            let learnt = looks.twice(|| {
                let Some(bytes) = find_object(store, &object, DOCUMENT_BYTES_MAX)? else { return Ok(None) };
                let statement = Signed::<TeamStatement>::decode_at(&object, &bytes)
                    .map_err(EngineError::object(&object))?;
                verifier.learn(&statement).map_err(EngineError::object(&object))?;
                Ok(Some(statement))
            });
            let Some(statement) = learnt? else { break };
            generation += 1;
            recipient = statement.payload.x25519;
        }
        self.recipient = Some((generation, recipient));
        Ok(())
    }
}

/// Turns a key of the format into a key of the store.
pub(crate) fn store_key(key: &str) -> Result<Key, EngineError> {
    Ok(Key::new(key)?)
}

/// Reads one whole small object.
pub(crate) fn read_object(store: &dyn ObjectStore, key: &str, len_max: u64) -> Result<Vec<u8>, EngineError> {
    Ok(store.get(&store_key(key)?, len_max)?)
}

/// Reads one whole small object, `None` where it does not exist.
pub(crate) fn find_object(
    store: &dyn ObjectStore,
    key: &str,
    len_max: u64,
) -> Result<Option<Vec<u8>>, EngineError> {
    match store.get(&store_key(key)?, len_max) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Lists the teams that have anything in the repository, with one request per team.
pub(crate) fn list_teams(store: &dyn ObjectStore) -> Result<Vec<Label>, EngineError> {
    let mut teams = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.list("t/", after.as_deref(), 1)?;
        let Some(object) = page.objects.first() else { break };
        let key = object.key.as_str().to_owned();
        let name = key.split('/').nth(1).unwrap_or_default();
        if let Ok(team) = name.parse::<Label>() {
            teams.insert(name.to_owned(), team);
        }
        // '0' follows '/' in ASCII: the next page starts behind everything of this team.
        after = Some(format!("t/{name}0"));
    }
    Ok(teams.into_values().collect())
}

/// Saves a key where its owner keeps it. It is called before anything in the repository depends on the key.
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

fn choose_access(
    config: &Config,
    key: Option<KeyFile>,
    store: &dyn ObjectStore,
) -> Result<Access, EngineError> {
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
