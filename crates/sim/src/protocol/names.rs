//! Names in the modelled bucket: points, objects, and small sets of them.
//!
//! Everything is a bit set, so that a state is a few hundred plain bytes which hash quickly. Must never know a rule.

use std::fmt;

/// A recovery point's id. Their order is the order in time of the points, whatever the order of their commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PointId(u8);

impl PointId {
    /// How many ids a scenario may use; the last is kept for the backup that runs after everything else.
    pub const COUNT: usize = 6;
    /// The id of the backup that runs alone after a run has come to rest.
    pub const SPARE: Self = Self(5);

    /// The `index`th id in time, from 0.
    pub const fn new(index: u8) -> Self {
        assert!((index as usize) < Self::COUNT);
        Self(index)
    }

    /// Position in time, from 0.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for PointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", char::from(b'a' + self.0))
    }
}

/// A set of points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Points(u8);

impl Points {
    /// No point.
    pub const NONE: Self = Self(0);

    /// The set of `id` alone.
    pub const fn one(id: PointId) -> Self {
        Self(1 << id.0)
    }

    /// All ids before `id` in time.
    pub const fn before(id: PointId) -> Self {
        Self((1 << id.0) - 1)
    }

    /// Whether `id` is a member.
    pub const fn has(self, id: PointId) -> bool {
        self.0 & (1 << id.0) != 0
    }

    /// Whether there is no member.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The union of both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The members that `other` does not have.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The members that `other` has too.
    #[must_use]
    pub const fn only(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Adds `id`.
    pub const fn insert(&mut self, id: PointId) {
        self.0 |= 1 << id.0;
    }

    /// Removes `id`.
    pub const fn remove(&mut self, id: PointId) {
        self.0 &= !(1 << id.0);
    }

    /// The earliest member.
    pub const fn first(self) -> Option<PointId> {
        if self.0 == 0 { None } else { Some(PointId(self.0.trailing_zeros() as u8)) }
    }

    /// The latest member.
    pub const fn last(self) -> Option<PointId> {
        if self.0 == 0 { None } else { Some(PointId(7 - self.0.leading_zeros() as u8)) }
    }

    /// The members, earliest first.
    pub fn iter(self) -> impl Iterator<Item = PointId> {
        (0..PointId::COUNT as u8).map(PointId).filter(move |&id| self.has(id))
    }

    /// Every subset, the full set first.
    pub fn subsets(self) -> impl Iterator<Item = Self> {
        (0..=self.0).rev().filter(move |bits| bits & !self.0 == 0).map(Self)
    }
}

impl fmt::Display for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{")?;
        self.iter().try_for_each(|id| write!(f, "{id}"))?;
        write!(f, "}}")
    }
}

/// A volume of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Volume {
    /// The first volume.
    A,
    /// The second volume.
    B,
}

/// Which volumes a point covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Volumes {
    /// Only volume A.
    A,
    /// Both volumes.
    Both,
}

impl Volumes {
    /// Whether `volume` is covered.
    pub const fn has(self, volume: Volume) -> bool {
        matches!((self, volume), (_, Volume::A) | (Self::Both, Volume::B))
    }

    /// The covered volumes.
    pub fn iter(self) -> impl Iterator<Item = Volume> {
        [Volume::A, Volume::B].into_iter().filter(move |&volume| self.has(volume))
    }
}

const KINDS: u8 = 4;
const KEYS: u8 = 2;

/// A data object, named by the point that wrote it: the packs and map of one volume, or the keys of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId(u8);

impl ObjectId {
    /// The packs and map that `point` writes for `volume`, taken as one object.
    pub const fn pack(point: PointId, volume: Volume) -> Self {
        Self(point.0 * KINDS + volume as u8)
    }

    /// `keys/<n>` of the chain that `point` opens.
    pub const fn keys(point: PointId) -> Self {
        Self(point.0 * KINDS + KEYS)
    }

    /// The point in whose name the object was written.
    pub const fn owner(self) -> PointId {
        PointId(self.0 / KINDS)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "data/{}/{}", self.owner(), ["A", "B", "keys", "-"][usize::from(self.0 % KINDS)])
    }
}

/// A set of data objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Objects(u32);

impl Objects {
    /// No object.
    pub const NONE: Self = Self(0);

    /// The set of `object` alone.
    pub const fn one(object: ObjectId) -> Self {
        Self(1 << object.0)
    }

    /// Every object that `point` may have written.
    pub const fn of(point: PointId) -> Self {
        Self(0b1111 << (point.0 * KINDS))
    }

    /// Every pack, of any point, of a volume that `volumes` covers.
    pub const fn of_volumes(volumes: Volumes) -> Self {
        Self(match volumes {
            Volumes::A => 0x1111_1111,
            Volumes::Both => 0x3333_3333,
        })
    }

    /// Whether `object` is a member.
    pub const fn has(self, object: ObjectId) -> bool {
        self.0 & (1 << object.0) != 0
    }

    /// Whether there is no member.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every member is also one of `other`.
    pub const fn within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The union of both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The members that `other` does not have.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The members that `other` has too.
    #[must_use]
    pub const fn only(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The objects that exactly one of both sets has.
    #[must_use]
    pub const fn differing(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }

    /// Adds `object`.
    pub const fn insert(&mut self, object: ObjectId) {
        self.0 |= 1 << object.0;
    }

    /// Removes `object`.
    pub const fn remove(&mut self, object: ObjectId) {
        self.0 &= !(1 << object.0);
    }

    /// The first member by name.
    pub const fn first(self) -> Option<ObjectId> {
        if self.0 == 0 { None } else { Some(ObjectId(self.0.trailing_zeros() as u8)) }
    }

    /// The points in whose names the members were written.
    pub fn owners(self) -> Points {
        let mut owners = Points::NONE;
        let mut rest = self.0;
        while rest != 0 {
            owners.insert(ObjectId(rest.trailing_zeros() as u8).owner());
            rest &= rest - 1;
        }
        owners
    }

    /// The members that belong to a point of `points`.
    #[must_use]
    pub fn owned_by(self, points: Points) -> Self {
        points.iter().fold(Self::NONE, |kept, point| kept.with(self.only(Self::of(point))))
    }

    /// Every subset, the full set first.
    pub fn subsets(self) -> impl Iterator<Item = Self> {
        let full = self.0;
        let mut next = Some(full);
        std::iter::from_fn(move || {
            let bits = next?;
            next = if bits == 0 { None } else { Some((bits - 1) & full) };
            Some(Self(bits))
        })
    }
}

impl fmt::Display for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = *self;
        write!(f, "{{")?;
        while let Some(object) = rest.first() {
            write!(f, " {object}")?;
            rest.remove(object);
        }
        write!(f, " }}")
    }
}

#[cfg(test)]
mod tests {
    use super::{ObjectId, Objects, PointId, Points, Volume, Volumes};

    #[test]
    fn first_and_last_are_the_earliest_and_the_latest() {
        let points = Points::one(PointId::new(1)).with(Points::one(PointId::SPARE));
        assert_eq!((points.first(), points.last()), (Some(PointId::new(1)), Some(PointId::SPARE)));
        assert_eq!((Points::NONE.first(), Points::NONE.last()), (None, None));
        assert_eq!(points.only(Points::before(PointId::SPARE)), Points::one(PointId::new(1)));
    }

    #[test]
    fn subsets_are_all_and_each_once() {
        let points = Points::one(PointId::new(0)).with(Points::one(PointId::new(4)));
        assert_eq!(points.subsets().count(), 4);
        let objects = Objects::of(PointId::new(2)).only(Objects::of_volumes(Volumes::Both));
        let subsets: Vec<Objects> = objects.subsets().collect();
        assert_eq!(subsets.len(), 4);
        assert!(subsets.contains(&Objects::NONE) && subsets.contains(&objects));
    }

    #[test]
    fn objects_know_their_owner_and_volume() {
        let point = PointId::new(3);
        let objects =
            Objects::one(ObjectId::pack(point, Volume::B)).with(Objects::one(ObjectId::keys(point)));
        assert_eq!(objects.owners(), Points::one(point));
        assert!(objects.only(Objects::of_volumes(Volumes::A)).is_empty());
        assert_eq!(
            objects.only(Objects::of_volumes(Volumes::Both)),
            Objects::one(ObjectId::pack(point, Volume::B))
        );
    }
}
