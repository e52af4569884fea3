//! Everything that needs servers around Kinora: one binary, one module per subject.

#![expect(clippy::expect_used, clippy::panic, reason = "a test reports what it cannot use by panicking")]

mod delivery;
mod docs;
mod origin;
mod parser_bounds;
mod protocols;
mod support;
