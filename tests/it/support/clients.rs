//! Clients that are not ours, from `tests/clients`, as processes.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::receiver::Call;
use crate::support::s3::{ACCESS_KEY_ID, SECRET};

/// What `standardwebhooks` of npm says of a message.
pub(crate) fn verify_webhook(secret: &str, call: &Call) -> String {
    let header = |name: &str| call.headers[name].to_str().expect("text").to_owned();
    let headers: serde_json::Map<_, _> = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .into_iter()
        .map(|name| (name.to_owned(), header(name).into()))
        .collect();
    let body = String::from_utf8(call.body.clone()).expect("text");
    let wish = json!({ "secret": secret, "headers": headers, "body": body }).to_string();
    run(command("node").arg("webhook.mjs"), &wish)
}

/// The URL of an upload that `tus-js-client` has made of a file.
pub(crate) fn tus(endpoint: &str, file: &Path, key: &str, options: &Value) -> String {
    let mut options = options.clone();
    options["headers"] = json!({ "X-FileSpin-Api-Key": key });
    run(command("node").args(["tus.mjs", endpoint]).arg(file).arg(options.to_string()), "")
}

/// What boto3 reads of an object of the test bucket, as JSON.
pub(crate) fn object(endpoint: &str, bucket: &str, key: &str) -> String {
    let mut command = command(".venv/bin/python");
    command.args(["object.py", endpoint, bucket, key]);
    command.envs([("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET)]);
    command.envs([("AWS_DEFAULT_REGION", "us-east-1"), ("AWS_EC2_METADATA_DISABLED", "true")]);
    run(&mut command, "")
}

fn command(program: &str) -> Command {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let program = if program.contains('/') { place.join(program) } else { program.into() };
    let mut command = Command::new(program);
    command.current_dir(place);
    command
}

/// What a client prints; it has to succeed.
fn run(command: &mut Command, input: &str) -> String {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().expect("a client; `.ci/setup tests` installs it");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("taken");
    let output = child.wait_with_output().expect("its end");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}
