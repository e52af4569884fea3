//! The key of an object: safe by construction.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Name of an object in the bucket, as plain text (not percent-encoded).
///
/// Segments are separated by `/`; none is empty, `.` or `..`; no control character, no backslash,
/// at most [`ObjectKey::MAX_BYTES`]. So a key can be joined to a directory or a URL without leaving
/// it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey(String);

/// The text is no key: it could leave the bucket, or no bucket could hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid object key")]
pub struct InvalidKey;

impl ObjectKey {
    /// S3's limit.
    pub const MAX_BYTES: usize = 1024;

    /// Checks a plain (already percent-decoded) key.
    ///
    /// # Errors
    /// [`InvalidKey`] as described on the type.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidKey> {
        let text = text.into();
        let safe_segment = |segment: &str| !matches!(segment, "" | "." | "..");
        let valid = text.len() <= Self::MAX_BYTES
            && text.split('/').all(safe_segment)
            && !text.chars().any(|c| c.is_control() || c == '\\');
        if valid { Ok(Self(text)) } else { Err(InvalidKey) }
    }

    /// The plain text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the last dot of the last segment, in lower case.
    pub fn extension(&self) -> Option<String> {
        let name = self.0.rsplit('/').next()?;
        let (stem, extension) = name.rsplit_once('.')?;
        (!stem.is_empty()).then(|| extension.to_ascii_lowercase())
    }
}

impl TryFrom<String> for ObjectKey {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

impl From<ObjectKey> for String {
    fn from(key: ObjectKey) -> Self {
        key.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_cannot_leave_the_bucket() {
        for bad in ["", "/", "/a", "a/", "a//b", "..", "../a", "a/..", "a/./b", "a\\b", "a\0b", "a\nb"] {
            assert_eq!(ObjectKey::new(bad), Err(InvalidKey), "{bad:?} must be refused");
        }
        for good in ["a", "a/b.jpg", "...", "a..b", "~x", "ä ö.jpg", "a%2e"] {
            assert!(ObjectKey::new(good).is_ok(), "{good:?} is a fine key");
        }
        assert_eq!(ObjectKey::new("k".repeat(1025)), Err(InvalidKey), "too long");
    }

    #[test]
    fn extension_is_that_of_the_last_segment() {
        let extension = |key: &str| ObjectKey::new(key).expect("valid").extension();
        assert_eq!(extension("a.b/c.JPG").as_deref(), Some("jpg"));
        assert_eq!(extension("a.b/c"), None);
        assert_eq!(extension(".hidden"), None);
    }
}
