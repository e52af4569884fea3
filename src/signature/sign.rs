//! Signing: what the server verifies, made by the same rules.

use crate::signature::error::SignError;
use crate::signature::key_ring::SigningKey;
use crate::signature::path_token::Kinds;

/// The signed form of a path and query such as `/media/a.jpg?resize=300,`.
///
/// # Errors
/// [`SignError`].
pub fn sign(path_and_query: &str, expiry: u64, key: &SigningKey) -> Result<String, SignError> {
    let _ = (path_and_query, expiry, key);
    Err(SignError::Path)
}

/// A path token for everything below a prefix; put it in front of a path as `/~TOKEN/...`.
///
/// # Errors
/// [`SignError`].
pub fn sign_token(prefix: &str, kinds: Kinds, expiry: u64, key: &SigningKey) -> Result<String, SignError> {
    let _ = (prefix, kinds, expiry, key);
    Err(SignError::Prefix)
}
