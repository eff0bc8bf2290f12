//! How a connection to a server comes about: directly, or through the proxy that the environment names.
//!
//! TLS is laid over it in `http.rs`; nothing here may look at a byte of a request.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::stall::Watched;

type BoxError = Box<dyn Error + Send + Sync>;

/// Makes connections.
#[derive(Clone)]
pub(super) struct Dial {
    tcp: HttpConnector,
    proxies: Arc<Matcher>,
    stall: Duration,
}

impl Dial {
    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` count as they do for curl.
    pub(super) fn new(connect: Duration, stall: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        tcp.set_connect_timeout(Some(connect));
        Dial { tcp, proxies: Arc::new(Matcher::from_env()), stall }
    }

    /// The proxy for a request to `uri`, if it is to go through one.
    pub(super) fn proxy(&self, uri: &Uri) -> Option<Intercept> {
        self.proxies.intercept(uri)
    }
}

impl Service<Uri> for Dial {
    type Response = Watched<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (mut tcp, stall) = (self.tcp.clone(), self.stall);
        let Some(proxy) = self.proxy(&uri) else {
            return Box::pin(async move { Ok(Watched::new(tcp.call(uri).await?, stall, false)) });
        };
        Box::pin(async move {
            if proxy.uri().scheme_str() != Some("http") {
                return Err(format!("the proxy {} is not of the form http://host:port", proxy.uri()).into());
            }
            if uri.scheme_str() == Some("https") {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
                if let Some(auth) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(auth.clone());
                }
                return Ok(Watched::new(tunnel.call(uri).await?, stall, false));
            }
            Ok(Watched::new(tcp.call(proxy.uri().clone()).await?, stall, true))
        })
    }
}
