//! Who a caller is, by the URI in the certificate that the transport has checked.

use coffer_format::Label;

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
