//! The head of a request as the front reads it: whether it is whole, what is wrong with it, and whether
//! it is so plain that nothing in it can change how an answer is framed or chosen.

use std::mem::MaybeUninit;

use http::Uri;
use httparse::{Header, Status};

use crate::failure::{Code, Failure};

/// More headers than this are no browser's.
const MAX_HEADERS: usize = 100;

/// More than this is no URI for the `http` crate.
const MAX_TARGET_BYTES: usize = 65_534;

/// Headers of a plain request besides `Connection: keep-alive` and whatever begins with [`FETCH_METADATA`].
/// None of them changes a fresh answer, but for the ways in which `Accept` does, which are read, and
/// those that `Vary` names, which are compared.
const HARMLESS: [&str; 13] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "cookie",
    "dnt",
    "host",
    "origin",
    "pragma",
    "priority",
    "referer",
    "upgrade-insecure-requests",
    "user-agent",
];

/// Client hints and where a request came from.
const FETCH_METADATA: &str = "sec-";

/// What has arrived of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading<T> {
    /// A part of it.
    Partial,
    /// All of it, and perhaps what follows; with what was made of it if it is plain.
    Whole(Option<T>),
}

/// A `GET` of HTTP/1.1 in origin form, without a body, whose headers all are on the list of the harmless.
#[derive(Debug)]
pub struct Plain<'p, 'head> {
    /// As sent.
    pub target: &'head str,
    headers: &'p [Header<'head>],
}

/// Reads what has arrived of a head, and hands it to `make` if it is whole and plain.
///
/// # Errors
/// [`Failure`] if it is malformed, or no request that a server may guess at.
pub fn read_head<T>(
    sent: &[u8],
    make: impl FnOnce(&Plain<'_, '_>) -> Option<T>,
) -> Result<Reading<T>, Failure> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(sent, &mut headers) {
        Ok(Status::Partial) => Ok(Reading::Partial),
        Ok(Status::Complete(length)) => {
            check(&request)?;
            let plain = Plain::of(&request).filter(|_| length == sent.len());
            Ok(Reading::Whole(plain.and_then(|plain| make(&plain))))
        }
        Err(httparse::Error::TooManyHeaders) => {
            Err(Failure::new(Code::HeadTooLarge, format!("more than {MAX_HEADERS} headers")))
        }
        Err(error) => {
            Err(Failure::new(Code::BadRequest, format!("the request's head is malformed: {error}")))
        }
    }
}

impl<'p, 'head> Plain<'p, 'head> {
    fn of(request: &'p httparse::Request<'_, 'head>) -> Option<Self> {
        let target = request.path.filter(|target| is_plain_target(target))?;
        let headers: &[Header<'head>] = request.headers;
        let is_plain =
            request.method == Some("GET") && request.version == Some(1) && headers.iter().all(is_harmless);
        is_plain.then_some(Self { target, headers })
    }

    /// Names and values as sent.
    pub fn headers(&self) -> impl Iterator<Item = (&'head str, &'head [u8])> {
        self.headers.iter().map(|header| (header.name, header.value))
    }

    /// The values of one name.
    pub fn lines(&self, name: &str) -> impl Iterator<Item = &'head [u8]> {
        let lines = self.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        lines.map(|header| header.value)
    }

    /// Whether there is a header of this name.
    pub fn has(&self, name: &str) -> bool {
        self.lines(name).next().is_some()
    }
}

/// A path in characters that need no reading: no fragment, no scheme, nothing that a parser mends.
fn is_plain_target(target: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/%-._~?=&,:+!$'()*;@".contains(&b);
    target.starts_with('/') && target.bytes().all(is_plain)
}

fn is_harmless(header: &Header<'_>) -> bool {
    let Header { name, value } = header;
    if name.eq_ignore_ascii_case("host") {
        return value.iter().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(b));
    }
    if name.eq_ignore_ascii_case("connection") {
        return value.eq_ignore_ascii_case(b"keep-alive");
    }
    let begins = |name: &str| {
        name.get(..FETCH_METADATA.len()).is_some_and(|start| start.eq_ignore_ascii_case(FETCH_METADATA))
    };
    HARMLESS.iter().any(|harmless| name.eq_ignore_ascii_case(harmless)) || begins(name)
}

/// RFC 9112 section 3.2, and what Pingora would refuse without the words of our own failures.
fn check(request: &httparse::Request<'_, '_>) -> Result<(), Failure> {
    let target = request.path.unwrap_or_default();
    if target.len() > MAX_TARGET_BYTES {
        let detail = format!("the request's target is longer than {MAX_TARGET_BYTES} bytes");
        return Err(Failure::new(Code::QueryTooLong, detail));
    }
    let mut hosts = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("host"));
    let (host, second) = (hosts.next(), hosts.next());
    let is_host = |value: &[u8]| value.is_empty() || http::uri::Authority::try_from(value).is_ok();
    if second.is_some()
        || (host.is_none() && request.version == Some(1))
        || host.is_some_and(|host| !is_host(host.value))
    {
        return Err(Failure::new(Code::BadRequest, "one Host header is needed"));
    }
    if target.starts_with('/') || target == "*" {
        return Ok(());
    }
    let uri = target.parse::<Uri>().ok().filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let authority =
        uri.as_ref().and_then(Uri::authority).filter(|authority| !authority.as_str().contains('@'));
    match (authority, host) {
        (Some(authority), Some(host)) if authority.as_str().as_bytes().eq_ignore_ascii_case(host.value) => {
            Ok(())
        }
        (Some(_), None) => Ok(()),
        _ => Err(Failure::new(Code::BadRequest, "the request's target cannot be read")),
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use futures::FutureExt;
    use http::{Method, Version};
    use pingora::protocols::http::ServerSession;
    use proptest::prelude::*;

    use super::*;

    const HOST: &str = "Host: edge.test\r\n";

    fn is_plain(head: &str) -> bool {
        match read_head(head.as_bytes(), |_| Some(())) {
            Ok(Reading::Whole(plain)) => plain.is_some(),
            other => panic!("{head:?}: {other:?}"),
        }
    }

    #[test]
    fn what_browsers_and_caches_send_for_a_picture_is_plain() {
        let browser = "Connection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"141\"\r\nDNT: 1\r\nUser-Agent: M\r\n\
             Accept: image/avif,*/*;q=0.8\r\nSec-Fetch-Dest: image\r\nReferer: https://a.test/\r\n\
             Accept-Encoding: gzip, br\r\nAccept-Language: de\r\nCookie: a=b\r\nPriority: i\r\n";
        for headers in
            ["", browser, "ORIGIN: https://a.test\r\nPragma: no-cache\r\nCache-Control: max-age=0\r\n"]
        {
            assert!(
                is_plain(&format!("GET /media/a%20b.jpg?resize=1,2 HTTP/1.1\r\n{HOST}{headers}\r\n")),
                "{headers}"
            );
        }
    }

    #[test]
    fn anything_else_is_not() {
        for headers in [
            "Range: bytes=0-1",
            "If-None-Match: \"a\"",
            "If-Modified-Since: x",
            "If-Range: \"a\"",
            "Content-Length: 0",
            "Transfer-Encoding: chunked",
            "Expect: 100-continue",
            "Upgrade: h2c",
            "TE: trailers",
            "Connection: close",
            "Connection: keep-alive, te",
            "Keep-Alive: timeout=5",
            "Authorization: Bearer a",
            "X-FileSpin-Api-Key: a",
            "X-Anything: a",
        ] {
            assert!(!is_plain(&format!("GET /media/a HTTP/1.1\r\n{HOST}{headers}\r\n\r\n")), "{headers}");
        }
        for line in [
            "HEAD /media/a HTTP/1.1",
            "GET http://edge.test/media/a HTTP/1.1",
            "GET /media/a HTTP/1.0",
            "GET /media/a#b HTTP/1.1",
            "GET /media/\u{e4} HTTP/1.1",
            "GET * HTTP/1.1",
        ] {
            assert!(!is_plain(&format!("{line}\r\n{HOST}\r\n")), "{line}");
        }
        assert!(!is_plain("GET /media/a HTTP/1.1\r\nHost: a@b\r\n\r\n"));
        assert!(!is_plain(&format!(
            "GET /media/a HTTP/1.1\r\n{HOST}\r\nGET /media/b HTTP/1.1\r\n{HOST}\r\n"
        )));
    }

    #[test]
    fn a_part_of_a_head_is_no_head() {
        let head = format!("GET /media/a HTTP/1.1\r\n{HOST}\r\n");
        for length in 0..head.len() {
            let reading = read_head(&head.as_bytes()[..length], |_| Some(())).expect("nothing wrong yet");
            assert_eq!(reading, Reading::Partial, "{length}");
        }
    }

    type Headers = Vec<(String, Vec<u8>)>;

    fn by_us(sent: &[u8]) -> Option<(String, Headers)> {
        let headers = |plain: &Plain<'_, '_>| {
            plain.headers().map(|(name, value)| (name.to_lowercase(), value.to_vec())).collect()
        };
        match read_head(sent, |plain| Some((plain.target.to_owned(), headers(plain)))) {
            Ok(Reading::Whole(plain)) => plain,
            _ => None,
        }
    }

    /// A session that has these bytes, and waits in vain if it wants more.
    fn by_pingora(sent: &[u8]) -> (String, Headers) {
        let (_client, stream) = tokio::io::duplex(1);
        let mut session = ServerSession::new_http1(Box::new(stream));
        session.set_pipelined_prefix(BytesMut::from(sent));
        let read = session.read_request().now_or_never().expect("all is there");
        assert!(read.expect("well-formed") && session.is_body_empty());
        let head = session.req_header();
        assert_eq!((&head.method, head.version), (&Method::GET, Version::HTTP_11));
        let headers = head.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
        (String::from_utf8_lossy(head.raw_path()).into_owned(), headers.collect())
    }

    /// Heads that are nearly plain: what is odd in them is what parsers differ about.
    fn heads() -> impl Strategy<Value = Vec<u8>> {
        let target = "/media/([a-z%#?&=~@:;/ .\"<{|\\\\\\[^`-]|\u{e4}){0,6}";
        let line = prop_oneof![
            6 => Just("GET "), 1 => Just("get "), 1 => Just("GET  "), 1 => Just("\r\nGET "), 1 => Just("HEAD ")
        ];
        let version = prop_oneof![6 => Just(" HTTP/1.1"), 1 => Just(" HTTP/1.0"), 1 => Just(" HTTP/1.1 ")];
        let names = "Host|Accept|User-Agent|Cookie|Sec-A|Connection|Content-Length|Range|Accept |";
        let value = "(: ?|\t|)([ -~\t\u{e4}]{0,8}|keep-alive|0|a@b)";
        let end = prop_oneof![9 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r")];
        let headers = prop::collection::vec((names, value, end.clone()), 0..5);
        (
            line,
            target,
            version,
            headers,
            end,
            any::<prop::sample::Index>(),
            prop::option::weighted(0.2, any::<u8>()),
        )
            .prop_map(|(line, target, version, headers, end, place, odd)| {
                let headers: String =
                    headers.iter().map(|(name, value, end)| format!("{name}{value}{end}")).collect();
                let head = format!("{line}{target}{version}\r\nHost: x\r\n{headers}{end}");
                let mut head = head.into_bytes();
                if let Some(odd) = odd {
                    let place = place.index(head.len());
                    head[place] = odd;
                }
                head
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn what_is_plain_is_framed_as_pingora_frames_it(head in heads()) {
            if let Some((target, mut headers)) = by_us(&head) {
                let (theirs, mut their_headers) = by_pingora(&head);
                // Their map keeps the order within a name alone.
                headers.sort_by(|a, b| a.0.cmp(&b.0));
                their_headers.sort_by(|a, b| a.0.cmp(&b.0));
                prop_assert_eq!((target, headers), (theirs, their_headers));
            }
        }
    }
}
