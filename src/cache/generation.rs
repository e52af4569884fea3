//! Which stored answers a purge has overtaken.
//!
//! A purge touches no stored answer: it raises the generation of what it covers, and every answer is
//! compared with that when it is looked up. So a purge costs the same whatever is stored, concerns all
//! variants on all tiers at once, and reaches tags too, which are only known from the stored answer.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher};

use crate::metadata::{MAX_PURGES, Purge, PurgeMode, PurgeScope, Stamp};

/// What purges have made of a stored answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Nothing.
    Valid,
    /// It counts as expired.
    Stale {
        /// When it was last purged, in Unix seconds: what bounds the use of a stale answer starts there,
        /// unless it had expired by itself before.
        since: u64,
    },
    /// It must not be given out again.
    Gone,
}

/// What a stored answer came from.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The key of its object.
    pub key: &'a str,
    /// The id of its asset, if it belongs to one.
    pub asset: Option<&'a str>,
    /// What its origin tagged it with.
    pub tags: &'a [Box<str>],
}

/// All purges that are remembered, for look-up. Whoever knows [`Generations::newest`] knows all before.
///
/// A look-up takes the time of one compare for an answer newer than all purges, else that of reading
/// its key once and a hash look-up for each of its tags; the number of purges does not matter. A thing
/// is known by a hash of its text: should two share one, too much would be purged, never too little.
#[derive(Debug, Clone, Default)]
pub struct Generations {
    newest: Stamp,
    everything: Raised,
    keys: Scopes,
    assets: Scopes,
    tags: Scopes,
    prefixes: Scopes,
    /// The newest purge among prefixes of so many bytes.
    prefix_lengths: BTreeMap<usize, Stamp>,
}

/// The newest purges of one thing.
#[derive(Debug, Clone, Copy, Default)]
struct Raised {
    gone: Stamp,
    stale: Stamp,
}

/// Things of one kind by the hash of their text.
#[derive(Debug, Clone, Default)]
struct Scopes {
    newest: Stamp,
    raised: HashMap<u64, Raised>,
}

impl Generations {
    /// The newest purge, for an answer whose fill begins now.
    pub fn newest(&self) -> Stamp {
        self.newest
    }

    /// What purges have made of an answer whose fill began when `stamp` was the newest.
    pub fn verdict(&self, subject: &Subject<'_>, stamp: Stamp) -> Verdict {
        if stamp >= self.newest {
            return Verdict::Valid;
        }
        let mut raised = self.everything.or(self.keys.of(subject.key, stamp));
        raised = raised.or(self.prefixes_of(subject.key, stamp));
        let named = subject.asset.map(|asset| self.assets.of(asset, stamp)).into_iter();
        let tagged = subject.tags.iter().map(|tag| self.tags.of(tag, stamp));
        raised = named.chain(tagged).fold(raised, Raised::or);
        match () {
            () if raised.gone > stamp => Verdict::Gone,
            () if raised.stale > stamp => Verdict::Stale { since: raised.stale.seconds() },
            () => Verdict::Valid,
        }
    }

    /// Remembers purges; their order does not matter.
    pub fn raise<'a>(&mut self, purges: impl IntoIterator<Item = &'a Purge>) {
        for purge in purges {
            self.raise_within(MAX_PURGES, &purge.scope, purge.mode, purge.stamp);
        }
    }

    fn raise_within(&mut self, limit: usize, scope: &PurgeScope, mode: PurgeMode, stamp: Stamp) {
        let raised = match mode {
            PurgeMode::Gone => Raised { gone: stamp, stale: Stamp::default() },
            PurgeMode::Stale => Raised { gone: Stamp::default(), stale: stamp },
        };
        self.newest = self.newest.max(stamp);
        match scope {
            PurgeScope::Everything => self.raise_everything(raised),
            PurgeScope::Key(key) => self.keys.raise(key, raised),
            PurgeScope::Asset(id) => self.assets.raise(id, raised),
            PurgeScope::Tag(tag) => self.tags.raise(tag, raised),
            PurgeScope::Prefix(prefix) => {
                self.prefixes.raise(prefix, raised);
                let newest = self.prefix_lengths.entry(prefix.len()).or_default();
                *newest = stamp.max(*newest);
            }
        }
        if self.scopes().iter().map(|scopes| scopes.raised.len()).sum::<usize>() > limit {
            tracing::warn!(limit, "too many purges to remember: folded into a purge of everything");
            self.fold();
        }
    }

    fn scopes(&mut self) -> [&mut Scopes; 4] {
        [&mut self.keys, &mut self.assets, &mut self.tags, &mut self.prefixes]
    }

    /// Forgets whatever a purge of everything covers.
    fn raise_everything(&mut self, raised: Raised) {
        self.everything = self.everything.or(raised);
        let Raised { gone, stale } = self.everything;
        for scopes in self.scopes() {
            scopes.raised.retain(|_, raised| raised.gone > gone || raised.stale > gone.max(stale));
        }
        self.prefix_lengths.retain(|_, newest| *newest > gone);
    }

    /// Lets a purge of everything stand for all others.
    fn fold(&mut self) {
        let all =
            self.scopes().map(std::mem::take).into_iter().flat_map(|scopes| scopes.raised.into_values());
        self.everything = all.fold(self.everything, Raised::or);
        self.prefix_lengths.clear();
    }

    /// What was raised of all beginnings of a key, which is hashed once for all of them.
    fn prefixes_of(&self, key: &str, stamp: Stamp) -> Raised {
        let (mut hasher, mut rest, mut hashed) = (DefaultHasher::new(), key.as_bytes(), 0);
        let mut raised = Raised::default();
        if self.prefixes.newest <= stamp {
            return raised;
        }
        for (&length, _) in self.prefix_lengths.iter().filter(|(_, newest)| **newest > stamp) {
            let Some((more, left)) = rest.split_at_checked(length - hashed) else { break };
            hasher.write(more);
            (rest, hashed) = (left, length);
            raised = raised.or(self.prefixes.at(hasher.finish()));
        }
        raised
    }
}

impl Raised {
    /// Either of them counts.
    fn or(self, other: Self) -> Self {
        Self { gone: self.gone.max(other.gone), stale: self.stale.max(other.stale) }
    }
}

impl Scopes {
    fn raise(&mut self, text: &str, raised: Raised) {
        self.newest = self.newest.max(raised.gone).max(raised.stale);
        let known = self.raised.entry(hash(text)).or_default();
        *known = known.or(raised);
    }

    /// What was raised after `stamp`; what came before may be left out.
    fn of(&self, text: &str, stamp: Stamp) -> Raised {
        if self.newest <= stamp { Raised::default() } else { self.at(hash(text)) }
    }

    fn at(&self, hash: u64) -> Raised {
        self.raised.get(&hash).copied().unwrap_or_default()
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use PurgeMode::{Gone, Stale};

    fn purge((scope, mode, stamp): (PurgeScope, PurgeMode, u64)) -> Purge {
        Purge { scope, mode, stamp: Stamp(stamp), purged_at: 0 }
    }

    fn generations(purges: impl IntoIterator<Item = (PurgeScope, PurgeMode, u64)>) -> Generations {
        let mut generations = Generations::default();
        generations.raise(&purges.into_iter().map(purge).collect::<Vec<_>>());
        generations
    }

    fn subject(key: &str) -> Subject<'_> {
        Subject { key, asset: None, tags: &[] }
    }

    #[test]
    fn the_stricter_of_two_purges_leads_if_it_came_after_the_answer() {
        let key = || PurgeScope::Key("a".to_owned());
        let both = generations([(key(), Gone, 5), (PurgeScope::Everything, Stale, 8_000_000)]);
        assert_eq!(both.newest(), Stamp(8_000_000));
        let verdict = |key, stamp| both.verdict(&subject(key), Stamp(stamp));
        let stale = Verdict::Stale { since: 8 };
        let expected = [Verdict::Gone, stale, stale, Verdict::Valid, Verdict::Valid];
        assert_eq!([4, 5, 7_999_999, 8_000_000, 8_000_001].map(|stamp| verdict("a", stamp)), expected);
        assert_eq!(verdict("b", 0), stale);
    }

    #[test]
    fn a_prefix_is_a_beginning_of_the_text() {
        let purged = generations([
            (PurgeScope::Prefix("photos/20".to_owned()), Gone, 1),
            (PurgeScope::Prefix("ä".to_owned()), Gone, 2),
        ]);
        let verdict = |key| purged.verdict(&subject(key), Stamp(0));
        for covered in ["photos/20", "photos/20.jpg", "photos/2024/a.jpg", "äö"] {
            assert_eq!(verdict(covered), Verdict::Gone, "{covered}");
        }
        for other in ["photos/2", "photos", "a/photos/20", "Photos/20", "å"] {
            assert_eq!(verdict(other), Verdict::Valid, "{other}");
        }
    }

    #[test]
    fn too_many_are_folded_and_none_is_forgotten() {
        let mut folded = Generations::default();
        let keys = ["a", "b", "c"].map(|key| PurgeScope::Key(key.to_owned()));
        for (stamp, (key, mode)) in (1..).zip(keys.iter().zip([Stale, Gone, Stale])) {
            folded.raise_within(2, key, mode, Stamp(stamp));
        }
        assert!(folded.scopes().iter().all(|scopes| scopes.raised.is_empty()));
        let verdicts = [0, 1, 2, 3].map(|stamp| folded.verdict(&subject("a"), Stamp(stamp)));
        assert_eq!(verdicts, [Verdict::Gone, Verdict::Gone, Verdict::Stale { since: 0 }, Verdict::Valid]);
        folded.raise_within(2, &keys[0], Gone, Stamp(9));
        assert_eq!(folded.verdict(&subject("a"), Stamp(8)), Verdict::Gone);
        assert_eq!(folded.verdict(&subject("b"), Stamp(8)), Verdict::Valid, "one by one again");
    }

    /// What one purge makes of an answer, as the contract puts it.
    fn covers(scope: &PurgeScope, key: &str, asset: &str, tags: &[Box<str>]) -> bool {
        match scope {
            PurgeScope::Everything => true,
            PurgeScope::Key(text) => key == text,
            PurgeScope::Prefix(text) => key.starts_with(text.as_str()),
            PurgeScope::Asset(text) => asset == text,
            PurgeScope::Tag(text) => tags.iter().any(|tag| **tag == **text),
        }
    }

    fn scope() -> impl Strategy<Value = PurgeScope> {
        let text = || "[ab/ä]{1,4}";
        prop_oneof![
            1 => Just(PurgeScope::Everything),
            4 => text().prop_map(PurgeScope::Key),
            4 => text().prop_map(PurgeScope::Prefix),
            4 => text().prop_map(PurgeScope::Asset),
            4 => text().prop_map(PurgeScope::Tag),
        ]
    }

    proptest! {
        #[test]
        fn the_verdict_is_that_of_asking_every_purge(
            purges in vec((scope(), select(vec![Gone, Stale]), 1..40_u64), 0..30).prop_shuffle(),
            key in "[ab/ä]{1,6}",
            asset in "[ab/ä]{1,4}",
            tags in vec("[ab/ä]{1,4}", 0..3),
            stamp in 0..40_u64,
        ) {
            let tags: Vec<Box<str>> = tags.into_iter().map(Box::from).collect();
            let after = |mode| purges.iter().any(|(scope, of, at)| {
                *of == mode && *at > stamp && covers(scope, &key, &asset, &tags)
            });
            let expected = match (after(Gone), after(Stale)) {
                (true, _) => Verdict::Gone,
                (false, true) => Verdict::Stale { since: 0 },
                (false, false) => Verdict::Valid,
            };
            let subject = Subject { key: &key, asset: Some(&asset), tags: &tags };
            let all = generations(purges.clone());
            prop_assert_eq!(all.verdict(&subject, Stamp(stamp)), expected);

            // Folding may only be stricter.
            let strictness = |verdict| match verdict {
                Verdict::Valid => 0,
                Verdict::Stale { .. } => 1,
                Verdict::Gone => 2,
            };
            let mut folded = Generations::default();
            for (scope, mode, at) in &purges {
                folded.raise_within(3, scope, *mode, Stamp(*at));
            }
            prop_assert!(strictness(folded.verdict(&subject, Stamp(stamp))) >= strictness(expected));
            prop_assert_eq!(folded.newest(), all.newest());
        }
    }
}
