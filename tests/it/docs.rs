//! README's tables are those of the code.
//!
//! `make readme` writes them; the test fails where they differ.

use std::{env, fs};

use kinora::failure::Code;
use kinora::request::options_table;
use kinora::telemetry::metrics_table;

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
