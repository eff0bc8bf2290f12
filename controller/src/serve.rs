//! Metrics and health over HTTP/1.1, without TLS: they tell no secret, and kubelet's probes need it so.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{IntGauge, Opts, Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at once, and how long a caller may take to ask.
const CONNECTIONS_MAX: usize = 64;
const ASK_MAX: Duration = Duration::from_secs(10);

/// What is told.
#[derive(Clone)]
pub struct Telling {
    registry: Registry,
    /// Whether this controller leads.
    pub is_leading: IntGauge,
    /// Backups and restores under way.
    pub runs: IntGauge,
    ready: Arc<AtomicBool>,
}

impl Telling {
    /// Nothing to tell yet.
    ///
    /// # Errors
    /// None that can happen: names are our own.
    pub fn new() -> anyhow::Result<Telling> {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str| -> anyhow::Result<IntGauge> {
            let gauge = IntGauge::with_opts(Opts::new(name, help))?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let is_leading = gauge("coffer_controller_leading", "1 where this controller holds the lease")?;
        let runs =
            gauge("coffer_controller_runs", "Backups and restores that are under way or wait for a place")?;
        Ok(Telling { registry: registry.clone(), is_leading, runs, ready: Arc::default() })
    }

    /// From now on the controller is ready.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::SeqCst);
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<String> {
        let plain = |status, text: &str| {
            let mut response = Response::new(text.to_owned());
            *response.status_mut() = status;
            response
        };
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/healthz") => plain(StatusCode::OK, "ok\n"),
            (&Method::GET, "/readyz") if self.ready.load(Ordering::SeqCst) => plain(StatusCode::OK, "ok\n"),
            (&Method::GET, "/readyz") => {
                plain(StatusCode::SERVICE_UNAVAILABLE, "not connected to the API yet\n")
            }
            (&Method::GET, "/metrics") => {
                match TextEncoder::new().encode_to_string(&self.registry.gather()) {
                    Ok(text) => {
                        let mut response = plain(StatusCode::OK, &text);
                        let kind = header::HeaderValue::from_static("text/plain; version=0.0.4");
                        response.headers_mut().insert(header::CONTENT_TYPE, kind);
                        response
                    }
                    Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
                }
            }
            _ => plain(StatusCode::NOT_FOUND, "GET /metrics, /healthz or /readyz\n"),
        }
    }
}

/// Listens, and serves for ever.
///
/// # Errors
/// The address cannot be listened on.
pub async fn listen(address: SocketAddr, telling: Telling) -> anyhow::Result<()> {
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("listen on {address} (metrics_listen)"))?;
    serve(listener, telling).await
}

/// Serves for ever.
///
/// # Errors
/// None that can happen.
pub async fn serve(listener: TcpListener, telling: Telling) -> anyhow::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // The semaphore is never closed.
        let place = places.clone().acquire_owned().await?;
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let telling = telling.clone();
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(move |request| {
                let response = telling.answer(&request);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(ASK_MAX).keep_alive(false);
            let served =
                tokio::time::timeout(2 * ASK_MAX, http.serve_connection(TokioIo::new(stream), service)).await;
            drop(served);
        });
    }
}
