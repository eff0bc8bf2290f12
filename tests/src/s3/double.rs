//! An S3 server in this process with the semantics of AWS: conditional writes, checksums, multipart uploads, listings.
//!
//! A test double: everything is in memory and gone with it. What AWS refuses, it must refuse too; and what other servers lack, if it is
//! told to lack it.

mod model;
mod parts;
mod requests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

pub use self::parts::{BUCKET, Lack, SESSION_ACCESS_KEY, SESSION_TOKEN};
use self::parts::{State, Turn};
use super::{ACCESS_KEY, Endpoint, SECRET_KEY};

/// A running server with the bucket [`BUCKET`].
#[derive(Debug)]
pub struct Double {
    address: SocketAddr,
    runtime: Option<Runtime>,
    state: Arc<State>,
}

impl Double {
    /// Starts one on a free port.
    pub fn start() -> Self {
        Self::without(&[])
    }

    /// Starts one that lacks some things.
    pub fn without(lacks: &[Lack]) -> Self {
        let runtime =
            Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("start a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("listen on loopback");
        let address = listener.local_addr().expect("a listener has an address");
        let state = Arc::new(State { lacks: lacks.to_vec(), ..State::default() });
        let mut builder = S3ServiceBuilder::new(requests::Requests(state.clone()));
        builder.set_auth(Keys(state.clone()));
        builder.set_access(Access(state.clone()));
        runtime.spawn(serve(listener, builder.build()));
        Double { address, runtime: Some(runtime), state }
    }

    /// Where it is.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { url: format!("http://{}", self.address), ca: None }
    }

    /// After so many requests only the access key `access` counts, with the owner's secret; `then` runs before the first one is refused.
    pub fn change_key_after(&self, requests: u64, access: &str, then: impl FnOnce() + Send + 'static) {
        let key = Some(access.to_owned());
        *self.state.turn() = Turn { after: Some(requests), key, then: Some(Box::new(then)), turned: false };
    }

    /// After so many requests one is refused as expired.
    pub fn expire_once_after(&self, requests: u64) {
        *self.state.turn() = Turn { after: Some(requests), ..Turn::default() };
    }

    /// Whether a key was refused because of that.
    pub fn key_changed(&self) -> bool {
        self.state.turn().turned
    }

    /// Puts an object into the bucket without a request.
    pub fn hold(&self, name: &str, body: bytes::Bytes) {
        self.state.model.put(name, body, None, false).expect("a put without conditions succeeds");
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Of these, the ones of a session.
    pub fn session_requests(&self) -> u64 {
        self.state.session_requests.load(Ordering::SeqCst)
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(listener: TcpListener, service: S3Service) {
    while let Ok((stream, _)) = listener.accept().await {
        // Without it, every answer of two packets waits for the other side's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(connection);
    }
}

/// Who may sign.
struct Keys(Arc<State>);

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match access_key {
            ACCESS_KEY | SESSION_ACCESS_KEY => Ok(SecretKey::from(SECRET_KEY)),
            other if self.0.turn().key.as_deref() == Some(other) => Ok(SecretKey::from(SECRET_KEY)),
            _ => Err(s3_error!(InvalidAccessKeyId)),
        }
    }
}

/// Who may do what: all who sign, those of a session with its token only.
struct Access(Arc<State>);

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let requests = self.0.requests.fetch_add(1, Ordering::SeqCst) + 1;
        let Some(credentials) = context.credentials() else { return Err(s3_error!(AccessDenied)) };
        if let Some(refused) = self.0.turn().refuses(requests, &credentials.access_key) {
            return Err(refused);
        }
        if credentials.access_key == SESSION_ACCESS_KEY {
            let token = context.headers().get("x-amz-security-token").and_then(|token| token.to_str().ok());
            if token != Some(SESSION_TOKEN) {
                return Err(s3_error!(InvalidToken));
            }
            self.0.session_requests.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}
