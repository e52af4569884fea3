//! The words that a section of the configuration is written in.
//!
//! Every module defines its own `Config` next to its use; `config/` only composes them. What they
//! share lives here, at the bottom, so that no module has to look up to `config/`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Deserialize;

/// One thing that is wrong with a setting: what it is, and what to do about it.
///
/// `check()` of a section returns all of them at once; `config/` adds where the value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Full dotted key, for example `origin.s3.bucket`.
    pub key: String,
    /// The offending value as text; never that of a secret.
    pub value: String,
    /// What is wrong and what would be right, as one sentence.
    pub remedy: String,
}

impl Problem {
    /// A problem of `key`, whose present value is `value`.
    pub fn new(key: &str, value: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self { key: key.to_owned(), value: value.to_string(), remedy: remedy.into() }
    }
}

/// A text that must never reach a log: `Debug` prints `***`, and there is no `Display`.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Call it only where the secret is used, and keep the result short-lived.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether no secret was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A network of addresses: `10.0.0.0/8`, `fd00::/8`, or one address alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    first: IpAddr,
    prefix_bits: u32,
}

impl Cidr {
    /// What a value that is no network should have been.
    pub const REMEDY: &str = "must be a network such as 10.0.0.0/8 with no bits set behind the prefix";

    /// Whether an address lies in it. One of IPv4 that is written as IPv6 counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (first, width) = bits(self.first);
        let (address, other_width) = bits(address.to_canonical());
        width == other_width && host_bits(first ^ address, width - self.prefix_bits) == first ^ address
    }
}

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let (first, prefix_bits) = match text.split_once('/') {
            Some((first, prefix_bits)) => (first, Some(prefix_bits)),
            None => (text, None),
        };
        let first: IpAddr = first.parse().map_err(|_| InvalidCidr)?;
        let (value, width) = bits(first);
        let prefix_bits = match prefix_bits {
            Some(text) => text.parse().map_err(|_| InvalidCidr)?,
            None => width,
        };
        // Either the address or the length is a slip of the pen, and it is about who is let in.
        let is_network = prefix_bits <= width && host_bits(value, width - prefix_bits) == 0;
        if is_network && first.to_canonical() == first {
            Ok(Self { first, prefix_bits })
        } else {
            Err(InvalidCidr)
        }
    }
}

/// The text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", Cidr::REMEDY)]
pub struct InvalidCidr;

/// An address as a number, and the width of its kind.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (address.to_bits().into(), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

/// The last `count` bits.
fn host_bits(bits: u128, count: u32) -> u128 {
    bits & !u128::MAX.checked_shl(count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_of_its_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1 ::ffff:10.1.2.3", "11.0.0.0 9.255.255.255 ::10.0.0.1 a00::"),
            ("192.168.1.7", "192.168.1.7", "192.168.1.6 192.168.1.8"),
            ("192.168.1.6/31", "192.168.1.6 192.168.1.7", "192.168.1.5 192.168.1.8"),
            ("0.0.0.0/0", "0.0.0.0 255.255.255.255", "::1"),
            ("::/0", "::1 fd00::1", "127.0.0.1 ::ffff:127.0.0.1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::1", "::1", "::2"),
        ] {
            let network: Cidr = network.parse().expect("a network");
            for (addresses, is_inside) in [(inside, true), (outside, false)] {
                for address in addresses.split(' ') {
                    let address = address.parse().expect("an address");
                    assert_eq!(network.contains(address), is_inside, "{address} in {network:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.1/8",
            "10.0.0/8",
            "::/129",
            "fd00::1/8",
            "localhost",
            "*",
            " 10.0.0.0/8",
            "10.0.0.0/8/8",
            "::ffff:10.0.0.0/104",
        ] {
            assert_eq!(text.parse::<Cidr>(), Err(InvalidCidr), "{text:?}");
        }
    }
}
