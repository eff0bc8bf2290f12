//! Which certificates have to be made now. Pure.

use std::time::Duration;

use x509_parser::extensions::ParsedExtension;
use x509_parser::pem::parse_x509_pem;

/// Life of an authority, and of what it signs.
pub(super) const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
pub(super) const LEAF_LIFE: Duration = Duration::from_secs(90 * 86_400);

/// What is there, PEM.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found<'a> {
    /// The authority's certificate.
    pub(super) authority: Option<&'a str>,
    /// The agents'.
    pub(super) agent: Option<&'a str>,
    /// The controller's.
    pub(super) controller: Option<&'a str>,
}

/// What has to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Make {
    pub(super) authority: bool,
    pub(super) agent: bool,
    pub(super) controller: bool,
}

/// Decides: what is missing, cannot be read, is past two thirds of its life, or was signed by another authority.
pub(super) fn decide(found: &Found<'_>, now_seconds: i64) -> Make {
    let is_due = |pem: Option<&str>| pem.is_none_or(|pem| is_old(pem, now_seconds));
    let authority = is_due(found.authority);
    let is_foreign = |pem: Option<&str>| match (pem, found.authority) {
        (Some(leaf), Some(authority)) => !is_signed_by(leaf, authority),
        _ => true,
    };
    let leaf = |pem| authority || is_due(pem) || is_foreign(pem);
    Make { authority, agent: leaf(found.agent), controller: leaf(found.controller) }
}

fn is_old(pem: &str, now_seconds: i64) -> bool {
    let Ok((_, pem)) = parse_x509_pem(pem.as_bytes()) else { return true };
    let Ok(certificate) = pem.parse_x509() else { return true };
    let begin = certificate.validity().not_before.timestamp();
    let end = certificate.validity().not_after.timestamp();
    now_seconds < begin || (now_seconds - begin) / 2 >= (end - begin) / 3
}

/// Whether the leaf names the authority's key as its issuer's. Both are read from Secrets that only the controller writes: this finds a leaf of an
/// authority that was replaced, not a forged one.
fn is_signed_by(leaf: &str, authority: &str) -> bool {
    match (key_id(leaf, true), key_id(authority, false)) {
        (Some(issuer), Some(subject)) => issuer == subject,
        _ => false,
    }
}

/// The identifier of a certificate's own key, or of its issuer's.
fn key_id(pem: &str, of_issuer: bool) -> Option<Vec<u8>> {
    let (_, pem) = parse_x509_pem(pem.as_bytes()).ok()?;
    let certificate = pem.parse_x509().ok()?;
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) if of_issuer => {
            Some(id.key_identifier.as_ref()?.0.to_vec())
        }
        ParsedExtension::SubjectKeyIdentifier(id) if !of_issuer => Some(id.0.to_vec()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::make::{Authority, Role};
    use super::*;

    const DAY: i64 = 86_400;

    #[test]
    fn what_is_missing_foreign_or_old_is_made() {
        let now = 1_800_000_000;
        let authority = Authority::make(now).unwrap();
        let role = Role::Agent { name: "coffer-agent".into() };
        let agent = authority.issue(&role, now).unwrap();
        let other = Authority::make(now).unwrap().issue(&role, now).unwrap();
        let make = |authority, agent, controller| Make { authority, agent, controller };
        let check = |found: Found<'_>, at: i64, expected| assert_eq!(decide(&found, at), expected, "{at}");
        let all = Found {
            authority: Some(&authority.certificate),
            agent: Some(&agent.certificate),
            controller: Some(&agent.certificate),
        };
        check(Found::default(), now, make(true, true, true));
        check(all, now, make(false, false, false));
        check(all, now + 59 * DAY, make(false, false, false));
        check(all, now + 61 * DAY, make(false, true, true));
        check(all, now + 7 * 365 * DAY, make(true, true, true));
        check(Found { controller: Some(&other.certificate), ..all }, now, make(false, false, true));
        check(Found { agent: Some("rubbish"), ..all }, now, make(false, true, false));
    }
}
