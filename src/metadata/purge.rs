//! A purge: what it covers, how strictly, and its place in the one rising sequence of all purges.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::metadata::Error;
use crate::origin::ObjectKey;

/// So many purges are remembered one by one. With one more, all are folded into a purge of everything,
/// which covers whatever they covered: memory and look-ups stay bounded, and no purge is forgotten.
pub const MAX_PURGES: usize = 100_000;

/// The longest tag, in bytes.
const MAX_TAG_BYTES: usize = 1024;

/// A place in the sequence of purges. A stored answer carries the newest one of the moment when its
/// fill began; the purges that concern it are those after. 0 is before any purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp(pub u64);

impl Stamp {
    /// About when the purge was, in Unix seconds: the sequence goes with the time, in microseconds.
    pub fn seconds(self) -> u64 {
        self.0 / 1_000_000
    }
}

/// What a purge covers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PurgeScope {
    /// All there is.
    Everything,
    /// What came from the object of this key.
    Key(String),
    /// What came from objects whose key begins with this text: `photos/2024/`, also `photos/20`.
    Prefix(String),
    /// What came from the asset of this id.
    Asset(String),
    /// What carries this tag.
    Tag(String),
}

/// What becomes of a purged answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PurgeMode {
    /// It is never given out again.
    #[default]
    Gone,
    /// It counts as expired: given out as stale where that is allowed, while a new one is fetched.
    Stale,
}

/// A purge as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// What it covers.
    pub scope: PurgeScope,
    /// What becomes of that.
    pub mode: PurgeMode,
    /// Its place in the sequence; scopes of one request share it.
    pub stamp: Stamp,
    /// Unix seconds.
    pub purged_at: u64,
}

impl PurgeScope {
    /// The word for its kind, in the catalogue and in the command line.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Key(_) => "key",
            Self::Prefix(_) => "prefix",
            Self::Asset(_) => "asset",
            Self::Tag(_) => "tag",
        }
    }

    /// Which of its kind; empty for everything.
    pub fn text(&self) -> &str {
        match self {
            Self::Everything => "",
            Self::Key(text) | Self::Prefix(text) | Self::Asset(text) | Self::Tag(text) => text,
        }
    }

    /// The scope of a kind and a text as they are recorded.
    pub(crate) fn recorded(kind: &str, text: String) -> Result<Self, Error> {
        Ok(match kind {
            "everything" => Self::Everything,
            "key" => Self::Key(text),
            "prefix" => Self::Prefix(text),
            "asset" => Self::Asset(text),
            "tag" => Self::Tag(text),
            _ => return Err(Error::Damaged(format!("unknown scope of a purge {kind:?}"))),
        })
    }

    /// Whether anything could ever be covered by it.
    ///
    /// # Errors
    /// [`Error::InvalidPurge`]: a slip of the pen that would purge nothing must not look like success.
    pub fn check(&self) -> Result<(), Error> {
        let (holds, rule) = match self {
            Self::Everything => return Ok(()),
            Self::Key(key) => (ObjectKey::new(key).is_ok(), "is no key of an object"),
            // Whatever can follow: the last segment may be unfinished, the others may not.
            Self::Prefix(prefix) => (
                !prefix.is_empty() && ObjectKey::new(format!("{prefix}x")).is_ok(),
                "is the beginning of no object's key",
            ),
            Self::Asset(id) => (is_asset_id(id), "is no asset id: 32 lower-case hex digits"),
            Self::Tag(tag) => (is_tag(tag), "is no tag: visible ASCII without a comma, at most 1024 bytes"),
        };
        let shown = || self.text().chars().take(100).collect();
        if holds { Ok(()) } else { Err(Error::InvalidPurge { text: shown(), rule }) }
    }
}

fn is_asset_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What can be one element of a `Cache-Tag` list.
fn is_tag(text: &str) -> bool {
    (1..=MAX_TAG_BYTES).contains(&text.len())
        && text.trim() == text
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b',')
}

impl PurgeMode {
    /// The word for it, in the catalogue and in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Stale => "stale",
        }
    }
}

impl fmt::Display for PurgeMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PurgeMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::Gone, Self::Stale]
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| Error::Damaged(format!("unknown mode of a purge {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_cover_nothing_is_refused() {
        let id = "0123456789abcdef0123456789abcdef";
        let long = "k".repeat(1025);
        for (text, of) in [
            ("", "key prefix asset tag"),
            ("/a.jpg", "key prefix asset"),
            ("a//b", "key prefix asset"),
            ("a/", "key asset"),
            ("a/../b", "key prefix asset"),
            ("a\nb", "key prefix asset tag"),
            (" a", "asset tag"),
            ("a,b", "asset tag"),
            ("ä", "asset tag"),
            (id, ""),
            (&id.to_uppercase(), "asset"),
            (&long, "key prefix asset tag"),
        ] {
            let scopes = [PurgeScope::Key, PurgeScope::Prefix, PurgeScope::Asset, PurgeScope::Tag];
            for scope in scopes.map(|scope| scope(text.to_owned())) {
                let is_refused = scope.check().is_err();
                assert_eq!(is_refused, of.split(' ').any(|kind| kind == scope.kind()), "{scope:?}");
            }
        }
        assert!(PurgeScope::Everything.check().is_ok());
        assert!(PurgeScope::Prefix("photos/.".to_owned()).check().is_ok(), "as of photos/.hidden");
    }

    #[test]
    fn what_is_recorded_is_read_again() {
        for scope in [
            PurgeScope::Everything,
            PurgeScope::Key("a".to_owned()),
            PurgeScope::Prefix("b".to_owned()),
            PurgeScope::Asset("c".to_owned()),
            PurgeScope::Tag("d".to_owned()),
        ] {
            let again = PurgeScope::recorded(scope.kind(), scope.text().to_owned());
            assert_eq!(again.expect("known"), scope);
        }
        assert!(PurgeScope::recorded("all", String::new()).is_err());
        for mode in [PurgeMode::Gone, PurgeMode::Stale] {
            assert_eq!(mode.to_string().parse::<PurgeMode>().expect("known"), mode);
        }
        assert!("soft".parse::<PurgeMode>().is_err());
    }
}
