//! README's tables are those of the code, and its commands work.
//!
//! `make readme` writes them; the test fails where they differ.

use std::path::Path;
use std::process::{Command, Output};
use std::{env, fs};

use kinora::failure::Code;
use kinora::request::options_table;
use kinora::telemetry::metrics_table;

use crate::support::edge::{Edge, eventually};
use crate::support::picture;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

#[test]
fn readme_tables_are_those_of_the_code() {
    let readme = fs::read_to_string(README).expect("README.md");
    let tables = [("options", options_table()), ("codes", Code::table()), ("metrics", metrics_table())];
    let expected = tables.iter().fold(readme.clone(), |text, (name, table)| with_table(&text, name, table));
    if env::var_os("KINORA_README").is_some_and(|wish| wish == "write") {
        fs::write(README, expected).expect("README.md");
    } else {
        assert_eq!(readme, expected, "README.md has other tables than the code: `make readme` writes them");
    }
}

/// `text` with `table` between the markers of `name`.
fn with_table(text: &str, name: &str, table: &str) -> String {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let found = text.split_once(&start).and_then(|(head, rest)| Some((head, rest.split_once(&end)?.1)));
    let (head, tail) = found.unwrap_or_else(|| panic!("README.md has no markers {start:?} and {end:?}"));
    format!("{head}{start}{table}{end}{tail}")
}

/// The commands of the first block in a chapter, with the places of this edge and this build.
fn commands(edge: &Edge, chapter: &str) -> Vec<String> {
    let readme = fs::read_to_string(README).expect("README.md");
    let text =
        readme.split_once(chapter).and_then(|(_, text)| text.split("\n## ").next()).expect("a chapter");
    let block = text.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("commands");
    let lines = block.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines = lines.map(|line| {
        line.replace("http://127.0.0.1:8080", &format!("http://{}", edge.public))
            .replace("http://127.0.0.1:9090", &format!("http://{}", edge.admin))
            .replace("target/release/kinora", env!("CARGO_BIN_EXE_kinora"))
    });
    lines.collect()
}

/// Runs a line in a directory.
fn run(edge: &Edge, place: &Path, line: &str) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).current_dir(place);
    shell.env("KINORA__DATA__DIR", edge.data_dir()).env("KINORA__ADMIN__LISTEN", edge.admin.to_string());
    shell.output().expect("a shell")
}

/// Every command of the tour, as a reader would paste it, against a first start.
#[tokio::test]
async fn the_tour_of_the_readme_works_as_pasted() {
    let edge = Edge::start(&[]);
    let place = tempfile::tempdir().expect("a directory");
    let commands = commands(&edge, "## Five minutes");
    assert!(commands.len() >= 8, "the tour has {} commands", commands.len());
    for line in commands {
        let output = run(&edge, place.path(), &line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for (file, first) in
        [("landscape.jpg", &b"\xff\xd8"[..]), ("landscape.avif", b"\0\0\0"), ("thumbnail.webp", b"RIFF")]
    {
        let bytes = fs::read(place.path().join(file)).expect(file);
        assert!(bytes.starts_with(first) && bytes.len() > 1000, "{file} is what its name says");
    }
}

/// The workflow of the README, in one shell as its reader has it.
#[tokio::test]
async fn the_workflow_of_the_readme_works_as_pasted() {
    let edge = Edge::start(&[]);
    let place = tempfile::tempdir().expect("a directory");
    let commands = commands(&edge, "## Uploads, data, events and links");
    assert!(commands.len() >= 12, "the workflow has {} commands", commands.len());
    let output = run(&edge, place.path(), &format!("set -eux\n{}", commands.join("\n")));
    let said = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said:?}");
    let small = fs::read(place.path().join("small.jpg")).expect("a picture");
    assert_eq!(picture::read(&small).width, 300);
    let found = said.0.contains(r#""total_pages":1"#) && said.0.contains("A lake in the morning");
    assert!(found && said.0.contains("signature="), "{said:?}");
}

/// Whether a picture comes from the cache and counts as fresh.
async fn is_fresh_hit(edge: &Edge) -> bool {
    let reply = edge.get("/media/landscape.jpg?resize=40,&format=jpg").await;
    assert_eq!(reply.status, 200);
    let status = reply.header("cache-status");
    let ttl = status.split("ttl=").nth(1).and_then(|text| text.split(';').next()?.parse::<i64>().ok());
    status.starts_with("kinora; hit") && ttl.is_some_and(|ttl| ttl > 0)
}

/// Every purge of the README purges.
#[tokio::test]
async fn the_purges_of_the_readme_work_as_pasted() {
    let edge = Edge::start(&[("purge.allow_cidrs", "127.0.0.0/8")]);
    let place = tempfile::tempdir().expect("a directory");
    let (mut variables, mut purges) = (String::new(), 0);
    for line in commands(&edge, "## What is cached") {
        if line.starts_with("KEY=") {
            let key = run(&edge, place.path(), &format!("{line}; echo $KEY")).stdout;
            variables = format!("KEY={}; ", String::from_utf8(key).expect("text").trim());
            continue;
        }
        let is_purge = !line.contains("cache stat");
        if is_purge {
            eventually("it to be stored", async || is_fresh_hit(&edge).await.then_some(())).await;
            purges += 1;
        }
        // A new key is known within a second.
        let succeeds = || run(&edge, place.path(), &format!("{variables}{line}")).status.success();
        eventually(&line, async || succeeds().then_some(())).await;
        if is_purge {
            eventually(&line, async || (!is_fresh_hit(&edge).await).then_some(())).await;
        }
    }
    assert_eq!(purges, 6);
}
