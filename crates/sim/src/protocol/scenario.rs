//! A scenario: which actors there are, what lies in the bucket before they start, and what may go wrong.
//!
//! Scenarios are bounded so that each is explored whole. Must never hold a rule's behaviour.

use super::forger::Forger;
use super::forgetter::Forgetter;
use super::holder::Holder;
use super::listing::Listing;
use super::names::{ObjectId, Objects, PointId, Points, Volumes};
use super::pruner::Pruner;
use super::reader::Reader;
use super::rotator::Rotator;
use super::rule::{Rule, Rules};
use super::state::{State, WRITERS};
use super::store::{Manifest, Store};
use super::writer::Writer;

/// A run of `backup`.
#[derive(Clone, Copy, Debug)]
pub struct WriterSpec {
    /// The id of its point.
    pub id: PointId,
    /// Whether it opens a chain; otherwise it takes the newest point as parent, and opens a chain if there is none.
    pub full: bool,
    /// The parent that it chose before the scenario starts, whatever is newer.
    pub began_on: Option<PointId>,
    /// What it backs up.
    pub volumes: Volumes,
    /// The unfinished id whose packs it takes over if it may.
    pub resumes: Option<PointId>,
    /// Whether each volume is written by an agent, and this run is only their coordinator.
    pub agents: bool,
    /// The writer that must have ended before this one starts, by position.
    pub after: Option<usize>,
    /// Whether its key is of the new generation; it starts once the rotation's statement stands.
    pub new_key: bool,
}

impl WriterSpec {
    /// An incremental of volume A.
    pub const fn incremental(id: u8) -> Self {
        let id = PointId::new(id);
        Self {
            id,
            full: false,
            began_on: None,
            volumes: Volumes::A,
            resumes: None,
            agents: false,
            after: None,
            new_key: false,
        }
    }

    /// A full of volume A.
    pub const fn full(id: u8) -> Self {
        Self { full: true, ..Self::incremental(id) }
    }

    /// The same, with a parent that it chose before anything else happened.
    #[must_use]
    pub const fn begun_on(self, parent: u8) -> Self {
        Self { began_on: Some(PointId::new(parent)), ..self }
    }

    /// The same, taking over packs of the unfinished `id`.
    #[must_use]
    pub const fn resuming(self, id: u8) -> Self {
        Self { resumes: Some(PointId::new(id)), ..self }
    }

    /// The same, with these volumes.
    #[must_use]
    pub const fn of(self, volumes: Volumes) -> Self {
        Self { volumes, ..self }
    }

    /// The same with both volumes, each written by an agent.
    #[must_use]
    pub const fn by_agents(self) -> Self {
        Self { agents: true, volumes: Volumes::Both, ..self }
    }

    /// The same, with a key of the new generation.
    #[must_use]
    pub const fn with_new_key(self) -> Self {
        Self { new_key: true, ..self }
    }

    /// The same, started when the writer at `position` has ended.
    #[must_use]
    pub const fn after(self, position: usize) -> Self {
        Self { after: Some(position), ..self }
    }
}

/// What lies in the bucket before the actors start.
#[derive(Clone, Copy, Debug)]
pub enum Before {
    /// A complete point that was reported.
    Complete {
        /// Its id.
        id: PointId,
        /// Its parent; none where it opened a chain.
        parent: Option<PointId>,
        /// What it covers.
        volumes: Volumes,
    },
    /// A run that died when it had put its packs, without a manifest.
    Leftover {
        /// Its id.
        id: PointId,
        /// The parent that it would have had.
        parent: Option<PointId>,
        /// What it covers.
        volumes: Volumes,
    },
}

impl Before {
    /// A complete point of volume A.
    pub const fn complete(id: u8) -> Self {
        Self::Complete { id: PointId::new(id), parent: None, volumes: Volumes::A }
    }

    /// A complete point of volume A that builds on `parent`.
    pub const fn child(id: u8, parent: u8) -> Self {
        Self::Complete { id: PointId::new(id), parent: Some(PointId::new(parent)), volumes: Volumes::A }
    }

    /// What a full of volume A left when it died.
    pub const fn leftover(id: u8) -> Self {
        Self::Leftover { id: PointId::new(id), parent: None, volumes: Volumes::A }
    }

    /// What an incremental of volume A left when it died.
    pub const fn leftover_child(id: u8, parent: u8) -> Self {
        Self::Leftover { id: PointId::new(id), parent: Some(PointId::new(parent)), volumes: Volumes::A }
    }

    /// The same, with both volumes.
    #[must_use]
    pub const fn of_both(self) -> Self {
        let volumes = Volumes::Both;
        match self {
            Self::Complete { id, parent, .. } => Self::Complete { id, parent, volumes },
            Self::Leftover { id, parent, .. } => Self::Leftover { id, parent, volumes },
        }
    }

    fn parts(self) -> (PointId, Option<PointId>, Volumes) {
        match self {
            Self::Complete { id, parent, volumes } | Self::Leftover { id, parent, volumes } => {
                (id, parent, volumes)
            }
        }
    }
}

/// A bounded world to explore.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// The rules that are obeyed.
    pub rules: Rules,
    /// What lies in the bucket at the start.
    pub before: Vec<Before>,
    /// The runs of `backup`, at most four.
    pub writers: Vec<WriterSpec>,
    /// The runs of `prune`, at most two, each with the ids that a person named as abandoned.
    pub pruners: Vec<Points>,
    /// How many runs of `forget`, at most two.
    pub forgetters: usize,
    /// Whether the second run of `forget` starts only when the first has ended.
    pub forgets_in_turn: bool,
    /// The runs of `restore`, at most two, each with the points that it may be asked for.
    pub readers: Vec<Points>,
    /// The point that a person holds and releases.
    pub hold: Option<PointId>,
    /// The point that somebody wants gone, who can write to the bucket.
    pub forges: Option<PointId>,
    /// Whether a person rotates the recovery key; what lies in the bucket at the start was made with the old one.
    pub rotates: bool,
    /// How far a LIST can be trusted.
    pub listing: Listing,
    /// Whether any actor may die between two requests.
    pub crashes: bool,
    /// Whether the answer to a PUT or DELETE may be lost after it was done, and the request is retried.
    pub lost_answers: bool,
    /// Whether a PUT of a manifest may be done a second time by the network, at any later time.
    pub late_duplicates: bool,
}

impl Scenario {
    /// A scenario with exact LISTs and crashes, and nobody in it yet.
    pub fn new(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            rules: Rules::FULL,
            before: Vec::new(),
            writers: Vec::new(),
            pruners: Vec::new(),
            forgetters: 0,
            forgets_in_turn: false,
            readers: Vec::new(),
            hold: None,
            forges: None,
            rotates: false,
            listing: Listing::Exact,
            crashes: true,
            lost_answers: false,
            late_duplicates: false,
        }
    }

    /// The state from which everything starts.
    pub fn start(&self) -> State {
        let mut store = Store::EMPTY;
        for &before in &self.before {
            lay_down(&mut store, self.rules, before);
        }
        if self.late_duplicates {
            store.in_flight = store.manifests;
        }
        State {
            store,
            writers: std::array::from_fn(
                |i| if i < self.writers.len() { Writer::START } else { Writer::ABSENT },
            ),
            pruners: std::array::from_fn(
                |i| if i < self.pruners.len() { Pruner::START } else { Pruner::OVER },
            ),
            forgetters: std::array::from_fn(|i| {
                if i < self.forgetters { Forgetter::START } else { Forgetter::OVER }
            }),
            readers: std::array::from_fn(
                |i| if i < self.readers.len() { Reader::START } else { Reader::ABSENT },
            ),
            forger: if self.forges.is_some() { Forger::Put } else { Forger::Over },
            rotator: if self.rotates { Rotator::start(self.rules, &store.rotation) } else { Rotator::OVER },
            holder: if self.hold.is_some() { Holder::START } else { Holder::OVER },
        }
    }

    /// The same world at rest with one more backup, and a prune that knows every abandoned id, alone and with
    /// nothing going wrong: to see that a run leaves nothing behind that cannot be dealt with.
    pub fn aftermath(&self) -> Self {
        let abandoned = self.pruners.iter().fold(Points::NONE, |all, &ids| all.with(ids));
        let volumes =
            if self.writers.iter().any(|w| w.volumes == Volumes::Both) { Volumes::Both } else { Volumes::A };
        let resumed = self.writers.iter().find(|w| w.resumes.is_some());
        let last = WriterSpec {
            id: PointId::SPARE,
            full: resumed.is_some_and(|w| w.full),
            began_on: None,
            volumes,
            resumes: resumed.and_then(|w| w.resumes),
            agents: false,
            after: None,
            new_key: self.rotates,
        };
        Self {
            writers: vec![last],
            pruners: vec![abandoned],
            forgetters: 0,
            readers: Vec::new(),
            hold: None,
            forges: None,
            listing: Listing::Exact,
            crashes: false,
            lost_answers: false,
            late_duplicates: false,
            ..self.clone()
        }
    }

    /// Whether `point`'s manifest was signed with the old key, if it stands.
    pub fn is_by_old(&self, point: PointId) -> bool {
        !self.writers.iter().any(|writer| writer.id == point && writer.new_key)
    }

    /// Whether `point`'s manifest counts by its signature: the old key's do by the list, once that stands.
    pub fn accepts(&self, store: &Store, point: PointId) -> bool {
        let rotation = &store.rotation;
        !rotation.list_stands || rotation.listed.has(point) || !self.is_by_old(point)
    }

    /// Panics if the scenario asks for more than a state can hold.
    pub fn check_bounds(&self) {
        assert!(self.writers.len() <= WRITERS && self.pruners.len() <= 2, "too many writers or pruners");
        assert!(self.forgetters <= 2 && self.readers.len() <= 2, "too many forgetters or readers");
        assert!(self.writers.iter().all(|w| w.id != PointId::SPARE), "the last id is kept for the aftermath");
    }
}

fn lay_down(store: &mut Store, rules: Rules, before: Before) {
    let (id, parent, volumes) = before.parts();
    let inherited = parent.map_or(Manifest::BLANK, |parent| *store.plan(parent));
    let packs = volumes
        .iter()
        .fold(Objects::NONE, |packs, volume| packs.with(Objects::one(ObjectId::pack(id, volume))));
    let chain = if parent.is_some() { inherited.chain } else { id };
    let plan = Manifest { chain, parent, volumes, ..Manifest::BLANK };
    store.plans[id.index()] = complete_plan(rules, plan, inherited.lineage.with(packs));
    store.objects = store.objects.with(packs).with(Objects::one(ObjectId::keys(chain)));
    if let Before::Complete { .. } = before {
        store.manifests.insert(id);
        store.confirmed.insert(id);
    }
}

/// Fills in what a plan with this chain and these volumes needs and names, where `lineage` are all packs of the point
/// and of its ancestors.
pub fn complete_plan(rules: Rules, plan: Manifest, lineage: Objects) -> Manifest {
    let keys = Objects::one(ObjectId::keys(plan.chain));
    let covered = lineage.only(Objects::of_volumes(plan.volumes));
    let packs = if rules.obeys(Rule::NamesWholeLineage) { lineage } else { covered };
    let names = if rules.obeys(Rule::ChainKeysNamed) { packs.with(keys) } else { packs };
    Manifest { lineage, needs: covered.with(keys), names, ..plan }
}
