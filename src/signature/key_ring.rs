//! The keys that are active now, for look-up while verifying.

use std::collections::HashMap;
use std::collections::HashSet;

use sha2::Digest;
use sha2::Sha256;

use crate::setting::Secret;

/// A key that signs URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Its public id, the URL's `accessId`.
    pub access_id: String,
    /// Its secret; the text's bytes are the key of the HMAC.
    pub secret: Secret,
    /// Whether HMAC-SHA1 signatures are accepted beside HMAC-SHA256, for FileSpin's older signers.
    pub sha1: bool,
}

/// The SHA-256 of an API key: all that is kept of it.
pub type ApiKeyHash = [u8; 32];

/// All active keys. It is built anew when they change, and read without locks.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    signing: HashMap<String, SigningKey>,
    api: HashSet<ApiKeyHash>,
}

impl KeyRing {
    /// A ring of these keys. Of two signing keys with one access id the last stays.
    pub fn new(
        signing: impl IntoIterator<Item = SigningKey>,
        api: impl IntoIterator<Item = ApiKeyHash>,
    ) -> Self {
        let signing = signing.into_iter().map(|key| (key.access_id.clone(), key)).collect();
        Self { signing, api: api.into_iter().collect() }
    }

    /// The signing key of this access id.
    pub fn signing_key(&self, access_id: &str) -> Option<&SigningKey> {
        self.signing.get(access_id)
    }

    /// Whether this is an active API key. It is looked up by its hash, so time tells nothing of it.
    pub fn has_api_key(&self, api_key: &str) -> bool {
        self.api.contains(&Self::hash(api_key))
    }

    /// What is kept of an API key.
    pub fn hash(api_key: &str) -> ApiKeyHash {
        Sha256::digest(api_key.as_bytes()).into()
    }
}
