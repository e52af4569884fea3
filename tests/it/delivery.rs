//! Originals and pictures as a client gets them, from a directory as bucket.

use crate::support::edge::Edge;

#[tokio::test]
async fn an_original_comes_byte_for_byte_whatever_is_accepted() {
    let edge = Edge::start(&[]);
    edge.put("a/b.jpg", b"not even a picture");
    for (accept, status) in [("image/avif,image/webp", "fwd=miss"), ("text/plain", "hit")] {
        let reply = edge.send("GET", "/media/a/b.jpg", &[("Accept", accept)]).await;
        assert_eq!((reply.status, reply.body.as_slice()), (200, b"not even a picture".as_slice()));
        assert!(reply.header("cache-status").contains(status), "{reply:?}");
        assert_eq!(reply.header("vary"), "", "nothing is negotiated");
    }
    assert_eq!((edge.origin_gets().await, edge.renders().await), (1, 0));
}
