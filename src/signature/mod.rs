//! Proof that a request may be answered: signed URLs, path tokens, API keys.
//!
//! [`verify`] is the only way from a request to a [`Verified`] one, and cache keys and renders are
//! made of nothing else. The signed text is made of the raw bytes of the very target that was parsed, so there are no two readings of it.

mod encoding;
mod error;
mod explain;
mod key_ring;
mod path_token;
mod sign;
mod text;
mod upload_key;
mod verify;

pub use error::{Error, Flaw, SignError};
pub use explain::{Explanation, explain};
pub use key_ring::{ApiKey, ApiKeyHash, KeyRing, Scope, SigningKey};
pub use path_token::{Kinds, sign_token};
pub use sign::sign;
pub use upload_key::{UploadKey, UploadLimits, check_origins};
pub use verify::{Claim, Policy, Proof, Verified, verify};
