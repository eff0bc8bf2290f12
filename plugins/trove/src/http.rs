//! HTTP as this plugin needs it: one request, one whole JSON answer, limits on time and size. Redirects are never followed.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use coffer_plugin_sdk::{Failure, Reason};
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

/// How long one request may take, to the last byte of its answer.
const REQUEST_MAX: Duration = Duration::from_secs(60);
/// Most bytes of an answer.
const ANSWER_LEN_MAX: usize = 16 << 20;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its JSON; null where there is no body.
    pub(crate) body: Value,
}

/// No answer came, or none that can be used: what was asked for may have been done.
#[derive(Debug)]
pub(crate) struct NoAnswer(pub(crate) String);

impl From<NoAnswer> for Failure {
    fn from(error: NoAnswer) -> Self {
        Failure::new(Reason::Unreachable, error.0)
    }
}

/// A client of HTTP and HTTPS.
pub(crate) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Http {
    /// A client that believes the system's authorities, or those of a file.
    pub(crate) fn new(authorities: Option<&Path>) -> Result<Self, String> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let builder = HttpsConnectorBuilder::new();
        let builder = match authorities {
            None => builder
                .with_provider_and_native_roots(provider)
                .map_err(|error| format!("the system's authorities of certificates: {error}"))?,
            Some(path) => {
                let config = rustls::ClientConfig::builder_with_provider(provider.into())
                    .with_safe_default_protocol_versions()
                    .map_err(|error| error.to_string())?;
                builder.with_tls_config(config.with_root_certificates(roots(path)?).with_no_client_auth())
            }
        };
        let connector = builder.https_or_http().enable_http1().build();
        Ok(Http { client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    /// One request.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &Url,
        token: Option<&HeaderValue>,
        body: Option<&Value>,
    ) -> Result<Answer, NoAnswer> {
        // What stands in an address beside its path may be a secret of somebody.
        let what = format!("{method} {}{}", url.host_str().unwrap_or_default(), url.path());
        let no_answer = |detail: String| NoAnswer(format!("{what}: {detail}"));
        let mut request =
            Request::builder().method(method).uri(url.as_str()).header(ACCEPT, "application/json");
        if let Some(token) = token {
            request = request.header("X-Auth-Token", token);
        }
        let bytes = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(bytes)).map_err(|error| no_answer(error.to_string()))?;
        let answer = async {
            let answer = self.client.request(request).await.map_err(|error| no_answer(chain(&error)))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_LEN_MAX).collect().await;
            let body = body.map_err(|error| no_answer(format!("its answer breaks off: {error}")))?.to_bytes();
            Ok((head, body))
        };
        let late = |_| no_answer(format!("no whole answer in {} s", REQUEST_MAX.as_secs()));
        let (head, bytes) = timeout(REQUEST_MAX, answer).await.map_err(late)??;
        let body = match bytes.is_empty() {
            true => Value::Null,
            // An error may come as a page for people; its status says enough.
            false if !head.status.is_success() => serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            false => serde_json::from_slice(&bytes)
                .map_err(|error| no_answer(format!("its answer is no JSON: {error}")))?,
        };
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

fn roots(path: &Path) -> Result<rustls::RootCertStore, String> {
    let wrong = |detail: String| format!("OS_CACERT {}: {detail}", path.display());
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))? {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("holds no certificate".into())) } else { Ok(roots) }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
