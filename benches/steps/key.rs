//! How long it takes from a read request to the text that a cache key is made of, and back.

use divan::Bencher;
use divan::black_box;
use kinora::headers::FormatClass;
use kinora::request::MediaRequest;
use kinora::request::Rules;
use kinora::request::Variant;
use kinora::request::split_target;

const TARGETS: [&str; 3] = [
    "/media/photos/2026/cat.jpg",
    "/media/photos/2026/cat.jpg?resize=800,600",
    "/media/photos/2026/a%20b.jpg?crop=400,300,0.25,0.75&dpr=1.5&quality=80&bgcolor=fff&region=10p,10p,50p,50p&v=7",
];

fn variant(target: &str) -> Option<Variant> {
    let rules = Rules::within(2048, 1536);
    let request = MediaRequest::parse(&split_target(target), &rules).ok()?;
    Some(request.negotiate(request.source.object()?, FormatClass::Webp))
}

#[divan::bench(args = TARGETS)]
fn canonical_path(bencher: Bencher, target: &str) {
    let variant = variant(target);
    bencher.bench(|| black_box(&variant).as_ref().map(Variant::to_path));
}

#[divan::bench(args = TARGETS)]
fn back_to_variant(bencher: Bencher, target: &str) {
    let path = variant(target).map(|variant| variant.to_path()).unwrap_or_default();
    bencher.bench(|| Variant::parse(black_box(&path)).is_ok());
}
