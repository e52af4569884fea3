//! The rules of the house, held by reading the source text: layers, absences, sizes and names.
//!
//! `docs/ARCHITECTURE.md` says what each rule is for. The source is read as tokens, without comments
//! and texts, so that a rule speaks of code alone. Unit tests inside `src/` keep to the layers too, but
//! are free of the absences and the sizes.

#![expect(clippy::unwrap_used, reason = "a test reports what it cannot read by panicking")]

#[path = "architecture/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};

use source::{File, Token, Tree, functions, is_word, references};

/// Layers from top to bottom: a module may import from its own row and from the rows below.
const LAYERS: &[&[&str]] = &[
    &["server", "cli"],
    &["config"],
    &["proxy", "api"],
    &["failure"],
    &["cache", "render", "upload", "webhook", "job"],
    &["signature", "metadata", "video"],
    &["request", "origin"],
    &["transform", "headers", "net", "telemetry", "setting"],
];

/// Modules whose face is their public submodules, one namespace a file; all others show items.
const OPEN_FACES: &[&str] = &["headers"];

/// Crates that are known in these modules alone.
const HOMES: &[(&str, &[&str])] = &[
    ("pingora", &["proxy", "server"]),
    ("axum", &["api", "server"]),
    ("sqlx", &["metadata"]),
    ("clap", &["cli", "main"]),
];

/// Modules that know neither a runtime nor a clock: what they do depends on their arguments alone.
const PURE: &[&str] = &["transform", "request", "signature", "headers"];

/// Modules that may speak of HTTP status codes; `origin` reads those of its upstream.
const STATUS_HOMES: &[&str] = &["failure", "proxy", "api", "origin"];

/// Modules that may compare a status with a number: what may be kept (RFC 9111), or was received, depends on it.
const STATUS_READERS: &[&str] = &["cache", "job", "webhook"];

/// The one file that may read the environment.
const ENVIRONMENT_HOME: &str = "src/config/source.rs";

/// Names that say nothing; what would go there has one user or deserves a noun.
const DRAWERS: &[&str] = &["util", "utils", "common", "types", "helper", "helpers", "misc"];

/// The longest file, in lines without its tests.
const FILE_LINES: usize = 500;

/// The longest function body, in lines of code.
const FUNCTION_LINES: usize = 60;

#[test]
fn every_module_has_a_layer_and_the_crate_root_is_only_a_map() {
    hold(map_rule(&Tree::read()));
}

#[test]
fn imports_point_downward_and_name_their_module() {
    hold(Tree::read().each(import_rule));
}

#[test]
fn crates_clocks_environment_and_status_codes_stay_in_their_homes() {
    hold(Tree::read().each(absence_rule));
}

#[test]
fn names_say_something() {
    let manifest = include_str!("../Cargo.toml");
    let dependencies = dependencies(manifest);
    hold(Tree::read().each(|_, file| name_rule(file, &dependencies)));
}

#[test]
fn files_have_a_head_and_files_and_functions_are_short() {
    hold(Tree::read().each(|_, file| size_rule(file)));
}

/// Fails with every violation at once.
fn hold(violations: Vec<String>) {
    assert!(violations.is_empty(), "{} broken rules:\n{}", violations.len(), violations.join("\n"));
}

// The rules.

fn map_rule(tree: &Tree) -> Vec<String> {
    let mut broken = Vec::new();
    let layered: BTreeSet<&str> = LAYERS.iter().flat_map(|row| row.iter().copied()).collect();
    let present: BTreeSet<&str> =
        tree.files.iter().map(File::top).filter(|top| !["", "main"].contains(top)).collect();
    for module in present.difference(&layered) {
        broken.push(format!(
            "src/{module}: has no layer; give it its place in LAYERS of tests/architecture.rs"
        ));
    }
    for module in layered.difference(&present) {
        broken.push(format!("tests/architecture.rs: LAYERS names `{module}`, which is no module"));
    }
    for file in tree.files.iter().filter(|file| file.module.is_empty()) {
        let is_map = file.tokens.chunks(4).all(|item| {
            matches!(item, [p, m, name, end] if p.text == "pub" && m.text == "mod" && is_word(&name.text) && end.text == ";")
        });
        if !is_map {
            broken.push(file.at(1, "the crate root is only a map: nothing but `pub mod NAME;`"));
        }
    }
    broken
}

fn import_rule(tree: &Tree, file: &File) -> Vec<String> {
    [spelling_rule(file), face_rule(file), layer_rule(tree, file)].concat()
}

/// Paths are spelt so that a reader, and this test, sees the module in them.
fn spelling_rule(file: &File) -> Vec<String> {
    let broken = file.tokens.windows(3).filter_map(|window| {
        let rule = match [window[0].text.as_str(), &window[1].text, &window[2].text] {
            ["crate", "::", "{"] => "an import names its module: no `crate::{..}`",
            ["super", "::", "super"] => "no `super::super`: write the path from `crate`",
            _ => return None,
        };
        Some(file.at(window[0].line, rule))
    });
    broken.collect()
}

/// A face neither reaches up by `super` nor lets others reach behind it.
fn face_rule(file: &File) -> Vec<String> {
    if !file.is_face || file.top() == "main" {
        return Vec::new();
    }
    let production = file.production();
    let broken = production.windows(2).filter_map(|pair| {
        let rule = match [pair[0].text.as_str(), &pair[1].text] {
            ["super", "::"] => "`super` is the crate root here: name the module by `crate::`",
            ["pub" | ")", "mod"] if !file.is_in(OPEN_FACES) => {
                "a face shows items, not modules: a private `mod`, and `pub use` of what is meant"
            }
            _ => return None,
        };
        Some(file.at(pair[0].line, rule))
    });
    broken.collect()
}

fn layer_rule(tree: &Tree, file: &File) -> Vec<String> {
    let mut broken = Vec::new();
    let own = layer(file.top());
    for reference in references(&file.tokens, "crate") {
        let target = reference.path[0].as_str();
        let Some(row) = layer(target) else {
            broken.push(file.at(reference.line, &format!("`crate::{target}` is no module of the layers")));
            continue;
        };
        if own.is_some_and(|own| row < own) {
            let rule = format!("`{}` imports upward: `crate::{target}` is a layer above it", file.top());
            broken.push(file.at(reference.line, &rule));
        }
        let is_behind = reference.path.len() > 2 && tree.modules.contains(&reference.path[..2]);
        if is_behind && target != file.top() && !OPEN_FACES.contains(&target) {
            let path = reference.path.join("::");
            let rule =
                format!("`crate::{path}` looks behind the face of `{target}`: use what its mod.rs offers");
            broken.push(file.at(reference.line, &rule));
        }
    }
    broken
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

fn absence_rule(_: &Tree, file: &File) -> Vec<String> {
    let tokens = file.production();
    let mut broken = Vec::new();
    for (line, name) in tokens.iter().map(|token| (token.line, token.text.as_str())) {
        for (home, modules) in
            HOMES.iter().filter(|(home, modules)| belongs(name, home) && !file.is_in(modules))
        {
            broken.push(file.at(line, &format!("`{name}`: {home} is known only in {}", modules.join(", "))));
        }
        if belongs(name, "tokio") && file.is_in(PURE) {
            broken.push(file.at(line, &format!("`{name}`: `{}` is pure and knows no runtime", file.top())));
        }
        if name == "StatusCode" && !file.is_in(STATUS_HOMES) {
            broken.push(file.at(line, "a failure gets its HTTP status in src/failure.rs"));
        }
    }
    for pair in tokens.windows(2).filter(|_| file.is_in(PURE)) {
        if [["::", "now"], [".", "elapsed"]].contains(&[pair[0].text.as_str(), &pair[1].text]) {
            broken.push(file.at(pair[0].line, &format!("`{}` is pure: the time is an argument", file.top())));
        }
    }
    for reference in references(&tokens, "std").iter().filter(|reference| reference.path[0] == "env") {
        if file.path != ENVIRONMENT_HOME {
            broken.push(
                file.at(reference.line, &format!("the environment is read only in {ENVIRONMENT_HOME}")),
            );
        }
    }
    if !file.is_in(STATUS_HOMES) && !file.is_in(STATUS_READERS) {
        let rule = "a number next to `status`: a failure gets its HTTP status in src/failure.rs";
        broken.extend(numeric_statuses(&tokens).into_iter().map(|line| file.at(line, rule)));
    }
    broken
}

/// Whether `name` is the crate `home` or one of its family (`pingora`, `pingora_core`).
fn belongs(name: &str, home: &str) -> bool {
    name.strip_prefix(home).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// Lines that speak of a status and hold a number of three digits that could be one.
fn numeric_statuses(tokens: &[Token]) -> Vec<usize> {
    let mut lines: BTreeMap<usize, (bool, bool)> = BTreeMap::new();
    for token in tokens {
        let (speaks, number) = lines.entry(token.line).or_default();
        *speaks |= token.text.contains("status");
        *number |= token.text.parse().is_ok_and(|number: u32| (200..600).contains(&number));
    }
    lines.into_iter().filter(|(_, both)| *both == (true, true)).map(|(line, _)| line).collect()
}

fn name_rule(file: &File, dependencies: &BTreeSet<String>) -> Vec<String> {
    let mut broken = Vec::new();
    if let Some(drawer) = file.module.iter().find(|name| DRAWERS.contains(&name.as_str())) {
        broken
            .push(file.at(1, &format!("`{drawer}` is a drawer: move its parts to their users or name them")));
    }
    // Below a module the path tells which is meant (`origin::http`); at the crate's top it would not.
    if dependencies.contains(file.top()) && file.is_face {
        broken.push(file.at(1, &format!("`{}` is also the name of a dependency", file.top())));
    }
    broken
}

/// Names of all dependencies as they are written in code.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.trim_end().ends_with("dependencies]");
        } else if let (true, Some((name, _))) = (inside, line.split_once('=')) {
            names.insert(name.trim().replace('-', "_"));
        }
    }
    names
}

fn size_rule(file: &File) -> Vec<String> {
    let mut broken = Vec::new();
    if !file.starts_with_head {
        broken.push(file.at(1, "a file begins with `//!` and says what it is"));
    }
    let of_tests =
        file.tests.iter().map(|range| file.tokens[range.end - 1].line + 1 - file.tokens[range.start].line);
    let lines = file.lines - of_tests.sum::<usize>();
    if lines > FILE_LINES {
        broken.push(file.at(1, &format!("{lines} lines without tests; at most {FILE_LINES}")));
    }
    for function in functions(&file.production()) {
        if function.lines > FUNCTION_LINES {
            let rule = format!("fn {} has {} lines; at most {FUNCTION_LINES}", function.name, function.lines);
            broken.push(file.at(function.line, &rule));
        }
    }
    broken
}

// The rules on small texts: each must be seen to fail.

fn broken_by(path: &str, text: &str) -> Vec<String> {
    let sources = [(path, text), ("src/transform/mod.rs", "//! t"), ("src/transform/decode/mod.rs", "//! d")];
    let tree =
        Tree::of(sources.iter().map(|(path, text)| ((*path).to_owned(), format!("//! x\n{text}"))).collect());
    let file = &tree.files[0];
    let dependencies = dependencies("[dependencies]\nrusty-s3 = \"1\"\n[profile.dev]\ndebug = 1\n");
    [import_rule(&tree, file), absence_rule(&tree, file), name_rule(file, &dependencies), size_rule(file)]
        .concat()
}

#[test]
fn each_rule_is_seen_to_fail() {
    let long = format!("fn f() {{\n{}}}", "g();\n".repeat(61));
    let table = [
        ("src/transform/plan.rs", "use crate::request::Route;", "imports upward"),
        ("src/origin/s3.rs", "fn f() { crate::failure::f() }", "imports upward"),
        ("src/request/a.rs", "use crate::transform::{Size, decode::X as Y};", "behind the face"),
        ("src/request/mod.rs", "pub(crate) mod draft;", "shows items"),
        ("src/request/a.rs", "use crate::nowhere::X;", "no module of the layers"),
        ("src/request/a.rs", "use crate::{headers, transform};", "names its module"),
        ("src/request/a.rs", "use super::super::headers;", "super::super"),
        ("src/request/mod.rs", "use super::headers;", "crate root"),
        ("src/render/mod.rs", "use pingora_core::X;", "pingora is known only in"),
        ("src/signature/mod.rs", "async fn f() { tokio::x() }", "no runtime"),
        ("src/signature/mod.rs", "fn f() { SystemTime::now(); }", "time is an argument"),
        ("src/config/mod.rs", "use std::{fs, env};", "environment"),
        ("src/render/mod.rs", "use http::StatusCode;", "src/failure.rs"),
        ("src/render/mod.rs", "fn f(s: A) -> bool { s.status() == 404 }", "src/failure.rs"),
        ("src/cache/utils.rs", "", "drawer"),
        ("src/rusty_s3.rs", "", "dependency"),
        ("src/cache/mod.rs", &"\n".repeat(501), "502 lines"),
        ("src/cache/mod.rs", &long, "fn f has 61 lines"),
    ];
    for (path, text, expected) in table {
        let broken = broken_by(path, text);
        assert!(
            broken.iter().any(|rule| rule.contains(expected)),
            "{text:?} must break {expected:?}: {broken:?}"
        );
    }
}

#[test]
fn what_is_allowed_passes() {
    let table = [
        (
            "src/request/a.rs",
            "use crate::transform::Size;\nuse crate::headers::range::X;\nuse crate::transform::decode;\nuse super::route::Route;",
        ),
        ("src/proxy/mod.rs", "use pingora::proxy::X;\nfn f() { StatusCode::OK; }"),
        (
            "src/origin/mod.rs",
            "//! `crate::server` as a word\n/* crate::server /* std::env */ */ const A: &str = \"crate::server\";",
        ),
        (
            "src/origin/http.rs",
            "const R: &str = r#\"a \" crate::server\"#; fn f<'a>(c: &'a u8) -> bool { c == b'\"' || 'c' == '\\'' }",
        ),
        (
            "src/signature/mod.rs",
            "use std::time::SystemTime;\n#[cfg(test)]\nmod tests { fn f() { tokio::x(); A::now(); } }",
        ),
        ("src/telemetry/mod.rs", "const V: &str = env!(\"CARGO_PKG_VERSION\"); fn f() { status() / 100; }"),
        ("src/origin/a.rs", "#[cfg(test)]\nmod tests;\nfn f(x: [u8; 3]) -> [u8; 3] { x }"),
    ];
    for (path, text) in table {
        assert_eq!(broken_by(path, text), Vec::<String>::new(), "{text:?} breaks no rule");
    }
}

#[test]
fn long_test_modules_and_test_files_do_not_count() {
    let tests = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}", "fn g() {}\n".repeat(600));
    assert_eq!(broken_by("src/cache/mod.rs", &tests), Vec::<String>::new());
    let sources = [("src/cache/mod.rs", "#[cfg(test)]\nmod suite;"), ("src/cache/suite.rs", "fn f() {}")];
    let tree =
        Tree::of(sources.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect());
    assert_eq!(tree.files.len(), 1, "a file that is declared for tests only is not source");
}
