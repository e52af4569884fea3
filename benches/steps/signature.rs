//! How long it takes to verify and to make proof.

use divan::Bencher;
use divan::black_box;
use kinora::request::MediaRequest;
use kinora::request::Rules;
use kinora::request::split_target;
use kinora::setting::Secret;
use kinora::signature::Claim;
use kinora::signature::KeyRing;
use kinora::signature::Policy;
use kinora::signature::SignError;
use kinora::signature::SigningKey;
use kinora::signature::sign;
use kinora::signature::sign_token;
use kinora::signature::verify;

const EXPIRY: u64 = 2_000_000_000;
const TARGET: &str = "/media/photos/2026/cat.jpg?resize=800,600&format=webp";

fn key() -> SigningKey {
    SigningKey {
        access_id: "BENCH".into(),
        secret: Secret::new("00112233445566778899aabbccddeeff"),
        sha1: false,
    }
}

fn bench_verify(bencher: Bencher, target: Result<String, SignError>) {
    let rules = Rules::within(2048, 1536);
    let ring = KeyRing::new([key()], [], []);
    let policy = Policy { required: true };
    let Ok(target) = target else { return };
    let Ok(request) = MediaRequest::parse(&split_target(&target), &rules) else { return };
    bencher.with_inputs(|| request.clone()).bench_values(|request| {
        let claim = Claim { target: black_box(&target), api_key: Some("api-key") };
        verify(request, &claim, &ring, &policy, EXPIRY).is_ok()
    });
}

#[divan::bench]
fn verify_signature(bencher: Bencher) {
    bench_verify(bencher, sign(TARGET, EXPIRY, &key()));
}

#[divan::bench]
fn verify_wrong_signature(bencher: Bencher) {
    bench_verify(bencher, sign(TARGET, EXPIRY, &key()).map(|target| target.replace("800", "801")));
}

#[divan::bench]
fn verify_path_token(bencher: Bencher) {
    let token = "i".parse().and_then(|kinds| sign_token("/media/photos", kinds, EXPIRY, &key()));
    bench_verify(bencher, token.map(|token| format!("/~{token}{TARGET}")));
}

#[divan::bench]
fn verify_api_key(bencher: Bencher) {
    bench_verify(bencher, Ok(TARGET.to_owned()));
}

#[divan::bench]
fn sign_url(bencher: Bencher) {
    let key = key();
    bencher.bench(|| sign(black_box(TARGET), EXPIRY, &key));
}
