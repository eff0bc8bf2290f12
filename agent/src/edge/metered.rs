//! What a call sends is counted on its caller's account as it arrives, and has a time by which it must be there.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status};

use super::fields::FieldCount;
use crate::errors::AgentError;
use crate::requests::Permit;

/// Longest message that a caller may send, bytes: a key file of 1 MiB beside 256 volumes.
pub const MESSAGE_BYTES_MAX: u64 = 2 << 20;
/// How long the message of a call may take to arrive.
const MESSAGE_TIME: Duration = Duration::from_secs(60);
/// What a call takes besides its headers and message, bytes.
pub(super) const CALL_BYTES: u64 = 4 << 10;

/// What a call takes of its caller's account, from its headers to its answer.
///
/// A service finds it among a request's extensions, and gives it to work that goes on when the caller has left.
#[derive(Debug, Clone)]
pub struct Account(Arc<Mutex<Permit>>);

impl Account {
    pub(super) fn new(permit: Permit) -> Account {
        Account(Arc::new(Mutex::new(permit)))
    }

    /// A message lies in memory once as it came and once decoded.
    fn count(&self, bytes: u64) -> Result<(), AgentError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).grow(2 * bytes, "a message")
    }
}

/// A request's body.
pub(super) struct MeteredBody<B> {
    body: B,
    account: Account,
    fields: FieldCount,
    received: u64,
    /// `None` where the caller may send as long as it likes.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> MeteredBody<B> {
    /// `is_endless`: a stream of messages, which has no end to wait for.
    pub(super) fn new(body: B, account: Account, is_endless: bool) -> MeteredBody<B> {
        let timer = (!is_endless).then(|| Box::pin(sleep(MESSAGE_TIME)));
        MeteredBody { body, account, fields: FieldCount::new(), received: 0, timer }
    }

    fn check(&mut self, data: &Bytes) -> Result<(), Status> {
        self.received += data.len() as u64;
        if self.received > MESSAGE_BYTES_MAX {
            let text = format!("a message of more than {MESSAGE_BYTES_MAX} bytes is none of this agent's");
            return Err(AgentError::Usage(text).into());
        }
        self.fields.look(data).map_err(|_| {
            AgentError::Usage("the message has more fields than any request of this agent's".into())
        })?;
        self.account.count(data.len() as u64)?;
        Ok(())
    }
}

impl<B> Body for MeteredBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match Pin::new(&mut self.body).poll_frame(task) {
            Poll::Ready(Some(Ok(frame))) => {
                let checked = frame.data_ref().map_or(Ok(()), |data| self.check(data));
                Poll::Ready(Some(checked.map(|()| frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(Status::from_error(error.into())))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let is_over = self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(task).is_ready());
                if !is_over {
                    return Poll::Pending;
                }
                let text = format!("the message was not there after {} s", MESSAGE_TIME.as_secs());
                Poll::Ready(Some(Err(Status::new(Code::DeadlineExceeded, text))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
