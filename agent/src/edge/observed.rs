//! Sees a call through to its end, which for gRPC is the trailers of the answer: counts it, and logs one line.
//!
//! A call whose answer nobody waits for any more ends as cancelled.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use tonic::{Code, Status};
use tracing::{Span, debug};

use super::metered::Account;
use super::rules::Call;
use crate::metrics::Metrics;
use crate::metrics::labels::code_name;
use crate::requests::{Permit, RequestBudget, counted};
use crate::shares::Holder;

/// A call under way.
pub(super) struct Observation {
    call: Call,
    metrics: Metrics,
    span: Span,
    started: Instant,
    ended: bool,
}

impl Observation {
    pub(super) fn begin(call: Call, metrics: Metrics, span: Span) -> Observation {
        Observation { call, metrics, span, started: Instant::now(), ended: false }
    }

    /// The call has ended with `code`. Only the first end counts.
    pub(super) fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let took = self.started.elapsed();
        self.metrics.call_ended(self.call, code, took);
        // Entered, not named as the parent: the JSON log lists the fields of entered spans only.
        self.span.in_scope(|| debug!(code = code_name(code), took_us = took.as_micros(), "call ended"));
    }

    /// The call ends with the status in these headers or trailers, if there is one.
    pub(super) fn end_with(&mut self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.end(status.code());
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// On whose account an answer counts until it is sent.
pub(super) struct Sent {
    pub(super) requests: RequestBudget,
    pub(super) who: Holder,
}

/// The body of an answer, with the call that it belongs to.
pub(super) struct ObservedBody {
    pub(super) body: tonic::body::Body,
    pub(super) observation: Observation,
    pub(super) sent: Sent,
    /// What the answer was counted as before it was made, if it was.
    pub(super) permit: Option<Arc<Permit>>,
    pub(super) _account: Account,
}

impl ObservedBody {
    /// Counts the bytes until the connection has let go of them.
    fn count(&self, data: Bytes) -> Bytes {
        let permit = self
            .permit
            .clone()
            .unwrap_or_else(|| Arc::new(self.sent.requests.take_anyway(&self.sent.who, data.len() as u64)));
        counted(data, permit)
    }
}

impl Body for ObservedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(task);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.observation.end_with(trailers);
                }
            }
            Poll::Ready(Some(Err(status))) => {
                let code = status.code();
                self.observation.end(code);
            }
            Poll::Ready(None) | Poll::Pending => {}
        }
        let polled: Poll<Option<Result<Frame<Bytes>, Status>>> = polled;
        polled.map_ok(|frame| frame.map_data(|data| self.count(data)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
