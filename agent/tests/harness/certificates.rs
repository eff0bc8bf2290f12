//! Authorities and certificates, new for each test, laid out as Kubernetes mounts a Secret: links through `..data`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use coffer_agent::config::TlsFiles;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

pub(crate) const DOMAIN: &str = "lab.example";

/// A certificate with its key, PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Who signs.
pub(crate) struct Authority {
    pub(crate) certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).unwrap().pem();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate of the agent; `name` tells two of them apart.
    pub(crate) fn server(&self, name: &str) -> Pair {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// A client's certificate with these URIs.
    pub(crate) fn client(&self, uris: &[&str]) -> Pair {
        self.sign(Self::client_params(uris))
    }

    /// The certificate of `spiffe://DOMAIN/coffer/<role>`.
    pub(crate) fn role(&self, role: &str) -> Pair {
        self.client(&[&format!("spiffe://{DOMAIN}/coffer/{role}")])
    }

    /// As `role`, but it has ended.
    pub(crate) fn expired(&self, role: &str) -> Pair {
        let mut params = Self::client_params(&[&format!("spiffe://{DOMAIN}/coffer/{role}")]);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(params)
    }

    fn client_params(uris: &[&str]) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params
    }

    fn sign(&self, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }
}

/// A mounted Secret.
pub(crate) struct Mounted {
    directory: PathBuf,
    version: u32,
}

impl Mounted {
    pub(crate) fn new(directory: &Path, server: &Pair, client_ca: &str) -> Mounted {
        let mut mounted = Mounted { directory: directory.to_owned(), version: 0 };
        mounted.exchange(server, client_ca);
        for name in ["tls.crt", "tls.key", "ca.crt"] {
            symlink(Path::new("..data").join(name), directory.join(name)).unwrap();
        }
        mounted
    }

    pub(crate) fn files(&self) -> TlsFiles {
        TlsFiles {
            cert: self.directory.join("tls.crt"),
            key: self.directory.join("tls.key"),
            client_ca: self.directory.join("ca.crt"),
            trust_domain: DOMAIN.to_owned(),
        }
    }

    /// Exchanges everything at once, as kubelet does.
    pub(crate) fn exchange(&mut self, server: &Pair, client_ca: &str) {
        self.version += 1;
        let name = format!("..version-{}", self.version);
        let directory = self.directory.join(&name);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("tls.crt"), &server.certificate).unwrap();
        fs::write(directory.join("tls.key"), &server.key).unwrap();
        fs::set_permissions(directory.join("tls.key"), Permissions::from_mode(0o600)).unwrap();
        fs::write(directory.join("ca.crt"), client_ca).unwrap();
        let link = self.directory.join("..data_tmp");
        symlink(&name, &link).unwrap();
        fs::rename(&link, self.directory.join("..data")).unwrap();
    }
}
