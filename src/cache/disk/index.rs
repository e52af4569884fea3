//! What is on the disk, and what leaves it next: pure, without files and without a clock.
//!
//! The order of eviction is S3-FIFO: a newcomer waits in a small queue and leaves it again unless it is
//! asked for; only then it moves to the main queue, where each use buys one more round. Keys that left
//! the small queue are remembered for a while: who comes back was not part of a scan. So a flood of
//! objects that are asked for once passes through a tenth of the budget and leaves the rest alone.
//!
//! An object in both queues' lists costs 40 bytes, and its place in the map at most twice 24.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use crate::cache::key::Key;

/// File systems give space in pieces of this size, and a budget is a promise about space.
const GRAIN_BYTES: u64 = 4096;

/// The small queue's part of the budget.
const SMALL_SHARE: u64 = 10;

/// Uses that are counted: more do not buy more rounds.
const MAX_USES: u8 = 3;

/// Objects that are moved at a time in search of a victim: others wait for the index meanwhile.
const MAX_MOVES: usize = 256;

/// Keys that left the small queue are remembered in any case to this number.
const MIN_GHOSTS: usize = 64;

const NOWHERE: u32 = u32::MAX;

/// What the file of a length takes of the budget.
pub(super) fn cost(file_bytes: u64) -> u64 {
    file_bytes.checked_next_multiple_of(GRAIN_BYTES).unwrap_or(u64::MAX)
}

/// The objects on the disk.
pub(super) struct Index {
    budget: u64,
    slots: Vec<Slot>,
    free: u32,
    by_key: HashMap<Key, u32>,
    small: Queue,
    main: Queue,
    ghosts: Ghosts,
    next_serial: u32,
}

/// One file: its length, and a number that tells it from earlier and later files of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file_bytes: u64,
    pub(super) serial: u32,
}

/// What a newcomer finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It fits, or nothing is left that could make room.
    Enough,
    /// This file has to go first.
    Victim(Key, Place),
    /// No victim has been found yet: to be asked again, so that others get at the index in between.
    Searching,
}

struct Slot {
    key: Key,
    place: Place,
    newer: u32,
    older: u32,
    uses: u8,
    is_main: bool,
    /// About to be deleted: it still takes its space, but nobody finds it.
    is_hidden: bool,
}

impl Index {
    pub(super) fn new(budget: u64) -> Self {
        Self {
            budget,
            slots: Vec::new(),
            free: NOWHERE,
            by_key: HashMap::new(),
            small: Queue::default(),
            main: Queue::default(),
            ghosts: Ghosts::default(),
            next_serial: 0,
        }
    }

    /// An empty index for the same directory, whose serials are new ones.
    pub(super) fn renewed(&self) -> Self {
        Self { next_serial: self.next_serial, ..Self::new(self.budget) }
    }

    pub(super) fn objects(&self) -> usize {
        self.by_key.len()
    }

    /// What all files take.
    pub(super) fn bytes(&self) -> u64 {
        self.small.bytes + self.main.bytes
    }

    pub(super) fn budget(&self) -> u64 {
        self.budget
    }

    /// The file that a lookup would find.
    pub(super) fn visible(&self, key: &Key) -> Option<Place> {
        let slot = self.slot(*self.by_key.get(key)?);
        (!slot.is_hidden).then_some(slot.place)
    }

    /// Finds an object that is asked for.
    pub(super) fn touch(&mut self, key: &Key) -> Option<Place> {
        let at = *self.by_key.get(key)?;
        let slot = self.slot_mut(at);
        slot.uses = (slot.uses + 1).min(MAX_USES);
        (!slot.is_hidden).then_some(slot.place)
    }

    /// The file of a key, hidden or not, without counting as a use.
    pub(super) fn file(&self, key: &Key) -> Option<Place> {
        self.by_key.get(key).map(|at| self.slot(*at).place)
    }

    /// Adds a file that was written, in the place of any that the key had.
    pub(super) fn insert(&mut self, key: Key, file_bytes: u64) {
        self.remove(&key);
        let is_main = self.ghosts.forget(&key);
        self.add(key, file_bytes, is_main);
    }

    /// Adds a file that was found. As nothing is known of it, it is given the chance of a main object.
    pub(super) fn adopt(&mut self, key: Key, file_bytes: u64) {
        self.remove(&key);
        self.add(key, file_bytes, true);
    }

    /// Makes an object unfindable: that of the serial alone if one is given. Whether there was one.
    pub(super) fn hide(&mut self, key: &Key, serial: Option<u32>) -> bool {
        let Some(at) = self.by_key.get(key) else { return false };
        let slot = self.slot_mut(*at);
        let is_meant = !slot.is_hidden && serial.is_none_or(|serial| serial == slot.place.serial);
        slot.is_hidden |= is_meant;
        is_meant
    }

    /// Takes out an object whose file is gone.
    pub(super) fn remove(&mut self, key: &Key) {
        let Some(at) = self.by_key.remove(key) else { return };
        self.unlink(at);
        let free = std::mem::replace(&mut self.free, at);
        self.slot_mut(at).newer = free;
    }

    /// Takes out an object that [`Self::room`] chose, and remembers it.
    pub(super) fn evict(&mut self, key: &Key) {
        let Some(at) = self.by_key.get(key) else { return };
        if !self.slot(*at).is_main {
            let limit = self.main.objects.max(MIN_GHOSTS);
            self.ghosts.remember(key, limit);
        }
        self.remove(key);
    }

    /// What has to be done before `needed` more bytes fit. A victim is hidden, and still counted until
    /// [`Self::evict`].
    pub(super) fn room(&mut self, needed: u64) -> Room {
        if self.bytes().saturating_add(needed) <= self.budget {
            return Room::Enough;
        }
        for _ in 0..MAX_MOVES {
            let Some(at) = self.oldest() else { return Room::Enough };
            let slot = self.slot_mut(at);
            if slot.is_hidden || slot.uses == 0 {
                slot.is_hidden = true;
                return Room::Victim(slot.key, slot.place);
            }
            // A newcomer that was used starts anew in the main queue.
            slot.uses = if slot.is_main { slot.uses - 1 } else { 0 };
            self.unlink(at);
            self.link(at, true);
        }
        Room::Searching
    }

    fn oldest(&self) -> Option<u32> {
        let is_small_over = self.small.bytes > self.budget / SMALL_SHARE;
        let queue = if is_small_over || self.main.objects == 0 { &self.small } else { &self.main };
        (queue.objects > 0).then_some(queue.oldest)
    }

    fn add(&mut self, key: Key, file_bytes: u64, is_main: bool) {
        let place = Place { file_bytes, serial: self.next_serial };
        self.next_serial = self.next_serial.wrapping_add(1);
        let slot = Slot { key, place, newer: NOWHERE, older: NOWHERE, uses: 0, is_main, is_hidden: false };
        let at = self.free;
        let at = if at == NOWHERE {
            self.slots.push(slot);
            (self.slots.len() - 1) as u32
        } else {
            self.free = self.slot(at).newer;
            *self.slot_mut(at) = slot;
            at
        };
        self.by_key.insert(key, at);
        self.link(at, is_main);
    }

    fn slot(&self, at: u32) -> &Slot {
        &self.slots[at as usize]
    }

    fn slot_mut(&mut self, at: u32) -> &mut Slot {
        &mut self.slots[at as usize]
    }

    /// Makes a slot the newest of a queue.
    fn link(&mut self, at: u32, is_main: bool) {
        let queue = if is_main { &mut self.main } else { &mut self.small };
        let older = std::mem::replace(&mut queue.newest, at);
        if older == NOWHERE {
            queue.oldest = at;
        }
        let slot = &mut self.slots[at as usize];
        queue.objects += 1;
        queue.bytes += cost(slot.place.file_bytes);
        (slot.is_main, slot.newer, slot.older) = (is_main, NOWHERE, older);
        if older != NOWHERE {
            self.slot_mut(older).newer = at;
        }
    }

    fn unlink(&mut self, at: u32) {
        let &Slot { newer, older, is_main, place, .. } = self.slot(at);
        let queue = if is_main { &mut self.main } else { &mut self.small };
        queue.objects -= 1;
        queue.bytes -= cost(place.file_bytes);
        if newer == NOWHERE {
            queue.newest = older;
        } else {
            self.slots[newer as usize].older = older;
        }
        if older == NOWHERE {
            queue.oldest = newer;
        } else {
            self.slots[older as usize].newer = newer;
        }
    }
}

/// Objects in the order of their coming, linked through their slots.
struct Queue {
    newest: u32,
    oldest: u32,
    objects: usize,
    bytes: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self { newest: NOWHERE, oldest: NOWHERE, objects: 0, bytes: 0 }
    }
}

/// Keys that left the small queue not long ago, as hashes: two keys of one hash do no harm.
#[derive(Default)]
struct Ghosts {
    hasher: RandomState,
    known: HashSet<u32>,
    order: VecDeque<u32>,
}

impl Ghosts {
    fn remember(&mut self, key: &Key, limit: usize) {
        let ghost = self.ghost(key);
        if self.known.insert(ghost) {
            self.order.push_back(ghost);
        }
        while self.order.len() > limit {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    /// Whether the key was remembered. Its place in the order stays, and is soon overtaken.
    fn forget(&mut self, key: &Key) -> bool {
        let ghost = self.ghost(key);
        self.known.remove(&ghost)
    }

    fn ghost(&self, key: &Key) -> u32 {
        self.hasher.hash_one(key) as u32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const KIB: u64 = 1024;

    fn key(number: u32) -> Key {
        let mut key = Key([0; 16]);
        key.0[..4].copy_from_slice(&number.to_be_bytes());
        key
    }

    /// As the writer does it: room first, then the file.
    fn store(index: &mut Index, number: u32, file_bytes: u64) -> Vec<Key> {
        let mut evicted = Vec::new();
        index.remove(&key(number));
        make_room(index, cost(file_bytes), &mut evicted);
        index.insert(key(number), file_bytes);
        evicted
    }

    fn make_room(index: &mut Index, needed: u64, evicted: &mut Vec<Key>) {
        loop {
            match index.room(needed) {
                Room::Enough => break,
                Room::Searching => {}
                Room::Victim(victim, _) => {
                    index.evict(&victim);
                    evicted.push(victim);
                }
            }
        }
    }

    fn kept(index: &Index, numbers: std::ops::Range<u32>) -> usize {
        numbers.filter(|number| index.visible(&key(*number)).is_some()).count()
    }

    #[test]
    fn a_scan_does_not_evict_the_hot_set() {
        let mut index = Index::new(1000 * 4 * KIB);
        for number in 0..700 {
            store(&mut index, number, 4 * KIB);
            index.touch(&key(number));
        }
        // Ten times the budget flows through, each asked for once.
        for number in 10_000..20_000 {
            store(&mut index, number, 4 * KIB);
        }
        assert_eq!(kept(&index, 0..700), 700, "the hot set stays");
        assert!(kept(&index, 19_900..20_000) >= 99, "and the newest have their chance");
    }

    #[test]
    fn what_comes_back_soon_is_no_scan_and_what_is_unused_leaves() {
        let mut index = Index::new(100 * 4 * KIB);
        for number in 0..100 {
            store(&mut index, number, 4 * KIB);
        }
        assert_eq!(store(&mut index, 100, 4 * KIB), [key(0)], "the oldest newcomer leaves");
        store(&mut index, 0, 4 * KIB);
        for number in 200..280 {
            store(&mut index, number, 4 * KIB);
        }
        assert!(index.visible(&key(0)).is_some(), "it came back, so it is in the main queue");
        assert!(index.visible(&key(50)).is_none(), "nobody asked for it");
    }

    #[test]
    fn adopted_objects_leave_when_nobody_uses_them() {
        let mut index = Index::new(100 * 4 * KIB);
        (0..200).for_each(|number| index.adopt(key(number), 4 * KIB));
        assert_eq!(index.bytes(), 200 * 4 * KIB, "a budget that became smaller");
        (150..200).for_each(|number| assert!(index.touch(&key(number)).is_some()));
        make_room(&mut index, 0, &mut Vec::new());
        assert_eq!((index.objects(), kept(&index, 150..200)), (100, 50));
    }

    #[test]
    fn a_hidden_object_is_not_found_but_counted_and_goes_first() {
        let mut index = Index::new(3 * 4 * KIB);
        (0..3).for_each(|number| index.adopt(key(number), 1));
        let place = index.touch(&key(0)).expect("is there");
        assert!(!index.hide(&key(0), Some(place.serial + 1)), "another file of the key");
        assert!(index.hide(&key(0), Some(place.serial)));
        assert!(!index.hide(&key(0), None), "only once");
        assert!(index.visible(&key(0)).is_none() && index.touch(&key(0)).is_none());
        assert_eq!(index.bytes(), 3 * 4 * KIB);
        assert_eq!(index.room(1), Room::Victim(key(0), place));
        index.insert(key(0), 1);
        assert!(index.visible(&key(0)).is_some(), "a new file of the key is found");
        assert_ne!(index.file(&key(0)), Some(place), "and told from the old one");
    }

    #[test]
    fn the_search_for_a_victim_lets_others_in_between() {
        let mut index = Index::new(2000 * 4 * KIB);
        for number in 0..2000 {
            index.adopt(key(number), 1);
            index.touch(&key(number));
        }
        let searches = std::iter::from_fn(|| Some(index.room(1)).filter(|room| *room == Room::Searching));
        assert_eq!(searches.count(), 2000 / MAX_MOVES);
        assert!(matches!(index.room(1), Room::Victim(victim, _) if victim == key(0)), "one round is over");
    }

    #[derive(Debug, Clone)]
    enum Step {
        Store(u32, u64),
        Touch(u32),
        Hide(u32),
        Remove(u32),
        Adopt(u32, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = 1..40 * KIB;
        prop_oneof![
            6 => (0..60_u32, bytes.clone()).prop_map(|(number, bytes)| Step::Store(number, bytes)),
            6 => (0..60_u32).prop_map(Step::Touch),
            1 => (0..60_u32).prop_map(Step::Hide),
            1 => (0..60_u32).prop_map(Step::Remove),
            1 => (0..60_u32, bytes).prop_map(|(number, bytes)| Step::Adopt(number, bytes)),
        ]
    }

    /// Walks both queues both ways and compares them with the map and the sums.
    fn audit(index: &Index) {
        let mut seen = 0;
        for (queue, is_main) in [(&index.small, false), (&index.main, true)] {
            let (mut at, mut older, mut bytes, mut objects) = (queue.newest, NOWHERE, 0, 0);
            while at != NOWHERE {
                let slot = index.slot(at);
                assert_eq!((slot.is_main, slot.newer), (is_main, older));
                assert_eq!(index.by_key.get(&slot.key), Some(&at));
                bytes += cost(slot.place.file_bytes);
                objects += 1;
                (older, at) = (at, slot.older);
            }
            assert_eq!((older, bytes, objects), (queue.oldest, queue.bytes, queue.objects));
            seen += objects;
        }
        assert_eq!(seen, index.objects());
        assert!(index.ghosts.order.len() <= index.slots.len().max(MIN_GHOSTS));
    }

    proptest! {
        #[test]
        fn behaves_as_a_map_within_its_budget(steps in vec(step(), 1..300)) {
            let mut index = Index::new(400 * KIB);
            let mut model: BTreeMap<u32, (u64, bool)> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Store(number, bytes) => {
                        let evicted = store(&mut index, number, bytes);
                        model.retain(|number, _| !evicted.contains(&key(*number)));
                        model.insert(number, (bytes, true));
                        let adopted: u64 = model.values().map(|(bytes, _)| cost(*bytes)).sum();
                        prop_assert!(adopted <= 400 * KIB, "a store never ends beyond the budget");
                    }
                    Step::Touch(number) => {
                        let found = index.touch(&key(number)).map(|place| place.file_bytes);
                        let expected = model.get(&number).filter(|(_, is_there)| *is_there);
                        prop_assert_eq!(found, expected.map(|(bytes, _)| *bytes));
                    }
                    Step::Hide(number) => {
                        let expected = model.get(&number).is_some_and(|(_, is_there)| *is_there);
                        prop_assert_eq!(index.hide(&key(number), None), expected);
                        model.entry(number).and_modify(|(_, is_there)| *is_there = false);
                    }
                    Step::Remove(number) => {
                        index.remove(&key(number));
                        model.remove(&number);
                    }
                    Step::Adopt(number, bytes) => {
                        index.adopt(key(number), bytes);
                        model.insert(number, (bytes, true));
                    }
                }
                audit(&index);
                let bytes: u64 = model.values().map(|(bytes, _)| cost(*bytes)).sum();
                prop_assert_eq!((index.objects(), index.bytes()), (model.len(), bytes));
            }
        }
    }
}
