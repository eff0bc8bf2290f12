//! Certificates for connections to agents, as values.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// What TLS needs on the way to agents. It holds a private key and has no `Debug`.
#[derive(Clone)]
pub struct Tls {
    authorities: Vec<u8>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    server_name: Option<String>,
}

/// What was given for TLS cannot be used. It tells nothing of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// No certificate of an authority in PEM form.
    #[error("no certificate of an authority in PEM form")]
    Authorities,
    /// No certificate in PEM form.
    #[error("no certificate in PEM form")]
    Certificate,
    /// No private key in PEM form.
    #[error("no private key in PEM form")]
    PrivateKey,
    /// They do not fit each other, or the library takes them not.
    #[error("{0}")]
    Unusable(String),
}

impl Tls {
    /// Trusts `authorities` (PEM, one certificate or more).
    ///
    /// # Errors
    /// [`TlsError::Authorities`].
    pub fn trusting(authorities: Vec<u8>) -> Result<Tls, TlsError> {
        let authorities =
            are_certificates(&authorities).then_some(authorities).ok_or(TlsError::Authorities)?;
        Ok(Tls { authorities, identity: None, server_name: None })
    }

    /// The caller's own certificate, with those between it and its root, and its private key (PEM both).
    ///
    /// # Errors
    /// [`TlsError::Certificate`], [`TlsError::PrivateKey`].
    pub fn with_identity(mut self, certificate: Vec<u8>, private_key: Vec<u8>) -> Result<Tls, TlsError> {
        if !are_certificates(&certificate) {
            return Err(TlsError::Certificate);
        }
        PrivateKeyDer::from_pem_slice(&private_key).map_err(|_| TlsError::PrivateKey)?;
        self.identity = Some((certificate, private_key));
        Ok(self)
    }

    /// The name that agents' certificates must bear, where it is not the host of the address.
    #[must_use]
    pub fn with_server_name(mut self, name: Option<String>) -> Tls {
        self.server_name = name;
        self
    }

    pub(crate) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    pub(crate) fn tonic(&self, timeout: Duration) -> ClientTlsConfig {
        let authorities = Certificate::from_pem(&self.authorities);
        let mut tls = ClientTlsConfig::new().timeout(timeout).ca_certificate(authorities);
        if let Some(name) = &self.server_name {
            tls = tls.domain_name(name);
        }
        match &self.identity {
            Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key)),
            None => tls,
        }
    }

    /// The same for a probe.
    pub(crate) fn rustls(&self) -> Result<ClientConfig, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&self.authorities).flatten());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_slice_iter(certificate).flatten().collect();
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::PrivateKey)?;
                builder.with_client_auth_cert(chain, key).map_err(unusable)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

fn unusable(error: rustls::Error) -> TlsError {
    TlsError::Unusable(error.to_string())
}

fn are_certificates(pem: &[u8]) -> bool {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.is_ok_and(|all| !all.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pem_is_refused_and_not_quoted() {
        assert_eq!(Tls::trusting(b"secret".to_vec()).err(), Some(TlsError::Authorities));
        let error = TlsError::PrivateKey.to_string();
        assert_eq!(error, "no private key in PEM form");
    }
}
