//! Who a caller is, by the URI in the certificate that the transport has checked.
//!
//! A certificate names exactly one identity; one that names none, several, or something that is not exactly one of the forms below is nobody's.

use std::fmt;

use coffer_format::Label;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// The ASN.1 tag of a URI among a certificate's names (RFC 5280, GeneralName).
const URI_TAG: u32 = 6;
/// A URI is at most this long in an error, bytes.
const SHOWN_LEN_MAX: usize = 200;

/// A caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// `spiffe://DOMAIN/coffer/controller`: may do everything.
    Controller,
    /// `spiffe://DOMAIN/coffer/team/NAME`: sees and runs what is its own team's.
    Team(Label),
    /// `spiffe://DOMAIN/coffer/scraper`: reads metrics.
    Scraper,
    /// Whoever reaches a listener without TLS, which is on loopback or a Unix socket: may do everything.
    Local,
}

/// Why a certificate names no caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It cannot be read.
    #[error("the client's certificate cannot be read")]
    Certificate,
    /// It does not say that it is for clients.
    #[error(
        "the client's certificate is not for client authentication: issue one with extendedKeyUsage clientAuth"
    )]
    Usage,
    /// It has no URI, or several.
    #[error("the client's certificate has {count} URI names where exactly one says who the client is")]
    Count {
        /// How many.
        count: usize,
    },
    /// Its URI is none of an identity.
    #[error(
        "`{uri}` in the client's certificate names no caller: spiffe://{domain}/coffer/controller, …/coffer/scraper and …/coffer/team/NAME do"
    )]
    Uri {
        /// The URI.
        uri: String,
        /// The trust domain that is served.
        domain: String,
    },
}

impl Identity {
    /// Whether this caller may see and do what is `team`'s, where the rules let it call at all.
    ///
    /// Services ask this for every team that a request or an answer touches.
    pub fn may_act_for(&self, team: &Label) -> bool {
        match self {
            Identity::Controller | Identity::Local => true,
            Identity::Team(own) => own == team,
            Identity::Scraper => false,
        }
    }

    /// The team that all of this caller's calls are confined to, if one is.
    pub fn team(&self) -> Option<&Label> {
        match self {
            Identity::Team(team) => Some(team),
            Identity::Controller | Identity::Scraper | Identity::Local => None,
        }
    }

    /// The caller with this URI, whose domain must be `trust_domain`.
    ///
    /// # Errors
    /// [`IdentityError::Uri`]. Nothing is normalised: a URI that is not exactly one of the three forms is nobody's.
    pub fn from_uri(uri: &str, trust_domain: &str) -> Result<Identity, IdentityError> {
        let path = uri.strip_prefix("spiffe://").and_then(|rest| rest.strip_prefix(trust_domain));
        let role = path.and_then(|rest| rest.strip_prefix("/coffer/"));
        match role {
            Some("controller") => Some(Identity::Controller),
            Some("scraper") => Some(Identity::Scraper),
            Some(role) => role.strip_prefix("team/").and_then(|name| name.parse().ok()).map(Identity::Team),
            None => None,
        }
        .ok_or_else(|| IdentityError::Uri {
            uri: uri.chars().take(SHOWN_LEN_MAX).filter(|letter| !letter.is_control()).collect(),
            domain: trust_domain.to_owned(),
        })
    }

    /// The caller whose certificate this is (DER), which the transport has checked against the authorities.
    ///
    /// # Errors
    /// [`IdentityError`]. Other kinds of names beside the one URI are allowed and not looked at.
    pub fn from_certificate(der: &[u8], trust_domain: &str) -> Result<Identity, IdentityError> {
        let (_, certificate) = parse_x509_certificate(der).map_err(|_| IdentityError::Certificate)?;
        let usage = certificate.extended_key_usage().map_err(|_| IdentityError::Certificate)?;
        // The transport only refuses one that is for other things alone.
        if !usage.is_some_and(|usage| usage.value.client_auth) {
            return Err(IdentityError::Usage);
        }
        let names = certificate.subject_alternative_name().map_err(|_| IdentityError::Certificate)?;
        let names = names.map(|extension| &extension.value.general_names[..]).unwrap_or_default();
        let uris: Vec<Option<&str>> = names.iter().filter_map(as_uri).collect();
        match uris[..] {
            [Some(uri)] => Identity::from_uri(uri, trust_domain),
            [None] => Err(IdentityError::Certificate),
            _ => Err(IdentityError::Count { count: uris.len() }),
        }
    }
}

/// The text of a name that is a URI; `Some(None)` for a URI that is no text.
fn as_uri<'a>(name: &'a GeneralName<'_>) -> Option<Option<&'a str>> {
    match name {
        GeneralName::URI(uri) => Some(Some(*uri)),
        GeneralName::Invalid(tag, _) if tag.0 == URI_TAG => Some(None),
        _ => None,
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Controller => formatter.write_str("controller"),
            Identity::Team(team) => write!(formatter, "team/{team}"),
            Identity::Scraper => formatter.write_str("scraper"),
            Identity::Local => formatter.write_str("local"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, KeyPair, SanType};

    use super::*;

    fn certificate(names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    #[test]
    fn a_certificate_names_exactly_one_caller() {
        let read = |names| Identity::from_certificate(&certificate(names), "lab.example");
        let controller = || uri("spiffe://lab.example/coffer/controller");
        let dns = || SanType::DnsName("spiffe.example".try_into().unwrap());
        assert_eq!(read(vec![controller()]), Ok(Identity::Controller));
        assert_eq!(read(vec![dns(), controller()]), Ok(Identity::Controller));
        assert_eq!(read(vec![]), Err(IdentityError::Count { count: 0 }));
        assert_eq!(read(vec![dns()]), Err(IdentityError::Count { count: 0 }));
        assert_eq!(read(vec![controller(), controller()]), Err(IdentityError::Count { count: 2 }));
        let two = read(vec![uri("https://lab.example"), controller()]);
        assert_eq!(two, Err(IdentityError::Count { count: 2 }));
        assert!(matches!(read(vec![uri("https://lab.example")]), Err(IdentityError::Uri { .. })));
        assert_eq!(
            Identity::from_certificate(b"no certificate", "lab.example"),
            Err(IdentityError::Certificate)
        );
    }

    #[test]
    fn a_certificate_that_is_not_for_clients_is_nobodys() {
        use ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
        let read = |usages: Vec<ExtendedKeyUsagePurpose>| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.subject_alt_names = vec![uri("spiffe://d/coffer/controller")];
            params.extended_key_usages = usages;
            let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
            Identity::from_certificate(&der, "d")
        };
        for usages in [vec![], vec![ServerAuth], vec![Any]] {
            assert_eq!(read(usages.clone()), Err(IdentityError::Usage), "{usages:?}");
        }
        for usages in [vec![ClientAuth], vec![ServerAuth, ClientAuth]] {
            assert_eq!(read(usages.clone()), Ok(Identity::Controller), "{usages:?}");
        }
    }

    #[test]
    fn a_uri_that_is_no_text_counts_as_one() {
        // SEQUENCE { [6] "spiffe://d/coffer/scraper", [6] FF }
        let good = b"spiffe://d/coffer/scraper";
        let mut names =
            vec![0x30, u8::try_from(good.len() + 5).unwrap(), 0x86, u8::try_from(good.len()).unwrap()];
        names.extend(good);
        names.extend([0x86, 0x01, 0xFF]);
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 17], names)];
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        assert_eq!(Identity::from_certificate(&der, "d"), Err(IdentityError::Count { count: 2 }));
    }

    #[test]
    fn what_is_almost_an_identity_is_none() {
        for text in [
            "",
            "spiffe://d",
            "spiffe://d/coffer",
            "spiffe://d/coffer/",
            "spiffe://d/coffer/controller/",
            "spiffe://d/coffer/Controller",
            "spiffe://d/coffer//controller",
            "spiffe://d/coffer/controller?x",
            "spiffe://d/coffer/controller#x",
            "spiffe://d/coffer/local",
            "spiffe://d/coffer/team",
            "spiffe://d/coffer/team/",
            "spiffe://d/coffer/team/A",
            "spiffe://d/coffer/team/a/b",
            "spiffe://d/coffer/team/%61",
            "spiffe://d/coffer/team/..",
            "spiffe://other/coffer/controller",
            "spiffe://d.example/coffer/controller",
            "spiffe://x@d/coffer/controller",
            "SPIFFE://d/coffer/controller",
            " spiffe://d/coffer/controller",
            "https://d/coffer/controller",
        ] {
            assert!(Identity::from_uri(text, "d").is_err(), "{text}");
        }
        assert!(Identity::from_uri("spiffe:///coffer/controller", "d").is_err());
    }

    #[test]
    fn a_team_acts_for_itself_only() {
        let (a, b): (Label, Label) = ("a".parse().unwrap(), "b".parse().unwrap());
        let team = Identity::Team(a.clone());
        assert!(team.may_act_for(&a) && !team.may_act_for(&b));
        assert!(Identity::Controller.may_act_for(&a) && Identity::Local.may_act_for(&a));
        assert!(!Identity::Scraper.may_act_for(&a));
    }

    proptest! {
        #[test]
        fn every_team_has_one_uri(name in "[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?", domain in "[a-z0-9.-]{1,30}") {
            let uri = format!("spiffe://{domain}/coffer/team/{name}");
            let identity = Identity::from_uri(&uri, &domain).unwrap();
            prop_assert_eq!(identity.to_string(), format!("team/{name}"));
        }

        #[test]
        fn whatever_is_read_was_written_in_full(text in "(spiffe://)?d?/?(coffer/)?(team/|controller|scraper)?[a-zA-Z0-9/%._-]{0,8}") {
            if let Ok(identity) = Identity::from_uri(&text, "d") {
                prop_assert_eq!(text, format!("spiffe://d/coffer/{identity}"));
            }
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Identity::from_certificate(&bytes, "d").is_err());
        }

        #[test]
        fn a_damaged_certificate_names_its_own_caller_or_nobody(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let mut der = certificate(vec![uri("spiffe://d/coffer/scraper")]);
            let at = at.index(der.len());
            der[at] ^= 1 << bit;
            if let Ok(identity) = Identity::from_certificate(&der, "d") {
                prop_assert_eq!(identity, Identity::Scraper);
            }
        }
    }
}
