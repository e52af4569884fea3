//! `/api/v1/uploads`: tus 1.0.0, by its text.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest, Sha1};

use crate::support::client::Reply;
use crate::support::edge::eventually;
use crate::support::program::PICTURE;
use crate::upload::{Place, in_both_places, text};

const UPLOADS: &str = "/api/v1/uploads";
const VERSION: (&str, &str) = ("Tus-Resumable", "1.0.0");
const BYTES: (&str, &str) = ("Content-Type", "application/offset+octet-stream");
const MIB: usize = 1 << 20;

in_both_places!(
    a_file_in_pieces_becomes_an_asset,
    a_large_file_in_eight_mib_pieces,
    a_length_may_come_later,
    bytes_may_come_with_the_creation,
    what_arrived_before_the_connection_broke_is_kept,
    checksums_decide_over_bytes,
    pieces_are_joined,
    what_was_given_up_is_gone,
    a_file_that_is_refused_at_its_end_leaves_nothing,
    wrong_requests_change_nothing,
);

fn metadata(name: &str, content_type: &str) -> String {
    let of = |text: &str| BASE64_STANDARD.encode(text);
    let custom = of(r#"{"data":{"title":"Cats"}}"#);
    format!("filename {},filetype {},custom_metadata {custom}", of(name), of(content_type))
}

impl Place {
    async fn tus(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.send(method, target, &[&[VERSION], headers].concat(), body).await
    }

    async fn create(&self, headers: &[(&str, &str)]) -> String {
        let note = metadata("cat.jpg", "image/jpeg");
        let reply =
            self.tus("POST", UPLOADS, &[&[("Upload-Metadata", note.as_str())], headers].concat(), b"").await;
        assert_eq!(reply.status, 201, "{reply:?}");
        assert_eq!(reply.header("tus-resumable"), "1.0.0");
        assert!(reply.has("upload-expires"), "{reply:?}");
        reply.header("location")
    }

    async fn patch(&self, upload: &str, offset: usize, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let offset = offset.to_string();
        self.tus("PATCH", upload, &[&[BYTES, ("Upload-Offset", &offset)], headers].concat(), body).await
    }

    async fn offset(&self, upload: &str) -> usize {
        let reply = self.tus("HEAD", upload, &[], b"").await;
        assert_eq!((reply.status, reply.header("cache-control").as_str()), (200, "no-store"), "{reply:?}");
        reply.header("upload-offset").parse().expect("an offset")
    }
}

fn done(reply: &Reply) -> String {
    assert_eq!(reply.status, 204, "{} {}", reply.status, String::from_utf8_lossy(&reply.body));
    reply.header("upload-offset")
}

async fn a_file_in_pieces_becomes_an_asset(place: Place) {
    let length = PICTURE.len().to_string();
    let upload = place.create(&[("Upload-Length", &length)]).await;
    assert!(upload.starts_with("/api/v1/uploads/"), "{upload}");
    let cuts = [0, 1, 100, 70_000, 70_001, PICTURE.len()];
    let mut last = None;
    for cut in cuts.windows(2) {
        assert_eq!(place.offset(&upload).await, cut[0]);
        assert_eq!(place.count("assets").await, 0, "not yet");
        let reply = place.patch(&upload, cut[0], &[], &PICTURE[cut[0]..cut[1]]).await;
        assert_eq!(done(&reply), cut[1].to_string());
        last = Some(reply.header("kinora-asset-id"));
    }
    let id = last.expect("an id");
    let asset = place.asset(&id).await;
    assert_eq!((text(&asset, "name"), text(&asset, "content_type")), ("cat.jpg", "image/jpeg"));
    assert_eq!((&asset["data"]["title"], &asset["metadata"]["width"]), (&"Cats".into(), &2000.into()));
    assert_eq!(
        text(&asset, "checksum"),
        format!("{:032x}", u128::from_be_bytes(md5::Md5::digest(PICTURE).into()))
    );
    assert!(place.bytes(text(&asset, "key")) == PICTURE);
    assert_eq!(place.stored().len(), 1, "{:?}", place.stored());
    let head = place.tus("HEAD", &upload, &[], b"").await;
    assert_eq!((head.header("kinora-asset-id"), head.header("upload-offset")), (id, length));
    let more = place.patch(&upload, PICTURE.len(), &[], b"x").await;
    assert_eq!(more.code(), "file_too_large", "{more:?}");
    let picture =
        place.edge.get(&format!("/api/v1/assets/{}/conversions?resize=9,9", text(&asset, "id"))).await;
    assert_eq!(picture.status, 200, "{picture:?}");
}

async fn a_large_file_in_eight_mib_pieces(place: Place) {
    let bytes: Vec<u8> =
        (0..27 * MIB as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let note = metadata("large.bin", "");
    let length = bytes.len().to_string();
    let headers = [("Upload-Metadata", note.as_str()), ("Upload-Length", &length)];
    let upload = place.tus("POST", UPLOADS, &headers, b"").await.header("location");
    for (number, piece) in bytes.chunks(8 * MIB).enumerate() {
        done(&place.patch(&upload, number * 8 * MIB, &[], piece).await);
    }
    let keys = place.stored();
    assert!(keys.len() == 1 && place.bytes(&keys[0]) == bytes, "{keys:?}");
}

async fn a_length_may_come_later(place: Place) {
    let upload = place.create(&[("Upload-Defer-Length", "1")]).await;
    done(&place.patch(&upload, 0, &[], &PICTURE[..1000]).await);
    let head = place.tus("HEAD", &upload, &[], b"").await;
    assert_eq!((head.header("upload-defer-length").as_str(), head.has("upload-length")), ("1", false));
    let less = place.patch(&upload, 1000, &[("Upload-Length", "999")], b"").await;
    assert_eq!((less.status, less.code().as_str()), (400, "other_length"), "{less:?}");
    let length = PICTURE.len().to_string();
    done(&place.patch(&upload, 1000, &[("Upload-Length", &length)], &PICTURE[1000..2000]).await);
    let other = place.patch(&upload, 2000, &[("Upload-Length", "3000")], b"").await;
    assert_eq!(other.code(), "other_length", "it was told once: {other:?}");
    let last = place.patch(&upload, 2000, &[], &PICTURE[2000..]).await;
    assert_eq!(done(&last), length);
    assert!(last.has("kinora-asset-id"));
}

async fn bytes_may_come_with_the_creation(place: Place) {
    let note = metadata("cat.jpg", "image/jpeg");
    let length = PICTURE.len().to_string();
    let headers = [("Upload-Metadata", note.as_str()), ("Upload-Length", &length), BYTES];
    let part = place.tus("POST", UPLOADS, &headers, &PICTURE[..5000]).await;
    assert_eq!((part.status, part.header("upload-offset").as_str()), (201, "5000"), "{part:?}");
    let whole = place.tus("POST", UPLOADS, &headers, PICTURE).await;
    assert_eq!((whole.status, whole.header("upload-offset")), (201, length.clone()), "{whole:?}");
    assert!(whole.has("kinora-asset-id"), "{whole:?}");
    let upload = part.header("location");
    let last = place.patch(&upload, 5000, &[], &PICTURE[5000..]).await;
    assert_eq!(done(&last), length);
}

async fn what_arrived_before_the_connection_broke_is_kept(place: Place) {
    let length = PICTURE.len().to_string();
    let upload = place.create(&[("Upload-Length", &length)]).await;
    let headers = [VERSION, BYTES, ("Upload-Offset", "0")];
    let mut connection = place.begin("PATCH", &upload, &headers, PICTURE.len()).await;
    connection.write(&PICTURE[..100_000]).await;
    // A second request while the first one's client is still there, though silent.
    let offset = place.offset(&upload).await;
    assert!(offset <= 100_000, "{offset}");
    drop(connection);
    let kept =
        eventually("the bytes", async || Some(place.offset(&upload).await).filter(|offset| *offset > 0))
            .await;
    assert_eq!(kept, 100_000, "all that arrived");
    let last = place.patch(&upload, kept, &[], &PICTURE[kept..]).await;
    assert_eq!(done(&last), length);
    assert!(place.bytes(&place.stored()[0]) == PICTURE);
}

async fn checksums_decide_over_bytes(place: Place) {
    let length = PICTURE.len().to_string();
    let upload = place.create(&[("Upload-Length", &length)]).await;
    let of = |bytes: &[u8]| format!("sha1 {}", BASE64_STANDARD.encode(Sha1::digest(bytes)));
    let (first, rest) = PICTURE.split_at(1000);
    done(&place.patch(&upload, 0, &[("Upload-Checksum", &of(first))], first).await);
    for wrong in [of(first), of(b"")] {
        let reply = place.patch(&upload, 1000, &[("Upload-Checksum", &wrong)], rest).await;
        assert_eq!((reply.status, reply.code().as_str()), (460, "other_checksum"), "{reply:?}");
        assert_eq!(place.offset(&upload).await, 1000, "no byte of it counts");
    }
    let unknown = place.patch(&upload, 1000, &[("Upload-Checksum", "crc32 AAAA")], rest).await;
    assert_eq!((unknown.status, unknown.code().as_str()), (400, "bad_request"));
    assert_eq!(done(&place.patch(&upload, 1000, &[("Upload-Checksum", &of(rest))], rest).await), length);
    assert!(place.bytes(&place.stored()[0]) == PICTURE);
}

async fn pieces_are_joined(place: Place) {
    let (one, two) = PICTURE.split_at(60_000);
    let mut pieces = Vec::new();
    for bytes in [one, two] {
        let length = bytes.len().to_string();
        let upload = place.create(&[("Upload-Length", &length), ("Upload-Concat", "partial")]).await;
        pieces.push((upload, bytes));
    }
    let list = format!("final;{} {}", pieces[0].0, pieces[1].0);
    let note = metadata("cat.jpg", "image/jpeg");
    let join = [("Upload-Metadata", note.as_str()), ("Upload-Concat", &list)];
    let early = place.tus("POST", UPLOADS, &join, b"").await;
    assert_eq!((early.status, early.code().as_str()), (400, "bad_request"), "{early:?}");
    for (upload, bytes) in &pieces {
        let reply = place.patch(upload, 0, &[], bytes).await;
        assert!(
            done(&reply) == bytes.len().to_string() && !reply.has("kinora-asset-id"),
            "no asset: {reply:?}"
        );
        assert_eq!(place.tus("HEAD", upload, &[], b"").await.header("upload-concat"), "partial");
    }
    assert_eq!(place.count("assets").await, 0);
    let whole = place.tus("POST", UPLOADS, &join, b"").await;
    assert_eq!(whole.status, 201, "{whole:?}");
    assert_eq!(whole.header("upload-offset"), PICTURE.len().to_string());
    let head = place.tus("HEAD", &whole.header("location"), &[], b"").await;
    assert_eq!(head.header("upload-concat"), list);
    let keys = place.stored();
    assert!(keys.len() == 1 && place.bytes(&keys[0]) == PICTURE, "the pieces are gone: {keys:?}");
    assert_eq!(place.tus("HEAD", &pieces[0].0, &[], b"").await.status, 404);
    let again = place.tus("POST", UPLOADS, &join, b"").await;
    assert_eq!(again.status, 404, "{again:?}");
}

async fn what_was_given_up_is_gone(place: Place) {
    let upload = place.create(&[("Upload-Length", "10000000")]).await;
    done(&place.patch(&upload, 0, &[], &PICTURE[..9000]).await);
    assert!(!place.stored().is_empty());
    assert_eq!(place.tus("DELETE", &upload, &[], b"").await.status, 204);
    place.until_nothing_is_left().await;
    for method in ["HEAD", "DELETE"] {
        assert_eq!(place.tus(method, &upload, &[], b"").await.status, 404, "{method}");
    }
    let reply = place.patch(&upload, 9000, &[], b"x").await;
    assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"));
}

async fn a_file_that_is_refused_at_its_end_leaves_nothing(place: Place) {
    for (bytes, expected) in
        [(&PICTURE[..50_000], (422, "corrupt_source")), (b"<html><body>", (415, "type_mismatch"))]
    {
        let upload = place.create(&[("Upload-Length", &bytes.len().to_string())]).await;
        let reply = place.patch(&upload, 0, &[], bytes).await;
        assert_eq!((reply.status, reply.code().as_str()), expected, "{reply:?}");
        assert_eq!(place.tus("HEAD", &upload, &[], b"").await.status, 404);
        place.until_nothing_is_left().await;
    }
}

async fn wrong_requests_change_nothing(place: Place) {
    let upload = place.create(&[("Upload-Length", "1000")]).await;
    done(&place.patch(&upload, 0, &[], &PICTURE[..500]).await);
    for offset in [0, 499, 501, 1000] {
        let reply = place.patch(&upload, offset, &[], b"x").await;
        assert_eq!((reply.status, reply.code().as_str()), (409, "other_offset"), "{offset}");
    }
    let long = place.patch(&upload, 500, &[], &PICTURE[500..1001]).await;
    assert_eq!((long.status, long.code().as_str()), (413, "file_too_large"));
    let other = [VERSION, ("Upload-Offset", "500"), ("Content-Type", "text/plain")];
    assert_eq!(place.send("PATCH", &upload, &other, b"x").await.code(), "wrong_media_type");
    let lost = place.send("PATCH", &upload, &[VERSION, BYTES], b"x").await;
    assert_eq!(lost.code(), "bad_request", "no offset");
    for version in [None, Some("0.2.2"), Some("2.0.0")] {
        let headers: Vec<_> = version.map(|version| ("Tus-Resumable", version)).into_iter().collect();
        let reply = place.send("HEAD", &upload, &headers, b"").await;
        assert_eq!((reply.status, reply.header("tus-version").as_str()), (412, "1.0.0"), "{version:?}");
    }
    assert_eq!(place.offset(&upload).await, 500);
    for headers in [
        &[][..],
        &[("Upload-Length", "x")],
        &[("Upload-Length", "0")],
        &[("Upload-Length", "10"), ("Upload-Defer-Length", "1")],
        &[("Upload-Length", "10"), ("Upload-Metadata", "filename YS9i")],
        &[("Upload-Length", "10"), ("Upload-Metadata", "filename !")],
        &[("Upload-Length", "10"), ("Upload-Concat", "both")],
    ] {
        let reply = place.tus("POST", UPLOADS, headers, b"").await;
        assert_eq!(reply.status, 400, "{headers:?} {reply:?}");
    }
    let large = place.tus("POST", UPLOADS, &[("Upload-Length", "5368709121")], b"").await;
    assert_eq!((large.status, large.code().as_str()), (413, "file_too_large"), "upload.max_bytes");
    for method in ["GET", "PUT"] {
        assert_eq!(place.tus(method, &upload, &[], b"").await.status, 405, "{method}");
    }
    let stranger = place.edge.send("HEAD", &upload, &[VERSION]).await;
    assert_eq!((stranger.status, stranger.header("kinora-error").as_str()), (401, "api_key_needed"));
    let options = place.edge.send("OPTIONS", UPLOADS, &[]).await;
    assert_eq!((options.status, options.header("tus-version").as_str()), (204, "1.0.0"));
    assert!(options.header("tus-extension").contains("concatenation"), "{options:?}");
    assert_eq!(options.header("tus-max-size"), "5368709120");
    let over = [VERSION, BYTES, ("Upload-Offset", "500"), ("X-HTTP-Method-Override", "PATCH")];
    assert_eq!(place.send("POST", &upload, &over, b"xy").await.header("upload-offset"), "502");
}

#[tokio::test]
async fn an_upload_goes_on_after_a_kill_and_expires() {
    let place = Place::sqlite(&[]).await;
    let upload = place.create(&[("Upload-Length", &PICTURE.len().to_string())]).await;
    done(&place.patch(&upload, 0, &[], &PICTURE[..77_777]).await);
    let place = place.killed_and_started(&[]).await;
    assert_eq!(place.offset(&upload).await, 77_777);
    let place = place.killed_and_started(&[("upload.expires_after", "1s")]).await;
    done(&place.patch(&upload, 77_777, &[], &PICTURE[77_777..80_000]).await);
    let gone = eventually("the end of the upload", async || {
        let reply = place.tus("HEAD", &upload, &[], b"").await;
        (reply.status != 200).then_some(reply.status)
    });
    assert!(matches!(gone.await, 404 | 410));
    let place = place.killed_and_started(&[]).await;
    // The sweep at the start.
    place.until_nothing_is_left().await;
}
