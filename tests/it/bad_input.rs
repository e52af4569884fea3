//! Files that are broken, lie or ask for too much: each gives the answer that
//! `fixtures/bad/expected.toml` names, soon, and within the memory that was planned for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kinora::failure::Failure;
use kinora::transform::{
    self, Box2, Error, Fit, Format, Geometry, Limits, Operations, Output, Scratch, Target,
};
use serde::Deserialize;

const LIMITS: Limits = Limits { max_width: 2048, max_height: 1536, max_source_pixels: 100_000_000 };
/// `render.memory` as delivered.
const MEMORY: u64 = 512 << 20;
/// Generous: tests run unoptimised, beside others.
const TIME: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    status: u16,
    code: Option<String>,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// Works as a render does: the header first, from as little as it takes.
fn thumbnail(source: &[u8]) -> Result<Output, Error> {
    let mut read = source.len().min(1024);
    let probe = loop {
        match transform::probe(&source[..read], read == source.len()) {
            Err(Error::NeedMore) if read < source.len() => read = source.len().min(read * 2),
            result => break result?,
        }
    };
    let geometry = Geometry::Resize { size: Box2::Width(64), fit: Fit::Inside };
    let operations = Operations { geometry, ..Operations::default() };
    let plan = transform::plan(&probe, &operations, Target::Format(Format::Jpeg), &LIMITS)?;
    assert!(plan.memory_bytes() <= MEMORY, "a plan of {} bytes", plan.memory_bytes());
    transform::run(source, &plan, &mut Scratch::default(), &mut |_| {})
}

#[test]
fn every_bad_file_gets_its_answer_in_time() {
    let list = fs::read_to_string(folder("bad").join("expected.toml")).expect("the list of answers");
    let expected: BTreeMap<String, Expected> = toml::from_str(&list).expect("a list of answers");
    let files = fs::read_dir(folder("bad")).expect("bad files").count();
    assert_eq!(files, expected.len() + 1, "each file has an answer, and each answer a file");
    let mut failures = Vec::new();
    for (name, expected) in &expected {
        let source = fs::read(folder("bad").join(name)).expect("a bad file");
        let start = Instant::now();
        let result = thumbnail(&source);
        let time = start.elapsed();
        let (status, code) = match &result {
            Ok(_) => (200, None),
            Err(error) => {
                let failure = Failure::from(error.clone());
                (failure.code.status(), Some(failure.code.as_str().to_owned()))
            }
        };
        if (status, &code) != (expected.status, &expected.code) {
            let error = result.err();
            failures.push(format!("{name}: {status} {code:?} instead of {expected:?}: {error:?}"));
        }
        if time > TIME {
            failures.push(format!("{name} took {time:?}"));
        }
    }
    assert!(failures.is_empty(), "{} wrong answers:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn harmless_oddities_show_the_whole_picture() {
    let good =
        thumbnail(&fs::read(folder("bad").join("trailing-garbage.jpg")).expect("a file")).expect("a picture");
    for name in ["icc-broken.jpg", "exif-loop.jpg", "exif-nine.jpg", "exif-huge.jpg", "comments.jpg"] {
        let other = thumbnail(&fs::read(folder("bad").join(name)).expect("a file")).expect(name);
        assert_eq!(other.bytes, good.bytes, "{name} is the same picture in other company");
    }
}

/// A picture may break off anywhere: at a boundary, within a header, within the data.
#[test]
fn a_picture_that_breaks_off_never_panics() {
    for entry in fs::read_dir(folder("images")).expect("pictures") {
        let path = entry.expect("an entry").path();
        let source = fs::read(&path).expect("a picture");
        for part in 0..20 {
            // More of the cuts fall into the header, where most of the parsing is.
            let length = if part < 8 { part * 29 } else { source.len() * (part - 7) / 13 };
            let length = length.min(source.len().saturating_sub(1));
            let start = Instant::now();
            let result = thumbnail(&source[..length]);
            let time = start.elapsed();
            assert!(time < TIME, "{}, cut at {length}, took {time:?}", path.display());
            match result {
                Ok(_) | Err(Error::Corrupt { .. } | Error::UnsupportedFormat | Error::NeedMore) => {}
                Err(error) => panic!("{}, cut at {length}, gives {error:?}", path.display()),
            }
        }
    }
}
