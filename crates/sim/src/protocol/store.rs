//! What the modelled bucket holds, and the facts about it that properties speak of.
//!
//! A request is atomic here and a GET by exact key is exact; what a LIST may hide is in `listing`. Must never decide
//! anything for an actor.

use super::names::{ObjectId, Objects, PointId, Points, Volumes};
use super::rule::{Rule, Rules};

/// What a manifest says, and what is true about its point. Fixed before the manifest is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Manifest {
    /// The point that opened the chain; its keys are needed to read this one.
    pub chain: PointId,
    /// The point that this one builds on.
    pub parent: Option<PointId>,
    /// The unfinished ids whose packs this run took over.
    pub taken: Points,
    /// What the point covers.
    pub volumes: Volumes,
    /// Whether a volume failed, so that the point is not complete.
    pub partial: bool,
    /// The objects that the manifest names, and so keeps from being freed.
    pub names: Objects,
    /// Every pack of the point and of all its ancestors: where a later point's base may lie.
    pub lineage: Objects,
    /// The objects without which the point cannot be read.
    pub needs: Objects,
    /// Of these objects the point refers to the second encoding. Empty unless names are written twice.
    pub second: Objects,
}

impl Manifest {
    /// A plan that nobody has drawn up yet.
    pub const BLANK: Self = Self {
        chain: PointId::new(0),
        parent: None,
        taken: Points::NONE,
        volumes: Volumes::A,
        partial: false,
        names: Objects::NONE,
        lineage: Objects::NONE,
        needs: Objects::NONE,
        second: Objects::NONE,
    };
}

/// What a rotation of the recovery key left. The keys of a chain that the old key opened are sealed to the old key in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rotation {
    /// `team.2.json`: whether the statement stands.
    pub statement: bool,
    /// `team.2.points`: whether the list stands.
    pub list_stands: bool,
    /// The points on it.
    pub listed: Points,
    /// The chains, by who opened them, whose keys are sealed to the new key.
    pub sealed: Points,
    /// Not in the bucket: whether the rotation was done to its end.
    pub done: bool,
}

impl Rotation {
    /// Nobody rotated.
    pub const NONE: Self = Self {
        statement: false,
        list_stands: false,
        listed: Points::NONE,
        sealed: Points::NONE,
        done: false,
    };
}

/// The bucket, and what each point's manifest says where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Store {
    /// `data/…`.
    pub objects: Objects,
    /// Objects that were written a second time with other bytes.
    pub second: Objects,
    /// `points/…`: which manifests stand.
    pub manifests: Points,
    /// What each manifest says, where it stands, or will say once it is put.
    pub plans: [Manifest; PointId::COUNT],
    /// `confirmed/…`. Never deleted.
    pub confirmed: Points,
    /// `ending/…`.
    pub ending: Points,
    /// The union of the lists under `ended/…`.
    pub ended: Objects,
    /// `pins/<point>/<reader>`, by reader.
    pub pins: [Points; 2],
    /// `holds/<point>`.
    pub holds: Points,
    /// Manifests whose first PUT is still somewhere in the network and may be done once more.
    pub in_flight: Points,
    /// Not in the bucket: the points that forget deleted on purpose.
    pub forgotten: Points,
    /// The team's statements, and what a rotation left.
    pub rotation: Rotation,
}

impl Store {
    /// An empty bucket.
    pub const EMPTY: Self = Self {
        objects: Objects::NONE,
        second: Objects::NONE,
        manifests: Points::NONE,
        plans: [Manifest::BLANK; PointId::COUNT],
        confirmed: Points::NONE,
        ending: Points::NONE,
        ended: Objects::NONE,
        pins: [Points::NONE; 2],
        holds: Points::NONE,
        in_flight: Points::NONE,
        forgotten: Points::NONE,
        rotation: Rotation::NONE,
    };

    /// What `point`'s manifest says.
    pub const fn plan(&self, point: PointId) -> &Manifest {
        &self.plans[point.index()]
    }

    /// Whether `point`'s manifest stands and is not void.
    pub fn visible(&self, rules: Rules, point: PointId) -> bool {
        self.manifests.has(point) && !void(rules, self.plan(point), self.ended)
    }

    /// Whether `object` is there with the bytes that `point` refers to.
    pub fn intact(&self, point: PointId, object: ObjectId) -> bool {
        let differing = self.second.differing(self.plan(point).second);
        self.objects.has(object) && !differing.has(object)
    }

    /// Whether `point` can be restored: its manifest stands, is not void, and all that it needs is there.
    pub fn readable(&self, rules: Rules, point: PointId) -> bool {
        let plan = self.plan(point);
        let broken = self.second.differing(plan.second).only(plan.needs);
        self.visible(rules, point) && plan.needs.within(self.objects) && broken.is_empty()
    }
}

/// Whether `manifest` is of a complete point, and not void where `ended` is what is known of the lists under `ended/`.
pub fn counts(rules: Rules, manifest: &Manifest, ended: Objects) -> bool {
    let complete = !manifest.partial || !rules.obeys(Rule::PartialNeverCounts);
    complete && !void(rules, manifest, ended)
}

/// Whether `manifest` is void where `ended` is what is known of the lists under `ended/`.
pub fn void(rules: Rules, manifest: &Manifest, ended: Objects) -> bool {
    rules.obeys(Rule::VoidByEnded) && !manifest.names.only(ended).is_empty()
}
