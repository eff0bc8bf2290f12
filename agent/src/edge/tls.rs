//! Certificates of the listeners: TLS 1.3, every client has a certificate, files are read again when they change.
//!
//! Nothing watches the files: they are looked at when a connection comes, so an idle agent stays asleep. New files that cannot be used leave
//! the old ones in force, with a warning. Connections that are open keep what they began with. Sessions are never resumed: each connection
//! shows its certificate anew.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tracing::{info, warn};
use x509_parser::parse_x509_certificate;
use zeroize::Zeroizing;

use super::error::EdgeError;
use crate::closed_file::check_mode;
use crate::config::TlsFiles;

/// HTTP/2, for gRPC.
pub const ALPN_GRPC: &[u8] = b"h2";
/// HTTP/1.1, for metrics.
pub const ALPN_METRICS: &[u8] = b"http/1.1";

/// What was read from the files at one time.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// For the next connection.
    pub server: Arc<ServerConfig>,
    /// When the agent's own certificate ends.
    pub not_after: SystemTime,
}

/// Certificates in files that may be exchanged at any time.
#[derive(Debug)]
pub struct Certificates {
    files: TlsFiles,
    alpn: &'static [u8],
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    loaded: Loaded,
    /// How the files looked when they were last read, with success or without.
    seen: Stamp,
}

/// How the three files look from outside. Links are followed: Kubernetes exchanges a mounted Secret by changing one.
type Stamp = [Option<FileStamp>; 3];

/// Device, inode, size, and time of the last change of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Certificates {
    /// Reads the files for a listener that speaks `alpn`.
    ///
    /// # Errors
    /// [`EdgeError`] names the file that cannot be used, and why.
    pub fn load(files: &TlsFiles, alpn: &'static [u8]) -> Result<Certificates, EdgeError> {
        // Looked at before they are read: what changes in between looks different the next time.
        let seen = stamp(files);
        let loaded = read(files, alpn)?;
        Ok(Certificates { files: files.clone(), alpn, state: Mutex::new(State { loaded, seen }) })
    }

    /// What the next connection is to be served with; reads the files again if they have changed.
    pub fn current(&self) -> Loaded {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamp(&self.files);
        if now != state.seen {
            state.seen = now;
            match read(&self.files, self.alpn) {
                Ok(loaded) => {
                    state.loaded = loaded;
                    info!(cert = %self.files.cert.display(), "certificates read again");
                }
                Err(error) => warn!(%error, "new certificates cannot be used, the old ones stay in force"),
            }
        }
        state.loaded.clone()
    }

    /// The domain of the identities that are let in.
    pub fn trust_domain(&self) -> &str {
        &self.files.trust_domain
    }
}

/// When the certificate (DER) ends; `None` if it cannot be read.
pub(super) fn not_after(der: &[u8]) -> Option<SystemTime> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn stamp(files: &TlsFiles) -> Stamp {
    [&files.cert, &files.key, &files.client_ca].map(|path| {
        let found = fs::metadata(path).ok()?;
        let changed = (found.mtime(), found.mtime_nsec());
        Some(FileStamp { device: found.dev(), inode: found.ino(), size: found.size(), changed })
    })
}

fn read(files: &TlsFiles, alpn: &[u8]) -> Result<Loaded, EdgeError> {
    let chain = certificates("tls.cert", &files.cert)?;
    let authorities = authorities(files)?;
    let key = Zeroizing::new(bytes("tls.key", &files.key)?);
    let mode = fs::metadata(&files.key).map_or(0, |found| found.mode());
    check_mode(mode)
        .map_err(|problem| content("tls.key", &files.key, format!("cannot be used: {problem}")))?;
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|_| content("tls.key", &files.key, "holds no private key in PEM form".to_owned()))?;
    let not_after = chain.first().and_then(|own| not_after(own)).ok_or_else(|| {
        content("tls.cert", &files.cert, "holds a certificate that cannot be read".to_owned())
    })?;

    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(&provider))
        .build()
        .map_err(|error| content("tls.client_ca", &files.client_ca, format!("cannot be used: {error}")))?;
    let pair = |error: rustls::Error| EdgeError::TlsPair {
        cert: files.cert.clone(),
        key: files.key.clone(),
        problem: error.to_string(),
    };
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(pair)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(pair)?;
    server.alpn_protocols = vec![alpn.to_vec()];
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(Loaded { server: Arc::new(server), not_after })
}

fn authorities(files: &TlsFiles) -> Result<RootCertStore, EdgeError> {
    let mut store = RootCertStore::empty();
    for authority in certificates("tls.client_ca", &files.client_ca)? {
        store.add(authority).map_err(|error| {
            content(
                "tls.client_ca",
                &files.client_ca,
                format!("holds a certificate that cannot be used: {error}"),
            )
        })?;
    }
    Ok(store)
}

/// All certificates of a PEM file; at least one.
fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, EdgeError> {
    let text = bytes(key, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(content(key, path, "holds no certificate in PEM form".to_owned())),
        Err(error) => Err(content(key, path, format!("is no PEM file: {error}"))),
    }
}

fn bytes(key: &'static str, path: &Path) -> Result<Vec<u8>, EdgeError> {
    fs::read(path).map_err(|source| EdgeError::TlsFile { key, path: path.to_owned(), source })
}

fn content(key: &'static str, path: &Path, problem: String) -> EdgeError {
    EdgeError::TlsContent { key, path: path.to_owned(), problem }
}
