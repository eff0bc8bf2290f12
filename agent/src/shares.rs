//! How much of something scarce one holder may have while others may come. Pure.
//!
//! Whoever takes may have as much as is free then, so one holder alone gets up to half, two a third each, and whoever comes next always finds
//! something. A part is set aside that only the controller takes. Nothing is ever taken away again.

use std::collections::BTreeMap;
use std::fmt;

use coffer_format::Label;

use crate::edge::identity::Identity;

/// On whose account something is held.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Holder {
    /// The controller, or whoever is on the node without certificates: may take all that is free.
    Controller,
    /// A team.
    Team(Label),
    /// All scrapers together.
    Scraper,
    /// All whose certificates name nobody.
    Stranger,
}

impl Holder {
    /// Whether what is set aside is for this holder.
    pub fn is_controller(&self) -> bool {
        *self == Holder::Controller
    }
}

impl From<&Identity> for Holder {
    fn from(identity: &Identity) -> Holder {
        match identity {
            Identity::Controller | Identity::Local => Holder::Controller,
            Identity::Team(team) => Holder::Team(team.clone()),
            Identity::Scraper => Holder::Scraper,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Controller => formatter.write_str("the controller"),
            Holder::Team(team) => write!(formatter, "team {team}"),
            Holder::Scraper => formatter.write_str("scrapers"),
            Holder::Stranger => formatter.write_str("callers without an identity"),
        }
    }
}

/// What is held of something at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// By all.
    pub all: u64,
    /// By the controller.
    pub controller: u64,
    /// By the one who asks.
    pub own: u64,
}

/// The size of something scarce, and what of it is set aside for the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// All of it.
    pub size: u64,
    /// For the controller only.
    pub reserve: u64,
}

impl Pool {
    /// A pool of which an eighth is set aside.
    pub fn with_reserve(size: u64) -> Pool {
        Pool { size, reserve: size / 8 }
    }

    /// How much more the asking holder may have now.
    pub fn room(self, held: Held, is_controller: bool) -> u64 {
        let free = self.size.saturating_sub(held.all);
        if is_controller {
            return free;
        }
        // What the controller has already is of what was set aside for it.
        let set_aside = self.reserve.saturating_sub(held.controller);
        free.saturating_sub(set_aside).saturating_sub(held.own)
    }
}

/// Who holds how much of a pool.
#[derive(Debug)]
pub struct Shares<K> {
    pool: Pool,
    held: BTreeMap<K, u64>,
    all: u64,
    controller: u64,
}

impl<K: Ord + Clone> Shares<K> {
    /// A pool that nobody holds anything of.
    pub fn new(pool: Pool) -> Shares<K> {
        Shares { pool, held: BTreeMap::new(), all: 0, controller: 0 }
    }

    /// How much more `who` may take now.
    pub fn room(&self, who: &K, is_controller: bool) -> u64 {
        let own = self.held_by(who);
        self.pool.room(Held { all: self.all, controller: self.controller, own }, is_controller)
    }

    /// Takes `amount`, if `who` may have it now.
    #[must_use]
    pub fn take(&mut self, who: &K, is_controller: bool, amount: u64) -> bool {
        if self.room(who, is_controller) < amount {
            return false;
        }
        self.take_anyway(who, is_controller, amount);
        true
    }

    /// Takes what is there already, whether or not there is room for it.
    pub fn take_anyway(&mut self, who: &K, is_controller: bool, amount: u64) {
        if amount == 0 {
            return;
        }
        *self.held.entry(who.clone()).or_default() += amount;
        self.all += amount;
        self.controller += if is_controller { amount } else { 0 };
    }

    /// Gives back what was taken.
    pub fn give_back(&mut self, who: &K, is_controller: bool, amount: u64) {
        let Some(held) = self.held.get_mut(who) else { return };
        let amount = amount.min(*held);
        *held -= amount;
        if *held == 0 {
            self.held.remove(who);
        }
        self.all -= amount;
        self.controller = self.controller.saturating_sub(if is_controller { amount } else { 0 });
    }

    /// What `who` holds.
    pub fn held_by(&self, who: &K) -> u64 {
        self.held.get(who).copied().unwrap_or_default()
    }

    /// Who holds most, of those that hold anything.
    pub fn largest(&self) -> Option<&K> {
        self.held.iter().max_by_key(|(_, held)| **held).map(|(who, _)| who)
    }

    /// What all hold.
    pub fn all(&self) -> u64 {
        self.all
    }

    /// What there is.
    pub fn pool(&self) -> Pool {
        self.pool
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn team(number: u8) -> Holder {
        Holder::Team(format!("t{number}").parse().unwrap())
    }

    fn fill(shares: &mut Shares<Holder>, who: &Holder) -> u64 {
        while shares.take(who, who.is_controller(), 1) {}
        shares.held_by(who)
    }

    #[test]
    fn one_that_takes_all_it_can_leaves_half_and_the_controllers_part() {
        let mut shares = Shares::new(Pool { size: 100, reserve: 10 });
        assert_eq!(fill(&mut shares, &team(1)), 45);
        assert_eq!(fill(&mut shares, &team(2)), 23);
        assert_eq!(fill(&mut shares, &team(3)), 11);
        assert_eq!(fill(&mut shares, &Holder::Controller), 21, "all that is free");
        shares.give_back(&team(1), false, 45);
        assert_eq!(fill(&mut shares, &team(4)), 23, "the controller has its part already");
    }

    #[test]
    fn a_pool_of_one_goes_to_whoever_comes() {
        let mut shares = Shares::new(Pool::with_reserve(1));
        assert!(shares.take(&team(1), false, 1));
        assert!(!shares.take(&team(2), false, 1) && !shares.take(&Holder::Controller, true, 1));
        shares.give_back(&team(1), false, 1);
        assert!(shares.take(&team(2), false, 1));
    }

    proptest! {
        #[test]
        fn whatever_others_hold_the_controller_and_a_newcomer_find_room(
            steps in proptest::collection::vec((0_u8..6, 1_u64..40, any::<bool>()), 0..200)
        ) {
            let mut shares = Shares::new(Pool { size: 1_000, reserve: 125 });
            let mut taken: Vec<(Holder, u64)> = Vec::new();
            for (number, amount, gives) in steps {
                let who = if number == 0 { Holder::Controller } else { team(number) };
                if gives && !taken.is_empty() {
                    let (who, amount) = taken.remove(usize::from(number) % taken.len());
                    shares.give_back(&who, who.is_controller(), amount);
                } else if number < 4 && shares.take(&who, who.is_controller(), amount) {
                    taken.push((who, amount));
                }
                let sum: u64 = taken.iter().map(|(_, amount)| amount).sum();
                prop_assert_eq!(shares.all(), sum);
                prop_assert!(sum <= 1_000);
                let controller = shares.held_by(&Holder::Controller);
                prop_assert!(controller + shares.room(&Holder::Controller, true) >= 125);
                // Three teams that take what they can leave a quarter of what the controller does not have.
                if controller == 0 {
                    prop_assert!(shares.room(&team(9), false) >= 875 / 8 - 40, "{}", shares.room(&team(9), false));
                }
            }
            for (who, amount) in taken {
                shares.give_back(&who, who.is_controller(), amount);
            }
            prop_assert_eq!((shares.all(), shares.controller, shares.held.len()), (0, 0, 0));
        }
    }
}
