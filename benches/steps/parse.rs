//! How long it takes to read a request: the target, and the headers that decide about it.

use divan::Bencher;
use divan::black_box;
use kinora::headers::FormatClass;
use kinora::headers::cache_control::Directives;
use kinora::headers::conditional::EntityTag;
use kinora::headers::conditional::Validators;
use kinora::headers::range::Range;
use kinora::request::MediaRequest;
use kinora::request::Rules;
use kinora::request::split_target;

const RULES: Rules = Rules::within(2048, 1536);

#[divan::bench(args = [
    "/media/photos/2026/cat.jpg",
    "/media/photos/2026/cat.jpg?resize=800,600",
    "/media/photos/2026/a%20b.jpg?crop=400,300,0.25,0.75&dpr=1.5&format=webp&quality=80&bgcolor=fff&v=7&utm_source=x",
    "/media/photos/2026/cat.jpg?resize=800,600&quality=abc",
])]
fn target(target: &str) -> bool {
    MediaRequest::parse(&split_target(black_box(target)), &RULES).is_ok()
}

/// 100 kB have to be refused without being read.
#[divan::bench]
fn hostile_query(bencher: Bencher) {
    let target = format!("/media/a?{}", "resize=1,1&".repeat(10_000));
    bencher.bench(|| MediaRequest::parse(&split_target(black_box(&target)), &RULES).is_ok());
}

#[divan::bench(args = [
    "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
    "*/*",
])]
fn accept(value: &str) -> bool {
    FormatClass::negotiate([black_box(value.as_bytes())]).is_ok()
}

#[divan::bench]
fn cache_control() -> Directives {
    Directives::parse([black_box(
        &b"public, max-age=3600, s-maxage=86400, stale-while-revalidate=60, immutable"[..],
    )])
}

#[divan::bench]
fn range() -> bool {
    Range::parse(black_box(b"bytes=0-1023,2048-4095"))
        .is_some_and(|range| range.of(black_box(1 << 20)).is_ok())
}

#[divan::bench]
fn if_none_match(bencher: Bencher) {
    let known = Validators { etag: EntityTag::strong("5f2a9c0e"), last_modified: None };
    bencher.bench(|| known.is_not_modified([black_box(&b"\"aaaa\", W/\"bbbb\", \"5f2a9c0e\""[..])], None));
}
