//! Full or incremental? Pure: the plan's points and the wish go in, the choice and its reason come out.

use coffer_format::Reason;

use crate::EngineError;
use crate::catalog::PointEntry;
use crate::request_error::{IncrementalObstacle, RequestError};

/// What the caller wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TypeWish {
    /// The first is full, then incremental until the chain holds `full_every` complete points.
    #[default]
    Auto,
    /// Full.
    Full,
    /// Incremental; refused where there is nothing to build on.
    Incremental,
}

/// What will be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeChoice {
    /// The point to build on; `None` opens a new chain.
    pub parent: Option<PointEntry>,
    /// Why.
    pub reason: Reason,
}

/// Chooses, from the visible points of the plan, oldest first.
///
/// A chain of `full_every` points is one full and `full_every - 1` incrementals: with 24, the 25th point is the second full.
pub fn choose_type(
    points: &[PointEntry],
    wish: TypeWish,
    full_every: u32,
) -> Result<TypeChoice, EngineError> {
    if !(1..=256).contains(&full_every) {
        return Err(RequestError::ChainLength(full_every).into());
    }
    let Some(newest) = points.iter().rev().find(|point| point.is_complete()) else {
        return match wish {
            TypeWish::Incremental => Err(RequestError::NoIncremental(IncrementalObstacle::NoParent).into()),
            TypeWish::Full => Ok(TypeChoice { parent: None, reason: Reason::AskedFull }),
            TypeWish::Auto => Ok(TypeChoice { parent: None, reason: Reason::NoParent }),
        };
    };
    let in_chain = points
        .iter()
        .filter(|point| point.is_complete() && point.summary.chain == newest.summary.chain)
        .count() as u64;
    // Forgotten points are no longer listed; the position of the newest tells how many came before it.
    let in_chain = in_chain.max(position_in_chain(newest));
    let build_on = |reason| TypeChoice { parent: Some(newest.clone()), reason };
    Ok(match wish {
        TypeWish::Full => TypeChoice { parent: None, reason: Reason::AskedFull },
        TypeWish::Incremental if in_chain >= 256 => {
            TypeChoice { parent: None, reason: Reason::ChainFull(256) }
        }
        TypeWish::Incremental => build_on(Reason::AskedIncremental(in_chain)),
        TypeWish::Auto if in_chain >= u64::from(full_every) => {
            TypeChoice { parent: None, reason: Reason::ChainFull(u64::from(full_every)) }
        }
        TypeWish::Auto => build_on(Reason::Continues(in_chain)),
    })
}

/// Number of complete points in the chain up to and including this one, as it was when it was made.
fn position_in_chain(point: &PointEntry) -> u64 {
    match point.summary.reason {
        Reason::Continues(before) | Reason::AskedIncremental(before) => before + 1,
        Reason::NoParent
        | Reason::ChainFull(_)
        | Reason::AskedFull
        | Reason::ParentUnusable
        | Reason::KeyRotated => 1,
    }
}
