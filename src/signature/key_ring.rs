//! The keys that are active now, for look-up while verifying.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::Digest;
use sha2::Sha256;

use crate::setting::Secret;
use crate::signature::upload_key::UploadKey;

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
    /// Make and revoke keys.
    Keys,
}

impl Scope {
    /// All of them, which a key has whose scope is `*`.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Purge, Self::Keys];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Purge => "purge",
            Self::Keys => "keys",
        }
    }

    /// The scopes that a word stands for; none for an unknown one.
    pub fn of_word(word: &str) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |scope| word == "*" || word == scope.as_str())
    }
}

/// A key that goes into the header of a server's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public id.
    pub id: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

/// All active keys. It is built anew when they change, and read without locks.
#[derive(Debug, Clone, Default)]
pub struct KeyRing {
    signing: HashMap<String, SigningKey>,
    /// The access id of the key that was made last.
    newest: Option<String>,
    api: HashMap<ApiKeyHash, ApiKey>,
    upload: HashMap<ApiKeyHash, UploadKey>,
    /// When each was used last, by id, in Unix seconds: roughly, so that it is rarely written.
    used: HashMap<String, Arc<AtomicU64>>,
}

/// A later use counts when it is so many seconds later.
const USE_SECONDS: u64 = 60;

impl KeyRing {
    /// A ring of these keys, the newest first. Of two signing keys with one access id the last stays.
    pub fn new(
        signing: impl IntoIterator<Item = SigningKey>,
        api: impl IntoIterator<Item = (ApiKeyHash, ApiKey)>,
        upload: impl IntoIterator<Item = (ApiKeyHash, UploadKey)>,
    ) -> Self {
        let mut signing = signing.into_iter().peekable();
        let newest = signing.peek().map(|key| key.access_id.clone());
        let signing: HashMap<_, _> = signing.map(|key| (key.access_id.clone(), key)).collect();
        let (api, upload): (HashMap<_, _>, HashMap<_, _>) =
            (api.into_iter().collect(), upload.into_iter().collect());
        let ids = signing.keys().chain(api.values().map(|key| &key.id));
        let ids = ids.chain(upload.values().map(|key| &key.id));
        let used = ids.map(|id| (id.clone(), Arc::default())).collect();
        Self { signing, newest, api, upload, used }
    }

    /// The signing key of this access id.
    pub fn signing_key(&self, access_id: &str) -> Option<&SigningKey> {
        self.signing.get(access_id)
    }

    /// The signing key that was made last.
    pub fn newest_signing_key(&self) -> Option<&SigningKey> {
        self.signing_key(self.newest.as_deref()?)
    }

    /// The active API key that is sent so. It is looked up by its hash, so time tells nothing of it.
    pub fn api_key(&self, sent: &str) -> Option<&ApiKey> {
        self.api.get(&Self::hash(sent))
    }

    /// The active upload key that is sent so.
    pub fn upload_key(&self, sent: &str) -> Option<&UploadKey> {
        self.upload.get(&Self::hash(sent))
    }

    /// Whether this is an active API key, whatever it may do.
    pub fn has_api_key(&self, sent: &str) -> bool {
        self.api_key(sent).is_some()
    }

    /// Whether this is an active API key that may do this.
    pub fn allows(&self, sent: &str, scope: Scope) -> bool {
        self.api_key(sent).is_some_and(|key| key.scopes.contains(&scope))
    }

    /// Remembers that a key was used now (Unix seconds).
    pub fn note_use(&self, id: &str, now: u64) {
        if let Some(used) = self.used.get(id)
            && used.load(Ordering::Relaxed) + USE_SECONDS <= now
        {
            used.store(now, Ordering::Relaxed);
        }
    }

    /// The ids of the keys that were used at this second (Unix) or later, and when.
    pub fn used_since(&self, second: u64) -> impl Iterator<Item = (&str, u64)> {
        let all = self.used.iter().map(|(id, used)| (id.as_str(), used.load(Ordering::Relaxed)));
        all.filter(move |(_, used)| *used >= second && *used > 0)
    }

    /// This ring with what `before` remembers of the same keys' uses.
    pub fn following(mut self, before: &Self) -> Self {
        for (id, used) in &mut self.used {
            if let Some(known) = before.used.get(id) {
                *used = Arc::clone(known);
            }
        }
        self
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
            let scopes = words.iter().flat_map(|word| Scope::of_word(word)).collect();
            (KeyRing::hash(text), ApiKey { id: text.to_uppercase(), scopes })
        };
        let keys = [key("all", &["*"]), key("two", &["read", "purge"]), key("none", &["all"])];
        let ring = KeyRing::new([], keys, []);
        let allowed = |text| Scope::ALL.map(|scope| ring.allows(text, scope));
        assert_eq!(allowed("all"), [true; 4]);
        assert_eq!(allowed("two"), [true, false, true, false]);
        assert_eq!((allowed("none"), ring.has_api_key("none")), ([false; 4], true));
        assert_eq!((allowed("other"), ring.has_api_key("other")), ([false; 4], false));
    }

    #[test]
    fn the_last_use_is_known_roughly_and_outlives_a_ring() {
        let key = |id: &str| (KeyRing::hash(id), ApiKey { id: id.to_owned(), scopes: Vec::new() });
        let ring = KeyRing::new([], [key("A"), key("B")], []);
        let used = |ring: &KeyRing, since| {
            ring.used_since(since).map(|(id, used)| (id.to_owned(), used)).collect::<Vec<_>>()
        };
        assert_eq!(used(&ring, 0), []);
        ring.note_use("A", 1000);
        ring.note_use("A", 1059);
        ring.note_use("nobody", 1000);
        assert_eq!(used(&ring, 1000), [("A".to_owned(), 1000)]);
        let later = KeyRing::new([], [key("A"), key("C")], []).following(&ring);
        later.note_use("A", 1060);
        assert_eq!(used(&later, 1001), [("A".to_owned(), 1060)]);
    }
}
