//! A certificate authority and a certificate of a server on loopback, new for each test.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// Files of one authority and one server.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// The directory with the server's `public.crt` and `private.key`.
    pub directory: PathBuf,
}

impl Certificates {
    /// Makes them in `directory`.
    pub fn make(directory: &Path) -> Self {
        let authority_key = KeyPair::generate().expect("make a key");
        let mut authority = CertificateParams::new(Vec::new()).expect("no names are fine");
        authority.distinguished_name.push(rcgen::DnType::CommonName, "authority of a test");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_certificate = authority.self_signed(&authority_key).expect("sign an authority");
        let issuer = Issuer::new(authority, authority_key);

        let key = KeyPair::generate().expect("make a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut server = CertificateParams::new(names).expect("these are names");
        server.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
        let certificate = server.signed_by(&key, &issuer).expect("sign a certificate");

        let write = |name: &str, text: String| {
            let path = directory.join(name);
            std::fs::write(&path, text).expect("write a certificate");
            path
        };
        let certificates = Certificates {
            authority: write("authority.pem", authority_certificate.pem()),
            directory: directory.into(),
        };
        write("public.crt", certificate.pem());
        write("private.key", key.serialize_pem());
        certificates
    }
}
