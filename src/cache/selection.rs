//! Which requests a stored answer is for, beyond its key: `Vary`, RFC 9111 section 4.1.

use http::header::VARY;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::cache::key::Key;

/// The headers that an answer varies by, with the values of the request that it was made for. Empty
/// where it is for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection(Box<[(HeaderName, Vec<u8>)]>);

impl Selection {
    /// What an answer with these headers to a request with those was selected by.
    pub fn of(answer: &HeaderMap, request: &HeaderMap) -> Self {
        let lines = answer.get_all(VARY).iter().filter_map(|line| line.to_str().ok());
        let names = lines.flat_map(|line| line.split(',')).filter_map(|name| name.trim().parse().ok());
        let mut names: Vec<HeaderName> = names.collect();
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        let pair = |name: HeaderName| {
            let value = value_of(request, &name);
            (name, value)
        };
        Self(names.into_iter().map(pair).collect())
    }

    /// Names and values.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&HeaderName, &[u8])> {
        self.0.iter().map(|(name, value)| (name, value.as_slice()))
    }

    pub(super) fn from_pairs(pairs: Vec<(HeaderName, Vec<u8>)>) -> Self {
        Self(pairs.into())
    }

    /// Whether the answer is for a request with these headers, too.
    pub fn matches(&self, request: &HeaderMap) -> bool {
        self.matches_lines(|name| lines_of(request, name))
    }

    /// The same for headers that are in no map: `lines` are those of one name.
    pub fn matches_lines<'a>(&self, lines: impl Fn(&HeaderName) -> Vec<&'a [u8]>) -> bool {
        self.0.iter().all(|(name, value)| joined(&lines(name)) == *value)
    }

    /// The key of the answer among those that share `base`; `None` if it is for all.
    pub fn key(&self, base: &Key) -> Option<Key> {
        self.key_with(base, |_, value| value.to_vec())
    }

    /// The key of the answer that a request with these headers would get.
    pub fn key_for(&self, base: &Key, request: &HeaderMap) -> Option<Key> {
        self.key_with(base, |name, _| value_of(request, name))
    }

    fn key_with(&self, base: &Key, value: impl Fn(&HeaderName, &[u8]) -> Vec<u8>) -> Option<Key> {
        if self.0.is_empty() {
            return None;
        }
        let pairs: Vec<_> = self.0.iter().map(|(name, own)| (name, value(name, own))).collect();
        let parts: Vec<&[u8]> =
            pairs.iter().flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_slice()]).collect();
        Some(base.within(&parts))
    }
}

fn value_of(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    joined(&lines_of(headers, name))
}

fn lines_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

/// All lines of a header as one list.
fn joined(lines: &[&[u8]]) -> Vec<u8> {
    let lines: Vec<&[u8]> = lines.iter().map(|line| line.trim_ascii()).collect();
    lines.join(&b", "[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
        let lines =
            of.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("fits")));
        lines.collect()
    }

    #[test]
    fn rfc9111_4_1_requests_that_agree_share_an_answer() {
        let base = Key([1; 16]);
        let german = headers(&[("accept-language", "de"), ("x-other", "1")]);
        let french = headers(&[("accept-language", "fr")]);
        let selection = Selection::of(&headers(&[("vary", "X-Tint, Accept-Language")]), &german);
        assert!(selection.matches(&german) && !selection.matches(&french));
        assert_eq!(selection.key(&base), selection.key_for(&base, &german));
        assert_ne!(selection.key(&base), selection.key_for(&base, &french));
        let all = Selection::of(&headers(&[]), &german);
        assert!(all.matches(&french) && all.key(&base).is_none());
    }
}
