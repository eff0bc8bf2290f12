//! An open repository: the store, its id, and what the caller's key allows.
//!
//! Nothing here changes an object that exists; `init` writes the objects that make a prefix a repository.

mod team_keys;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use coffer_format::{
    Config, Id, KeyFile, KeyKind, Label, OpenedChain, PlanId, RepositoryId, Signer, Suite, Verifier,
    object_key,
};
use coffer_store::ObjectStore;

use crate::generations::NewestKey;
pub(crate) use crate::objects::{DOCUMENT_BYTES_MAX, find_object, store_key};
use crate::pages::first_object;
use crate::read::reread::Rereads;
use crate::request_error::{RecoveryUse, RequestError, SignedRequest};
use crate::set_aside::SetAside;
use crate::{EngineError, Environment};

/// Largest manifest that is read.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 64 << 20;

/// What the caller's key allows.
pub enum Access {
    /// The repository is not encrypted; everything is allowed.
    Unencrypted,
    /// No key was given: keys, sizes and manifests can be read, but not trusted, maps and data not at all.
    Locked,
    /// A recovery, writer or chain key of one team.
    Key(Box<KeyFile>),
}

/// What reads data.
pub(crate) enum ReadingKey<'a> {
    /// Nothing is encrypted.
    Unencrypted,
    /// All chains of the team.
    Recovery(&'a KeyFile),
    /// One chain.
    Chain(&'a OpenedChain),
}

/// An open repository.
pub struct Repository {
    store: Arc<dyn ObjectStore>,
    id: RepositoryId,
    encrypted: bool,
    access: Access,
    verifier: Verifier,
    /// For documents of teams that the key is not of.
    digest_only: Verifier,
    environment: Environment,
    /// What new chains are sealed to; `None` without a key.
    newest: Option<NewestKey>,
    /// Whether the key may be the one that was published for its generation.
    is_published: bool,
    /// Generation of the secrets of chains that were asked for.
    chain_secrets: Mutex<BTreeMap<(PlanId, Id), u32>>,
    rereads: Arc<Rereads>,
    set_aside: SetAside,
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
        let rereads = Arc::new(Rereads::default());
        let config = rereads.reread_damage(|| read_config(store.as_ref()))?;
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
            digest_only: Verifier::digest_only(),
            environment,
            newest: None,
            is_published: true,
            chain_secrets: Mutex::default(),
            rereads,
            set_aside: SetAside::default(),
        };
        repository.follow_rotations()?;
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

    /// As [`Repository::verifier`], for documents of `team`: of another team than the key's only digests can be checked.
    pub fn verifier_of(&self, team: &Label) -> &Verifier {
        let foreign = self.team().is_some_and(|own| own != team);
        if foreign { &self.digest_only } else { &self.verifier }
    }

    /// The team of the key, if there is one.
    pub fn team(&self) -> Option<&Label> {
        match &self.access {
            Access::Key(key) => Some(&key.team),
            Access::Unencrypted | Access::Locked => None,
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
            _ => Err(RequestError::NoRecoveryKey(RecoveryUse::Read).into()),
        }
    }

    /// What reads data of a team: its recovery key, or a chain key, which opens one chain.
    pub(crate) fn reading_key(&self, team: &Label) -> Result<ReadingKey<'_>, EngineError> {
        match &self.access {
            Access::Key(key) if key.team == *team && key.kind == KeyKind::Chain => key
                .chain
                .as_ref()
                .map(ReadingKey::Chain)
                .ok_or_else(|| EngineError::Bug("a chain key without a chain".into())),
            _ => Ok(self.recovery_key(team)?.map_or(ReadingKey::Unencrypted, ReadingKey::Recovery)),
        }
    }

    /// An error unless the caller's key reads some data of the team.
    pub fn check_reading(&self, team: &Label) -> Result<(), EngineError> {
        self.reading_key(team).map(drop)
    }

    /// An error unless the caller's key may sign for the team; nothing is signed where nothing is encrypted.
    pub(crate) fn needs_key(&self, request: SignedRequest, team: &Label) -> Result<(), EngineError> {
        match &self.access {
            Access::Locked => Err(RequestError::NoKeyToSign(request).into()),
            Access::Unencrypted | Access::Key(_) => self.key_of(team).map(drop),
        }
    }

    /// Signs what this run writes.
    pub fn signer(&self, team: &Label) -> Result<Signer, EngineError> {
        Ok(self.key_of(team)?.map_or(Signer::None, KeyFile::signer))
    }

    /// Reads of the store that were wrong at first and right when they were repeated, since the repository was opened. Each was warned of; a
    /// line or a memory that flips bits is behind them.
    pub fn reread_count(&self) -> u64 {
        self.rereads.count()
    }

    /// Reads again what looks damaged, and counts.
    pub(crate) fn rereads(&self) -> &Arc<Rereads> {
        &self.rereads
    }

    /// Objects that were set aside because they are not ours or cannot be read.
    pub(crate) fn set_aside(&self) -> &SetAside {
        &self.set_aside
    }
}

/// Reads one whole small object.
pub(crate) fn read_object(store: &dyn ObjectStore, key: &str, len_max: u64) -> Result<Vec<u8>, EngineError> {
    Ok(store.get(&store_key(key)?, len_max)?)
}

/// Lists the teams that have anything in the repository, with one request per team.
pub(crate) fn list_teams(store: &dyn ObjectStore) -> Result<Vec<Label>, EngineError> {
    let mut teams = BTreeMap::new();
    let mut after: Option<String> = None;
    while let Some(object) = first_object(store, "t/", after.as_deref())? {
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
