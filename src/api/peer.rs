//! Who is at the other end of a request for the control plane.

use std::net::IpAddr;

/// What the connection tells of a client; it travels in the extensions of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peer {
    /// Where it comes from.
    pub address: Option<IpAddr>,
    /// Whether nobody on the way can read along.
    pub is_tls: bool,
}
