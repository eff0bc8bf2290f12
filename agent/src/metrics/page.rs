//! `GET /metrics` over HTTP/1.1, for callers that the rules allow.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Method, Request, Response, StatusCode, header};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::debug;

use super::Metrics;
use super::labels::Refused;
use crate::edge::connection::{Connection, Peer};
use crate::edge::rules::may_read_metrics;

/// The version of the text format that the page is in.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// A connection on which nothing is asked for this long is closed.
const IDLE_TIME: Duration = Duration::from_secs(120);

/// Serves `connections` until `stop`, which also ends those that are open.
pub async fn serve(
    mut connections: mpsc::Receiver<Connection>,
    metrics: Metrics,
    stop: impl Future<Output = ()>,
) {
    let mut open = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let connection = tokio::select! {
            () = &mut stop => return,
            connection = connections.recv() => connection,
        };
        let Some(connection) = connection else { return };
        while open.try_join_next().is_some() {}
        open.spawn(serve_one(connection, metrics.clone()));
    }
}

async fn serve_one(connection: Connection, metrics: Metrics) {
    let peer = Arc::clone(connection.peer());
    let service = service_fn(|request: Request<_>| {
        let answer = answer(request.method(), request.uri().path(), &peer, &metrics, SystemTime::now());
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIME)
        .serve_connection(TokioIo::new(connection), service)
        .await;
    if let Err(error) = served {
        debug!(peer = peer.address(), %error, "connection for metrics ended");
    }
}

fn answer(method: &Method, path: &str, peer: &Peer, metrics: &Metrics, now: SystemTime) -> Response<String> {
    match peer.identity(now) {
        Err(stranger) => {
            metrics.refused(Refused::Identity);
            return plain(StatusCode::UNAUTHORIZED, format!("{stranger}\n"));
        }
        Ok(identity) if !may_read_metrics(identity) => {
            metrics.refused(Refused::Rule);
            return plain(
                StatusCode::FORBIDDEN,
                format!("{identity} may not read metrics: docs/agent-rules.md says who may\n"),
            );
        }
        Ok(_) => {}
    }
    match (method, path) {
        (&Method::GET, "/metrics") => plain(StatusCode::OK, metrics.page()),
        (_, "/metrics") => plain(StatusCode::METHOD_NOT_ALLOWED, "write GET /metrics\n".into()),
        _ => plain(StatusCode::NOT_FOUND, "here is /metrics and nothing else\n".into()),
    }
}

fn plain(status: StatusCode, text: String) -> Response<String> {
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(TEXT_FORMAT));
    response
}
