//! The keys that are active now, for look-up while verifying.

use std::collections::HashMap;

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

/// What an API key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// See what else needs a signature.
    Read,
    /// Change what is stored.
    Write,
    /// Purge what is cached.
    Purge,
}

impl Scope {
    /// All of them, which a key has whose scope is `*`.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Purge];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Purge => "purge",
        }
    }

    /// The scopes that a word stands for; none for an unknown one.
    pub fn of_word(word: &str) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |scope| word == "*" || word == scope.as_str())
    }
}

/// All active keys. It is built anew when they change, and read without locks.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    signing: HashMap<String, SigningKey>,
    api: HashMap<ApiKeyHash, Vec<Scope>>,
}

impl KeyRing {
    /// A ring of these keys. Of two signing keys with one access id the last stays.
    pub fn new(
        signing: impl IntoIterator<Item = SigningKey>,
        api: impl IntoIterator<Item = (ApiKeyHash, Vec<Scope>)>,
    ) -> Self {
        let signing = signing.into_iter().map(|key| (key.access_id.clone(), key)).collect();
        Self { signing, api: api.into_iter().collect() }
    }

    /// The signing key of this access id.
    pub fn signing_key(&self, access_id: &str) -> Option<&SigningKey> {
        self.signing.get(access_id)
    }

    /// Whether this is an active API key, whatever it may do. It is looked up by its hash, so time
    /// tells nothing of it.
    pub fn has_api_key(&self, api_key: &str) -> bool {
        self.api.contains_key(&Self::hash(api_key))
    }

    /// Whether this is an active API key that may do this.
    pub fn allows(&self, api_key: &str, scope: Scope) -> bool {
        self.api.get(&Self::hash(api_key)).is_some_and(|scopes| scopes.contains(&scope))
    }

    /// What is kept of an API key.
    pub fn hash(api_key: &str) -> ApiKeyHash {
        Sha256::digest(api_key.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_do_what_its_scopes_say() {
        let key = |text: &str, words: &[&str]| {
            (KeyRing::hash(text), words.iter().flat_map(|word| Scope::of_word(word)).collect())
        };
        let ring =
            KeyRing::new([], [key("all", &["*"]), key("two", &["read", "purge"]), key("none", &["all"])]);
        let allowed = |text| Scope::ALL.map(|scope| ring.allows(text, scope));
        assert_eq!(allowed("all"), [true; 3]);
        assert_eq!(allowed("two"), [true, false, true]);
        assert_eq!((allowed("none"), ring.has_api_key("none")), ([false; 3], true));
        assert_eq!((allowed("other"), ring.has_api_key("other")), ([false; 3], false));
    }
}
