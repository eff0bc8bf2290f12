//! What a server was found to know of S3: with what requests are sent, from the best way down to the plainest that it takes.
//!
//! A way is given up only where the server refuses it and takes a plainer one for the very same request; what it ever took stays. So
//! a refusal for another reason changes nothing. Kept for the life of a store value.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::failure::{Failure, Kind};
use crate::url::{Checksum, S3Address};

/// How whole objects are put, and how parts are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    /// Whether the server is asked to refuse overwriting.
    pub(super) once: bool,
    /// The checksum that goes along.
    pub(super) checksum: Checksum,
}

/// What was found out so far.
#[derive(Debug)]
pub(super) struct Dialect {
    pub(super) put: Ways<Way>,
    pub(super) create: Ways<Checksum>,
    /// Here the checksum is that of the upload, or none.
    pub(super) join: Ways<Join>,
    /// Whether the server takes no lists of objects to delete.
    pub(super) single_deletes: AtomicBool,
}

/// How parts are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Join {
    /// Whether the server is asked to refuse overwriting.
    pub(super) once: bool,
    /// Whether the checksums are named once more.
    pub(super) checksums: bool,
}

impl Dialect {
    pub(super) fn new(address: &S3Address) -> Self {
        let onces = match address.conditional_put {
            None => vec![true, false],
            Some(once) => vec![once],
        };
        let checksums = match address.checksum {
            None => vec![Checksum::Crc64Nvme, Checksum::Crc32c, Checksum::None],
            Some(checksum) => vec![checksum],
        };
        let named: &[bool] = match address.checksum {
            None => &[true, false],
            Some(Checksum::None) => &[false],
            Some(_) => &[true],
        };
        let mut put = Vec::new();
        let mut join = Vec::new();
        for once in onces {
            put.extend(checksums.iter().map(|checksum| Way { once, checksum: *checksum }));
            join.extend(named.iter().map(|checksums| Join { once, checksums: *checksums }));
        }
        Dialect {
            put: Ways::new(put),
            create: Ways::new(checksums),
            join: Ways::new(join),
            single_deletes: AtomicBool::new(false),
        }
    }

    /// What was given up, each with the switch that says so from the start.
    pub(super) fn given_up(&self) -> Vec<String> {
        let mut found = Vec::new();
        let best = self.put.best();
        let checksums = [self.put.taken().map(|way| way.checksum), self.create.taken()];
        let plainest = checksums.into_iter().flatten().max_by_key(|checksum| *checksum as u8);
        if let Some(taken) = plainest.filter(|taken| *taken != best.checksum) {
            let (best, taken) = (best.checksum.name(), taken.name());
            found.push(format!(
                "it refuses the checksum {best}; {taken} is sent: add checksum={taken} to the address"
            ));
        }
        let onces = [self.put.taken().map(|way| way.once), self.join.taken().map(|way| way.once)];
        if best.once && onces.contains(&Some(false)) {
            let text = "it refuses conditional writes, so nothing but Coffer's names, of which none is used twice, keeps objects \
                        from being overwritten: add conditional-put=false to the address";
            found.push(text.to_owned());
        }
        if self.single_deletes.load(Ordering::Relaxed) {
            found.push("it takes no lists of objects to delete: they are deleted one by one".to_owned());
        }
        found
    }
}

/// Ways to send a request, the best first.
#[derive(Debug)]
pub(super) struct Ways<W> {
    all: Vec<W>,
    /// One more than the index of the way that was taken; 0 while none was.
    taken: AtomicUsize,
}

impl<W: Copy> Ways<W> {
    fn new(all: Vec<W>) -> Self {
        Ways { all, taken: AtomicUsize::new(0) }
    }

    fn best(&self) -> W {
        *self.all.first().expect("every address has a way")
    }

    /// The way that the server took.
    pub(super) fn taken(&self) -> Option<W> {
        self.all.get(self.taken.load(Ordering::Relaxed).checked_sub(1)?).copied()
    }

    /// Sends in the way that was taken, or tries them in order. If all are refused, the first refusal is the one that counts.
    pub(super) async fn send<T>(&self, send: impl AsyncFn(W) -> Result<T, Failure>) -> Result<T, Failure> {
        if let Some(way) = self.taken() {
            return send(way).await;
        }
        let mut refused = None;
        for (way, number) in self.all.iter().zip(1..) {
            match send(*way).await {
                Ok(done) => {
                    self.taken.store(number, Ordering::Relaxed);
                    if let Some(Failure { detail, .. }) = refused {
                        tracing::warn!(
                            answer = detail,
                            "the server refuses what it does not know; going on without"
                        );
                    }
                    return Ok(done);
                }
                Err(failure) if failure.kind == Kind::Refused => {
                    refused.get_or_insert(failure);
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(refused.expect("every address has a way, and each was refused"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(ways: &Ways<u8>, takes: u8) -> (Vec<u8>, Result<u8, Kind>) {
        let tried = std::cell::RefCell::new(Vec::new());
        let future = ways.send(async |way| {
            tried.borrow_mut().push(way);
            if way >= takes { Ok(way) } else { Err(Failure::new(Kind::Refused, way.to_string())) }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let result = runtime.block_on(future).map_err(|failure| failure.kind);
        (tried.into_inner(), result)
    }

    #[test]
    fn a_way_is_given_up_only_for_one_that_is_taken() {
        let ways = Ways::new(vec![0, 1, 2]);
        assert_eq!(sent(&ways, 9), (vec![0, 1, 2], Err(Kind::Refused)), "for another reason");
        assert_eq!(ways.taken(), None);
        assert_eq!(sent(&ways, 1), (vec![0, 1], Ok(1)));
        assert_eq!(sent(&ways, 2), (vec![1], Err(Kind::Refused)), "what was ever taken stays");
        assert_eq!(sent(&ways, 0), (vec![1], Ok(1)));
    }

    #[test]
    fn what_an_address_says_is_not_given_up() {
        let mut address = S3Address::new("bucket", "");
        assert_eq!(Dialect::new(&address).put.all.len(), 6);
        (address.checksum, address.conditional_put) = (Some(Checksum::Crc32c), Some(true));
        assert_eq!(Dialect::new(&address).put.all, [Way { once: true, checksum: Checksum::Crc32c }]);
        assert_eq!(Dialect::new(&address).join.all, [Join { once: true, checksums: true }]);
    }
}
