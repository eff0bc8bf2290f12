//! Stands before all services: finds out who calls what, asks the rules, and lets in or refuses. No service is reached past it.
//!
//! What a service finds in a request's extensions was put there by this file: [`Identity`], [`Account`], and [`TraceContext`] where the caller sent
//! one.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::{Instrument, Span, field, info, info_span};

use super::connection::{Peer, Stranger};
use super::identity::{Identity, IdentityError};
use super::metered::{Account, CALL_BYTES, MeteredBody};
use super::observed::{Observation, ObservedBody, Sent};
use super::quota::LineQuota;
use super::refusal::Refusal;
use super::rules::{Access, Call, access};
use super::trace_context::{self, TraceContext};
use crate::errors::AgentError;
use crate::metrics::Metrics;
use crate::metrics::labels::Refused;
use crate::requests::{Permit, RequestBudget};
use crate::shares::Holder;

/// Puts [`Authorize`] before services.
#[derive(Clone)]
pub struct AuthorizeLayer {
    metrics: Metrics,
    requests: RequestBudget,
    now: fn() -> SystemTime,
    refusals: Arc<LineQuota>,
}

/// A service behind the rules.
#[derive(Clone)]
pub struct Authorize<S> {
    inner: S,
    edge: AuthorizeLayer,
}

/// Who calls, for a service behind the rules.
///
/// # Errors
/// INTERNAL where the service does not stand behind them, which is a mistake in this program: nobody is let in by it.
pub fn identity_of<T>(request: &tonic::Request<T>) -> Result<&Identity, Status> {
    request
        .extensions()
        .get()
        .ok_or_else(|| Status::internal("the caller was not identified: this is a mistake in the agent"))
}

impl AuthorizeLayer {
    /// Calls and what they send count in `requests`. `now` tells whether a certificate has ended since its connection began.
    pub fn new(metrics: Metrics, requests: RequestBudget, now: fn() -> SystemTime) -> AuthorizeLayer {
        AuthorizeLayer { metrics, requests, now, refusals: Arc::default() }
    }

    /// Counts a call on its caller's account.
    fn count_call(&self, who: &Holder, headers: &http::HeaderMap) -> Result<Permit, AgentError> {
        let texts: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum();
        self.requests.take(who, CALL_BYTES + texts as u64, "a call")
    }
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Authorize<S> {
        Authorize { inner, edge: self.clone() }
    }
}

impl<S, B> Service<Request<B>> for Authorize<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    B: hyper::body::Body<Data = bytes::Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let call = Call::of_path(request.uri().path());
        let trace = request.headers().get(trace_context::HEADER);
        let trace = trace.and_then(|header| TraceContext::parse(header.to_str().ok()?));
        let peer = request.extensions().get::<Arc<Peer>>().cloned();
        let span = span(call, trace.as_ref());
        let mut observation = Observation::begin(call, self.edge.metrics.clone(), span.clone());

        match decide(peer.as_deref(), call, (self.edge.now)()) {
            Err(refusal) => {
                let status = refusal.status();
                self.edge.metrics.refused(refusal.reason());
                let peer = peer.as_ref().map_or("unknown", |peer| peer.address());
                if let Some(left_out) = self.edge.refusals.take(Instant::now()) {
                    span.in_scope(|| info!(peer, reason = status.message(), left_out, "call refused"));
                }
                observation.end(status.code());
                Box::pin(async move { Ok(status.into_http()) })
            }
            Ok(identity) => {
                span.record("caller", field::display(&identity));
                let who = Holder::from(&identity);
                let permit = match self.edge.count_call(&who, request.headers()) {
                    Ok(permit) => permit,
                    Err(error) => {
                        self.edge.metrics.refused(Refused::Full);
                        observation.end(error.code());
                        return Box::pin(async move { Ok(tonic::Status::from(error).into_http()) });
                    }
                };
                let account = Account::new(permit);
                request.extensions_mut().insert(identity);
                request.extensions_mut().insert(account.clone());
                if let Some(trace) = trace {
                    request.extensions_mut().insert(trace);
                }
                // The service that said it is ready is the one to call; the clone takes its place.
                let clone = self.inner.clone();
                let mut ready = std::mem::replace(&mut self.inner, clone);
                let (kept, is_endless) = (account.clone(), call == Call::Reflection);
                let request = request.map(|body| Body::new(MeteredBody::new(body, account, is_endless)));
                let sent = Sent { requests: self.edge.requests.clone(), who };
                let answered = async move {
                    let response = ready.call(request).await?;
                    Ok(observe(response, observation, sent, kept))
                };
                Box::pin(answered.instrument(span))
            }
        }
    }
}

/// Who calls, if the rules let them. Pure.
fn decide(peer: Option<&Peer>, call: Call, now: SystemTime) -> Result<Identity, Refusal> {
    // A request without a connection cannot come from our listeners.
    let peer = peer.ok_or(Refusal::Stranger(Stranger::Unnamed(IdentityError::Certificate)))?;
    let identity = peer.identity(now).map_err(Refusal::Stranger)?;
    match (access(identity, call), call) {
        (Access::All | Access::OwnTeam, _) => Ok(identity.clone()),
        (Access::Never, Call::Unknown) => Err(Refusal::Unknown(identity.clone())),
        (Access::Never, _) => Err(Refusal::Rule(identity.clone(), call)),
    }
}

fn span(call: Call, trace: Option<&TraceContext>) -> Span {
    let span = info_span!(
        "rpc",
        rpc = call.name(),
        caller = field::Empty,
        trace_id = field::Empty,
        parent_span_id = field::Empty
    );
    if let Some(trace) = trace {
        span.record("trace_id", trace.trace_id());
        span.record("parent_span_id", trace.span_id());
    }
    span
}

/// Keeps the observation until the answer has ended. An answer that is only a status carries it in its headers.
fn observe(
    mut response: Response<Body>,
    mut observation: Observation,
    sent: Sent,
    account: Account,
) -> Response<Body> {
    observation.end_with(response.headers());
    // Counted by the service that made it, else as it goes out.
    let permit = response.extensions_mut().remove::<Arc<Permit>>();
    response.map(|body| Body::new(ObservedBody { body, observation, sent, permit, _account: account }))
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;

    use super::*;

    #[test]
    fn a_service_without_the_rules_before_it_knows_nobody() {
        assert_eq!(identity_of(&tonic::Request::new(())).unwrap_err().code(), tonic::Code::Internal);
        let nobody = decide(None, Call::HealthCheck, SystemTime::UNIX_EPOCH).unwrap_err();
        assert_eq!(nobody.status().code(), tonic::Code::Unauthenticated);
    }

    #[test]
    fn a_refusal_tells_its_kind_and_what_to_do() {
        let peer = Peer::local("test".into());
        let refusal = decide(Some(&peer), Call::Unknown, SystemTime::UNIX_EPOCH).unwrap_err();
        let status = refusal.status();
        let info = status.get_details_error_info().unwrap();
        assert_eq!(status.code(), tonic::Code::Unimplemented);
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("unknown-call", "coffer.dev"));
        assert_eq!(info.metadata["advice"], "configure");
    }
}
