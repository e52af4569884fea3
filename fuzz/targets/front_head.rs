//! The front's reading of a head: what it answers by itself, Pingora frames and reads in the same way.
#![no_main]

use bytes::BytesMut;
use futures::FutureExt;
use http::{Method, Version};
use kinora::proxy::{Reading, read_head};
use libfuzzer_sys::fuzz_target;
use pingora::protocols::http::ServerSession;

/// Target and headers; a map keeps the order within a name alone.
type Read = (String, Vec<(String, Vec<u8>)>);

fuzz_target!(|sent: &[u8]| {
    let read = read_head(sent, |plain| {
        let headers = plain.headers().map(|(name, value)| (name.to_lowercase(), value.to_vec()));
        let mut headers: Vec<_> = headers.collect();
        headers.sort_by(|a, b| a.0.cmp(&b.0));
        Some((plain.target.to_owned(), headers))
    });
    if let Ok(Reading::Whole(Some(ours))) = read {
        assert_eq!(ours, by_pingora(sent));
    }
});

/// A session that has these bytes, and waits in vain if it wants more.
fn by_pingora(sent: &[u8]) -> Read {
    let (_client, stream) = tokio::io::duplex(1);
    let mut session = ServerSession::new_http1(Box::new(stream));
    session.set_pipelined_prefix(BytesMut::from(sent));
    let is_there = session.read_request().now_or_never().expect("all is there").expect("well-formed");
    assert!(is_there && session.is_body_empty());
    let head = session.req_header();
    assert_eq!((&head.method, head.version), (&Method::GET, Version::HTTP_11));
    let lines = head.headers.iter();
    let mut headers: Vec<_> =
        lines.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    headers.sort_by(|a, b| a.0.cmp(&b.0));
    (String::from_utf8(head.raw_path().to_vec()).expect("plain"), headers)
}
