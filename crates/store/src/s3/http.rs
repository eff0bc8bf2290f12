//! HTTP for the S3 client: HTTP/1.1 only, connections reused, certificates of the system and of the user.
//!
//! HTTP/2 is never offered: its flow control throttles uploads (measured elsewhere: a tenth of the rate at 240 ms), and one
//! connection would carry all parts. It also remembers the server's clock, which every answer tells, and the region that it names.
//! Of what it holds whole it reads no more than a stated length: memory is bounded whatever a server sends.

use std::fmt;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Read};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::{Bytes, BytesMut};
use http::response::Parts;
use http::{Method, header};
use hyper::body::{Body, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustix::fs::OFlags;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::answer::{self, AnswerFault, ERROR_BYTES_MAX, PAGE_BYTES_MAX, Speaker};
use super::dial::Dial;
use crate::error::StoreError;
use crate::reach::Reach;

/// Connections kept for reuse; more are closed after use.
const IDLE_CONNECTIONS_MAX: usize = 64;
/// Longest file of certificates, bytes: the system's whole collection has a quarter of a megabyte.
const CA_LEN_MAX: u64 = 4 << 20;

/// The client under the S3 client. Clones share connections.
#[derive(Clone)]
pub(super) struct Http {
    client: Client<HttpsConnector<Dial>, SdkBody>,
    dial: Dial,
    clock: Arc<Mutex<Option<ServerTime>>>,
    region: Arc<Mutex<Option<String>>>,
    /// Whether a server has ever answered as S3 does.
    spoken: Arc<AtomicBool>,
    /// Whether answers must be those of S3; services that give credentials speak otherwise.
    strict: bool,
}

/// The server's clock as its last answer told it.
#[derive(Clone, Copy)]
struct ServerTime {
    told: SystemTime,
    at: Instant,
}

impl Http {
    /// A client with this trust, which connects to what `reach` allows.
    pub(super) fn new(trust: &ClientConfig, connect: Duration, stall: Duration, reach: Reach) -> Self {
        let dial = Dial::new(connect, stall, reach);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(trust.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(dial.clone());
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(stall / 2)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        Http {
            client,
            dial,
            clock: Arc::default(),
            region: Arc::default(),
            spoken: Arc::default(),
            strict: false,
        }
    }

    /// The same for requests to S3 itself: what answers otherwise is an error.
    pub(super) fn for_s3(&self) -> Self {
        Http { strict: true, ..self.clone() }
    }

    /// Whether a server has ever answered as S3 does.
    pub(super) fn has_spoken(&self) -> bool {
        self.spoken.load(Ordering::Relaxed)
    }

    /// Notes that it has.
    pub(super) fn note_spoken(&self) {
        self.spoken.store(true, Ordering::Relaxed);
    }

    /// The region that the server named last.
    pub(super) fn region_told(&self) -> Option<String> {
        self.region.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_region(&self, parts: &Parts, body: &[u8]) {
        if let Some(region) = answer::region(&parts.headers, body) {
            *self.region.lock().unwrap_or_else(PoisonError::into_inner) = Some(region);
        }
    }

    /// The server's clock now, by its last answer.
    pub(super) fn server_time(&self) -> Option<SystemTime> {
        let time = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        time.map(|time| time.told + time.at.elapsed())
    }

    fn note_time(&self, headers: &http::HeaderMap) {
        let date = headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
        if let Some(told) = date.and_then(|date| httpdate::parse_http_date(date).ok()) {
            let time = ServerTime { told, at: Instant::now() };
            *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some(time);
        }
    }

    async fn send(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let mut request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        // A tunnel tells the proxy who we are when it is made; plain requests tell it themselves.
        let plain = request.uri().scheme_str() == Some("http");
        let proxy = self.dial.proxy(request.uri()).filter(|_| plain);
        if let Some(auth) = proxy.as_ref().and_then(|proxy| proxy.basic_auth()) {
            request.headers_mut().insert(http::header::PROXY_AUTHORIZATION, auth.clone());
        }
        let (method, streams) = (request.method().clone(), is_object(request.uri()));
        let response = self.client.request(request).await;
        let response = response.map_err(|error| ConnectorError::io(error.into()))?;
        self.note_time(response.headers());
        let response = self.bounded(&method, streams, response).await?;
        HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
    }

    /// The answer with its body in memory, up to a length; an object's content stays on the line.
    async fn bounded(
        &self,
        method: &Method,
        streams: bool,
        response: http::Response<Incoming>,
    ) -> Result<http::Response<SdkBody>, ConnectorError> {
        let (parts, mut body) = response.into_parts();
        let (status, success) = (parts.status.as_u16(), parts.status.is_success());
        if self.strict && streams && success {
            match answer::speaker(method, status, &parts.headers, None) {
                Speaker::S3 if !ends_visibly(&parts.headers) => return Err(fault(AnswerFault::Endless)),
                Speaker::S3 => {
                    self.note_spoken();
                    return Ok(http::Response::from_parts(parts, SdkBody::from_body_1_x(body)));
                }
                Speaker::Other | Speaker::Unknown => {}
            }
        }
        let max = if success && !streams { PAGE_BYTES_MAX } else { ERROR_BYTES_MAX };
        let (bytes, whole) = collect(&mut body, max).await?;
        if self.strict {
            match answer::speaker(method, status, &parts.headers, Some(&bytes)) {
                Speaker::S3 => self.note_spoken(),
                Speaker::Other => {
                    let words = answer::words(status, &parts.headers, &bytes);
                    return Err(fault(AnswerFault::NotS3 { status, words }));
                }
                Speaker::Unknown => {}
            }
            self.note_region(&parts, &bytes);
        }
        if !whole {
            return Err(fault(AnswerFault::TooLong { status, max }));
        }
        Ok(http::Response::from_parts(parts, SdkBody::from(bytes)))
    }
}

/// Whether a request asks for an object's content: the SDK names its operations.
fn is_object(uri: &http::Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "x-id=GetObject"))
}

/// Whether a break in the body is told from its end.
fn ends_visibly(headers: &http::HeaderMap) -> bool {
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONTENT_RANGE]
        .iter()
        .any(|name| headers.contains_key(name))
}

/// At most `max` bytes of a body, and whether these are all.
async fn collect(body: &mut Incoming, max: usize) -> Result<(Bytes, bool), ConnectorError> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        let frame = frame.map_err(|error| ConnectorError::io(error.into()))?;
        let Ok(data) = frame.into_data() else { continue };
        let room = max - bytes.len();
        bytes.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return Ok((bytes.freeze(), false));
        }
    }
    Ok((bytes.freeze(), true))
}

fn fault(fault: AnswerFault) -> ConnectorError {
    ConnectorError::other(fault.into(), None)
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

impl HttpConnector for Http {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().send(request))
    }
}

impl HttpClient for Http {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// TLS that trusts the system's certificates and those in the file `ca`.
///
/// # Errors
/// [`StoreError::Setup`] if the file cannot be used.
pub(super) fn trust(ca: Option<&Path>) -> Result<ClientConfig, StoreError> {
    let builder =
        ClientConfig::builder_with_provider(Arc::new(crypto())).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| setup("TLS cannot be set up".into(), error))?;
    Ok(builder.with_root_certificates(trusted(ca)?).with_no_client_auth())
}

/// Handshakes by aws-lc, whose key exchanges resist quantum computers; records by ring, whose AES-GCM takes half the time where a
/// processor has VAES and no AVX-512, and the same elsewhere.
fn crypto() -> CryptoProvider {
    let cipher_suites = rustls::crypto::ring::DEFAULT_CIPHER_SUITES.to_vec();
    CryptoProvider { cipher_suites, ..rustls::crypto::aws_lc_rs::default_provider() }
}

/// The system's certificates; single ones that cannot be read are left out, as other programs do.
fn trusted(ca: Option<&Path>) -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let Some(path) = ca else { return Ok(roots) };
    let fault = |what: &str| format!("ca={}: {what}", path.display());
    let text = read(path).map_err(|error| setup(fault("cannot be read"), error))?;
    let certificates = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| setup(fault("cannot be read as certificates in PEM form"), error))?;
    if certificates.is_empty() {
        return Err(StoreError::Setup { detail: fault("holds no certificate in PEM form"), source: None });
    }
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|error| setup(fault("holds a certificate that cannot be used"), error))?;
    }
    Ok(roots)
}

/// A regular file of a length that certificates have: a device or a pipe would never end.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::OpenOptionsExt;
    // Opening a pipe does not wait for a writer.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::new();
    match file.take(CA_LEN_MAX + 1).read_to_end(&mut bytes)? {
        len if u64::try_from(len).is_ok_and(|len| len <= CA_LEN_MAX) => Ok(bytes),
        _ => Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 4 MiB")),
    }
}

fn setup(detail: String, error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Setup { detail, source: Some(Box::new(error)) }
}
