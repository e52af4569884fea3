//! Path tokens: one signature for everything below a prefix.
//!
//! `{accessId}.{expiry}.{kinds}.{n}.{sig}`, where the prefix is the first `n` segments of the very
//! path that follows the token, as sent. So relative URIs inherit it, and it matches on whole
//! segments by construction: there is no second prefix to compare with.

use std::fmt;
use std::str::FromStr;

use hmac::Mac;
use percent_encoding::utf8_percent_encode;

use crate::origin::ObjectKey;
use crate::request::Delivery;
use crate::request::MediaRequest;
use crate::request::Source;
use crate::request::Work;
use crate::signature::encoding::Alphabet;
use crate::signature::encoding::decode;
use crate::signature::encoding::hmac_sha256;
use crate::signature::encoding::unpadded;
use crate::signature::error::Error;
use crate::signature::error::Flaw;
use crate::signature::error::SignError;
use crate::signature::key_ring::KeyRing;
use crate::signature::key_ring::SigningKey;
use crate::signature::sign::PATH_ENCODED;
use crate::signature::sign::check_access_id;
use crate::signature::text::seconds;
use crate::signature::verify::Held;
use crate::signature::verify::unexpired;

/// All kinds, in the order in which they are written.
const LETTERS: &str = "ipsvtod";

/// The kinds of content that a path token opens, as letters: `i` image, `p` playlist, `s` segment,
/// `v` progressive video, `t` poster and storyboard, `o` original, `d` download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// Whether it names this kind.
    pub fn has(self, letter: char) -> bool {
        LETTERS.find(letter).is_some_and(|place| self.0 & (1 << place) != 0)
    }
}

impl FromStr for Kinds {
    type Err = SignError;

    /// Reads one or more letters, each at most once.
    fn from_str(text: &str) -> Result<Self, SignError> {
        let add = |kinds: u8, letter: char| {
            let kind = 1 << LETTERS.find(letter)?;
            (kinds & kind == 0).then_some(kinds | kind)
        };
        text.chars().try_fold(0, add).filter(|kinds| *kinds != 0).map(Self).ok_or(SignError::Kinds)
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        LETTERS.chars().filter(|letter| self.has(*letter)).try_for_each(|letter| write!(f, "{letter}"))
    }
}

/// A path token taken apart.
#[derive(Clone, Copy)]
pub(super) struct PathToken<'a> {
    pub(super) access_id: &'a str,
    pub(super) expiry: &'a str,
    kinds: &'a str,
    segments: usize,
    signature: &'a str,
}

impl<'a> PathToken<'a> {
    /// Reads from the end, because an access id may have dots.
    pub(super) fn parse(token: &'a str) -> Option<Self> {
        let mut parts = token.rsplitn(5, '.');
        let signature = parts.next()?;
        let count = parts.next()?;
        let (kinds, expiry, access_id) = (parts.next()?, parts.next()?, parts.next()?);
        // The count is the one part that is not signed as text, so it has one spelling.
        let segments = count.parse().ok().filter(|n: &usize| *n > 0 && n.to_string() == count)?;
        Some(Self { access_id, expiry, kinds, segments, signature })
    }

    /// The first segments of a path, with a slash at both ends; something has to follow them.
    fn prefix<'p>(&self, path: &'p str) -> Option<&'p str> {
        let (end, _) = path.match_indices('/').nth(self.segments)?;
        let (prefix, rest) = path.split_at(end + 1);
        (prefix.starts_with('/') && !rest.is_empty()).then_some(prefix)
    }
}

/// Verifies the token in front of `path` for this request.
pub(super) fn verify(
    token: &str,
    path: &str,
    request: &MediaRequest,
    ring: &KeyRing,
    now: u64,
) -> Result<Held, Error> {
    let token = PathToken::parse(token).ok_or(Flaw::TokenForm)?;
    let prefix = token.prefix(path).ok_or(Flaw::TokenPrefix)?;
    let given = decode(token.signature, Alphabet::UrlSafe).ok_or(Flaw::Encoding)?;
    let key = ring.signing_key(token.access_id);
    let secret = key.map_or("", |key| key.secret.expose());
    let pieces = signed(prefix, token.kinds, token.expiry, token.access_id);
    let outcome = hmac_sha256(secret.as_bytes(), &pieces).verify_slice(&given);
    let key = key.ok_or(Error::UnknownKey)?;
    outcome.map_err(|_| Flaw::Mismatch)?;
    let expiry = unexpired(seconds(token.expiry).ok_or(Flaw::Expiry)?, now)?;
    let kinds: Kinds = token.kinds.parse().map_err(|_| Flaw::TokenForm)?;
    opens(kinds, request)?;
    ring.note_use(&key.access_id, now);
    Ok(Held { access_id: key.access_id.clone(), expiry })
}

/// Whether these kinds open what is asked.
fn opens(kinds: Kinds, request: &MediaRequest) -> Result<(), Flaw> {
    let is_original = request.work == Work::Original;
    let kind = if is_original { original_kind(request) } else { 'i' };
    let is_open = kinds.has(kind) || (is_original && kinds.has('o'));
    if !is_open {
        return Err(Flaw::TokenKind(kind));
    }
    match request.delivery {
        Delivery::Download { .. } if !kinds.has('d') => Err(Flaw::TokenKind('d')),
        Delivery::Display | Delivery::Download { .. } => Ok(()),
    }
}

fn original_kind(request: &MediaRequest) -> char {
    match request.source.object().and_then(ObjectKey::extension).as_deref() {
        None if matches!(request.source, Source::Conversion(..)) => 'i',
        Some("m3u8") => 'p',
        Some("ts" | "m4s" | "cmfv" | "cmfa" | "cmft" | "aac") => 's',
        Some("mp4" | "m4v" | "mov" | "webm") => 'v',
        Some("vtt") => 't',
        _ => 'o',
    }
}

/// The signed text of a token, piece by piece.
fn signed<'a>(prefix: &'a str, kinds: &'a str, expiry: &'a str, access_id: &'a str) -> [&'a str; 8] {
    ["kinora-path-token\n1\n", prefix, "\n", kinds, "\n", expiry, "\n", access_id]
}

/// A path token for everything below a prefix such as `/media/films`; it goes in front of a path as
/// `/~TOKEN/media/films/...`. What a URL cannot hold as it is gets percent-encoded.
///
/// # Errors
/// [`SignError::Prefix`] and [`SignError::AccessId`].
pub fn sign_token(prefix: &str, kinds: Kinds, expiry: u64, key: &SigningKey) -> Result<String, SignError> {
    check_access_id(&key.access_id)?;
    let inner = prefix.strip_prefix('/').unwrap_or(prefix);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if inner.contains('?') || inner.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(SignError::Prefix);
    }
    let prefix = format!("/{}/", utf8_percent_encode(inner, PATH_ENCODED));
    let segments = inner.split('/').count();
    let (kinds, expiry, access_id) = (kinds.to_string(), expiry.to_string(), &key.access_id);
    let pieces = signed(&prefix, &kinds, &expiry, access_id);
    let signature = unpadded(hmac_sha256(key.secret.expose().as_bytes(), &pieces));
    Ok(format!("{access_id}.{expiry}.{kinds}.{segments}.{signature}"))
}
