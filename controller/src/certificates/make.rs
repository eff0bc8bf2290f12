//! Makes keys and certificates.

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::decide::{AUTHORITY_LIFE, LEAF_LIFE};

/// Clocks of nodes may be behind ours by this much.
const BACKDATE_SECONDS: i64 = 3_600;

/// Who a certificate is for.
pub(super) enum Role {
    /// Agents, all of one name.
    Agent {
        /// DNS name.
        name: String,
    },
    /// The controller.
    Controller {
        /// The `DOMAIN` of `spiffe://DOMAIN/coffer/controller`.
        trust_domain: String,
    },
}

/// A certificate and its private key, PEM.
pub(super) struct Identity {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// An authority that can sign.
pub(super) struct Authority {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Authority {
    /// A new one.
    pub(super) fn make(now_seconds: i64) -> anyhow::Result<Authority> {
        let key = KeyPair::generate().context("make an authority's key")?;
        let mut params = authority_params();
        set_validity(&mut params, now_seconds, AUTHORITY_LIFE.as_secs())?;
        let certificate = params.self_signed(&key).context("make an authority's certificate")?;
        Ok(Authority { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// Signs a certificate with a new key.
    pub(super) fn issue(&self, role: &Role, now_seconds: i64) -> anyhow::Result<Identity> {
        let authority_key = KeyPair::from_pem(&self.key).context("read the authority's key")?;
        let issuer = Issuer::new(authority_params(), authority_key);
        let key = KeyPair::generate().context("make a key")?;
        let mut params = params(role)?;
        set_validity(&mut params, now_seconds, LEAF_LIFE.as_secs())?;
        let certificate = params.signed_by(&key, &issuer).context("sign a certificate")?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Coffer");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn params(role: &Role) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let (name, usage, san) = match role {
        Role::Agent { name } => {
            ("coffer-agent", ExtendedKeyUsagePurpose::ServerAuth, SanType::DnsName(name.as_str().try_into()?))
        }
        Role::Controller { trust_domain } => {
            let uri = format!("spiffe://{trust_domain}/coffer/controller");
            ("coffer-controller", ExtendedKeyUsagePurpose::ClientAuth, SanType::URI(uri.as_str().try_into()?))
        }
    };
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![usage];
    params.subject_alt_names = vec![san];
    Ok(params)
}

fn set_validity(params: &mut CertificateParams, now_seconds: i64, life_seconds: u64) -> anyhow::Result<()> {
    let moment = |seconds: i64| {
        let date = jiff::Timestamp::from_second(seconds).context("a moment of a certificate")?;
        let date = date.to_zoned(jiff::tz::TimeZone::UTC).date();
        let month = u8::try_from(date.month()).context("a month")?;
        let day = u8::try_from(date.day()).context("a day")?;
        anyhow::Ok(rcgen::date_time_ymd(i32::from(date.year()), month, day))
    };
    let life = i64::try_from(life_seconds).context("a life")?;
    params.not_before = moment(now_seconds - BACKDATE_SECONDS)?;
    params.not_after = moment(now_seconds + life)?;
    Ok(())
}
