//! Path tokens: one signature for everything below a prefix.

use crate::signature::error::SignError;

/// The kinds of content that a path token opens, as letters: `i` image, `p` playlist, `s` segment,
/// `v` progressive video, `t` poster and storyboard, `o` original, `d` download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u8);

impl std::str::FromStr for Kinds {
    type Err = SignError;

    fn from_str(_: &str) -> Result<Self, SignError> {
        Err(SignError::Kinds)
    }
}
