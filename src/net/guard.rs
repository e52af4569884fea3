//! The guard of calls to URLs that users hand in: they reach public addresses and what a setting
//! opens, nothing else.
//!
//! Addresses are looked at where the connection is made: what a name resolves to is filtered in the
//! moment of connecting, and only what is left is connected to, so a name that changes its answer
//! gains nothing. A literal address never goes through a resolver, so it is looked at in the URL.
//! Redirects are not followed; whoever wants to has to ask [`Guard::check`] at each hop. Proxies of
//! the environment are not used: they would resolve names for us.

use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, Url};

use crate::net::address::{is_public, meant};
use crate::setting::Cidr;

/// The longest URL that is called, in bytes.
const MAX_URL_BYTES: usize = 2048;

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// Why a URL is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be read, or not as one that we could call.
    #[error("must be a URL such as https://example.com/hook")]
    NoUrl,
    /// It is too long to keep and to show.
    #[error("must have at most {MAX_URL_BYTES} bytes")]
    TooLong,
    /// A password would be shown wherever the URL is.
    #[error("must not hold a user name or password")]
    Credentials,
    /// A server never sees it.
    #[error("must not have a fragment")]
    Fragment,
    /// Its host is an address that is neither public nor opened.
    #[error("must not name a private address")]
    Address,
}

/// No address that a name resolves to may be called.
#[derive(Debug, thiserror::Error)]
#[error("the name resolves to no address that may be called")]
struct NoAddressLeft;

/// Which addresses may be called. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard {
    opened: Arc<[Cidr]>,
}

impl Guard {
    /// Lets calls pass to public addresses and into these networks.
    pub fn new(opened: impl IntoIterator<Item = Cidr>) -> Self {
        Self { opened: opened.into_iter().collect() }
    }

    /// Whether this address may be called.
    pub fn allows(&self, address: IpAddr) -> bool {
        let is_opened = |network: &Cidr| network.contains(address) || network.contains(meant(address));
        is_public(address) || self.opened.iter().any(is_opened)
    }

    /// Reads a URL that somebody hands in.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn read(&self, text: &str) -> Result<Url, Refusal> {
        if text.len() > MAX_URL_BYTES {
            return Err(Refusal::TooLong);
        }
        // The parser would drop these, and what was meant would be a guess.
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Refusal::NoUrl);
        }
        let url = Url::parse(text).map_err(|_| Refusal::NoUrl)?;
        self.check(&url).map(|()| url)
    }

    /// Whether a URL may be called, as far as it says: a name is looked at when it is resolved.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(&self, url: &Url) -> Result<(), Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::NoUrl);
        }
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(Refusal::TooLong);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Credentials);
        }
        if url.fragment().is_some() {
            return Err(Refusal::Fragment);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(Refusal::NoUrl)?;
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match literal {
            Ok(address) if !self.allows(address) => Err(Refusal::Address),
            _ => Ok(()),
        }
    }

    /// A client that this guard stands before.
    ///
    /// Where the system has no root certificates it calls `http` alone, since every `https` fails then.
    ///
    /// # Errors
    /// If the system gives no client.
    pub fn client(&self, connect_timeout: Duration) -> reqwest::Result<Client> {
        let builder = || self.builder(SystemNames).connect_timeout(connect_timeout);
        builder().build().or_else(|_| builder().tls_certs_only([]).build())
    }

    /// What a client of this guard is made with, over names from elsewhere.
    pub fn builder(&self, names: impl Resolve + 'static) -> ClientBuilder {
        // An error means that a provider was installed before, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::builder()
            .user_agent(concat!("kinora/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .pool_idle_timeout(IDLE)
            .dns_resolver(Guarded { guard: self.clone(), names: Arc::new(names) })
    }
}

/// Whether a call failed because the guard has let no address pass.
pub fn was_refused(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<NoAddressLeft>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A resolver that gives away only addresses that may be called.
pub struct Guarded<R> {
    guard: Guard,
    names: Arc<R>,
}

impl<R: Resolve + 'static> Resolve for Guarded<R> {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, names) = (self.guard.clone(), Arc::clone(&self.names));
        Box::pin(async move {
            let resolved = names.resolve(name).await?;
            let allowed: Vec<SocketAddr> = resolved.filter(|address| guard.allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err(NoAddressLeft.into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        })
    }
}

/// Names as the system resolves them.
pub struct SystemNames;

impl Resolve for SystemNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // Port 0 stands for the one in the URL.
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok::<_, Box<dyn StdError + Send + Sync>>(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn guard(opened: &[&str]) -> Guard {
        Guard::new(opened.iter().map(|network| network.parse().expect("a network")))
    }

    #[test]
    fn a_literal_address_is_known_in_every_spelling() {
        let closed = guard(&[]);
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "017700000001",
            "0",
            "127.0.0.1.",
            "１２７.0.0.1",
            "%31%32%37.0.0.1",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:ffff:a9fe:a9fe]",
            "[64:ff9b::10.0.0.1]",
            "[2002:7f00:1::]",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "169.254.169.254",
            "10.0.0.1",
        ] {
            for url in [format!("http://{host}/"), format!("https://{host}:8443/a?b")] {
                assert_eq!(closed.read(&url).err(), Some(Refusal::Address), "{url}");
            }
        }
        let opened = guard(&["127.0.0.0/8", "::1"]);
        for host in ["127.0.0.1", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::127.0.0.1]", "8.8.8.8"]
        {
            assert!(opened.read(&format!("http://{host}/")).is_ok(), "{host}");
        }
        assert_eq!(opened.read("http://10.0.0.1/").err(), Some(Refusal::Address));
    }

    #[test]
    fn what_is_no_url_to_call_is_refused() {
        let long = format!("https://example.com/{}", "a".repeat(MAX_URL_BYTES));
        for (text, refusal) in [
            ("", Refusal::NoUrl),
            ("example.com", Refusal::NoUrl),
            ("/hook", Refusal::NoUrl),
            ("ftp://example.com/", Refusal::NoUrl),
            ("file:///etc/passwd", Refusal::NoUrl),
            ("gopher://example.com/", Refusal::NoUrl),
            ("http://", Refusal::NoUrl),
            (" https://example.com/", Refusal::NoUrl),
            ("https://exa\tmple.com/", Refusal::NoUrl),
            ("https://example.com/a\nb", Refusal::NoUrl),
            ("https://exa mple.com/", Refusal::NoUrl),
            ("http://[fe80::1%25eth0]/", Refusal::NoUrl),
            ("http://1.2.3.4.5/", Refusal::NoUrl),
            ("http://256.256.256.256/", Refusal::NoUrl),
            ("https://user@example.com/", Refusal::Credentials),
            ("https://:secret@example.com/", Refusal::Credentials),
            ("https://8.8.8.8@127.0.0.1/", Refusal::Credentials),
            ("https://example.com/#a", Refusal::Fragment),
            (&long, Refusal::TooLong),
        ] {
            assert_eq!(guard(&["0.0.0.0/0", "::/0"]).read(text).err(), Some(refusal), "{text:?}");
        }
        for text in ["https://example.com", "http://example.com:8080/a?b=c", "https://bücher.example/"] {
            assert!(guard(&[]).read(text).is_ok(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_read_as_a_url_with_a_closed_address(text in "(http|https)://[0-9a-fxA-F.:\\[\\]%@/]{1,40}") {
            if let Ok(url) = guard(&[]).read(&text) {
                let host = url.host_str().unwrap_or_default();
                let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
                prop_assert!(address.map_or(true, is_public), "{text} leads to {url}");
            }
        }
    }

    /// Names that answer with the next list at each question.
    struct Turning(Vec<Vec<SocketAddr>>, AtomicUsize);

    impl Resolve for Turning {
        fn resolve(&self, _: Name) -> Resolving {
            let turn = self.1.fetch_add(1, Ordering::Relaxed);
            let answer = self.0[turn % self.0.len()].clone();
            Box::pin(async move { Ok(Box::new(answer.into_iter()) as Addrs) })
        }
    }

    /// Answers every connection with 204 and counts them.
    async fn listen(ip: &str) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind((ip, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
            }
        });
        (address, count)
    }

    #[tokio::test]
    async fn a_name_is_looked_at_each_time_that_it_is_connected_to() {
        let (open, opened) = listen("127.0.0.2").await;
        let (closed, touched) = listen("127.0.0.1").await;
        // The second answer leads elsewhere, the third to both.
        let names = Turning(vec![vec![open], vec![closed], vec![closed, open]], AtomicUsize::new(0));
        let client = guard(&["127.0.0.2"]).builder(names).build().expect("a client");
        let ask = async || client.get("http://turning.test/").send().await;
        assert_eq!(ask().await.expect("answered").status().as_u16(), 204);
        let refused = ask().await.expect_err("refused");
        assert!(was_refused(&refused), "{refused:?}");
        assert_eq!(ask().await.expect("answered").status().as_u16(), 204);
        assert_eq!((opened.load(Ordering::Relaxed), touched.load(Ordering::Relaxed)), (2, 0));
    }

    #[tokio::test]
    async fn the_system_s_names_are_filtered_too() {
        let (address, touched) = listen("127.0.0.1").await;
        let url = format!("http://localhost:{}/", address.port());
        let ask = async |guard: Guard| {
            let client = guard.client(Duration::from_secs(5)).expect("a client");
            client.get(&url).send().await
        };
        assert!(was_refused(&ask(guard(&[])).await.expect_err("refused")));
        assert_eq!(touched.load(Ordering::Relaxed), 0);
        assert_eq!(ask(guard(&["127.0.0.0/8"])).await.expect("answered").status().as_u16(), 204);
    }
}
