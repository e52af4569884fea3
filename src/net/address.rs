//! Which addresses lie on the public internet (the registries of RFC 6890, and what clouds hide).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks of IPv4 that are not public, by their first address and the bits of their prefix.
const NOT_PUBLIC_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8), // this network; 0.0.0.0 reaches the machine itself
    (Ipv4Addr::new(10, 0, 0, 0), 8), // private
    (Ipv4Addr::new(100, 64, 0, 0), 10), // behind a carrier's NAT; Alibaba's metadata
    (Ipv4Addr::new(127, 0, 0, 0), 8), // loopback
    (Ipv4Addr::new(168, 63, 129, 16), 32), // Azure's metadata
    (Ipv4Addr::new(169, 254, 0, 0), 16), // link-local; metadata of most clouds
    (Ipv4Addr::new(172, 16, 0, 0), 12), // private
    (Ipv4Addr::new(192, 0, 0, 0), 24), // protocol assignments; Oracle's metadata
    (Ipv4Addr::new(192, 0, 2, 0), 24), // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24), // relays of 6to4
    (Ipv4Addr::new(192, 168, 0, 0), 16), // private
    (Ipv4Addr::new(198, 18, 0, 0), 15), // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24), // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 3), // multicast, reserved, broadcast
];

/// The only part of IPv6 where public addresses lie: outside are loopback, unspecified, IPv4-compatible,
/// unique local, link-local, site-local, multicast, discard, local NAT64 and all that is unassigned.
const GLOBAL_UNICAST: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What in it is not public.
const NOT_PUBLIC_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments: Teredo, benchmarks, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4: a tunnel to any IPv4 address
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// RFC 6052: what a gateway calls by IPv4 for hosts that have IPv6 alone.
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Whether an address is one that anybody on the internet could call.
pub fn is_public(address: IpAddr) -> bool {
    match meant(address) {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|network| is_in_v4(address, *network)),
        IpAddr::V6(address) => {
            is_in_v6(address, GLOBAL_UNICAST)
                && !NOT_PUBLIC_V6.iter().any(|network| is_in_v6(address, *network))
                && !is_isatap(address)
        }
    }
}

/// The address that is reached in the end: one of IPv4 that is written as IPv6, mapped or for a NAT64
/// gateway, is that one. Tunnels (6to4, Teredo, ISATAP) are no public addresses whatever they lead to.
pub(super) fn meant(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if is_in_v6(address, NAT64) => {
            let [.., a, b, c, d] = address.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        address => address,
    }
}

fn is_in_v4(address: Ipv4Addr, (first, prefix_bits): (Ipv4Addr, u32)) -> bool {
    (address.to_bits() ^ first.to_bits()) >> (32 - prefix_bits) == 0
}

fn is_in_v6(address: Ipv6Addr, (first, prefix_bits): (Ipv6Addr, u32)) -> bool {
    (address.to_bits() ^ first.to_bits()) >> (128 - prefix_bits) == 0
}

/// RFC 5214 section 6.1: the interface's part holds an IPv4 address behind `5efe`.
fn is_isatap(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, _, _])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_public_is_known_by_its_edges() {
        let not_public = "0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.100.100.200 \
            100.127.255.255 127.0.0.1 127.255.255.255 168.63.129.16 169.254.0.0 169.254.169.254 \
            169.254.255.255 172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.192 192.0.2.1 192.88.99.1 \
            192.168.0.0 192.168.255.255 198.18.0.0 198.19.255.255 198.51.100.7 203.0.113.7 224.0.0.1 \
            239.255.255.255 240.0.0.0 255.255.255.255 \
            :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 ::8.8.8.8 \
            ::ffff:0:8.8.8.8 64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::8.8.8.8 100::1 2001::1 \
            2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1 2001:1ff:ffff::1 2001:db8::1 2002:7f00:1::1 \
            2002:808:808::1 2a00:1450::5efe:808:808 2a00:1450::200:5efe:7f00:1 3fff::1 3fff:fff::1 4000::1 \
            5f00::1 fc00::1 fd00:ec2::254 fdff::1 fe80::1 febf::1 fec0::1 ff02::1 ffff::1";
        for text in not_public.split_whitespace() {
            assert!(!is_public(text.parse().expect(text)), "{text} is not public");
        }
        let public = "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 \
            128.0.0.0 168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 \
            192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 \
            ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2000::1 2001:200::1 2001:4860:4860::8888 2003::1 2606:4700::1111 \
            2a00:1450:4001:80b::200e 3ffe:ffff::1 3fff:1000::1";
        for text in public.split_whitespace() {
            assert!(is_public(text.parse().expect(text)), "{text} is public");
        }
    }

    proptest! {
        #[test]
        fn no_spelling_of_an_address_of_ipv4_opens_what_it_does_not(bits: u32) {
            let plain = Ipv4Addr::from_bits(bits);
            let verdict = is_public(plain.into());
            let low = u128::from(bits);
            let spelt = |prefix: u128| is_public(Ipv6Addr::from_bits(prefix | low).into());
            prop_assert_eq!(spelt(0xffff << 32), verdict, "mapped");
            prop_assert_eq!(spelt(0x64_ff9b << 96), verdict, "NAT64");
            prop_assert!(!spelt(0), "compatible");
            prop_assert!(!is_public(Ipv6Addr::from_bits((0x2002 << 112) | (low << 80)).into()), "6to4");
        }

        #[test]
        fn what_the_standard_library_knows_to_be_special_is_not_public(bits: u128, v4: u32) {
            let (v6, v4) = (Ipv6Addr::from_bits(bits), Ipv4Addr::from_bits(v4));
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
                || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified();
            prop_assert!(!(special && is_public(v4.into())), "{v4}");
            let special = v6.is_loopback() || v6.is_unspecified() || v6.is_multicast()
                || v6.is_unique_local() || v6.is_unicast_link_local();
            prop_assert!(!(special && is_public(v6.into())), "{v6}");
        }
    }
}
