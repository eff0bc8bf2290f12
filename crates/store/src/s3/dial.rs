//! How a connection to a server comes about: directly, or through the proxy that the environment names.
//!
//! TLS is laid over it in `http.rs`; nothing here may look at a byte of a request.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::stall::Watched;
use crate::reach::Reach;

type BoxError = Box<dyn Error + Send + Sync>;

/// Makes connections.
#[derive(Clone)]
pub(super) struct Dial {
    tcp: HttpConnector<Resolver>,
    /// To proxies, which are named by whoever started this process.
    to_proxy: HttpConnector<Resolver>,
    resolver: Resolver,
    proxies: Arc<Matcher>,
    stall: Duration,
}

impl Dial {
    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` count as they do for curl. What a proxy connects to is its own affair.
    pub(super) fn new(connect: Duration, stall: Duration, reach: Reach) -> Self {
        let resolver = Resolver { reach: Arc::new(reach) };
        let tcp = connector(connect, resolver.clone());
        let to_proxy = connector(connect, Resolver { reach: Arc::default() });
        Dial { tcp, to_proxy, resolver, proxies: Arc::new(Matcher::from_env()), stall }
    }

    /// The proxy for a request to `uri`, if it is to go through one.
    pub(super) fn proxy(&self, uri: &Uri) -> Option<Intercept> {
        self.proxies.intercept(uri)
    }
}

fn connector(connect: Duration, resolver: Resolver) -> HttpConnector<Resolver> {
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    tcp.set_connect_timeout(Some(connect));
    tcp
}

/// Where a connection must not lead.
#[derive(Debug, thiserror::Error)]
#[error(
    "the server {host} leads to {address}, {what}, which the settings of this program do not allow for it"
)]
pub(super) struct OutOfReach {
    host: String,
    address: IpAddr,
    what: &'static str,
}

/// Resolves names, and gives out addresses that may be connected to only.
#[derive(Clone)]
struct Resolver {
    reach: Arc<Reach>,
}

impl Resolver {
    fn check(&self, host: &str, address: IpAddr) -> Result<(), OutOfReach> {
        let refuse = |what| OutOfReach { host: host.to_owned(), address, what };
        self.reach.check(host, address).map_err(refuse)
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// One address that is out of reach spoils the name: what resolves to both is not what it says.
    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let checked = found.iter().try_for_each(|found| resolver.check(name.as_str(), found.ip()));
            checked.map_err(io::Error::other)?;
            Ok(found.into_iter())
        })
    }
}

/// The address in a URI whose host is one: connections to it resolve nothing.
fn literal(uri: &Uri) -> Option<(&str, IpAddr)> {
    let host = uri.host()?;
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    Some((host, bare.parse().ok()?))
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
        if let Some((host, address)) = literal(&uri)
            && let Err(refused) = self.resolver.check(host, address)
        {
            return Box::pin(std::future::ready(Err(refused.into())));
        }
        let Some(proxy) = self.proxy(&uri) else {
            return Box::pin(async move { Ok(Watched::new(tcp.call(uri).await?, stall, false)) });
        };
        let to_proxy = self.to_proxy.clone();
        Box::pin(async move {
            let mut tcp = to_proxy;
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
