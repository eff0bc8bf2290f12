//! Where a listener is: `0.0.0.0:9443` or `unix:/run/coffer/agent.sock`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Longest path of a Unix socket, bytes: `sun_path` without its final NUL.
const UNIX_PATH_LEN_MAX: usize = 107;

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(PathBuf),
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            Err(format!(
                "`{text}` {what}: write ADDRESS:PORT, such as \"0.0.0.0:9443\", or \"unix:/run/coffer/agent.sock\""
            ))
        };
        let Some(path) = text.strip_prefix("unix:") else {
            return text.parse().map(ListenAddress::Tcp).or_else(|_| wrong("is no address"));
        };
        match path {
            _ if !path.starts_with('/') || path.ends_with('/') => wrong("names no absolute path of a socket"),
            _ if path.len() > UNIX_PATH_LEN_MAX => {
                wrong("has more than the 107 bytes that a socket's path can have")
            }
            _ => Ok(ListenAddress::Unix(path.into())),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(address) => address.fmt(formatter),
            ListenAddress::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

impl Serialize for ListenAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
