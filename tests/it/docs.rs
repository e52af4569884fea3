//! README's tables are those of the code, and its commands work.
//!
//! `make readme` writes them; the test fails where they differ.

use std::process::Command;
use std::{env, fs};

use kinora::failure::Code;
use kinora::request::options_table;
use kinora::telemetry::metrics_table;

use crate::support::edge::Edge;

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

/// Every command of the tour, as a reader would paste it, against a first start.
#[tokio::test]
async fn the_tour_of_the_readme_works_as_pasted() {
    let edge = Edge::start(&[]);
    let readme = fs::read_to_string(README).expect("README.md");
    let tour =
        readme.split_once("## Five minutes").and_then(|(_, tour)| tour.split("## ").next()).expect("a tour");
    let block = tour.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("commands");
    let place = tempfile::tempdir().expect("a directory");
    let mut commands = 0;
    for line in block.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let line = line
            .replace("http://127.0.0.1:8080", &format!("http://{}", edge.public))
            .replace("http://127.0.0.1:9090", &format!("http://{}", edge.admin))
            .replace("target/release/kinora", env!("CARGO_BIN_EXE_kinora"));
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).current_dir(place.path()).env("KINORA__DATA__DIR", edge.data_dir());
        let output = shell.output().expect("a shell");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        commands += 1;
    }
    assert!(commands >= 8, "the tour has {commands} commands");
    for (file, first) in
        [("landscape.jpg", &b"\xff\xd8"[..]), ("landscape.avif", b"\0\0\0"), ("thumbnail.webp", b"RIFF")]
    {
        let bytes = fs::read(place.path().join(file)).expect(file);
        assert!(bytes.starts_with(first) && bytes.len() > 1000, "{file} is what its name says");
    }
}
