//! A connection that is given up when nothing has moved on it in either direction for too long.
//!
//! This is the only time-out after connecting: slow is fine, standing still is not. It must never end a transfer that moves.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::time::{Instant, Sleep, sleep};

/// `T` with a watch on it.
pub(super) struct Watched<T> {
    inner: T,
    limit: Duration,
    moved: Instant,
    timer: Pin<Box<Sleep>>,
    /// Whether the other end is a proxy that wants whole addresses.
    through_proxy: bool,
}

impl<T> Watched<T> {
    pub(super) fn new(inner: T, limit: Duration, through_proxy: bool) -> Self {
        Watched { inner, limit, moved: Instant::now(), timer: Box::pin(sleep(limit)), through_proxy }
    }

    /// Passes on what the connection said, unless it stands still for too long.
    fn watch<O>(&mut self, context: &mut Context<'_>, moved: Poll<io::Result<O>>) -> Poll<io::Result<O>> {
        if moved.is_ready() {
            self.moved = Instant::now();
            return moved;
        }
        // The timer is set anew only when it fires: most of its life, bytes move and nobody looks at it.
        while self.timer.as_mut().poll(context).is_ready() {
            let deadline = self.moved + self.limit;
            if deadline <= Instant::now() {
                let text = format!("no byte moved for {} s", self.limit.as_secs_f32());
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)));
            }
            self.timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl<T: Read + Unpin> Read for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        self.watch(context, read)
    }
}

impl<T: Write + Unpin> Write for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, buffers);
        self.watch(context, written)
    }
}

impl<T: Connection> Connection for Watched<T> {
    fn connected(&self) -> Connected {
        self.inner.connected().proxy(self.through_proxy)
    }
}
