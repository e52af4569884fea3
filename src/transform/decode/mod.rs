//! Source bytes to pixels.
