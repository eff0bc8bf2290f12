//! Which addresses a store may connect to, for programs whose callers name the server.
//!
//! Pure. A caller that may name any server could otherwise make this process talk to services that trust it for where it runs: those of its
//! own host, of its links, and its cloud's metadata. The decision is about addresses, as a name may resolve to anything; it is made where the
//! connection is, by what the name resolved to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses a store may connect to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Reach {
    /// All of them: the person who named the server may reach it anyway.
    #[default]
    Anywhere,
    /// None that only this host, its links or its cloud can reach, unless the server is one that was named.
    Outside {
        /// Hosts (names or addresses) that may lead anywhere, with the buckets below them.
        named: Vec<String>,
    },
}

/// Addresses of clouds' metadata that are not link-local: AWS (instances, EKS), Google, Alibaba, Oracle, Azure.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];

impl Reach {
    /// Whether a connection to `address`, which the host of a request resolved to, may be made; else why not.
    ///
    /// # Errors
    /// What the address is.
    pub fn check(&self, host: &str, address: IpAddr) -> Result<(), &'static str> {
        match (self, inner(address)) {
            (Reach::Outside { named }, Some(what)) if !named.iter().any(|name| is_of(host, name)) => {
                Err(what)
            }
            _ => Ok(()),
        }
    }
}

/// What an address is that only this host, its links or its cloud can reach; `None` for all others.
pub fn inner(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => inner_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(address) => inner_v4(address),
            None => inner_v6(address),
        },
    }
}

fn inner_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address {
        _ if address.is_loopback() => Some("a loopback address"),
        // The kernel takes the whole of 0.0.0.0/8 for this host or for nothing.
        _ if address.octets()[0] == 0 => Some("an address of this host"),
        _ if address.is_link_local() => Some("a link-local address"),
        _ if METADATA_V4.contains(&address) => Some("an address of a cloud's metadata"),
        _ if address.is_multicast() || address.is_broadcast() => Some("no address of one host"),
        _ => None,
    }
}

fn inner_v6(address: Ipv6Addr) -> Option<&'static str> {
    match address {
        _ if address.is_loopback() => Some("a loopback address"),
        _ if address.is_unspecified() => Some("an address of this host"),
        _ if address.is_unicast_link_local() => Some("a link-local address"),
        _ if METADATA_V6.contains(&address) => Some("an address of a cloud's metadata"),
        _ if address.is_multicast() => Some("no address of one host"),
        _ => None,
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, or behind the well-known prefix of NAT64 or of 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => v4(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => None,
    }
}

/// Whether a request's host is the one that was named, or a bucket's name below it.
fn is_of(host: &str, name: &str) -> bool {
    let (host, name) = (plain(host), plain(name));
    host == name || host.strip_suffix(&name).is_some_and(|rest| rest.ends_with('.'))
}

/// A host without the brackets of an IPv6 address and without the final dot of a name.
fn plain(host: &str) -> String {
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(named: &[&str]) -> Reach {
        Reach::Outside { named: named.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn addresses_of_this_host_its_links_and_its_cloud_are_told_from_others() {
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "2002:7f00:1::",
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert!(outside(&[]).check("store.example", address).is_err(), "{address}");
            assert_eq!(Reach::Anywhere.check("store.example", address), Ok(()));
        }
        for address in
            ["10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "8.8.8.8", "fd12::1", "2a00::1"]
        {
            assert_eq!(outside(&[]).check("store.example", address.parse().unwrap()), Ok(()), "{address}");
        }
    }

    #[test]
    fn only_the_host_that_was_named_and_its_buckets_may_lead_anywhere() {
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        let reach = outside(&["MinIO.local", "::1"]);
        for host in ["minio.local", "bucket.minio.local", "MINIO.LOCAL.", "[::1]"] {
            assert_eq!(reach.check(host, local), Ok(()), "{host}");
        }
        for host in ["evilminio.local", "minio.local.evil", "local", "[::2]", "x.local"] {
            assert_eq!(reach.check(host, local), Err("a loopback address"), "{host}");
        }
    }
}
