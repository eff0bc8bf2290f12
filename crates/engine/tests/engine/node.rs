//! Operations that run at once out of one node's memory: none waits for another's, and all of it comes back.

use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex};

use coffer_engine::{NodeResources, RestoreMode};
use coffer_store::MemoryStore;

use crate::world::{Disk, Image, World};

const MIB: usize = 1 << 20;

/// Holds `count` threads until all of them have come.
struct Gate {
    come: Mutex<usize>,
    all: Condvar,
    count: usize,
}

impl Gate {
    fn pass(&self) {
        let mut come = self.come.lock().unwrap();
        *come += 1;
        self.all.notify_all();
        while *come < self.count {
            come = self.all.wait(come).unwrap();
        }
    }
}

/// Every operation holds its smallest share, so that a wait for memory that is not its own would never end.
#[test]
fn as_many_operations_as_there_are_shares_run_at_once() {
    let node = NodeResources::within(256 << 20, 2).unwrap();
    let gate = Gate { come: Mutex::new(0), all: Condvar::new(), count: node.shares() };
    let share = NonZeroUsize::new(1).unwrap();
    let peaks = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for seed in 0..node.shares() as u64 {
            let (node, gate, peaks) = (&node, &gate, &peaks);
            scope.spawn(move || {
                let mut world = World::on(Arc::new(MemoryStore::new()), seed, true);
                world.resources = node.lease(share).unwrap().expect("a share for each");
                gate.pass();
                let mut image = Image::noise(seed, 48 * MIB + 5);
                world.backup(&image);
                image.bytes.chunks_mut(1 << 16).step_by(3).for_each(|block| block[0] ^= 1);
                world.backup(&image);
                let points = world.points();
                assert_eq!(world.restore(&points[1]), image.bytes);
                let disk = Disk::filled(image.bytes.len(), 0);
                world.restore_to(&points[0], &disk, RestoreMode::InPlace).unwrap();
                world.assert_sound();
                peaks.lock().unwrap().push(world.resources.arena.peak_bytes());
            });
        }
    });
    assert_eq!(node.free_shares(), node.shares());
    assert_eq!(node.arena_bytes().0, 0);
    let used: usize = peaks.into_inner().unwrap().iter().sum();
    assert!(used > 4 * 8 * MIB, "they used their shares: {used}");
}
