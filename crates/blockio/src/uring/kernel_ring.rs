//! The calls of io_uring that this crate uses, as few as possible, behind one type.
//!
//! It knows nothing of batches. It must never be used from two threads: with the flags below the kernel serves only
//! the thread that made the ring. It must never poll for completions or keep a kernel thread busy (no SQPOLL, no
//! IOPOLL): the processor belongs to the volumes' users.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::time::Duration;

use io_uring::squeue::Entry;
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode};
use nix::errno::Errno;
use nix::libc;

use super::error::UringError;

/// Entries of the submission queue: twice what is ever in flight, so that it has room whenever we submit.
pub(super) const ENTRIES: u32 = 256;
/// How many buffers can be registered at once: two per worker for as many workers as an operation ever has.
pub(super) const BUFFER_SLOTS: u16 = 128;

/// `user_data` of the bell; reads use numbers far below.
const BELL: u64 = u64::MAX;

/// What a completion says: whose it is, and the kernel's result (bytes, or an error number below zero).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Completion {
    pub(super) user_data: u64,
    pub(super) result: i32,
}

/// Memory that one read fills.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadMemory {
    pub(super) start: NonNull<u8>,
    pub(super) len_bytes: u32,
    /// The slot it is registered in.
    pub(super) slot: Option<u16>,
}

/// One io_uring instance.
pub(super) struct KernelRing {
    ring: IoUring,
    has_buffer_slots: bool,
    bell: Bell,
}

/// The one request that is not a read: it completes each time the event is triggered.
#[derive(Debug, Default)]
struct Bell {
    hangs: bool,
    has_rung: bool,
}

impl KernelRing {
    /// Sets a ring up for this thread alone, with the cheapest way of completion that the kernel has.
    pub(super) fn new() -> Result<Self, UringError> {
        let ring = build()?;
        // Waiting with a time-out, Linux 5.11; completions that are never dropped, Linux 5.5.
        for (has, feature) in
            [(ring.params().is_feature_ext_arg(), "EXT_ARG"), (ring.params().is_feature_nodrop(), "NODROP")]
        {
            if !has {
                return Err(UringError::TooOld { feature });
            }
        }
        // Best effort: without registered buffers all works, and costs a little more.
        let has_buffer_slots = ring.submitter().register_buffers_sparse(BUFFER_SLOTS.into()).is_ok();
        Ok(Self { ring, has_buffer_slots, bell: Bell::default() })
    }

    /// Queues a request that does nothing.
    pub(super) fn push_nop(&mut self, user_data: u64) -> io::Result<()> {
        self.push(&opcode::Nop::new().build().user_data(user_data))
    }

    /// Makes waiting end also when `event` is triggered; does nothing if that is so already.
    ///
    /// The event's counter is never read: the kernel tells of each write to it, and a full counter still is an event.
    pub(super) fn hang_bell(&mut self, event: &impl AsFd) -> io::Result<()> {
        if self.bell.hangs {
            return Ok(());
        }
        let events = u32::from(libc::POLLIN.cast_unsigned());
        let poll = opcode::PollAdd::new(Fd(event.as_fd().as_raw_fd()), events).multi(true);
        self.push(&poll.build().user_data(BELL))?;
        self.bell.hangs = true;
        Ok(())
    }

    /// Whether the bell ever rang.
    pub(super) fn bell_has_rung(&self) -> bool {
        self.bell.has_rung
    }

    /// Queues a read of `file` at `offset`.
    ///
    /// # Safety
    /// From this call until the completion of `user_data` was reaped, the memory stays allocated and nobody reads or
    /// writes it, and `file` stays open. A wrong slot is no danger: the kernel answers EFAULT to memory outside of it.
    pub(super) unsafe fn push_read(
        &mut self,
        file: &File,
        offset: u64,
        memory: ReadMemory,
        user_data: u64,
    ) -> io::Result<()> {
        let (fd, start, len) = (Fd(file.as_raw_fd()), memory.start.as_ptr(), memory.len_bytes);
        let entry = match memory.slot {
            Some(slot) => opcode::ReadFixed::new(fd, start, len, slot).offset(offset).build(),
            None => opcode::Read::new(fd, start, len).offset(offset).build(),
        };
        self.push(&entry.user_data(user_data))
    }

    /// Registers memory in `slot`, in place of what was there.
    ///
    /// # Safety
    /// The memory is part of a mapping that stays as long as this ring.
    pub(super) unsafe fn register(&self, slot: u16, start: NonNull<u8>, len_bytes: usize) -> io::Result<()> {
        if !self.has_buffer_slots {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let memory = libc::iovec { iov_base: start.as_ptr().cast(), iov_len: len_bytes };
        // SAFETY: the caller keeps the memory; the kernel reads the one iovec during the call.
        unsafe { self.ring.submitter().register_buffers_update(slot.into(), &[memory], None) }
    }

    /// Submits what is queued and waits until `want` completions are there, or `patience` is over.
    pub(super) fn submit_and_wait(&self, want: usize, patience: Option<Duration>) -> io::Result<()> {
        let timespec = patience.map(Timespec::from);
        let waiting = SubmitArgs::new();
        let waiting = match &timespec {
            Some(timespec) => waiting.timespec(timespec),
            None => waiting,
        };
        match self.ring.submitter().submit_with_args(want, &waiting) {
            Err(error) if is_passing(&error) => Ok(()),
            result => result.map(drop),
        }
    }

    /// The next completion that is there, of anything but the bell.
    pub(super) fn reap(&mut self) -> io::Result<Option<Completion>> {
        while let Some(entry) = self.ring.completion().next() {
            let (user_data, result) = (entry.user_data(), entry.result());
            if user_data != BELL {
                return Ok(Some(Completion { user_data, result }));
            }
            if result < 0 {
                return Err(io::Error::from_raw_os_error(-result));
            }
            self.bell = Bell { hangs: io_uring::cqueue::more(entry.flags()), has_rung: true };
        }
        Ok(None)
    }

    fn push(&mut self, entry: &Entry) -> io::Result<()> {
        // SAFETY: a NOP and a poll refer to no memory; for a read `push_read` makes its caller keep memory and file.
        unsafe { self.ring.submission().push(entry) }.map_err(|_| io::ErrorKind::WouldBlock.into())
    }
}

/// Interrupted, timed out, or short of memory for a moment: look at what completed and come again.
fn is_passing(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EINTR | Errno::ETIME | Errno::EAGAIN | Errno::EBUSY))
}

fn build() -> Result<IoUring, UringError> {
    // Completions are worked off when we ask for them and never interrupt us. DEFER_TASKRUN is Linux 6.1,
    // SINGLE_ISSUER 6.0, COOP_TASKRUN 5.19; older kernels answer EINVAL.
    let mut deferred = IoUring::builder();
    deferred.setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun();
    let mut cooperative = IoUring::builder();
    cooperative.setup_coop_taskrun();
    let mut result = deferred.dontfork().build(ENTRIES);
    for mut simpler in [cooperative, IoUring::builder()] {
        match &result {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                result = simpler.dontfork().build(ENTRIES);
            }
            _ => break,
        }
    }
    result.map_err(UringError::from_setup)
}
