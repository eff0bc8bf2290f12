//! What operations count becomes metrics.

use std::time::Duration;

use crate::metrics::Metrics;
use crate::metrics::labels::{Amount, Ended, Fallback as Reason, OperationKind, StoreRequest};
use crate::operations::meter::{Bytes, Fallback, Meter};
use crate::operations::record::{Kind, Requests, State};

/// What operations count, in the metrics' words.
pub(crate) struct Metered(pub(crate) Metrics);

impl Meter for Metered {
    fn bytes(&self, what: Bytes, count: u64) {
        match what {
            Bytes::Read => self.0.add(Amount::Read, count),
            Bytes::Changed => self.0.add(Amount::Changed, count),
            Bytes::Uploaded => self.0.add(Amount::Uploaded, count),
            Bytes::Restored => self.0.add(Amount::Restored, count),
            Bytes::Resumed => self.0.add(Amount::Resumed, count),
        }
    }

    fn ended(&self, kind: Kind, state: State, seconds: f64) {
        let kind = match kind {
            Kind::Backup => OperationKind::Backup,
            Kind::Restore => OperationKind::Restore,
            Kind::Verify => OperationKind::Verify,
        };
        let ended = match state {
            State::Succeeded => Ended::Succeeded,
            State::Cancelled => Ended::Cancelled,
            State::Interrupted => Ended::Interrupted,
            State::Failed | State::Queued | State::Running => Ended::Failed,
        };
        self.0.operation_ended(kind, ended, Duration::try_from_secs_f64(seconds).unwrap_or_default());
    }

    fn sample_mismatches(&self, count: u64) {
        self.0.sample_mismatches(count);
    }

    fn fell_back(&self, why: Fallback) {
        self.0.fell_back(match why {
            Fallback::ReadEngine => Reason::UringUnavailable,
            Fallback::Samples => Reason::SampleMismatch,
        });
    }

    fn store_requests(&self, requests: Requests) {
        let counts = [
            (StoreRequest::Put, requests.put),
            (StoreRequest::Get, requests.get),
            (StoreRequest::List, requests.list),
            (StoreRequest::Delete, requests.delete),
            (StoreRequest::Multipart, requests.multipart),
        ];
        counts.into_iter().for_each(|(request, count)| self.0.add_store_requests(request, count));
    }
}
