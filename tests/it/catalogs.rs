//! The whole program with its catalogue in PostgreSQL.

use crate::support::edge::{Edge, command, eventually};
use crate::support::postgres;
use crate::support::program::PICTURE;

#[tokio::test]
async fn keys_and_purges_of_another_process_count_in_a_running_server() {
    let url = postgres::database().await;
    let settings = [("catalog.url", url.as_str()), ("delivery.require_signature", "true")];
    let edge = Edge::start(&settings);
    edge.put("a.jpg", PICTURE);
    let run = |arguments: &[&str]| {
        // Its own data directory: another machine, with the same catalogue.
        let data = tempfile::tempdir().expect("a directory");
        let output = command(data.path(), &settings).args(arguments).output().expect("the program runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap_or_default()
    };
    let key = run(&["key", "create", "api", "--json"]);
    let (id, secret) = (key["id"].as_str().expect("an id"), key["secret"].as_str().expect("a secret"));
    let asked = async || edge.send("GET", "/media/a.jpg", &[("X-FileSpin-Api-Key", secret)]).await;
    eventually("the key", async || (asked().await.status == 200).then_some(())).await;
    let hit = async || asked().await.header("cache-status").contains("hit").then_some(());
    eventually("a hit", hit).await;
    run(&["purge", "--key", "a.jpg"]);
    let fetched = async || asked().await.header("cache-status").contains("fwd=").then_some(());
    eventually("the purge", fetched).await;
    run(&["key", "revoke", id]);
    eventually("the end of the key", async || (asked().await.status == 403).then_some(())).await;
    assert_eq!(
        run(&["key", "list", "--json"]).as_array().map(Vec::len),
        Some(4),
        "three are of the first start"
    );
}
