//! Servers and helpers that several subjects share. Every server listens on 127.0.0.1:0, on a
//! thread and runtime of its own, and ends when it is dropped.

pub(crate) mod assets;
pub(crate) mod client;
pub(crate) mod clients;
pub(crate) mod decoded;
pub(crate) mod edge;
pub(crate) mod form;
pub(crate) mod http_origin;
pub(crate) mod picture;
pub(crate) mod postgres;
pub(crate) mod program;
pub(crate) mod receiver;
pub(crate) mod s3;
pub(crate) mod server;
