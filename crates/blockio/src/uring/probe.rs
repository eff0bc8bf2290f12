//! Finds out by trying whether io_uring works here: something that does nothing, the bell, and one read.
//!
//! That a ring can be set up proves little: sandboxes may allow that and refuse the rest. It must leave nothing behind
//! and must never touch a volume.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use nix::sys::eventfd::EventFd;
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::error::UringError;
use super::flights::Flights;
use super::kernel_ring::{Completion, KernelRing};
use super::order::Order;
use crate::BUFFER_ALIGN_BYTES;
use crate::arena::Arena;
use crate::handle::{Access, Handle};
use crate::read_batch::ReadBatch;

const NOP: u64 = 1 << 60;
/// So long that it comes from the end of the arena where read buffers lie: no other part is touched, and registered.
const BUFFER_BYTES: usize = 128 * 1024;
/// A request that takes longer than this in memory will never be served.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tries everything that the reactor will use. Nothing is in flight when it returns success.
pub(super) fn try_out(flights: &mut Flights, arena: &Arc<Arena>, bell: &EventFd) -> Result<(), UringError> {
    try_nop(flights.ring()).map_err(UringError::failed("complete a request that does nothing"))?;
    try_bell(flights.ring(), bell).map_err(UringError::failed("wait for an event"))?;
    // A full arena is no reason to do without; then somebody else's read is the first.
    let Some(buf) = arena.try_alloc(BUFFER_BYTES) else { return Ok(()) };
    try_read(flights, ReadBatch::new(buf)).map_err(UringError::failed("read"))
}

fn try_nop(ring: &mut KernelRing) -> io::Result<()> {
    ring.push_nop(NOP)?;
    next_completion(ring).and_then(|completion| error_of(completion.result))
}

fn try_bell(ring: &mut KernelRing, bell: &EventFd) -> io::Result<()> {
    ring.hang_bell(bell)?;
    bell.write(1)?;
    ring.submit_and_wait(1, Some(PATIENCE))?;
    match ring.reap()? {
        None if ring.bell_has_rung() => Ok(()),
        _ => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Reads a file in memory, registered if that is possible here.
fn try_read(flights: &mut Flights, mut batch: ReadBatch) -> io::Result<()> {
    let pattern = [0x5a; BUFFER_ALIGN_BYTES];
    let file = File::from(memfd_create(c"coffer-probe", MFdFlags::MFD_CLOEXEC)?);
    file.write_all_at(&pattern, 0)?;
    let file = Arc::new(Handle::new("memfd".as_ref(), Access::Image { buffered: file, direct: None }));
    let (result, received) = sync_channel(1);
    batch.push(0, pattern.len()).ok_or(io::ErrorKind::OutOfMemory)?;
    let key = flights.add(Order { batch, file, result });
    flights.submit_next(key)?;
    let completion = next_completion(flights.ring())?;
    if let Some(order) = flights.land(completion).order {
        order.send_back();
    }
    error_of(completion.result)?;
    let batch = received.try_recv().map_err(|_| io::ErrorKind::UnexpectedEof)?;
    if batch.bytes() == pattern { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

fn next_completion(ring: &mut KernelRing) -> io::Result<Completion> {
    // The bell, an interruption and a moment without memory end a wait too.
    for _ in 0..10 {
        ring.submit_and_wait(1, Some(PATIENCE))?;
        if let Some(completion) = ring.reap()? {
            return Ok(completion);
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn error_of(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) }
}
