//! Everything that needs servers around Kinora: one binary, one module per subject.

#![expect(clippy::expect_used, clippy::panic, reason = "a test reports what it cannot use by panicking")]

mod coalescing;
mod delivery;
mod docs;
mod faults;
mod keys;
mod origin;
mod overload;
mod parser_bounds;
mod protocols;
mod ranges;
mod shutdown;
mod signing;
mod stale;
mod storage;
mod support;
mod telemetry;
