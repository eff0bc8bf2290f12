//! An API server of Kubernetes that keeps lists of two resources, over TLS on loopback: one object per page, tokens that need quoting, refusals
//! in its own form, and faults where a test wants them. It writes down what it was asked.

#![allow(dead_code, reason = "every test program uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking; clippy sees no test here")]

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Whom the server knows.
pub(crate) const TOKEN: &str = "canary-token-of-the-caller";

/// What happens to a request instead of an answer.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Status and body.
    Answer(u16, String),
    /// The connection ends before the body does.
    Cut,
    /// No answer comes, ever.
    Stall,
}

/// What the server has, and does.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) volumes: Vec<Value>,
    pub(crate) pods: Vec<Value>,
    /// A resource that may not be listed.
    pub(crate) forbidden: &'static str,
    /// For requests in their order; `None` is a good answer.
    pub(crate) faults: VecDeque<Option<Fault>>,
}

/// A request: the resource and its query.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) resource: String,
    pub(crate) query: BTreeMap<String, String>,
}

/// The server and the thread that it lives on.
pub(crate) struct FakeApi {
    pub(crate) address: SocketAddr,
    pub(crate) authority: String,
    /// Certificate and key of a caller.
    pub(crate) client: (String, String),
    state: Arc<Mutex<(World, Vec<Asked>)>>,
    stalled: Receiver<()>,
    _runtime: tokio::runtime::Runtime,
}

impl FakeApi {
    pub(crate) fn start(world: World) -> FakeApi {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let leaf = |names: Vec<String>| {
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
            (certificate.pem(), key.serialize_pem())
        };
        let acceptor = acceptor(&issuer.pem(), &leaf(vec!["127.0.0.1".into()]));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new((world, Vec::new())));
        let (sender, stalled) = channel();
        runtime.spawn(serve(listener, acceptor, Arc::clone(&state), sender));
        let client = leaf(Vec::new());
        FakeApi { address, authority: issuer.pem(), client, state, stalled, _runtime: runtime }
    }

    /// A kubeconfig whose only context has this name, with the caller's token.
    pub(crate) fn kubeconfig(&self, context: &str) -> Value {
        self.kubeconfig_of(context, json!({ "token": TOKEN }))
    }

    pub(crate) fn kubeconfig_of(&self, context: &str, user: Value) -> Value {
        let authority = base64(&self.authority);
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": context, "cluster": {
                "server": format!("https://{}", self.address),
                "certificate-authority-data": authority,
            } }],
            "users": [{ "name": context, "user": user }],
            "contexts": [{ "name": context, "context": { "cluster": context, "user": context } }],
            "current-context": context,
        })
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().1.clone()
    }

    /// Lets the next requests meet these faults.
    pub(crate) fn faults(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        let mut state = self.state.lock().unwrap();
        state.0.faults = faults.into_iter().collect();
        state.1.clear();
    }

    pub(crate) fn forbid(&self, resource: &'static str) {
        self.state.lock().unwrap().0.forbidden = resource;
    }

    /// Waits until a request stalls.
    pub(crate) fn wait_for_stall(&self) {
        self.stalled.recv().unwrap();
    }
}

/// Base64 as kubeconfigs have it.
pub(crate) fn base64(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let chunk = |bytes: &[u8]| {
        let number =
            (0..3).fold(0_usize, |sum, at| sum << 8 | usize::from(bytes.get(at).copied().unwrap_or(0)));
        let letters = (0..4).map(move |at| char::from(LETTERS[number >> (18 - 6 * at) & 63]));
        letters.take(bytes.len() + 1).chain(std::iter::repeat_n('=', 3 - bytes.len())).collect::<String>()
    };
    text.as_bytes().chunks(3).map(chunk).collect()
}

fn acceptor(authority: &str, (certificate, key): &(String, String)) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

type Body = BoxBody<Bytes, std::io::Error>;

type State = Arc<Mutex<(World, Vec<Asked>)>>;

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, state: State, stalled: Sender<()>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (acceptor, state, stalled) = (acceptor.clone(), Arc::clone(&state), stalled.clone());
        tokio::spawn(async move {
            // A caller that does not trust us goes away.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let has_certificate = stream.get_ref().1.peer_certificates().is_some();
            let service = service_fn(|request| answer(request, has_certificate, &state, &stalled));
            drop(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    has_certificate: bool,
    state: &State,
    stalled: &Sender<()>,
) -> Result<Response<Body>, Infallible> {
    let query = url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
    let query: BTreeMap<String, String> = query.into_owned().collect();
    let resource = request.uri().path().strip_prefix("/api/v1/").unwrap_or_default().to_owned();
    let is_known = has_certificate
        || request.headers().get("authorization").is_some_and(|word| *word == format!("Bearer {TOKEN}"));
    let (code, body) = {
        let mut state = state.lock().unwrap();
        state.1.push(Asked { resource: resource.clone(), query: query.clone() });
        match state.0.faults.pop_front().flatten() {
            Some(Fault::Answer(code, body)) => (code, body),
            Some(Fault::Cut) => return Ok(cut()),
            Some(Fault::Stall) => {
                let _ = stalled.send(());
                (0, String::new())
            }
            None if !is_known => status(401, "Unauthorized", "Unauthorized"),
            None if state.0.forbidden == resource => {
                let text = format!(
                    "{resource} is forbidden: User \"jane\u{1b}[31m\" cannot list resource \"{resource}\" in API group \"\" at the cluster scope"
                );
                status(403, "Forbidden", &text)
            }
            None => page(&state.0, &resource, &query),
        }
    };
    if code == 0 {
        std::future::pending::<()>().await;
    }
    let response = Response::builder().status(code).header("content-type", "application/json");
    Ok(response.body(Full::from(body).map_err(|never| match never {}).boxed()).unwrap())
}

/// A head, a part of a body, and the end of the connection.
fn cut() -> Response<Body> {
    let (sender, parts) = tokio::sync::mpsc::channel(1);
    // The server has one thread: the head is on its way before this task begins.
    tokio::spawn(async move {
        let part = Frame::data(Bytes::from_static(b"{\"kind\":"));
        for part in [Ok(part), Err(std::io::Error::other("cut"))] {
            let _ = sender.send(part).await;
        }
    });
    Response::new(StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(parts)).boxed())
}

/// A refusal as the API words it.
pub(crate) fn status(code: u16, reason: &str, message: &str) -> (u16, String) {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code,
    });
    (code, body.to_string())
}

fn page(world: &World, resource: &str, query: &BTreeMap<String, String>) -> (u16, String) {
    let (kind, all) = match resource {
        "persistentvolumes" => ("PersistentVolumeList", &world.volumes),
        "pods" => ("PodList", &world.pods),
        _ => return status(404, "NotFound", "the server could not find the requested resource"),
    };
    let node = query.get("fieldSelector").and_then(|selector| selector.strip_prefix("spec.nodeName="));
    let fits = |item: &&Value| node.is_none_or(|node| item["spec"]["nodeName"] == node);
    let items: Vec<&Value> = all.iter().filter(fits).collect();
    let index: usize = match query.get("continue") {
        Some(token) => token.strip_prefix("a+b/c&=").unwrap().parse().unwrap(),
        None => 0,
    };
    let rest = items.len().saturating_sub(index + 1);
    let mut metadata = json!({ "resourceVersion": "4711" });
    if rest > 0 {
        metadata["continue"] = json!(format!("a+b/c&={}", index + 1));
        metadata["remainingItemCount"] = json!(rest);
    }
    let items: Vec<&Value> = items.into_iter().skip(index).take(1).collect();
    (200, json!({ "kind": kind, "apiVersion": "v1", "metadata": metadata, "items": items }).to_string())
}

/// A PersistentVolume that a claim of namespace shop is bound to.
pub(crate) fn host_path(name: &str, path: &str, claim: &str) -> Value {
    json!({
        "metadata": { "name": name, "uid": format!("uid-{name}"), "resourceVersion": "12",
            "managedFields": [{ "manager": "kubectl", "operation": "Update" }] },
        "spec": {
            "capacity": { "storage": "256Mi" },
            "hostPath": { "path": path, "type": "DirectoryOrCreate" },
            "accessModes": ["ReadWriteOnce"],
            "claimRef": { "kind": "PersistentVolumeClaim", "namespace": "shop", "name": claim, "uid": "c" },
            "persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem",
        },
        "status": { "phase": "Bound" },
    })
}

/// A running pod of namespace shop that uses these claims.
pub(crate) fn pod(name: &str, node: &str, claims: &[&str]) -> Value {
    let volumes = claims.iter().map(
        |claim| json!({ "name": format!("v-{claim}"), "persistentVolumeClaim": { "claimName": claim } }),
    );
    json!({
        "metadata": { "name": name, "namespace": "shop", "uid": format!("uid-{name}") },
        "spec": {
            "nodeName": node,
            "containers": [{ "name": "app", "image": "busybox" }],
            "volumes": volumes.collect::<Vec<_>>(),
        },
        "status": { "phase": "Running", "podIP": "10.0.0.1" },
    })
}
