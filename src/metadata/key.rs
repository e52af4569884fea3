//! A key: who may ask for what, and what of its secret is kept.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::metadata::Error;
use crate::setting::Secret;
use crate::signature::{UploadKey, UploadLimits, check_origins};

/// What a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Goes into the header of a server's request.
    Api,
    /// Stands in a web page and lets it upload, never read.
    Upload,
    /// Signs URLs; its id is the access id.
    Signing,
}

/// The rights that an API key can have; `*` is all of them.
pub const SCOPES: [&str; 5] = ["*", "read", "write", "purge", "keys"];

/// What is wanted of a new key.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What it is good for.
    pub kind: KeyKind,
    /// For people; may be empty.
    pub name: String,
    /// API keys: rights out of [`SCOPES`]; none given means `*`.
    pub scopes: Vec<String>,
    /// Upload keys: websites that may use it, as [`UploadKey::origins`] has them; none given means no website.
    pub origins: Vec<String>,
    /// Upload keys: every website may use it.
    pub any_origin: bool,
    /// Upload keys: what may be uploaded.
    pub limits: UploadLimits,
    /// Signing keys: signatures by HMAC-SHA1 are accepted too.
    pub sha1: bool,
    /// Unix seconds: from then on it opens nothing.
    pub expires_at: Option<u64>,
    /// An existing id and secret to bring along; otherwise both are drawn.
    pub pair: Option<(String, Secret)>,
}

/// A new key, the only time that its secret is shown.
#[derive(Debug, Clone)]
pub struct IssuedKey {
    /// What it is good for.
    pub kind: KeyKind,
    /// Its public id; the access id of a signing key.
    pub id: String,
    /// Its secret: for API and upload keys the text that is sent.
    pub secret: Secret,
}

/// A key as it is listed: without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// What it is good for.
    pub kind: KeyKind,
    /// Its public id.
    pub id: String,
    /// For people.
    pub name: String,
    /// Rights of an API key.
    pub scopes: Vec<String>,
    /// Websites of an upload key.
    pub origins: Vec<String>,
    /// Whether every website may use an upload key.
    pub any_origin: bool,
    /// What may be uploaded with an upload key.
    pub limits: UploadLimits,
    /// Whether a signing key accepts HMAC-SHA1.
    pub sha1: bool,
    /// Unix seconds.
    pub created_at: u64,
    /// Unix seconds; from then on it opens nothing.
    pub expires_at: Option<u64>,
    /// Unix seconds, known to a minute or two.
    pub last_used_at: Option<u64>,
    /// Unix seconds; a revoked key opens nothing.
    pub revoked_at: Option<u64>,
}

/// A key that is not revoked, with what is needed to recognise it.
#[derive(Debug, Clone)]
pub enum ActiveKey {
    /// An API key.
    Api {
        /// Its public id.
        id: String,
        /// SHA-256 of the text that is sent.
        secret_sha256: [u8; 32],
        /// Its rights.
        scopes: Vec<String>,
    },
    /// An upload key.
    Upload {
        /// SHA-256 of the text that is sent.
        secret_sha256: [u8; 32],
        /// What it allows.
        key: UploadKey,
    },
    /// A signing key.
    Signing {
        /// The `accessId` of signed URLs.
        access_id: String,
        /// The secret of the HMAC.
        secret: Secret,
        /// Whether HMAC-SHA1 is accepted too.
        sha1: bool,
    },
}

impl KeyKind {
    /// The word for it, in the command line and in the catalogue.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Upload => "upload",
            Self::Signing => "signing",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::Api, Self::Upload, Self::Signing]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| Error::Damaged(format!("unknown kind of key {text:?}")))
    }
}

impl NewKey {
    /// A key with everything left open.
    pub fn of(kind: KeyKind) -> Self {
        Self {
            kind,
            name: String::new(),
            scopes: Vec::new(),
            origins: Vec::new(),
            any_origin: false,
            limits: UploadLimits::default(),
            sha1: false,
            expires_at: None,
            pair: None,
        }
    }

    /// Checks the wishes and draws the id and the secret unless they were brought along.
    pub(crate) fn issue(&self) -> Result<IssuedKey, Error> {
        self.check()?;
        let (id, secret) = match &self.pair {
            Some((id, secret)) => (id.clone(), secret.clone()),
            None => (draw(ACCESS_ID_ALPHABET, 16)?, Secret::new(draw(HEX, 32)?)),
        };
        Ok(IssuedKey { kind: self.kind, id, secret })
    }

    fn check(&self) -> Result<(), Error> {
        let rule =
            |what, holds: bool, rule| if holds { Ok(()) } else { Err(Error::InvalidKey { what, rule }) };
        if let Some((id, secret)) = &self.pair {
            rule("the id", is_id(id), "must be 1 to 64 letters, digits, - or _")?;
            let is_secret = (16..=256).contains(&secret.expose().len())
                && secret.expose().bytes().all(|byte| byte.is_ascii_graphic());
            rule("the secret", is_secret, "must be 16 to 256 visible ASCII characters")?;
        }
        let is_name = self.name.len() <= 200 && !self.name.chars().any(char::is_control);
        rule("the name", is_name, "must be at most 200 bytes without control characters")?;
        let known = self.scopes.iter().all(|scope| SCOPES.contains(&scope.as_str()));
        rule("a scope", known, "must be one of *, read, write, purge, keys")?;
        let is = |kind| self.kind == kind;
        rule("scopes", self.scopes.is_empty() || is(KeyKind::Api), "belong to API keys")?;
        check_origins(&self.origins).map_err(|rule| Error::InvalidKey { what: "the origins", rule })?;
        self.limits.check().map_err(|rule| Error::InvalidKey { what: "the limits", rule })?;
        let limited = self.limits != UploadLimits::default();
        rule("limits", !limited || is(KeyKind::Upload), "belong to upload keys")?;
        let websites = !self.origins.is_empty() || self.any_origin;
        rule("origins", !websites || is(KeyKind::Upload), "belong to upload keys")?;
        rule("sha1", !self.sha1 || is(KeyKind::Signing), "belongs to signing keys")
    }

    /// The rights that are recorded.
    pub(crate) fn granted_scopes(&self) -> Vec<String> {
        match self.kind {
            KeyKind::Api if self.scopes.is_empty() => vec!["*".to_owned()],
            _ => self.scopes.clone(),
        }
    }
}

/// What is kept of a secret that is only ever compared.
pub(crate) fn sha256(secret: &Secret) -> [u8; 32] {
    Sha256::digest(secret.expose().as_bytes()).into()
}

/// No dot: it separates the fields of a path token.
fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

/// 32 signs, so that a random byte picks one without bias; no 0, 1, I and O, which look alike.
const ACCESS_ID_ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// Signs of random ids.
pub(crate) const HEX: &[u8; 16] = b"0123456789abcdef";

/// A random text of these signs.
pub(crate) fn draw<const N: usize>(alphabet: &[u8; N], length: usize) -> Result<String, Error> {
    const { assert!(256 % N == 0, "every sign must be equally likely") };
    let mut random = vec![0; length];
    getrandom::fill(&mut random).map_err(Error::NoRandomness)?;
    Ok(random.into_iter().map(|byte| char::from(alphabet[usize::from(byte) % N])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_keys_have_the_promised_shape() {
        let key = NewKey::of(KeyKind::Signing).issue().expect("nothing asked for");
        assert_eq!((key.id.len(), key.secret.expose().len()), (16, 32));
        assert!(key.id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()), "{}", key.id);
        assert!(key.secret.expose().bytes().all(|byte| byte.is_ascii_hexdigit()), "hex");
        let other = NewKey::of(KeyKind::Signing).issue().expect("nothing asked for");
        assert!(other.id != key.id && other.secret != key.secret, "drawn anew");
    }

    #[test]
    fn wishes_that_make_no_sense_are_refused() {
        let pair = |id: &str, secret: &str| Some((id.to_owned(), Secret::new(secret)));
        let good = "0123456789abcdef";
        let api = NewKey::of(KeyKind::Api);
        let signing = NewKey::of(KeyKind::Signing);
        for (case, wish) in [
            ("a dot would end the id in a path token", NewKey { pair: pair("a.b", good), ..signing.clone() }),
            ("no id", NewKey { pair: pair("", good), ..signing.clone() }),
            ("a short secret", NewKey { pair: pair("A", "short"), ..signing.clone() }),
            ("a secret with a space", NewKey { pair: pair("A", "0123456789 abcdef"), ..signing.clone() }),
            ("an unknown right", NewKey { scopes: vec!["all".to_owned()], ..api.clone() }),
            ("a right of a signing key", NewKey { scopes: vec!["read".to_owned()], ..signing.clone() }),
            ("SHA-1 of an API key", NewKey { sha1: true, ..api.clone() }),
            ("websites of an API key", NewKey { any_origin: true, ..api }),
            ("a name over two lines", NewKey { name: "a\nb".to_owned(), ..signing }),
        ] {
            assert!(matches!(wish.issue(), Err(Error::InvalidKey { .. })), "{case}");
        }
    }
}
