//! Which parts of the arena are registered with the ring, so that reads into them need not pin pages one by one.
//!
//! Read buffers are registered when they are first used and stay so: workers keep theirs for a whole volume. The rest
//! of the arena is not registered, because that would make all of it resident and count against RLIMIT_MEMLOCK. It
//! must never say that memory is registered which the ring does not know.

use super::kernel_ring::BUFFER_SLOTS;

/// A registered part of the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    offset_bytes: usize,
    len_bytes: usize,
}

/// The ring's slots and what is in them.
#[derive(Debug, Default)]
pub(super) struct Registered {
    parts: Vec<Part>,
    /// The slot to give away next when all are taken.
    oldest: u16,
    /// The kernel said no, mostly because of RLIMIT_MEMLOCK; asking for every read would cost more than it brings.
    refused: bool,
}

impl Registered {
    /// The slot that covers the given part of the arena, after registering it with `register` where needed.
    pub(super) fn slot_for(
        &mut self,
        offset_bytes: usize,
        len_bytes: usize,
        register: impl FnOnce(u16) -> bool,
    ) -> Option<u16> {
        let covers =
            |part: &Part| part.offset_bytes <= offset_bytes && offset_bytes + len_bytes <= part.end_bytes();
        if let Some(slot) = self.parts.iter().position(covers) {
            return u16::try_from(slot).ok();
        }
        if self.refused {
            return None;
        }
        let slot = u16::try_from(self.parts.len()).ok().filter(|slot| *slot < BUFFER_SLOTS);
        let slot = slot.unwrap_or(self.oldest);
        if !register(slot) {
            self.refused = true;
            // What was in the slot may be gone or not.
            self.forget(slot);
            return None;
        }
        self.put(slot, Part { offset_bytes, len_bytes });
        Some(slot)
    }

    fn put(&mut self, slot: u16, part: Part) {
        match self.parts.get_mut(usize::from(slot)) {
            Some(old) => {
                *old = part;
                self.oldest = (slot + 1) % BUFFER_SLOTS;
            }
            None => self.parts.push(part),
        }
    }

    fn forget(&mut self, slot: u16) {
        if let Some(old) = self.parts.get_mut(usize::from(slot)) {
            *old = Part { offset_bytes: 0, len_bytes: 0 };
        }
    }
}

impl Part {
    fn end_bytes(self) -> usize {
        self.offset_bytes + self.len_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{BUFFER_SLOTS, Registered};

    const MIB: usize = 1 << 20;

    #[test]
    fn a_part_is_registered_once_and_covers_what_lies_in_it() {
        let mut registered = Registered::default();
        assert_eq!(registered.slot_for(MIB, MIB, |slot| slot == 0), Some(0));
        assert_eq!(registered.slot_for(MIB, MIB, |_| panic!("it is registered")), Some(0));
        assert_eq!(registered.slot_for(MIB + 4096, MIB - 4096, |_| panic!("it is registered")), Some(0));
        for (offset, len) in [(MIB - 4096, 8192), (MIB, MIB + 1), (3 * MIB, 1)] {
            let before = registered.parts.len();
            assert_eq!(registered.slot_for(offset, len, |_| true), u16::try_from(before).ok());
        }
    }

    #[test]
    fn after_a_refusal_the_kernel_is_not_asked_again() {
        let mut registered = Registered::default();
        assert_eq!(registered.slot_for(0, MIB, |_| true), Some(0));
        assert_eq!(registered.slot_for(MIB, MIB, |_| false), None);
        assert_eq!(registered.slot_for(2 * MIB, MIB, |_| panic!("asked again")), None);
        assert_eq!(registered.slot_for(0, MIB, |_| panic!("it is registered")), Some(0));
    }

    #[test]
    fn the_oldest_part_makes_room_and_is_known_no_more() {
        let mut registered = Registered::default();
        let slots = usize::from(BUFFER_SLOTS);
        for part in 0..slots + 2 {
            let slot = u16::try_from(part % slots).ok();
            assert_eq!(registered.slot_for(part * MIB, MIB, |asked| Some(asked) == slot), slot);
        }
        let mut asked = false;
        registered.slot_for(0, MIB, |slot| {
            asked = true;
            slot == 2
        });
        assert!(asked, "the first part was given away");
        assert_eq!(registered.slot_for(5 * MIB, MIB, |_| panic!("it is registered")), Some(5));
        assert_eq!(registered.slot_for(9000 * MIB, MIB, |_| false), None);
        assert_eq!(
            registered.slot_for(3 * MIB, MIB, |_| true),
            None,
            "its slot is in doubt since the refusal"
        );
    }
}
