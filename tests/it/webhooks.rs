//! Webhooks of the running server: made, tried, retried, given up, replayed; and whom they never reach.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tempfile::TempDir;

use crate::support::client::Reply;
use crate::support::edge::{Edge, command, eventually};
use crate::support::program::{create_key, run, signal};
use crate::support::receiver::{Answer, Receiver};

/// Receivers are on this machine; retries come at once.
const SETTINGS: &[(&str, &str)] =
    &[("webhooks.allow_cidrs", "127.0.0.0/8"), ("webhooks.schedule", "0s,0s,0s"), ("webhooks.timeout", "1s")];

struct Bench {
    edge: Edge,
    key: String,
}

impl Bench {
    fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory"), settings)
    }

    fn start_in(data: TempDir, settings: &[(&str, &str)]) -> Self {
        let (_, key) = create_key(data.path(), &["api"]);
        Self { edge: Edge::start_in(data, settings), key }
    }

    async fn send(&self, method: &str, target: &str, body: &str) -> Reply {
        let mut connection = self.edge.connect().await;
        let length = body.len().to_string();
        let headers = [("X-FileSpin-Api-Key", self.key.as_str()), ("Content-Length", &length)];
        connection.ask(method, &format!("/api/v1{target}"), &headers).await;
        connection.write(body.as_bytes()).await;
        connection.reply(method).await
    }

    /// What is answered, which has to be a success.
    async fn ask(&self, method: &str, target: &str, body: Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let reply = self.send(method, target, &body).await;
        assert!((200..300).contains(&reply.status), "{method} {target}: {reply:?}");
        if reply.body.is_empty() { Value::Null } else { serde_json::from_slice(&reply.body).expect("JSON") }
    }

    /// The code that a request is refused with.
    async fn refused(&self, method: &str, target: &str, body: &str) -> String {
        let reply = self.send(method, target, body).await;
        assert!(reply.status >= 400, "{method} {target} {body}: {reply:?}");
        reply.code()
    }

    /// Makes a hook; its id and its secret.
    async fn hook(&self, url: &str) -> (String, String) {
        let hook = self.ask("POST", "/hooks", json!({ "url": url })).await;
        (text(&hook["id"]), text(&hook["secret"]))
    }

    /// Sends a test message; the id of its delivery.
    async fn test(&self, hook: &str) -> u64 {
        let sent = self.ask("POST", &format!("/hooks/{hook}/test"), Value::Null).await;
        sent["delivery"].as_u64().expect("a number")
    }

    async fn delivery(&self, id: u64) -> Value {
        self.ask("GET", &format!("/deliveries/{id}"), Value::Null).await
    }

    /// The delivery once it is in this state.
    async fn until(&self, id: u64, state: &str) -> Value {
        eventually(&format!("delivery {id} to be {state}"), async || {
            Some(self.delivery(id).await).filter(|delivery| delivery["state"] == state)
        })
        .await
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// What of the attempts of a delivery is alike in every run.
fn log(delivery: &Value) -> Vec<(Value, Value, Value)> {
    let log = delivery["log"].as_array().expect("a list").iter();
    log.map(|attempt| (attempt["status"].clone(), attempt["error"].clone(), attempt["response"].clone()))
        .collect()
}

#[tokio::test]
async fn a_message_is_sent_until_it_is_received_under_one_id_and_signed() {
    let receiver = Receiver::start(|number, _| Answer::Status(if number < 2 { 500 } else { 200 }));
    let bench = Bench::start(SETTINGS);
    let (hook, secret) = bench.hook(&format!("{}/here", receiver.url())).await;
    let id = bench.test(&hook).await;
    let delivery = bench.until(id, "done").await;
    let said = |status: u16, number| (json!(status), Value::Null, json!(format!("answer {number}")));
    assert_eq!(log(&delivery), [said(500, 0), said(500, 1), said(200, 2)]);
    let calls = receiver.calls();
    assert_eq!(calls.len(), 3);
    for call in &calls {
        assert_eq!((call.id(), call.path.as_str()), (delivery["event_id"].as_str().expect("text"), "/here"));
        assert_eq!(call.body, calls[0].body, "the body is frozen");
        assert_eq!(call.headers["content-type"], "application/json");
        Webhook::new(&secret).expect("a secret").verify(&call.body, &call.headers).expect("a good signature");
    }
    let body: Value = serde_json::from_slice(&calls[0].body).expect("JSON");
    assert_eq!((&body["event"], &body["hook"]), (&json!("hook-test"), &json!(hook)));
    let event = bench.ask("GET", &format!("/events/{}", calls[0].id()), Value::Null).await;
    assert_eq!(event["body"], body);
    let events = bench.ask("GET", "/events?event=hook-test&limit=1", Value::Null).await;
    assert_eq!((&events["events"][0]["id"], events["cursor"].is_u64()), (&event["id"], true));
    let rest = bench.ask("GET", &format!("/events?cursor={}", events["cursor"]), Value::Null).await;
    assert_eq!(rest, json!({ "events": [], "cursor": null }));

    // During a rotation both secrets hold.
    let rotated = bench.ask("POST", &format!("/hooks/{hook}/rotate"), Value::Null).await;
    bench.until(bench.test(&hook).await, "done").await;
    let call = receiver.calls().pop().expect("one");
    let verifies = |secret: &str, call: &crate::support::receiver::Call| {
        Webhook::new(secret).expect("a secret").verify(&call.body, &call.headers).is_ok()
    };
    let second = text(&rotated["secret"]);
    assert!(second != secret && verifies(&secret, &call) && verifies(&second, &call));
    let rotated = bench.ask("POST", &format!("/hooks/{hook}/rotate"), json!({ "overlap_seconds": 0 })).await;
    bench.until(bench.test(&hook).await, "done").await;
    let call = receiver.calls().pop().expect("one");
    assert!(verifies(&text(&rotated["secret"]), &call));
    assert!(
        !verifies(&secret, &call) && !verifies(&second, &call),
        "without overlap the old ones end at once"
    );
}

#[tokio::test]
async fn hooks_are_made_changed_and_deleted_and_their_secret_is_shown_once() {
    let bench = Bench::start(SETTINGS);
    let receiver = Receiver::start(|_, _| Answer::Status(204));
    let wish = json!({ "url": receiver.url(), "name": "CI", "events": ["file-deleted", "file-saved"] });
    let mut made = bench.ask("POST", "/hooks", wish).await;
    let secret = text(&made["secret"]);
    assert!(secret.starts_with("whsec_"), "{secret}");
    made.as_object_mut().expect("an object").remove("secret");
    assert_eq!(made["events"], json!(["file-saved", "file-deleted"]));
    let id = text(&made["id"]);
    let path = format!("/hooks/{id}");
    assert_eq!(bench.ask("GET", &path, Value::Null).await, made);
    assert_eq!(bench.ask("GET", "/hooks", Value::Null).await, json!({ "hooks": [made] }));
    let changed = bench.ask("PATCH", &path, json!({ "enabled": false, "name": "" })).await;
    assert_eq!(
        (&changed["enabled"], &changed["name"], &changed["url"]),
        (&json!(false), &json!(""), &made["url"])
    );
    let waits = bench.test(&id).await;
    assert_eq!(bench.delivery(waits).await["state"], "pending", "a hook that is off waits");
    assert!(receiver.calls().is_empty());
    bench.ask("PATCH", &path, json!({ "enabled": true })).await;
    bench.until(waits, "done").await;
    let brought = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let own = bench.ask("POST", "/hooks", json!({ "url": receiver.url(), "secret": brought })).await;
    assert_eq!(own["secret"], brought);
    bench.ask("DELETE", &path, Value::Null).await;
    assert_eq!(bench.refused("GET", &path, "").await, "not_found");
    assert_eq!(bench.refused("GET", &format!("/deliveries/{waits}"), "").await, "not_found", "gone with it");
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused() {
    let bench = Bench::start(SETTINGS);
    let (hook, _) = bench.hook("https://example.com/").await;
    let path = format!("/hooks/{hook}");
    for (body, why) in [
        ("", "no body"),
        ("[]", "no object"),
        ("{}", "no URL"),
        (r#"{"url":1}"#, "no text"),
        (r#"{"url":"nonsense"}"#, "no URL"),
        (r#"{"url":"ftp://example.com/"}"#, "another scheme"),
        (r#"{"url":"https://a:b@example.com/"}"#, "a password"),
        (r#"{"url":"http://10.0.0.1/"}"#, "a private address"),
        (r#"{"url":"http://[::ffff:10.0.0.1]/"}"#, "a private address in disguise"),
        (r#"{"url":"http://0x0a000001/"}"#, "a private address in disguise"),
        (r#"{"url":"http://169.254.169.254/latest/meta-data"}"#, "metadata"),
        (r#"{"url":"https://example.com/","events":[]}"#, "no event"),
        (r#"{"url":"https://example.com/","events":["file-eaten"]}"#, "an unknown event"),
        (r#"{"url":"https://example.com/","secret":"short"}"#, "no secret"),
        (r#"{"url":"https://example.com/","name":"a\u0000b"}"#, "a control character"),
        (r#"{"url":"https://example.com/","enable":true}"#, "an unknown member"),
    ] {
        assert_eq!(bench.refused("POST", "/hooks", body).await, "bad_request", "{why}: {body}");
    }
    assert_eq!(bench.refused("PATCH", &path, r#"{"url":"http://10.0.0.1/"}"#).await, "bad_request");
    let nobody = "/hooks/hook_0123";
    for (method, target) in [
        ("GET", nobody.to_owned()),
        ("PATCH", nobody.to_owned()),
        ("DELETE", nobody.to_owned()),
        ("POST", format!("{nobody}/rotate")),
        ("POST", format!("{nobody}/test")),
        ("GET", "/hooks/%ff".to_owned()),
        ("GET", "/events/evt_1".to_owned()),
        ("GET", "/deliveries/999999".to_owned()),
        ("GET", "/deliveries/x".to_owned()),
        ("POST", "/deliveries/999999/replay".to_owned()),
    ] {
        assert_eq!(bench.refused(method, &target, "{}").await, "not_found", "{method} {target}");
    }
    for (target, why) in [
        ("/deliveries?state=late", "an unknown state"),
        ("/deliveries?limit=0", "no limit"),
        ("/deliveries?limit=201", "too many"),
        ("/deliveries?cursor=x", "no cursor"),
        ("/events?asset=1", "no asset id"),
        ("/events?event=x", "no event"),
        ("/events?page=1", "an unknown parameter"),
    ] {
        assert_eq!(bench.refused("GET", target, "").await, "bad_request", "{why}: {target}");
    }
}

#[tokio::test]
async fn only_keys_with_the_right_scope_see_and_change_hooks() {
    let data = tempfile::tempdir().expect("a directory");
    let keys = [("read", "read"), ("write", "write"), ("purge", "purge")]
        .map(|(_, scopes)| create_key(data.path(), &["api", "--scopes", scopes]).1);
    let edge = Edge::start_in(data, SETTINGS);
    let [read, write, purge] = keys;
    let hook = "/hooks/hook_1";
    for (method, path, needs) in [
        ("GET", "/hooks", &read),
        ("GET", hook, &read),
        ("GET", "/events", &read),
        ("GET", "/deliveries", &read),
        ("GET", "/deliveries/1", &read),
        ("POST", "/hooks", &write),
        ("PATCH", hook, &write),
        ("DELETE", hook, &write),
        ("POST", "/hooks/hook_1/rotate", &write),
        ("POST", "/hooks/hook_1/test", &write),
        ("POST", "/hooks/hook_1/replay", &write),
        ("POST", "/deliveries/1/replay", &write),
        ("POST", "/deliveries/replay", &write),
        ("PATCH", "/user/settings/update?update_key=webhook", &write),
    ] {
        let target = format!("/api/v1{path}");
        assert_eq!(edge.send(method, &target, &[]).await.status, 401, "{method} {path}");
        for key in [&read, &write, &purge] {
            let reply = edge.send(method, &target, &[("X-FileSpin-Api-Key", key)]).await;
            assert_eq!(reply.status == 403, key != needs, "{method} {path}: {reply:?}");
        }
        assert_eq!(edge.send("PUT", &target, &[]).await.status, 405, "{path}");
    }
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let elsewhere = Receiver::start(|_, _| Answer::Status(200));
    let to = format!("{}/there", elsewhere.url());
    let receiver = Receiver::start(move |number, _| {
        Answer::With([301, 302, 307, 308][number % 4], "location", to.clone())
    });
    let bench = Bench::start(SETTINGS);
    let (hook, _) = bench.hook(&receiver.url()).await;
    let delivery = bench.until(bench.test(&hook).await, "dead").await;
    let statuses: Vec<_> = log(&delivery).into_iter().map(|(status, ..)| status).collect();
    assert_eq!(statuses, [301, 302, 307, 308], "the schedule has three waits");
    assert_eq!(receiver.calls().len(), 4);
    assert!(elsewhere.calls().is_empty());
    let dead = bench.ask("GET", "/deliveries?state=dead", Value::Null).await;
    assert_eq!(dead["deliveries"][0]["id"], delivery["id"]);
}

#[tokio::test]
async fn who_is_gone_is_left_alone_and_can_come_back() {
    let receiver = Receiver::start(|number, _| Answer::Status(if number == 0 { 410 } else { 200 }));
    let bench = Bench::start(SETTINGS);
    let (hook, _) = bench.hook(&receiver.url()).await;
    let dead = bench.until(bench.test(&hook).await, "dead").await;
    let seen = bench.ask("GET", &format!("/hooks/{hook}"), Value::Null).await;
    assert_eq!((&seen["enabled"], &seen["disabled_because"]), (&json!(false), &json!("gone")));
    let waits = bench.test(&hook).await;
    let seen = bench.ask("PATCH", &format!("/hooks/{hook}"), json!({ "enabled": true })).await;
    assert_eq!((&seen["enabled"], &seen["disabled_because"]), (&json!(true), &Value::Null));
    bench.until(waits, "done").await;
    let replayed = bench.ask("POST", "/deliveries/replay", json!({ "hook": hook })).await;
    assert_eq!(replayed, json!({ "replayed": 1 }));
    let done = bench.until(dead["id"].as_u64().expect("a number"), "done").await;
    assert_eq!((done["attempts"].as_u64(), log(&done).len()), (Some(1), 2), "the log goes on");
    let calls = receiver.calls();
    assert_eq!(calls[0].id(), calls[2].id(), "a replay has the same id");

    // A hook that is made later hears of a span of time.
    let (late, _) = bench.hook(&format!("{}/late", receiver.url())).await;
    let span = json!({ "since": "2020-01-01T00:00:00Z" });
    assert_eq!(
        bench.ask("POST", &format!("/hooks/{late}/replay"), span).await["replayed"],
        0,
        "of tests it wants to hear nothing"
    );
    let again = bench.ask("POST", &format!("/deliveries/{}/replay", done["id"]), Value::Null).await;
    assert_eq!(again["replayed"], 1);
    receiver.until(4).await;
    for body in [
        r#"{}"#,
        r#"{"since":"yesterday"}"#,
        r#"{"since":"2026-01-02T00:00:00Z","until":"2026-01-01T00:00:00Z"}"#,
    ] {
        assert_eq!(
            bench.refused("POST", &format!("/hooks/{late}/replay"), body).await,
            "bad_request",
            "{body}"
        );
    }
}

#[tokio::test]
async fn private_addresses_are_never_called() {
    let receiver = Receiver::start(|_, _| Answer::Status(200));
    let port = receiver.url().rsplit(':').next().expect("a port").to_owned();
    let data = tempfile::tempdir().expect("a directory");
    let bench = Bench::start_in(data, &[("webhooks.schedule", "")]);
    for host in ["127.0.0.1", "127.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::]", "2130706433"] {
        let body = json!({ "url": format!("http://{host}:{port}/") }).to_string();
        assert_eq!(bench.refused("POST", "/hooks", &body).await, "bad_request", "{host}");
    }
    // What a name leads to is seen when it is called.
    let (hook, _) = bench.hook(&format!("http://localhost:{port}/")).await;
    let delivery = bench.until(bench.test(&hook).await, "dead").await;
    assert_eq!(log(&delivery), [(Value::Null, json!("refused"), json!(""))]);
    assert!(receiver.calls().is_empty());
    // Nor after the settings have become tighter.
    let Bench { edge, key } = bench;
    let url = format!("sqlite:{}", edge.data_dir().join("kinora.sqlite").display());
    let catalog = sqlx::SqlitePool::connect(&url).await.expect("open");
    let update = sqlx::query("UPDATE hooks SET url = $1").bind(receiver.url());
    update.execute(&catalog).await.expect("done");
    let bench = Bench { edge, key };
    let delivery = bench.until(bench.test(&hook).await, "dead").await;
    assert_eq!(delivery["last_error"], "refused");
    assert!(receiver.calls().is_empty());
}

#[tokio::test]
async fn who_hangs_holds_nobody_else_up() {
    let hanging = Receiver::start(|_, _| Answer::Hang);
    let working = Receiver::start(|_, _| Answer::Status(200));
    let bench =
        Bench::start(&[SETTINGS, &[("webhooks.timeout", "20s"), ("webhooks.concurrency", "2")]].concat());
    let (dead, _) = bench.hook(&hanging.url()).await;
    let (alive, _) = bench.hook(&working.url()).await;
    for _ in 0..5 {
        bench.test(&dead).await;
    }
    hanging.until(2).await;
    for _ in 0..20 {
        bench.test(&alive).await;
    }
    working.until(20).await;
    assert_eq!(hanging.calls().len(), 2, "as many as it has places");
}

#[tokio::test]
async fn without_an_answer_in_time_it_is_tried_again() {
    let receiver = Receiver::start(|number, _| if number == 0 { Answer::Hang } else { Answer::Status(200) });
    let bench = Bench::start(SETTINGS);
    let (hook, _) = bench.hook(&receiver.url()).await;
    let delivery = bench.until(bench.test(&hook).await, "done").await;
    let log = log(&delivery);
    assert_eq!((&log[0].0, &log[0].1, &log[1].0), (&Value::Null, &json!("timed_out"), &json!(200)));
}

#[tokio::test]
async fn who_asks_for_rest_gets_it() {
    let receiver = Receiver::start(|_, _| Answer::With(503, "retry-after", "3600".to_owned()));
    let bench = Bench::start(SETTINGS);
    let (hook, _) = bench.hook(&receiver.url()).await;
    let first = bench.test(&hook).await;
    let delivery = eventually("the first attempt", async || {
        Some(bench.delivery(first).await).filter(|delivery| delivery["last_status"] == 503)
    })
    .await;
    assert_eq!(delivery["state"], "pending");
    let second = bench.test(&hook).await;
    assert_eq!(bench.delivery(second).await["state"], "pending");
    let seen = bench.ask("GET", &format!("/hooks/{hook}"), Value::Null).await;
    let until = humantime::parse_rfc3339(&text(&seen["paused_until"])).expect("a time");
    let rest = until.duration_since(std::time::SystemTime::now()).expect("to come");
    assert!(rest > Duration::from_secs(3500) && rest < Duration::from_secs(3700), "{rest:?}");
    assert_eq!(receiver.calls().len(), 1);
}

#[tokio::test]
async fn after_a_kill_in_the_middle_it_is_sent_again_under_the_same_id() {
    let receiver = Receiver::start(|number, _| if number == 0 { Answer::Hang } else { Answer::Status(200) });
    let data = tempfile::tempdir().expect("a directory");
    let place = data.path().to_str().expect("a plain path").to_owned();
    let settings = [SETTINGS, &[("data.dir", place.as_str())]].concat();
    let (_, key) = create_key(data.path(), &["api"]);
    let mut bench = Bench { edge: Edge::start(&settings), key };
    let (hook, _) = bench.hook(&receiver.url()).await;
    let id = bench.test(&hook).await;
    receiver.until(1).await;
    signal(&bench.edge, Signal::KILL).await;
    assert!(!bench.edge.ended().await.success());
    bench.edge = Edge::start(&settings);
    let delivery = bench.until(id, "done").await;
    let calls = receiver.calls();
    assert_eq!((calls.len(), calls[0].id()), (2, calls[1].id()));
    assert_eq!(
        (delivery["attempts"].as_u64(), log(&delivery).len()),
        (Some(2), 1),
        "nobody saw the first end"
    );
}

#[tokio::test]
async fn no_message_is_lost_by_kills() {
    lose_nothing(3).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn no_message_is_lost_by_a_hundred_kills() {
    lose_nothing(100).await;
}

/// Kills the server amid deliveries, again and again; what was acknowledged arrives, whole and under its id.
async fn lose_nothing(kills: usize) {
    let receiver = Receiver::start(|number, _| Answer::Status(if number % 3 == 0 { 500 } else { 200 }));
    let data = tempfile::tempdir().expect("a directory");
    let (_, key) = create_key(data.path(), &["api"]);
    let place = data.path().to_str().expect("a plain path").to_owned();
    let many = ["0s"; 60].join(",");
    let settings = [SETTINGS, &[("data.dir", place.as_str()), ("webhooks.schedule", &many)]].concat();
    let start = || Bench { edge: Edge::start(&settings), key: key.clone() };
    let mut bench = start();
    let (hook, secret) = bench.hook(&receiver.url()).await;
    let mut acknowledged = Vec::new();
    for kill in 1..=kills {
        let before = receiver.calls().len();
        for _ in 0..10 {
            acknowledged.push(bench.test(&hook).await);
        }
        // Somewhere amid the attempts, each time elsewhere.
        receiver.until(before + kill % 5).await;
        signal(&bench.edge, Signal::KILL).await;
        assert!(!bench.edge.ended().await.success());
        bench = start();
    }
    let mut events = Vec::new();
    for id in &acknowledged {
        events.push(text(&bench.until(*id, "done").await["event_id"]));
    }
    let calls = receiver.calls();
    for event in &events {
        assert!(calls.iter().any(|call| call.id() == event), "{event} was acknowledged and never came");
    }
    for call in &calls {
        assert!(events.contains(&call.id().to_owned()), "{} is no event", call.id());
        Webhook::new(&secret).expect("a secret").verify(&call.body, &call.headers).expect("whole and signed");
    }
    eprintln!("{kills} kills: {} messages, {} attempts seen", events.len(), calls.len());
}

#[tokio::test]
async fn a_server_that_stops_finishes_what_is_under_way() {
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let told = std::sync::Arc::new(std::sync::Mutex::new(told));
    let receiver = Receiver::start(move |_, _| {
        let _ = told.lock().expect("no panic").recv_timeout(Duration::from_secs(30));
        Answer::Status(200)
    });
    let data = tempfile::tempdir().expect("a directory");
    let place = data.path().to_str().expect("a plain path").to_owned();
    let settings = [SETTINGS, &[("data.dir", place.as_str()), ("webhooks.timeout", "20s")]].concat();
    let (_, key) = create_key(data.path(), &["api"]);
    let mut bench = Bench { edge: Edge::start(&settings), key };
    let (hook, _) = bench.hook(&receiver.url()).await;
    let id = bench.test(&hook).await;
    receiver.until(1).await;
    signal(&bench.edge, Signal::TERM).await;
    tell.send(()).expect("it listens");
    assert!(bench.edge.ended().await.success());
    bench.edge = Edge::start(&settings);
    assert_eq!(bench.delivery(id).await["state"], "done");
    assert_eq!(receiver.calls().len(), 1);
}

#[tokio::test]
async fn the_older_form_sets_three_urls_at_most() {
    let bench = Bench::start(SETTINGS);
    let (own, _) = bench.hook("https://example.com/own").await;
    let path = "/user/settings/update?update_key=webhook";
    let form = |urls: &str, events: Value| json!({ "key": "webhook", "value": { "web_urls": urls, "callback_events": events } });
    let set = |urls: &str| form(urls, json!({ "file-saved": true, "file-deleted": false }));
    let first =
        bench.ask("PATCH", path, set("https://a.example/, https://b.example/,https://a.example/")).await;
    assert_eq!(first["value"]["web_urls"], "https://a.example/, https://b.example/");
    assert_eq!(first["value"]["callback_events"]["file-saved"], true);
    assert_eq!(first["value"]["callback_events"]["file-undeleted"], false);
    assert!(first["hooks"].as_array().expect("a list").iter().all(|hook| hook["secret"].is_string()));
    let second = bench.ask("PATCH", path, set("https://b.example/, https://c.example/")).await;
    assert_eq!(second["hooks"][0]["id"], first["hooks"][1]["id"]);
    assert!(second["hooks"][0].get("secret").is_none(), "shown once");
    assert_eq!(bench.ask("GET", "/hooks", Value::Null).await["hooks"].as_array().map(Vec::len), Some(3));
    bench.ask("PATCH", path, set("")).await;
    let left = bench.ask("GET", "/hooks", Value::Null).await;
    assert_eq!((left["hooks"].as_array().map(Vec::len), &left["hooks"][0]["id"]), (Some(1), &json!(own)));
    let four = "https://a.example/,https://b.example/,https://c.example/,https://d.example/";
    for (target, body) in [
        (path, set(four)),
        (path, set("http://10.0.0.1/")),
        (path, form("https://a.example/", json!({ "file-eaten": true }))),
        (path, json!({ "key": "other", "value": { "web_urls": "" } })),
        (path, json!({ "key": "webhook" })),
        ("/user/settings/update?update_key=name", set("")),
        ("/user/settings/update", set("")),
    ] {
        assert_eq!(bench.refused("PATCH", target, &body.to_string()).await, "bad_request", "{target} {body}");
    }
}

#[tokio::test]
async fn a_hook_is_tried_from_the_command_line() {
    let receiver = Receiver::start(|number, _| Answer::Status([204, 503, 200][number]));
    let bench = Bench::start(SETTINGS);
    let (hook, secret) = bench.hook(&receiver.url()).await;
    let kinora = |arguments: &[&str]| {
        let output = command(bench.edge.data_dir(), SETTINGS).args(arguments).output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let (worked, said, _) = kinora(&["hook", "test", &hook]);
    assert!(worked && said.starts_with("204 after "), "{said}");
    let call = receiver.calls().remove(0);
    Webhook::new(&secret).expect("a secret").verify(&call.body, &call.headers).expect("signed by the hook's");
    let (worked, said, error) = kinora(&["hook", "test", &hook]);
    assert!(!worked && said.contains("503") && error.contains("2xx"), "{said} {error}");
    let (worked, said, _) = kinora(&["hook", "test", &receiver.url()]);
    assert!(worked && said.contains("signed with whsec_") && said.contains("answer 2"), "{said}");
    for arguments in [["hook", "test", "hook_1"], ["hook", "test", "http://10.0.0.1/"]] {
        let (worked, _, error) = kinora(&arguments);
        assert!(!worked && !error.is_empty(), "{arguments:?}");
    }
    assert_eq!(receiver.calls().len(), 3);
    assert!(!run(bench.edge.data_dir(), &["hook", "test", "--help"]).is_empty());
}

#[tokio::test]
async fn two_servers_on_one_postgresql_send_each_message_once() {
    let receiver = Receiver::start(|number, _| Answer::Status(if number == 0 { 500 } else { 200 }));
    let url = crate::support::postgres::database().await;
    let data = [0, 1].map(|_| tempfile::tempdir().expect("a directory"));
    let settings = [SETTINGS, &[("catalog.url", url.as_str())]].concat();
    let mut create = command(data[0].path(), &settings);
    let output = create.args(["key", "create", "api", "--json"]).output().expect("it runs");
    let key: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let key = text(&key["secret"]);
    let [one, two] = data.map(|data| Bench { edge: Edge::start_in(data, &settings), key: key.clone() });
    let (hook, secret) = one.hook(&receiver.url()).await;
    let mut deliveries = Vec::new();
    for _ in 0..20 {
        deliveries.push(one.test(&hook).await);
        deliveries.push(two.test(&hook).await);
    }
    for id in &deliveries {
        two.until(*id, "done").await;
    }
    let calls = receiver.calls();
    let mut ids: Vec<_> = calls.iter().map(|call| call.id().to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), calls.len()), (40, 41), "one was refused and sent again");
    for call in &calls {
        Webhook::new(&secret).expect("a secret").verify(&call.body, &call.headers).expect("a good signature");
    }
}

/// The whole way of ten thousand messages to a fast receiver.
#[tokio::test]
#[ignore = "a measurement"]
async fn ten_thousand_deliveries_take_less_than_a_minute() {
    const COUNT: usize = 10_000;
    let receiver = Receiver::start(|_, _| Answer::Status(200));
    let bench = Bench::start(SETTINGS);
    let (hook, _) = bench.hook(&receiver.url()).await;
    bench.ask("PATCH", &format!("/hooks/{hook}"), json!({ "enabled": false })).await;
    let url = format!("sqlite:{}", bench.edge.data_dir().join("kinora.sqlite").display());
    let catalog = sqlx::SqlitePool::connect(&url).await.expect("open");
    let mut writing = catalog.begin_with("BEGIN IMMEDIATE").await.expect("begun");
    for statement in [
        "INSERT INTO events (seq, id, kind, asset_version, body, created_at)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
         SELECT i, 'evt_' || i, 'file-saved', 1, zeroblob(2000), unixepoch() FROM n WHERE $2 <> ''",
        "INSERT INTO deliveries (event_seq, hook_id, state, due_at)
         SELECT seq, $2, 'pending', 1 FROM events WHERE seq <= $1",
    ] {
        let insert = sqlx::query(statement).bind(COUNT as i64).bind(&hook);
        insert.execute(&mut *writing).await.expect("inserted");
    }
    writing.commit().await.expect("committed");
    let began = std::time::Instant::now();
    bench.ask("PATCH", &format!("/hooks/{hook}"), json!({ "enabled": true })).await;
    let left = async || -> i64 {
        let query = sqlx::query_scalar("SELECT count(*) FROM deliveries WHERE state <> 'done'");
        query.fetch_one(&catalog).await.expect("counted")
    };
    while left().await > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = began.elapsed();
    eprintln!("{COUNT} deliveries in {took:?}");
    assert_eq!(receiver.calls().len(), COUNT);
    assert!(took < Duration::from_secs(60), "{took:?}");
}
