//! Who gets a connection: while nobody knows who is there, by address; from then on by caller.
//!
//! The anteroom is never full: whoever comes last gets in, and one of the address that has most leaves, somebody silent first. A seat is had by
//! [`Shares`], so no caller keeps others or the controller out.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::shares::{Holder, Pool, Shares};

/// Connections of one listener whose callers are known.
pub const SEATS_MAX: u64 = 256;
/// Connections of one listener whose callers are not known yet.
pub const ANTEROOM_MAX: usize = 64;

/// The connections of one listener.
#[derive(Debug, Clone)]
pub(super) struct Slots(Arc<Mutex<Rooms>>);

#[derive(Debug)]
struct Rooms {
    anteroom: Anteroom<oneshot::Sender<()>>,
    seats: Shares<Holder>,
}

/// A place in the anteroom. It is left by drop.
#[derive(Debug)]
pub(super) struct Guest {
    slots: Slots,
    reference: u64,
    /// Ends when the place is another's.
    pub(super) sent_away: oneshot::Receiver<()>,
}

/// A connection of a known caller. It is given back by drop.
#[derive(Debug)]
pub(super) struct Seat {
    slots: Slots,
    who: Holder,
}

impl Slots {
    pub(super) fn new() -> Slots {
        let seats = Shares::new(Pool::with_reserve(SEATS_MAX));
        Slots(Arc::new(Mutex::new(Rooms { anteroom: Anteroom::new(ANTEROOM_MAX), seats })))
    }

    /// Lets somebody in who comes from `address`, if need be in the place of another whom `chance` picks.
    pub(super) fn enter(&self, address: IpAddr, chance: u64) -> Guest {
        let (told, sent_away) = oneshot::channel();
        let reference = self.lock(|rooms| rooms.anteroom.enter(network_of(address), told, chance));
        Guest { slots: self.clone(), reference, sent_away }
    }

    /// A seat for a caller who is known, unless it has as many as it may.
    pub(super) fn seat(&self, who: Holder) -> Option<Seat> {
        let taken = self.lock(|rooms| rooms.seats.take(&who, who.is_controller(), 1));
        taken.then(|| Seat { slots: self.clone(), who })
    }

    fn lock<T>(&self, work: impl FnOnce(&mut Rooms) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Guest {
    /// The other end has sent something.
    pub(super) fn has_spoken(&self) {
        self.slots.lock(|rooms| rooms.anteroom.has_spoken(self.reference));
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.slots.lock(|rooms| rooms.anteroom.leave(self.reference));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.slots.lock(|rooms| rooms.seats.give_back(&self.who, self.who.is_controller(), 1));
    }
}

/// Those whose callers are not known yet, in order of arrival. Pure.
#[derive(Debug)]
struct Anteroom<T> {
    size: usize,
    next: u64,
    guests: Vec<Waiting<T>>,
}

#[derive(Debug)]
struct Waiting<T> {
    reference: u64,
    network: IpAddr,
    has_spoken: bool,
    /// Dropped when the place is another's.
    _told: T,
}

impl<T> Anteroom<T> {
    fn new(size: usize) -> Anteroom<T> {
        Anteroom { size, next: 0, guests: Vec::new() }
    }

    fn enter(&mut self, network: IpAddr, told: T, chance: u64) -> u64 {
        if self.guests.len() >= self.size {
            self.guests.remove(self.victim(network, chance));
        }
        self.next += 1;
        self.guests.push(Waiting { reference: self.next, network, has_spoken: false, _told: told });
        self.next
    }

    fn has_spoken(&mut self, reference: u64) {
        if let Some(guest) = self.guests.iter_mut().find(|guest| guest.reference == reference) {
            guest.has_spoken = true;
        }
    }

    fn leave(&mut self, reference: u64) {
        self.guests.retain(|guest| guest.reference != reference);
    }

    /// Who leaves for somebody of `newcomer`: of the network with most guests, the newcomer among them, the one that has been silent longest, or
    /// if all have spoken any one.
    fn victim(&self, newcomer: IpAddr, chance: u64) -> usize {
        let count = |network: IpAddr| {
            let guests = self.guests.iter().filter(|guest| guest.network == network).count();
            guests + usize::from(network == newcomer)
        };
        let most = self.guests.iter().map(|guest| count(guest.network)).max().unwrap_or_default();
        let from_there = |guest: &Waiting<T>| count(guest.network) == most;
        if let Some(silent) = self.guests.iter().position(|guest| from_there(guest) && !guest.has_spoken) {
            return silent;
        }
        let there: Vec<usize> = (0..self.guests.len()).filter(|at| from_there(&self.guests[*at])).collect();
        there[usize::try_from(chance % there.len() as u64).expect("below a length")]
    }
}

/// What counts as one address: who has one IPv6 address has 2^64.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            address.to_ipv4_mapped().map_or(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into(), IpAddr::V4)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn references(room: &Anteroom<()>) -> Vec<u64> {
        room.guests.iter().map(|guest| guest.reference).collect()
    }

    #[test]
    fn who_comes_last_gets_in_and_the_address_with_most_gives_way_the_silent_first() {
        let mut room = Anteroom::new(4);
        let other = room.enter(address(2), (), 0);
        let flood: Vec<u64> = (0..3).map(|_| room.enter(address(1), (), 0)).collect();
        flood[..2].iter().for_each(|reference| room.has_spoken(*reference));
        let late = room.enter(address(3), (), 0);
        assert_eq!(references(&room), [other, flood[0], flood[1], late], "the silent one of three left");
        room.has_spoken(other);
        room.enter(address(3), (), 1);
        assert!(!references(&room).contains(&late), "two and two: the silent one leaves");
    }

    #[test]
    fn where_all_have_spoken_chance_decides_and_who_is_alone_stays() {
        for chance in 0..8 {
            let mut room = Anteroom::new(4);
            let other = room.enter(address(2), (), 0);
            let flood: Vec<u64> = (0..3).map(|_| room.enter(address(1), (), 0)).collect();
            references(&room).into_iter().for_each(|reference| room.has_spoken(reference));
            room.enter(address(1), (), chance);
            assert!(references(&room).contains(&other));
            let gone = flood[usize::try_from(chance % 3).unwrap()];
            assert!(!references(&room).contains(&gone));
            room.leave(other);
            assert_eq!(room.guests.len(), 3);
        }
    }

    #[test]
    fn one_ipv6_host_is_one_address() {
        let of = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), address(1));
        assert_ne!(of("::ffff:10.0.0.1"), of("::ffff:10.0.0.2"));
    }

    #[tokio::test]
    async fn seats_are_shared_out_and_come_back() {
        let slots = Slots::new();
        let team = |name: &str| Holder::Team(name.parse().unwrap());
        let flood: Vec<Seat> = std::iter::from_fn(|| slots.seat(team("a"))).collect();
        assert_eq!(flood.len(), 112);
        let _other = slots.seat(team("b")).unwrap();
        let controller: Vec<Seat> = std::iter::from_fn(|| slots.seat(Holder::Controller)).collect();
        assert_eq!(controller.len(), 256 - 113);
        drop(flood);
        assert!(slots.seat(team("a")).is_some());
        let mut first = slots.enter(address(1), 0);
        let guests: Vec<Guest> = (0..64).map(|_| slots.enter(address(1), 0)).collect();
        assert!((&mut first.sent_away).await.is_err(), "its place is another's");
        drop(guests);
        assert!(slots.lock(|rooms| rooms.anteroom.guests.is_empty()));
    }
}
