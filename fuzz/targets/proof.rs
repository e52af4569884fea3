//! Signatures and path tokens: nothing that was not made with the secret is let in.
#![no_main]

use kinora::request::MediaRequest;
use kinora::request::Rules;
use kinora::request::split_target;
use kinora::setting::Secret;
use kinora::signature::Claim;
use kinora::signature::KeyRing;
use kinora::signature::Policy;
use kinora::signature::SigningKey;
use kinora::signature::explain;
use kinora::signature::verify;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|target: &str| {
    let rules = Rules::within(2048, 1536);
    let Ok(request) = MediaRequest::parse(&split_target(target), &rules) else { return };
    let key = SigningKey { access_id: "A".into(), secret: Secret::new("never in a corpus"), sha1: true };
    let ring = KeyRing::new([key], [], []);
    let claim = Claim { target, api_key: None };
    let policy = Policy { required: true };
    assert!(verify(request.clone(), &claim, &ring, &policy, 0).is_err(), "{target}");
    assert!(!explain(request, &claim, &ring, &policy, 0).is_let_in, "{target}");
});
