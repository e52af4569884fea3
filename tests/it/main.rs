//! Everything that needs servers or files around Kinora: one binary, one module per subject.

#![expect(clippy::expect_used, clippy::panic, reason = "a test reports what it cannot use by panicking")]

mod asset_data;
mod assets;
mod bad_input;
mod cache_stat;
mod catalogs;
mod coalescing;
mod conformance;
mod control;
mod crash;
mod delivery;
mod docs;
mod faults;
mod front;
mod golden;
mod import;
mod jobs;
mod keys;
mod keys_api;
mod links;
mod openapi;
mod origin;
mod originals;
mod overload;
mod parser_bounds;
mod protocols;
mod purge;
mod purge_api;
mod ranges;
mod scenarios;
mod shutdown;
mod signing;
mod stale;
mod storage;
mod support;
mod telemetry;
mod upload;
mod webhooks;
