//! URLs that users hand in: none that is accepted names a closed address, however it is spelt.
#![no_main]

use std::net::IpAddr;

use kinora::net::{Guard, is_public};
use kinora::setting::Cidr;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (network, text) = input;
    let opened = network.parse::<Cidr>().ok();
    let guard = Guard::new(opened);
    let Ok(url) = guard.read(text) else { return };
    assert_eq!(guard.read(url.as_str()).as_ref(), Ok(&url), "what is kept is read as the same");
    let host = url.host_str().unwrap_or_default();
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        assert!(guard.allows(address), "{url}");
        assert!(is_public(address) || opened.is_some(), "{url}");
    }
});
