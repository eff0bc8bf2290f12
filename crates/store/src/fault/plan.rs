//! Which requests fail, and how: a list of rules, decided by numbers and a seed only.
//!
//! Chance depends on the seed and the request's step, never on threads or time.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use super::moment::Moment;
use crate::error::StoreError;
use crate::port::Operation;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and has no effect.
    Before(Failure),
    /// It takes effect and the answer is lost: the caller sees a failure.
    After(Failure),
    /// A read ends early, and the store says so ([`StoreError::Short`]). Other requests are not touched.
    Short,
    /// A read succeeds with one bit flipped. Other requests are not touched.
    Flip,
    /// A delete removes the first half of its keys and fails. Other requests are not touched.
    Half(Failure),
}

/// The error that the caller sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// [`StoreError::Unavailable`]
    Unavailable,
    /// [`StoreError::NoSpace`]
    NoSpace,
    /// [`StoreError::Denied`]
    Denied,
    /// [`StoreError::Io`]
    Io,
    /// [`StoreError::Cancelled`]
    Cancelled,
}

impl Failure {
    /// The error of `operation` on `key`.
    pub fn error(self, operation: Operation, key: &str) -> StoreError {
        let key = key.to_owned();
        match self {
            Self::Unavailable => StoreError::Unavailable { operation, key, source: None },
            Self::NoSpace => StoreError::NoSpace { operation, key },
            Self::Denied => StoreError::Denied { operation, key, source: None },
            Self::Io => StoreError::Io { operation, key, source: io::Error::other("injected fault") },
            Self::Cancelled => StoreError::Cancelled { operation, key },
        }
    }
}

/// The rules of a [`super::FaultStore`]; of several that fit a request, the first counts.
#[derive(Debug, Clone, Default)]
pub struct FaultPlan {
    seed: u64,
    rules: Vec<(When, Fault)>,
    seen: BTreeMap<Operation, u64>,
}

#[derive(Debug, Clone)]
enum When {
    Steps(Range<u64>),
    StoringFrom(u64),
    Nth { operation: Operation, n: u64 },
    Chance { operation: Option<Operation>, per_mille: u64 },
}

/// A fault that meets a request, with a random number for its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Strike {
    pub(super) fault: Fault,
    pub(super) chance: u64,
}

impl FaultPlan {
    /// No faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// No faults yet; `seed` decides every chance.
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Strikes the request with number `step`, counted from 0 over all requests.
    #[must_use]
    pub fn fail_at(self, step: u64, fault: Fault) -> Self {
        self.rule(When::Steps(step..step + 1), fault)
    }

    /// Strikes every request in `steps`: an outage.
    #[must_use]
    pub fn burst(self, steps: Range<u64>, fault: Fault) -> Self {
        self.rule(When::Steps(steps), fault)
    }

    /// Strikes the `n`th request of a kind, counted from 0.
    #[must_use]
    pub fn nth(self, operation: Operation, n: u64, fault: Fault) -> Self {
        self.rule(When::Nth { operation, n }, fault)
    }

    /// Strikes each request of a kind, or of all kinds, with a probability of `per_mille` thousandths.
    #[must_use]
    pub fn chance(self, operation: Option<Operation>, per_mille: u64, fault: Fault) -> Self {
        self.rule(When::Chance { operation, per_mille }, fault)
    }

    /// From `step` on the store is full: what needs space fails with [`StoreError::NoSpace`], the rest goes on.
    #[must_use]
    pub fn full_from(self, step: u64) -> Self {
        self.rule(When::StoringFrom(step), Fault::Before(Failure::NoSpace))
    }

    /// The caller dies at `step`, before or after that request takes effect: nothing gets through from then on.
    #[must_use]
    pub fn die_at(self, step: u64, moment: Moment) -> Self {
        let last = match moment {
            Moment::Before => Fault::Before(Failure::Cancelled),
            Moment::After => Fault::After(Failure::Cancelled),
        };
        self.fail_at(step, last).rule(When::Steps(step + 1..u64::MAX), Fault::Before(Failure::Cancelled))
    }

    /// The fault for the request with number `step`, if any.
    pub(super) fn strike(&mut self, step: u64, operation: Operation) -> Option<Strike> {
        let seen = self.seen.entry(operation).or_default();
        let n_of_kind = *seen;
        *seen += 1;
        for ((when, fault), rule) in self.rules.iter().zip(0_u64..) {
            let chance = mix(self.seed ^ mix(step ^ mix(rule)));
            let strikes = match when {
                When::Steps(steps) => steps.contains(&step),
                When::StoringFrom(from) => step >= *from && operation.stores(),
                When::Nth { operation: kind, n } => *kind == operation && *n == n_of_kind,
                When::Chance { operation: kind, per_mille } => {
                    kind.is_none_or(|kind| kind == operation) && chance % 1_000 < *per_mille
                }
            };
            if strikes {
                return Some(Strike { fault: *fault, chance: mix(chance) });
            }
        }
        None
    }

    fn rule(mut self, when: When, fault: Fault) -> Self {
        self.rules.push((when, fault));
        self
    }
}

/// splitmix64: spreads every bit of `x` over all bits.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
