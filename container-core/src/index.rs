//! Finding entries of a slab by a key that is in the entry itself.
//!
//! A hash table of open addressing whose places hold a hash and a slot, 8 bytes, and no key: a lookup
//! costs one line of the table and the entry, which is wanted anyway. With 100,000 tasks the whole is
//! larger than a CPU's own caches, and lines are what is paid for.
//!
//! Keys are numbers that the framework, or the kernel, gave out; nobody chooses them at will, so the
//! hash is a multiplication.

use crate::slab::Id;

/// Places of the smallest table.
const SMALLEST: usize = 8;

/// A key's hash: the upper bits are the good ones.
pub(crate) fn hash(key: u64) -> u32 {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

/// One hash for several numbers, in their order.
pub(crate) fn hash_all(keys: impl Iterator<Item = u32>) -> u32 {
    keys.fold(0, |so_far, key| {
        hash(u64::from(so_far) << 32 | u64::from(key))
    })
}

/// Slots by the hashes of their keys.
#[derive(Clone)]
pub(crate) struct Index<T> {
    /// A power of two of them, or none at all; at most seven of eight are taken.
    places: Vec<Option<Place<T>>>,
    len: usize,
}

struct Place<T> {
    hash: u32,
    id: Id<T>,
}

impl<T> Clone for Place<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Place<T> {}

impl<T> Index<T> {
    pub fn new() -> Index<T> {
        Index {
            places: Vec::new(),
            len: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// The slot with this hash that the caller knows by its key.
    pub fn find(&self, hash: u32, is_it: impl Fn(Id<T>) -> bool) -> Option<Id<T>> {
        let at = self.position(hash, is_it)?;
        self.places[at].map(|place| place.id)
    }

    /// Add a slot that is not in it.
    pub fn insert(&mut self, hash: u32, id: Id<T>) {
        if (self.len + 1) * 8 > self.places.len() * 7 {
            self.grow();
        }
        self.put(Place { hash, id });
        self.len += 1;
    }

    /// Take out a slot that was added with this hash; one that is not in it stays out.
    pub fn remove(&mut self, hash: u32, id: Id<T>) {
        let Some(mut hole) = self.position(hash, |other| other == id) else {
            return;
        };
        self.len -= 1;
        // Whoever comes after, and could stand in the hole, moves up, so that no search stops at it.
        let mut next = hole;
        loop {
            next = self.after(next);
            let Some(place) = self.places[next] else {
                break;
            };
            let from_home = self.distance(self.home(place.hash), next);
            if from_home >= self.distance(hole, next) {
                self.places[hole] = Some(place);
                hole = next;
            }
        }
        self.places[hole] = None;
    }

    fn position(&self, hash: u32, is_it: impl Fn(Id<T>) -> bool) -> Option<usize> {
        if self.places.is_empty() {
            return None;
        }
        let mut at = self.home(hash);
        loop {
            let place = self.places[at]?;
            if place.hash == hash && is_it(place.id) {
                return Some(at);
            }
            at = self.after(at);
        }
    }

    fn put(&mut self, place: Place<T>) {
        let mut at = self.home(place.hash);
        while self.places[at].is_some() {
            at = self.after(at);
        }
        self.places[at] = Some(place);
    }

    fn grow(&mut self) {
        let twice = (self.places.len() * 2).max(SMALLEST);
        let before = std::mem::replace(&mut self.places, vec![None; twice]);
        before
            .into_iter()
            .flatten()
            .for_each(|place| self.put(place));
    }

    /// Where a search begins.
    fn home(&self, hash: u32) -> usize {
        let bits = self.places.len().trailing_zeros();
        (u64::from(hash) << bits >> 32) as usize
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.places.len() - 1)
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.places.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::slab::Slab;

    #[test]
    fn neighbours_have_hashes_far_apart_and_several_numbers_have_one_by_their_order() {
        let hashes: BTreeSet<u32> = (0..1000).map(|key| hash(key) >> 16).collect();
        assert!(hashes.len() > 900, "only {} of 1000", hashes.len());
        let pairs = (0..30).flat_map(|one| (0..30).map(move |other| [one, other]));
        let hashes: BTreeSet<u32> = pairs.map(|pair| hash_all(pair.into_iter())).collect();
        assert_eq!(hashes.len(), 900);
    }

    #[test]
    fn a_table_is_at_most_seven_eighths_full_and_no_larger_than_that_takes() {
        let mut slab = Slab::new();
        let mut index = Index::new();
        for number in 1..=500 {
            index.insert(hash(number), slab.insert(number));
            let places = index.places.len();
            let smallest = (SMALLEST..)
                .find(|places| places.is_power_of_two() && index.len() * 8 <= places * 7);
            assert_eq!(Some(places), smallest, "for {number}");
        }
        let places = index.places.len() as u32;
        for place in 0..places {
            let first = (u32::MAX / places + 1) * place;
            assert_eq!(index.home(first), place as usize);
        }
    }

    proptest! {
        /// Hashes of four bits collide all the time, and wrap around the end of the table.
        #[test]
        fn an_index_finds_what_is_in_it_and_nothing_else(
            steps in proptest::collection::vec((any::<bool>(), 0..40usize, 0..16u32), 1..300),
        ) {
            let mut slab = Slab::new();
            let ids: Vec<Id<usize>> = (0..40).map(|number| slab.insert(number)).collect();
            let (mut index, mut model) = (Index::new(), BTreeMap::new());
            for (adds, number, hash) in steps {
                let hash = hash << 28;
                match (adds, model.get(&number).copied()) {
                    (true, None) => {
                        index.insert(hash, ids[number]);
                        model.insert(number, hash);
                    }
                    (false, Some(hash)) => {
                        index.remove(hash, ids[number]);
                        model.remove(&number);
                    }
                    (true, Some(_)) => {}
                    (false, None) => index.remove(hash, ids[number]),
                }
                prop_assert_eq!(index.len(), model.len());
                for (number, id) in ids.iter().enumerate() {
                    for hash in (0..16).map(|hash| hash << 28) {
                        let found = index.find(hash, |other| other == *id);
                        let is_in = model.get(&number) == Some(&hash);
                        prop_assert_eq!(found, is_in.then_some(*id));
                    }
                }
            }
        }
    }
}
