//! Signed URLs, path tokens and API keys through the real server.

use kinora::signature::{Kinds, sign, sign_token};

use crate::support::client::Reply;
use crate::support::edge::Edge;
use crate::support::program::{
    ACCESS_ID, PICTURE, create_key, data_with_pair, now, run, signed, signing_key,
};

const REQUIRED: (&str, &str) = ("delivery.require_signature", "true");

fn vectors() -> serde_json::Value {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/contract-vectors.json"));
    serde_json::from_str(text).expect("JSON")
}

/// The vector that needs nothing but a bucket: its signed text, and its signature of this name.
fn vector(name: &str) -> (String, String) {
    let vectors = vectors();
    let cases = vectors["cases"].as_array().expect("cases");
    let text = |case: &serde_json::Value, name: &str| case[name].as_str().expect("text").to_owned();
    let case = cases.iter().find(|case| text(case, "text").starts_with("media/")).expect("a media case");
    (text(case, "text"), text(case, name))
}

fn refused(reply: &Reply, status: u16, code: &str, what: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (status, code), "{what}: {reply:?}");
}

/// Seconds of a directive of `Cache-Control`.
fn directive(reply: &Reply, name: &str) -> Option<u64> {
    let line = reply.header("cache-control");
    line.split(", ").find_map(|part| part.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

#[tokio::test]
async fn contract_vectors_open_what_they_sign() {
    let edge = Edge::start_in(data_with_pair(&[]), &[REQUIRED]);
    edge.put("photos/a b.jpg", PICTURE);
    let (text, signature) = vector("sha256_urlsafe");
    let reply = edge.get(&format!("/{text}&signature={signature}")).await;
    assert_eq!((reply.status, reply.header("content-type").as_str()), (200, "image/webp"));
    for name in ["sha1_standard", "sha1_urlsafe"] {
        let (text, signature) = vector(name);
        let reply = edge.get(&format!("/{text}&signature={signature}")).await;
        refused(&reply, 403, "bad_signature", name);
    }
}

#[tokio::test]
async fn sha1_opens_only_for_a_key_that_allows_it() {
    let edge = Edge::start_in(data_with_pair(&["--sha1"]), &[REQUIRED]);
    edge.put("photos/a b.jpg", PICTURE);
    for name in ["sha1_standard", "sha1_urlsafe", "sha256_urlsafe"] {
        let (text, signature) = vector(name);
        assert_eq!(edge.get(&format!("/{text}&signature={signature}")).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn nothing_but_the_signed_text_is_opened_also_from_the_cache() {
    let data = data_with_pair(&[]);
    let (other_id, _) = create_key(data.path(), &["signing"]);
    let edge = Edge::start_in(data, &[REQUIRED]);
    edge.put("a.jpg", PICTURE);
    edge.put("b.jpg", PICTURE);
    let good = signed("/media/a.jpg?resize=60,60&quality=50", 1000);
    let (unsigned, signature) = good.split_once("&signature=").expect("signed");
    let expiry = now() + 1000;
    let wrong = |signature: &str| format!("{unsigned}&signature={signature}");
    let flipped = format!("{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
    let tampered = [
        ("another signature", wrong(&flipped)),
        ("an empty signature", wrong("")),
        ("no base64", wrong("%20%20")),
        ("a short signature", wrong("AAAA")),
        ("another size", good.replace("60,60", "61,60")),
        ("another key", good.replace("a.jpg", "b.jpg")),
        ("another spelling of the key", good.replace("a.jpg", "%61.jpg")),
        ("another order", good.replace("resize=60,60&quality=50", "quality=50&resize=60,60")),
        ("another expiry", good.replace("&expiry=", "&expiry=1")),
        ("another access id", good.replace(ACCESS_ID, &other_id)),
        ("an unknown access id", good.replace(ACCESS_ID, "NOBODY")),
        ("one more option", good.replace("?resize", "?rotate=90&resize")),
        ("one more unknown parameter", good.replace("&expiry=", "&utm=1&expiry=")),
        ("something behind the signature", format!("{good}&x=1")),
        ("an option behind the signature", format!("{good}&rotate=90")),
        ("a second signature", format!("{good}&signature={signature}")),
        ("a signature in front", good.replace("?resize", &format!("?signature={signature}&resize"))),
        ("a second expiry", good.replace("&accessId", &format!("&expiry={expiry}&accessId"))),
        ("no expiry", good.replace("&expiry=", "&x=")),
        ("no access id", good.replace("&accessId=", "&x=")),
    ];
    for pass in ["before", "after"] {
        let unsigned = edge.get("/media/a.jpg?resize=60,60&quality=50").await;
        refused(&unsigned, 401, "signature_missing", pass);
        assert!(unsigned.has("www-authenticate"), "RFC 9110 section 15.5.2");
        for (what, target) in &tampered {
            refused(&edge.get(target).await, 403, "bad_signature", &format!("{what}, {pass} caching"));
        }
        let late = edge.get(&signed("/media/a.jpg?resize=60,60&quality=50", -2)).await;
        refused(&late, 403, "expired", pass);
        let reply = edge.get(&good).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.header("cache-status").contains("hit"), pass == "after", "{reply:?}");
    }
    assert_eq!(edge.renders().await, 1, "nothing refused was rendered");
}

#[tokio::test]
async fn a_wrong_signature_is_refused_where_none_is_needed() {
    let edge = Edge::start_in(data_with_pair(&[]), &[]);
    edge.put("a.jpg", PICTURE);
    assert_eq!(edge.get("/media/a.jpg").await.status, 200);
    let good = signed("/media/a.jpg", 1000);
    assert_eq!(edge.get(&good).await.status, 200);
    refused(&edge.get(&good.replace("&accessId", "1&accessId")).await, 403, "bad_signature", "wrong");
    refused(&edge.get(&signed("/media/a.jpg", -2)).await, 403, "expired", "late");
    let token = "/~A.1.i.1.AAAA/media/a.jpg?resize=60,60";
    refused(&edge.get(token).await, 403, "bad_signature", "an unknown token");
}

#[tokio::test]
async fn an_api_key_in_either_header_opens_for_its_holder_alone() {
    let data = data_with_pair(&[]);
    let (_, key) = create_key(data.path(), &["api"]);
    let edge = Edge::start_in(data, &[REQUIRED]);
    edge.put("a.jpg", PICTURE);
    let bearer = format!("Bearer {key}");
    for header in [("X-FileSpin-Api-Key", key.as_str()), ("Authorization", bearer.as_str())] {
        let reply = edge.send("GET", "/media/a.jpg", &[header]).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let line = reply.header("cache-control");
        assert!(line.contains("private"), "{line}");
        assert!(!line.contains("public") && !line.contains("s-maxage"), "{line}");
    }
    for header in [("X-FileSpin-Api-Key", "wrong"), ("Authorization", "Bearer wrong")] {
        let reply = edge.send("GET", "/media/a.jpg", &[header]).await;
        refused(&reply, 403, "bad_signature", header.0);
    }
    let basic = edge.send("GET", "/media/a.jpg", &[("Authorization", "Basic eDp5")]).await;
    refused(&basic, 401, "signature_missing", "another scheme is no key");
}

#[tokio::test]
async fn a_path_token_opens_its_kinds_below_its_prefix() {
    let edge = Edge::start_in(data_with_pair(&[]), &[REQUIRED]);
    for key in
        ["hls/film/playlist.m3u8", "hls/film/720p/1.ts", "hls/film/film.mp4", "hls/film2/playlist.m3u8"]
    {
        edge.put(key, b"a file");
    }
    edge.put("hls/film/poster.jpg", PICTURE);
    edge.put("hls/playlist.m3u8", b"a file");
    let vectors = vectors();
    let vector = &vectors["path_tokens"][0];
    let token = vector["token"].as_str().expect("text");
    assert_eq!(
        edge.get(vector["example"].as_str().expect("text")).await.status,
        200,
        "the contract's example"
    );
    let get = async |path: &str| edge.get(&format!("/~{token}{path}")).await;
    for path in ["/media/hls/film/playlist.m3u8", "/media/hls/film/720p/1.ts"] {
        let reply = get(path).await;
        assert_eq!(reply.status, 200, "{path} {reply:?}");
    }
    for path in [
        "/media/hls/film/film.mp4",
        "/media/hls/film/poster.jpg",
        "/media/hls/film/poster.jpg?resize=60,60",
        "/media/hls/film/playlist.m3u8?delivery=download",
    ] {
        refused(&get(path).await, 403, "not_permitted", path);
    }
    for path in ["/media/hls/film2/playlist.m3u8", "/media/hls/Film/playlist.m3u8"] {
        refused(&get(path).await, 403, "bad_signature", path);
    }
    refused(&get("/media/hls/playlist.m3u8").await, 403, "not_permitted", "above the prefix");
    for path in ["/media/hls/film/../playlist.m3u8", "/media/hls/film/%2e%2e/playlist.m3u8"] {
        refused(&get(path).await, 404, "not_found", path);
    }
    let shorter = token.replace(".ps.3.", ".ps.2.");
    let reply = edge.get(&format!("/~{shorter}/media/hls/playlist.m3u8")).await;
    refused(&reply, 403, "bad_signature", "a wider prefix");
    let more = token.replace(".ps.", ".psv.");
    let reply = edge.get(&format!("/~{more}/media/hls/film/film.mp4")).await;
    refused(&reply, 403, "bad_signature", "more kinds");
}

#[tokio::test]
async fn a_path_token_ends_and_downloads_are_a_right_of_their_own() {
    let edge = Edge::start_in(data_with_pair(&[]), &[REQUIRED]);
    edge.put("album/a.jpg", PICTURE);
    let token = |kinds: &str, expiry: u64| {
        let kinds: Kinds = kinds.parse().expect("kinds");
        sign_token("/media/album", kinds, expiry, &signing_key()).expect("signed")
    };
    let late = edge.get(&format!("/~{}/media/album/a.jpg?resize=60,60", token("i", now() - 2))).await;
    refused(&late, 403, "expired", "late");
    let reply = edge.get(&format!("/~{}/media/album/a.jpg?resize=60,60", token("i", now() + 90))).await;
    assert_eq!(reply.status, 200);
    assert!(directive(&reply, "max-age").is_some_and(|seconds| seconds <= 90), "{reply:?}");
    let other = edge.get(&format!("/~{}/media/album/a.jpg?resize=60,60", token("ipsv", now() + 900))).await;
    assert!(other.header("cache-status").contains("; hit"), "a token is not part of the cache key");
    let download = format!("/~{}/media/album/a.jpg?delivery=download", token("od", now() + 90));
    let reply = edge.get(&download).await;
    assert_eq!(reply.status, 200);
    assert!(reply.header("content-disposition").starts_with("attachment"), "{reply:?}");
}

#[tokio::test]
async fn no_cache_may_outlive_the_signature() {
    let edge = Edge::start_in(data_with_pair(&[]), &[REQUIRED]);
    edge.put("a.jpg", PICTURE);
    for (target, seconds) in [("/media/a.jpg", 1_000_000), ("/media/a.jpg", 100), ("/media/a.jpg?v=1", 50)] {
        let reply = edge.get(&signed(target, seconds)).await;
        assert_eq!(reply.status, 200);
        let left = u64::try_from(seconds).expect("the future");
        let at_most = |name| directive(&reply, name).expect("present");
        assert!(at_most("max-age") <= left && at_most("s-maxage") <= left, "{reply:?}");
        assert!(at_most("s-maxage") + at_most("stale-if-error") <= left, "{reply:?}");
        assert!(!reply.header("cache-control").contains("immutable"), "{reply:?}");
    }
    let short = edge.get(&signed("/media/a.jpg", 100)).await;
    assert!(short.header("cache-status").contains("; hit"), "{short:?}");
    assert!(directive(&short, "max-age").is_some_and(|seconds| (90..=100).contains(&seconds)), "{short:?}");
}

#[tokio::test]
async fn signers_share_what_is_cached() {
    let data = data_with_pair(&[]);
    let (id, secret) = create_key(data.path(), &["signing"]);
    let edge = Edge::start_in(data, &[REQUIRED]);
    edge.put("a.jpg", PICTURE);
    let target = "/media/a.jpg?resize=60,60";
    let mut other = signing_key();
    (other.access_id, other.secret) = (id, kinora::setting::Secret::new(secret));
    let first = edge.get(&signed(target, 1000)).await;
    assert!(first.header("cache-status").contains("fwd=miss"), "{first:?}");
    let second = edge.get(&sign(target, now() + 2000, &other).expect("signed")).await;
    assert!(second.header("cache-status").contains("; hit"), "{second:?}");
    assert_eq!(first.body, second.body);
    assert_eq!((edge.renders().await, edge.origin_gets().await), (1, 1));
}

#[tokio::test]
async fn the_command_line_signs_and_explains_as_the_server_judges() {
    let edge = Edge::start_in(data_with_pair(&[]), &[REQUIRED]);
    edge.put("album/a.jpg", PICTURE);
    let data = edge.data_dir();
    let picture = "/media/album/a.jpg?resize=60,60";
    let plain = run(data, &["sign", picture, "--expires", "1h"]);
    let named = run(data, &["sign", picture, "--expires", "1h", "--key", ACCESS_ID]);
    let token = run(data, &["sign", picture, "--expires", "1h", "--scope", "/media/album/"]);
    let original = "/media/album/a.jpg";
    let wrong_kind = run(data, &["sign", original, "--expires", "1h", "--scope", "/media/album"]);
    let right_kind =
        run(data, &["sign", original, "--expires", "1h", "--scope", "/media/album", "--kinds", "o"]);
    let changed = plain.replace("60,60", "61,61");
    for (target, status) in [
        (&plain, 200),
        (&named, 200),
        (&token, 200),
        (&right_kind, 200),
        (&wrong_kind, 403),
        (&changed, 403),
        (&picture.to_owned(), 401),
    ] {
        let reply = edge.get(target).await;
        assert_eq!(reply.status, status, "{target} {reply:?}");
        let arguments = ["explain", target];
        let command = crate::support::edge::command(data, &[REQUIRED]).args(arguments).output();
        let text = String::from_utf8(command.expect("the program runs").stdout).expect("text");
        let verdict = text.lines().find(|line| line.starts_with("proof")).expect("a verdict");
        assert_eq!(verdict.contains("let in"), status == 200, "{target} {text}");
    }
}

#[tokio::test]
async fn whoever_stops_reading_a_command_gets_no_complaint() {
    let data = data_with_pair(&[]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = crate::support::edge::command(data.path(), &[]);
    let output = command.args(["explain", "/media/a.jpg"]).stdout(writer).output().expect("the program runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(!output.status.success(), "a secret that nobody has read is no success");
}
