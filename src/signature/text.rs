//! The text that a signature is of.
