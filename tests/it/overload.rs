//! Too much to do, and pictures that are too much: refused at once, and nobody else notices.

use tokio::sync::oneshot;

use crate::support::edge::Edge;
use crate::support::http_origin::{Fault, HttpOrigin};
use crate::support::picture;

#[tokio::test]
async fn beyond_slots_and_queue_is_503_at_once_while_hits_answer() {
    let origin = HttpOrigin::start();
    origin.put("photo.jpg", &picture::jpeg(64, 48));
    let settings = [("render.slots", "1"), ("render.queue", "0"), ("cache.originals_fresh", "0s")];
    let edge = Edge::in_front_of(&origin, &settings);
    let hit = "/media/photo.jpg?resize=8,&format=png";
    assert_eq!(edge.get(hit).await.status, 200);
    let (open, gate) = oneshot::channel();
    origin.fault(Fault::Hold(gate));
    let mut waiting = edge.connect().await;
    waiting.ask("GET", "/media/photo.jpg?resize=9,&format=png", &[]).await;
    edge.until("kinora_renders_in_flight", &[], 1).await;

    let shed = edge.get("/media/photo.jpg?resize=10,&format=png").await;
    assert_eq!((shed.status, shed.code().as_str()), (503, "overloaded"));
    assert!(shed.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{shed:?}");
    assert_eq!(shed.header("cache-control"), "no-store");
    assert_eq!(origin.requests().len(), 2, "what is shed asks nobody");
    let reply = edge.get(hit).await;
    assert!(reply.status == 200 && reply.header("cache-status").starts_with("kinora; hit"), "{reply:?}");
    assert_eq!(edge.get("/media/photo.jpg").await.status, 200, "originals need no slot");
    let line = edge.log_line(|line| line["code"] == "overloaded").await;
    assert_eq!((&line["blame"], &line["level"]), (&"edge".into(), &"ERROR".into()), "{line}");

    drop(open);
    assert_eq!(waiting.reply("GET").await.status, 200);
    assert_eq!(edge.get("/media/photo.jpg?resize=11,&format=png").await.status, 200, "and room again");
}

#[tokio::test]
async fn the_queue_takes_what_it_says() {
    let origin = HttpOrigin::start();
    origin.put("photo.jpg", &picture::jpeg(64, 48));
    let edge = Edge::in_front_of(&origin, &[("render.slots", "1"), ("render.queue", "1")]);
    let (mut gates, mut waiting) = (Vec::new(), Vec::new());
    for width in 10..12 {
        let (open, gate) = oneshot::channel();
        origin.fault(Fault::Hold(gate));
        gates.push(open);
        let mut connection = edge.connect().await;
        connection.ask("GET", &format!("/media/photo.jpg?resize={width},&format=png"), &[]).await;
        waiting.push(connection);
    }
    edge.until("kinora_renders_in_flight", &[], 2).await;
    let shed = edge.get("/media/photo.jpg?resize=12,&format=png").await;
    assert_eq!((shed.status, shed.code().as_str()), (503, "overloaded"));
    drop(gates);
    for mut connection in waiting {
        assert_eq!(connection.reply("GET").await.status, 200);
    }
    assert_eq!(edge.renders().await, 2);
}

#[tokio::test]
async fn work_whose_clients_have_left_is_never_done() {
    let origin = HttpOrigin::start();
    origin.put("photo.jpg", &picture::jpeg(64, 48));
    let edge = Edge::in_front_of(&origin, &[("render.slots", "1"), ("render.queue", "4")]);
    let mut gates = Vec::new();
    let mut leaving = Vec::new();
    for width in 10..13 {
        let (open, gate) = oneshot::channel();
        origin.fault(Fault::Hold(gate));
        gates.push(open);
        let mut connection = edge.connect().await;
        connection.ask("GET", &format!("/media/photo.jpg?resize={width},&format=png"), &[]).await;
        leaving.push(connection);
    }
    edge.until("kinora_renders_in_flight", &[], 3).await;
    drop(leaving);
    crate::support::edge::eventually("the work to be dropped", async || {
        (edge.metric("kinora_renders_in_flight", &[]).await == 0).then_some(())
    })
    .await;
    drop(gates);
    assert_eq!(edge.get("/media/photo.jpg?resize=20,&format=png").await.status, 200);
    assert_eq!(edge.renders().await, 1, "only for the one who stayed");
}

#[tokio::test]
async fn a_deadline_ends_the_waiting() {
    let origin = HttpOrigin::start();
    origin.put("photo.jpg", &picture::jpeg(64, 48));
    let edge = Edge::in_front_of(&origin, &[("render.deadline", "300ms")]);
    let (_open, gate) = oneshot::channel();
    origin.fault(Fault::Hold(gate));
    let reply = edge.get("/media/photo.jpg?resize=9,").await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "render_timeout"));
    assert!(reply.has("retry-after"), "{reply:?}");
    assert_eq!(edge.metric("kinora_renders_in_flight", &[]).await, 0);
}

#[tokio::test]
async fn what_is_too_large_is_refused_by_its_header() {
    let edge = Edge::start(&[
        ("render.memory", "16MiB"),
        ("image.max_source_pixels", "20000000"),
        ("image.max_source_bytes", "1MB"),
        ("cache.negative_ttl", "0s"),
    ]);
    edge.put("small.jpg", &picture::jpeg(64, 48));
    edge.put("heavy.png", &png_head(4000, 4000));
    edge.put("huge.png", &png_head(20_000, 20_000));
    edge.put("long.jpg", &[picture::jpeg(64, 48), vec![0; 1_000_001]].concat());
    for (key, status, code) in [
        ("heavy.png", 413, "source_too_large"),
        ("huge.png", 413, "too_many_pixels"),
        ("long.jpg", 413, "source_too_large"),
    ] {
        let reply = edge.get(&format!("/media/{key}?resize=32,")).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{key}");
        let line = edge.log_line(|line| line["code"] == code).await;
        assert_eq!(line["blame"], "origin", "{line}");
        assert_eq!(
            edge.get(&format!("/media/{key}")).await.status,
            200,
            "the original is there all the same"
        );
    }
    assert_eq!(edge.get("/media/small.jpg?resize=32,").await.status, 200);
    assert_eq!(edge.metric("kinora_render_booked_bytes", &[]).await, 0);
}

#[tokio::test]
async fn damaged_and_foreign_sources() {
    let edge = Edge::start(&[]);
    let (jpeg, png) = (picture::jpeg(64, 48), picture::png(64, 48));
    let sources: [(&str, &[u8], u16, &str); 7] = [
        ("cut.jpg", &jpeg[..100], 422, "corrupt_source"),
        ("cut.png", &png[..60], 422, "corrupt_source"),
        ("empty.jpg", b"", 415, "unsupported_format"),
        ("text.jpg", b"hello, I am no picture at all", 415, "unsupported_format"),
        ("page.jpg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported_format"),
        ("zero.png", &png_head(0, 4), 422, "corrupt_source"),
        ("movie.mp4", b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41", 415, "unsupported_format"),
    ];
    for (key, bytes, status, code) in sources {
        edge.put(key, bytes);
        for cache in ["kinora; fwd=miss", "kinora; hit"] {
            let reply = edge.get(&format!("/media/{key}?resize=32,&format=png")).await;
            assert_eq!((reply.status, reply.code().as_str()), (status, code), "{key}");
            assert!(reply.header("cache-status").starts_with(cache), "{key}: {reply:?}");
        }
    }
    assert_eq!(edge.renders().await, 0);
    assert_eq!(edge.metric("kinora_failures_total", &[r#"blame="edge""#]).await, 0);
    edge.put("photo.jpg", &jpeg);
    assert_eq!(edge.get("/media/photo.jpg?resize=32,").await.status, 200, "the next one is served");
}

/// A PNG that promises much and has nothing: `probe` needs it up to its first `IDAT`.
fn png_head(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = b"IHDR".to_vec();
    header.extend_from_slice(&width.to_be_bytes());
    header.extend_from_slice(&height.to_be_bytes());
    header.extend_from_slice(&[8, 6, 0, 0, 0]);
    for chunk in [header, b"IDAT".to_vec(), b"IEND".to_vec()] {
        bytes.extend_from_slice(&(chunk.len() as u32 - 4).to_be_bytes());
        bytes.extend_from_slice(&chunk);
        bytes.extend_from_slice(&crc32(&chunk).to_be_bytes());
    }
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 },
        )
    })
}
