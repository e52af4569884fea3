//! Pixels to bytes.
