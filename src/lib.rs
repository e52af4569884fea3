//! Kinora: a self-hosted edge proxy that delivers images and video from a bucket of originals.
//!
//! The map of the crate, from the top layer down; imports only ever point downward
//! (`tests/architecture.rs` holds every module to it, `docs/ARCHITECTURE.md` says why).
//!
//! | layer | modules |
//! | --- | --- |
//! | wiring | [`server`], [`cli`] |
//! | settings | [`config`] |
//! | border | [`proxy`], [`api`] |
//! | errors as HTTP | [`failure`] |
//! | work | [`cache`], [`render`], [`upload`], [`webhook`], [`job`] |
//! | proof, facts, video | [`signature`], [`metadata`], [`video`] |
//! | requests and bytes | [`request`], [`origin`] |
//! | ground | [`transform`], [`headers`], [`net`], [`telemetry`], [`setting`] |

pub mod api;
pub mod cache;
pub mod cli;
pub mod config;
pub mod failure;
pub mod headers;
pub mod job;
pub mod metadata;
pub mod net;
pub mod origin;
pub mod proxy;
pub mod render;
pub mod request;
pub mod server;
pub mod setting;
pub mod signature;
pub mod telemetry;
pub mod transform;
pub mod upload;
pub mod video;
pub mod webhook;
