//! `[NODE=]ADDR`, where an agent listens. Pure.
//!
//! Keys and credentials travel on these connections: without TLS only loopback and Unix sockets are taken.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use tonic::transport::Uri;

const HINT: &str =
    "write https://HOST:PORT, http://127.0.0.1:PORT or unix:/PATH, with NODE= before it to name the node";

/// Where an agent listens, and what its node is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentAddress {
    /// The node's name as the caller gave it.
    pub node: Option<String>,
    /// Where its agent listens.
    pub place: Place,
}

/// Where an agent listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `https://HOST:PORT`.
    Tls(String),
    /// `http://LOOPBACK:PORT`.
    Loopback(String),
    /// `unix:/PATH`.
    Socket(String),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tls(address) | Place::Loopback(address) | Place::Socket(address) => {
                formatter.write_str(address)
            }
        }
    }
}

impl FromStr for AgentAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (node, address) = match text.split_once('=').filter(|(node, _)| !node.contains(['/', ':'])) {
            Some((node, address)) => (Some(check_node(node)?), address),
            None => (None, text),
        };
        Ok(AgentAddress { node, place: place(address)? })
    }
}

fn check_node(node: &str) -> Result<String, String> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '.';
    let fits = (1..=253).contains(&node.len()) && node.chars().all(allowed);
    if fits { Ok(node.to_owned()) } else { Err("a node's name has letters, digits, `-` and `.`".into()) }
}

fn place(address: &str) -> Result<Place, String> {
    if let Some(path) = address.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        let is_absolute = path.starts_with('/') && path.len() > 1;
        return if is_absolute { Ok(Place::Socket(format!("unix:{path}"))) } else { Err(HINT.into()) };
    }
    let uri: Uri = address.parse().map_err(|_| HINT.to_owned())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(HINT.into());
    };
    let is_bare =
        matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.as_str().contains('@');
    let Some(port) = authority.port_u16().filter(|port| *port > 0 && is_bare) else {
        return Err(HINT.into());
    };
    let clean = format!("{scheme}://{}:{port}", authority.host());
    match scheme {
        "https" => Ok(Place::Tls(clean)),
        "http" if is_loopback(authority.host()) => Ok(Place::Loopback(clean)),
        "http" => Err("keys travel to agents: http:// is for 127.0.0.1 only, write https://HOST:PORT".into()),
        _ => Err(HINT.into()),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_three_forms_and_may_name_their_node() {
        let check = |text: &str, node: Option<&str>, place: Place| {
            let address = AgentAddress { node: node.map(str::to_owned), place };
            assert_eq!(text.parse(), Ok(address), "{text}");
        };
        check("https://node-1:9443", None, Place::Tls("https://node-1:9443".into()));
        check("https://node-1:9443/", None, Place::Tls("https://node-1:9443".into()));
        check("https://[fd00::1]:9443", None, Place::Tls("https://[fd00::1]:9443".into()));
        check("http://127.0.0.1:9443", None, Place::Loopback("http://127.0.0.1:9443".into()));
        check("http://[::1]:9443", None, Place::Loopback("http://[::1]:9443".into()));
        check("unix:/run/coffer/agent.sock", None, Place::Socket("unix:/run/coffer/agent.sock".into()));
        check("unix:///run/a=b", None, Place::Socket("unix:/run/a=b".into()));
        check("node-1=unix:/run/a", Some("node-1"), Place::Socket("unix:/run/a".into()));
        check("n.example=https://10.0.0.1:1", Some("n.example"), Place::Tls("https://10.0.0.1:1".into()));
    }

    #[test]
    fn what_would_carry_keys_in_the_clear_is_refused() {
        for wrong in
            ["http://node-1:9443", "http://10.0.0.1:9443", "http://localhost:1", "a=http://0.0.0.0:1"]
        {
            let error = wrong.parse::<AgentAddress>().unwrap_err();
            assert!(error.contains("https://HOST:PORT"), "{wrong}: {error}");
        }
    }

    #[test]
    fn other_words_are_refused_with_what_to_write() {
        for wrong in [
            "",
            "node-1",
            "node-1:9443",
            "https://node-1",
            "https://node-1:0",
            "https://a:1/path",
            "https://a:1?x=y",
            "https://user:secret@a:1",
            "unix:",
            "unix:relative",
            "unix:/",
            "ftp://a:1",
            "=https://a:1",
            "a b=https://a:1",
        ] {
            assert!(wrong.parse::<AgentAddress>().is_err(), "{wrong}");
        }
    }
}
