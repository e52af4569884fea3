//! The command line beside a running server, and keys that tests know.

use std::path::Path;

use kinora::setting::Secret;
use kinora::signature::SigningKey;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::edge::{Edge, command, eventually};

/// The pair of the contract's vectors.
pub(crate) const ACCESS_ID: &str = "TESTACCESSID0001";
pub(crate) const SECRET: &str = "00112233445566778899aabbccddeeff";

/// The sample, 2000 x 1333.
pub(crate) const PICTURE: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/images/landscape.jpg"));

/// What a command prints; it has to succeed.
pub(crate) fn run(data: &Path, arguments: &[&str]) -> String {
    run_with(data, &[], arguments)
}

/// The same with these settings.
pub(crate) fn run_with(data: &Path, settings: &[(&str, &str)], arguments: &[&str]) -> String {
    let output = command(data, settings).args(arguments).output().expect("the program runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} failed: {error}");
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}

/// Makes a key with these arguments and returns its id and secret.
pub(crate) fn create_key(data: &Path, arguments: &[&str]) -> (String, String) {
    create_key_with(data, &[], arguments)
}

/// The same with these settings.
pub(crate) fn create_key_with(
    data: &Path,
    settings: &[(&str, &str)],
    arguments: &[&str],
) -> (String, String) {
    let text = run_with(data, settings, &[&["key", "create", "--json"], arguments].concat());
    let key: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let field = |name: &str| key[name].as_str().expect("text").to_owned();
    (field("id"), field("secret"))
}

/// A data directory whose catalogue has the contract's pair, so that no first start happens.
pub(crate) fn data_with_pair(more: &[&str]) -> TempDir {
    let data = tempfile::tempdir().expect("a directory");
    create_key(data.path(), &[&["signing", "--id", ACCESS_ID, "--secret", SECRET], more].concat());
    data
}

/// The contract's pair for signing.
pub(crate) fn signing_key() -> SigningKey {
    SigningKey { access_id: ACCESS_ID.to_owned(), secret: Secret::new(SECRET), sha1: false }
}

/// Unix seconds.
pub(crate) fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().expect("a clock").as_secs()
}

/// A target signed with the contract's pair, good for so many seconds from now.
pub(crate) fn signed(target: &str, seconds: i64) -> String {
    let expiry = now().checked_add_signed(seconds).expect("a time");
    kinora::signature::sign(target, expiry, &signing_key()).expect("signed")
}

/// Sends a signal, once the process has a handler for it: one that comes earlier would just kill it.
pub(crate) async fn signal(edge: &Edge, signal: Signal) {
    let status = format!("/proc/{}/status", edge.id());
    let handles = || -> Option<()> {
        let text = std::fs::read_to_string(&status).expect("a running process");
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
        let caught = u64::from_str_radix(caught.trim(), 16).expect("a number");
        (caught & (1 << (signal.as_raw() - 1)) != 0).then_some(())
    };
    if signal != Signal::KILL {
        eventually("a handler of the signal", async || handles()).await;
    }
    let id = i32::try_from(edge.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(id, signal).expect("a signal");
}

/// What a client needs before it is built, even one without TLS.
pub(crate) fn with_crypto() {
    // A second test that installs it finds it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
