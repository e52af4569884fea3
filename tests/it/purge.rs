//! Purge, as a client sees it: what was purged is fetched anew, all else stays.

use std::path::Path;
use std::time::Duration;

use kinora::metadata::{Catalog, Config, PurgeScope};
use kinora::setting::Secret;
use serde_json::{Value, json};

use crate::support::client::Reply;
use crate::support::edge::{Edge, command, eventually};
use crate::support::http_origin::{Fault, HttpOrigin};
use crate::support::picture;
use crate::support::program::{create_key, data_with_pair, run};

const KEY: &str = "a-key-that-may-purge";

/// The three ways to ask for a purge.
#[derive(Debug, Clone, Copy)]
enum Way {
    Post,
    Command,
    Method,
}

/// A server before a web server that says how often it was asked.
struct Shop {
    origin: HttpOrigin,
    edge: Edge,
}

impl Shop {
    /// Its origin keeps these, and tags them all alike.
    fn open(keys: &[&'static str]) -> Self {
        Self::open_with(keys, &[])
    }

    fn open_with(keys: &[&'static str], settings: &[(&str, &str)]) -> Self {
        let origin = HttpOrigin::start();
        for key in keys {
            let body = if key.ends_with(".jpg") { picture::jpeg(64, 48) } else { b"first".to_vec() };
            origin.put(key, &body);
        }
        origin.say(&[("cache-tag", "all, Some Shelf"), ("cache-control", "public, max-age=600")]);
        let data = data_with_pair(&[]);
        create_key(data.path(), &["api", "--scopes", "purge", "--id", "purger", "--secret", KEY]);
        let url = origin.url();
        let ours = [
            ("origin.kind", "http"),
            ("origin.http.base_url", &url),
            ("origin.retries", "0"),
            ("purge.allow_cidrs", "127.0.0.0/8"),
            ("origin.http.forward_response_headers", "cache-tag"),
        ];
        let edge = Edge::start_in(data, &[&ours, settings].concat());
        Self { origin, edge }
    }

    /// Gets all these until they are in the cache.
    async fn fill(&self, targets: &[&str]) {
        for target in targets {
            assert_eq!(self.edge.get(target).await.status, 200, "{target}");
            assert_eq!(outcome(&self.edge.get(target).await), "hit", "{target}");
        }
    }

    /// Which of these are not answered from the cache alone.
    async fn missed<'a>(&self, targets: &[&'a str]) -> Vec<&'a str> {
        let mut missed = Vec::new();
        for target in targets {
            let reply = self.edge.get(target).await;
            assert_eq!(reply.status, 200, "{target} {reply:?}");
            if outcome(&reply) != "hit" {
                missed.push(*target);
            }
        }
        missed
    }

    async fn post(&self, wish: Value) -> Reply {
        post(&self.edge, &[("X-FileSpin-Api-Key", KEY)], wish.to_string().as_bytes()).await
    }

    async fn purge(&self, wish: Value) {
        let reply = self.post(wish).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }

    /// Requests of whole objects that have reached the origin.
    fn fetched(&self) -> usize {
        self.origin.requests().iter().filter(|seen| seen.method == "GET").count()
    }
}

async fn post(edge: &Edge, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut connection = edge.connect().await;
    let length = body.len().to_string();
    connection
        .ask("POST", "/api/v1/purge", &[&[("Content-Length", length.as_str())], headers].concat())
        .await;
    connection.write(body).await;
    connection.reply("POST").await
}

/// `hit`, or why it was forwarded.
fn outcome(reply: &Reply) -> String {
    let status = reply.header("cache-status");
    let parameters = status.split(';').map(str::trim);
    let mut known = parameters.filter(|word| *word == "hit" || word.starts_with("fwd="));
    known.next().unwrap_or_else(|| panic!("{reply:?}")).to_owned()
}

const PICTURES: [&str; 3] =
    ["/media/a/cat.jpg", "/media/a/cat.jpg?resize=32,&format=png", "/media/a/cat.jpg?resize=16,&format=png"];
const OTHER: &str = "/media/b/dog.jpg?resize=32,&format=png";

#[tokio::test]
async fn a_key_takes_all_its_variants_and_nothing_else() {
    for way in [Way::Post, Way::Command, Way::Method] {
        let shop = Shop::open(&["a/cat.jpg", "b/dog.jpg"]);
        shop.fill(&[&PICTURES[..], &[OTHER]].concat()).await;
        let (before, renders) = (shop.fetched(), shop.edge.renders().await);
        match way {
            Way::Post => shop.purge(json!({ "keys": ["a/cat.jpg"] })).await,
            Way::Method => {
                let reply = shop.edge.send("PURGE", PICTURES[1], &[]).await;
                assert_eq!(reply.status, 200, "{reply:?}");
            }
            Way::Command => {
                let said = run(shop.edge.data_dir(), &["purge", "--key", "a/cat.jpg"]);
                assert!(said.contains("a/cat.jpg") && said.contains("within a second"), "{said}");
                let miss = async || Some(shop.edge.get(PICTURES[0]).await).filter(|it| outcome(it) != "hit");
                eventually("the purge of another process", miss).await;
            }
        }
        let expected = if matches!(way, Way::Command) { &PICTURES[1..] } else { &PICTURES };
        assert_eq!(shop.missed(&PICTURES).await, expected, "{way:?}");
        assert_eq!(shop.missed(&[OTHER]).await, [""; 0], "{way:?}");
        assert!(shop.fetched() > before, "{way:?}: from the origin, not from a copy of ours");
        assert_eq!(shop.edge.renders().await, renders + 2, "{way:?}");
        assert_eq!(shop.missed(&PICTURES).await, [""; 0], "{way:?}: it is kept again");
    }
}

#[tokio::test]
async fn what_was_purged_is_never_answered_again_even_if_the_origin_fails() {
    let shop = Shop::open(&["a.txt"]);
    shop.origin
        .say(&[("cache-control", "public, max-age=600, stale-if-error=600, stale-while-revalidate=600")]);
    shop.fill(&["/media/a.txt"]).await;
    shop.purge(json!({ "keys": ["a.txt"] })).await;
    shop.origin.fault(Fault::Status(500, "broken"));
    let reply = shop.edge.get("/media/a.txt").await;
    assert_eq!((reply.status, reply.code().as_str()), (502, "origin_failed"), "{reply:?}");
    shop.origin.put("a.txt", b"second");
    // The failure is remembered for a moment, unless it is purged as well.
    shop.purge(json!({ "keys": ["a.txt"] })).await;
    assert_eq!(shop.edge.get("/media/a.txt").await.body, b"second");
    let last = shop.origin.requests().pop().expect("asked");
    assert!(!last.headers.contains_key("if-none-match"), "what is gone is not asked after: {last:?}");
}

#[tokio::test]
async fn a_prefix_takes_what_begins_so() {
    let shop = Shop::open(&["p/2024/a.txt", "p/2025/b.txt", "p/2030/c.txt", "q/d.txt"]);
    let targets = ["/media/p/2024/a.txt", "/media/p/2025/b.txt", "/media/p/2030/c.txt", "/media/q/d.txt"];
    shop.fill(&targets).await;
    shop.purge(json!({ "prefixes": ["p/202"] })).await;
    assert_eq!(shop.missed(&targets).await, targets[..2]);
    assert_eq!(shop.missed(&targets).await, [""; 0]);
    shop.purge(json!({ "prefixes": ["p/"] })).await;
    assert_eq!(shop.missed(&targets).await, targets[..3]);
}

#[tokio::test]
async fn a_tag_takes_what_the_origin_has_tagged_with_it() {
    let shop = Shop::open(&["a.txt", "a.jpg"]);
    let tagged = ["/media/a.txt", "/media/a.jpg?resize=32,&format=png"];
    shop.fill(&tagged).await;
    shop.origin.put("b.txt", b"first");
    shop.origin.say(&[("cache-control", "public, max-age=600")]);
    shop.fill(&["/media/b.txt"]).await;
    let all = [tagged[0], tagged[1], "/media/b.txt"];
    shop.purge(json!({ "tags": ["other", "al", "Some", "all2"] })).await;
    assert_eq!(shop.missed(&all).await, [""; 0], "a tag is meant as a whole");
    shop.purge(json!({ "tags": ["Some Shelf"] })).await;
    assert_eq!(shop.missed(&all).await, tagged);
}

#[tokio::test]
async fn everything_takes_all_there_is() {
    let shop = Shop::open(&["a.txt", "b/dog.jpg"]);
    let targets = ["/media/a.txt", OTHER, "/media/none.txt"];
    shop.fill(&targets[..2]).await;
    assert_eq!(shop.edge.get(targets[2]).await.status, 404);
    shop.origin.put("none.txt", b"now it is there");
    shop.purge(json!({ "everything": true })).await;
    assert_eq!(shop.missed(&targets).await, targets, "also that there was nothing");
}

#[tokio::test]
async fn what_there_was_not_is_forgotten_by_its_key() {
    let shop = Shop::open(&[]);
    assert_eq!(shop.edge.get("/media/a.txt").await.status, 404);
    shop.origin.put("a.txt", b"now it is there");
    assert_eq!(shop.edge.get("/media/a.txt").await.status, 404, "remembered");
    shop.purge(json!({ "keys": ["a.txt"] })).await;
    assert_eq!(shop.edge.get("/media/a.txt").await.status, 200);
}

#[tokio::test]
async fn a_stale_purge_answers_the_old_one_while_it_fetches_the_new() {
    let shop = Shop::open(&["a.txt"]);
    shop.origin
        .say(&[("cache-control", "public, max-age=600, stale-while-revalidate=600, stale-if-error=600")]);
    shop.fill(&["/media/a.txt"]).await;
    shop.origin.put("a.txt", b"second");
    shop.purge(json!({ "keys": ["a.txt"], "mode": "stale" })).await;
    let (open, gate) = tokio::sync::oneshot::channel();
    shop.origin.fault(Fault::Hold(gate));
    for _ in 0..3 {
        let reply = shop.edge.get("/media/a.txt").await;
        assert_eq!((reply.status, reply.body.as_slice()), (200, b"first".as_slice()), "{reply:?}");
    }
    drop(open);
    let second = async || Some(shop.edge.get("/media/a.txt").await).filter(|reply| reply.body == b"second");
    eventually("the new one", second).await;
    assert_eq!(shop.fetched(), 2, "one fetch for all of them");

    shop.purge(json!({ "everything": true, "mode": "stale" })).await;
    shop.origin.fault(Fault::Status(500, "broken"));
    assert_eq!(shop.edge.get("/media/a.txt").await.body, b"second", "it is there for such a case");
}

#[tokio::test]
async fn a_purge_outlives_the_process() {
    let origin = HttpOrigin::start();
    origin.put("a.txt", b"first");
    origin.put("b.txt", b"first");
    origin.say(&[("cache-control", "public, max-age=600")]);
    let (url, data) = (origin.url(), data_with_pair(&[]));
    let dir = data.path().to_str().expect("a plain path").to_owned();
    let settings = [
        ("data.dir", dir.as_str()),
        ("origin.kind", "http"),
        ("origin.http.base_url", &url),
        ("origin.retries", "0"),
    ];
    let edge = Edge::start(&settings);
    for target in ["/media/a.txt", "/media/b.txt"] {
        edge.get(target).await;
        assert_eq!(outcome(&edge.get(target).await), "hit");
    }
    drop(edge);
    // Nobody runs who could notice.
    run(data.path(), &["purge", "--key", "a.txt"]);
    origin.put("a.txt", b"second");
    let edge = Edge::start(&settings);
    assert_eq!(edge.get("/media/a.txt").await.body, b"second");
    assert_eq!(edge.get("/media/b.txt").await.body, b"first");
}

#[tokio::test]
async fn the_endpoint_wants_a_key_and_a_body_that_says_what() {
    let shop = Shop::open(&["a.txt"]);
    shop.fill(&["/media/a.txt"]).await;
    let (_, reader) = create_key(shop.edge.data_dir(), &["api", "--scopes", "read"]);
    let wish = br#"{"keys":["a.txt"]}"#;
    let refused = async || {
        let reply = post(&shop.edge, &[("X-FileSpin-Api-Key", &reader)], wish).await;
        Some(reply).filter(|reply| reply.status == 403)
    };
    assert_eq!(eventually("the key is known", refused).await.code(), "scope_missing");
    let none = post(&shop.edge, &[], wish).await;
    assert_eq!((none.status, none.code().as_str()), (401, "api_key_needed"));
    let bearer = format!("Bearer {KEY}");
    for (body, status, code) in [
        (&b"{}"[..], 400, "bad_request"),
        (br#"{"key":["a.txt"]}"#, 400, "bad_request"),
        (&[b' '; (1 << 20) + 1], 413, "body_too_large"),
    ] {
        let reply = post(&shop.edge, &[("Authorization", &bearer)], body).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code));
    }
    let other = shop.edge.send("GET", "/api/v1/purge", &[("Authorization", &bearer)]).await;
    assert_eq!((other.status, other.header("allow").as_str()), (405, "POST"));
    assert_eq!(shop.missed(&["/media/a.txt"]).await, [""; 0], "nothing was purged");
    assert_eq!(post(&shop.edge, &[("Authorization", &bearer)], wish).await.status, 200);
    assert_eq!(shop.missed(&["/media/a.txt"]).await, ["/media/a.txt"]);
    assert!(
        !format!("{:?}", shop.origin.requests()).contains("/api/"),
        "none of it is the origin's business"
    );
}

#[tokio::test]
async fn a_purge_request_counts_only_from_allowed_addresses() {
    let shop = Shop::open_with(&["a.txt"], &[("purge.allow_cidrs", "10.0.0.0/8,192.168.0.0/16")]);
    shop.fill(&["/media/a.txt"]).await;
    let spoofed = [("X-Forwarded-For", "10.0.0.1"), ("Forwarded", "for=10.0.0.1")];
    for headers in [&[][..], &spoofed] {
        let reply = shop.edge.send("PURGE", "/media/a.txt", headers).await;
        assert!(matches!(reply.status, 403 | 405), "{reply:?}");
    }
    assert_eq!(shop.missed(&["/media/a.txt"]).await, [""; 0]);
}

#[tokio::test]
async fn a_running_server_reads_the_purges_of_others() {
    let edge = Edge::start_in(data_with_pair(&[]), &[("log.level", "info,kinora=debug")]);
    let reads = || edge.logged().matches("purges read").count();
    let before = reads();
    assert!(before > 0, "before it listens");
    run(edge.data_dir(), &["purge", "--tag", "t"]);
    eventually("the purge of another process", async || (reads() == before + 1).then_some(())).await;
}

#[test]
fn the_command_says_what_it_has_purged() {
    let data = tempfile::tempdir().expect("a directory");
    let output = |arguments: &[&str]| command(data.path(), &[]).args(arguments).output().expect("it runs");
    let early = output(&["purge", "--everything"]);
    assert_eq!(early.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&early.stderr).contains("data.dir"), "{early:?}");
    assert!(!data.path().join("kinora.sqlite").exists(), "a mistyped directory stays empty");
    create_key(data.path(), &["api"]);

    let id = "0123456789abcdef0123456789abcdef";
    let said = run(
        data.path(),
        &[
            "purge", "--asset", id, "--key", "a.jpg", "--key", "a.jpg", "--prefix", "p/", "--tag", "t",
            "--stale",
        ],
    );
    for part in ["stale", id, "a.jpg", "p/", "within a second"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(said.matches("a.jpg").count(), 1, "{said}");
    let before = json_of(&run(data.path(), &["purge", "--everything", "--json"]));
    let after = json_of(&run(data.path(), &["purge", "--key", "a", "--tag", "b", "--json"]));
    assert_eq!((&before["purged"], &after["purged"]), (&json!(1), &json!(2)));
    assert!(after["generation"].as_u64() > before["generation"].as_u64(), "{before} {after}");
    for (arguments, code) in [
        (&["purge"][..], 2),
        (&["purge", "--stale"], 2),
        (&["purge", "a.jpg"], 2),
        (&["purge", "--key"], 2),
        (&["purge", "--key", "/a.jpg"], 1),
        (&["purge", "--key", "a.jpg", "--prefix", ""], 1),
        (&["purge", "--asset", "cat"], 1),
    ] {
        assert_eq!(output(arguments).status.code(), Some(code), "{arguments:?}");
    }
}

#[tokio::test]
async fn an_acknowledged_purge_survives_the_kill_of_the_server() {
    let data = data_with_pair(&[]);
    create_key(data.path(), &["api", "--scopes", "purge", "--id", "purger", "--secret", KEY]);
    let dir = data.path().to_str().expect("a plain path");
    for round in 0..3 {
        let edge = Edge::start(&[("data.dir", dir)]);
        let mut sent: Vec<String> = (0..11).map(|number| format!("{round}/{number}")).collect();
        let last = sent.pop().expect("eleven");
        for key in &sent {
            let wish = json!({ "keys": [key] }).to_string();
            assert_eq!(post(&edge, &[("X-FileSpin-Api-Key", KEY)], wish.as_bytes()).await.status, 200);
        }
        let wish = json!({ "keys": [last, format!("{last}+")] }).to_string();
        let mut connection = edge.connect().await;
        let length = wish.len().to_string();
        let headers = [("X-FileSpin-Api-Key", KEY), ("Content-Length", length.as_str())];
        connection.ask("POST", "/api/v1/purge", &headers).await;
        connection.write(wish.as_bytes()).await;
        // With SIGKILL, and in the middle of that one.
        drop(edge);
        let recorded = keys_of(data.path()).await;
        assert!(sent.iter().all(|key| recorded.contains(key)), "{sent:?} in {recorded:?}");
        assert_eq!(recorded.contains(&last), recorded.contains(&format!("{last}+")), "both or none");
    }
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// The keys that the catalogue remembers as purged.
async fn keys_of(data: &Path) -> Vec<String> {
    let config = Config { url: Secret::new("sqlite:kinora.sqlite") };
    let catalog = Catalog::open(&config, data).await.expect("open");
    let purges = catalog.purges().await.expect("listed");
    catalog.close().await;
    let keys = purges.into_iter().filter(|purge| matches!(purge.scope, PurgeScope::Key(_)));
    keys.map(|purge| purge.scope.text().to_owned()).collect()
}

#[tokio::test]
async fn a_purge_that_is_killed_is_whole_or_was_never_there() {
    let data = data_with_pair(&[]);
    let (mut whole, mut none) = (0, 0);
    for turn in 0..40_u64 {
        let keys: Vec<String> = (0..300).map(|number| format!("--key={turn}/{number}")).collect();
        let mut purge = command(data.path(), &[]).arg("purge").args(&keys).spawn().expect("it runs");
        // Not to wait for something: the moment of the kill is what differs.
        tokio::time::sleep(Duration::from_millis(turn)).await;
        let _ = purge.kill();
        let acknowledged = purge.wait_with_output().expect("a child").status.success();
        match keys_of(data.path()).await.len().checked_sub(whole * 300) {
            Some(0) if !acknowledged => none += 1,
            Some(300) => whole += 1,
            other => panic!("{other:?} of 300, acknowledged: {acknowledged}"),
        }
    }
    assert!(none > 0, "{whole} of 40 whole");
}
