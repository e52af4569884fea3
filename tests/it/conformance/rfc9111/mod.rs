//! RFC 9111, HTTP caching.

mod age;
mod freshness;
mod storing;
mod validation;
mod vary;
