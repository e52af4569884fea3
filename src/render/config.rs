//! The sections `[render]` and `[image]`.

use std::collections::BTreeMap;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

use crate::request::Presets;
use crate::setting::Problem;
use crate::transform::Limits;

/// How much work on pictures is admitted at the same time.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Pictures worked on at the same time; 0, the default, is one for each core.
    pub slots: usize,
    /// Memory of all transforms together, 512 MiB.
    pub memory: ByteSize,
    /// Requests that may wait for a slot, 64; 0 sheds whatever finds no free slot.
    pub queue: usize,
    /// Longest time for waiting and working together, 20 s.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
}

impl Config {
    const LEAST_MEMORY: ByteSize = ByteSize::mib(16);

    /// What is wrong with these values.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.memory < Self::LEAST_MEMORY {
            let remedy = format!("must be at least {}, or no picture fits", Self::LEAST_MEMORY);
            problems.push(Problem::new("render.memory", self.memory, remedy));
        }
        if self.deadline.is_zero() {
            problems.push(Problem::new("render.deadline", "0s", "must be longer than 0s"));
        }
        problems
    }
}

/// What size of picture is let in and out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageConfig {
    /// Widest picture that is made, 2048; 1..=16383.
    pub max_width: u32,
    /// Highest picture that is made, 1536; 1..=16383.
    pub max_height: u32,
    /// Pixels that a source may have, 100 million.
    pub max_source_pixels: u64,
    /// Bytes that a source may have, 64 MiB.
    pub max_source_bytes: ByteSize,
    /// Image options under a name, as they stand in a URL; none.
    pub presets: BTreeMap<String, String>,
}

impl ImageConfig {
    /// WebP holds no longer side, and what is negotiated must be able to be WebP.
    const LONGEST_SIDE: u32 = 16_383;

    /// What of it a plan needs.
    pub fn limits(&self) -> Limits {
        Limits {
            max_width: self.max_width,
            max_height: self.max_height,
            max_source_pixels: self.max_source_pixels,
        }
    }

    /// The presets, without those that [`ImageConfig::check`] tells of.
    pub fn presets(&self) -> Presets {
        let mut presets = Presets::none();
        for (name, options) in &self.presets {
            // Nothing starts with one that cannot be added.
            let _ = presets.add(name, options);
        }
        presets
    }

    /// What is wrong with these values.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, options) in &self.presets {
            if let Err(error) = Presets::none().add(name, options) {
                problems.push(Problem::new(&format!("image.presets.{name}"), options, error.to_string()));
            }
        }
        for (key, side) in [("image.max_width", self.max_width), ("image.max_height", self.max_height)] {
            if !(1..=Self::LONGEST_SIDE).contains(&side) {
                let remedy = format!("must be between 1 and {}", Self::LONGEST_SIDE);
                problems.push(Problem::new(key, side, remedy));
            }
        }
        if self.max_source_pixels == 0 {
            problems.push(Problem::new("image.max_source_pixels", 0, "must be at least 1"));
        }
        if self.max_source_bytes.as_u64() == 0 {
            problems.push(Problem::new("image.max_source_bytes", "0", "must be larger than 0"));
        }
        problems
    }
}
