//! Slabs and intrusive lists by index: pointers without unsafe.
//!
//! A [`Slab`] hands out small typed ids and takes a slot back when its entry is removed. A [`List`]
//! threads entries of one slab together by the [`Node`] inside each, so that linking and unlinking
//! cost the same however long the list is.

use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};

/// A slot of a `Slab<T>`; 4 bytes, also inside an Option.
pub struct Id<T> {
    /// The slot's index plus one.
    number: NonZeroU32,
    of: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// The first slot that a new slab hands out.
    pub(crate) const FIRST: Id<T> = Id {
        number: NonZeroU32::MIN,
        of: PhantomData,
    };

    fn new(index: usize) -> Id<T> {
        let number = u32::try_from(index + 1).ok().and_then(NonZeroU32::new);
        Id {
            number: number.expect("slabs are bounded far below 2^32 entries"),
            of: PhantomData,
        }
    }

    /// Position in the slab, from 0.
    pub(crate) fn index(self) -> usize {
        self.number.get() as usize - 1
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<T> Eq for Id<T> {}

impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.number.cmp(&other.number)
    }
}

impl<T> std::hash::Hash for Id<T> {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        self.number.hash(hasher);
    }
}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "#{}", self.index())
    }
}

/// Entries of one piece of a slab. A slab grows by pieces and never moves what it has: no command pays
/// for the copying of all the others, and no room of twice the size is left behind.
const PIECE: usize = 256;

/// Entries by id.
#[derive(Clone)]
pub(crate) struct Slab<T> {
    /// All full but the last.
    pieces: Vec<Vec<Option<T>>>,
    free: Vec<Id<T>>,
}

impl<T> Slab<T> {
    pub fn new() -> Slab<T> {
        Slab {
            pieces: Vec::new(),
            free: Vec::new(),
        }
    }

    pub fn insert(&mut self, entry: T) -> Id<T> {
        match self.free.pop() {
            Some(id) => {
                *self.place(id) = Some(entry);
                id
            }
            None => {
                let slots = self.slots();
                if slots == self.pieces.len() * PIECE {
                    self.pieces.push(Vec::with_capacity(PIECE));
                }
                self.pieces[slots / PIECE].push(Some(entry));
                Id::new(slots)
            }
        }
    }

    pub fn remove(&mut self, id: Id<T>) -> Option<T> {
        let entry = self.place(id).take();
        if entry.is_some() {
            self.free.push(id);
        }
        entry
    }

    pub fn get(&self, id: Id<T>) -> Option<&T> {
        let index = id.index();
        self.pieces.get(index / PIECE)?.get(index % PIECE)?.as_ref()
    }

    /// Entries in the slab.
    pub fn len(&self) -> usize {
        self.slots() - self.free.len()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Id<T>, &T)> {
        let pieces = self.pieces.iter().enumerate();
        pieces.flat_map(|(number, piece)| {
            let entries = piece.iter().enumerate();
            entries.filter_map(move |(index, entry)| {
                Some((Id::new(number * PIECE + index), entry.as_ref()?))
            })
        })
    }

    /// Slots that there are, free ones included.
    fn slots(&self) -> usize {
        let full = self.pieces.len().saturating_sub(1) * PIECE;
        full + self.pieces.last().map_or(0, Vec::len)
    }

    fn place(&mut self, id: Id<T>) -> &mut Option<T> {
        &mut self.pieces[id.index() / PIECE][id.index() % PIECE]
    }
}

impl<T> Index<Id<T>> for Slab<T> {
    type Output = T;

    fn index(&self, id: Id<T>) -> &T {
        self.get(id).expect("ids are dropped before their entries")
    }
}

impl<T> IndexMut<Id<T>> for Slab<T> {
    fn index_mut(&mut self, id: Id<T>) -> &mut T {
        self.place(id)
            .as_mut()
            .expect("ids are dropped before their entries")
    }
}

/// An entry's place in the one list it is in.
#[derive(Clone)]
pub(crate) struct Node<T> {
    previous: Option<Id<T>>,
    next: Option<Id<T>>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Node {
            previous: None,
            next: None,
        }
    }
}

/// An entry that can be in a list.
pub(crate) trait Linked: Sized {
    fn node(&self) -> &Node<Self>;
    fn node_mut(&mut self) -> &mut Node<Self>;
}

/// A list of entries of one slab.
#[derive(Clone)]
pub(crate) struct List<T> {
    head: Option<Id<T>>,
}

impl<T: Linked> List<T> {
    pub fn new() -> List<T> {
        List { head: None }
    }

    /// Put an entry, which is in no list, at the head.
    pub fn push(&mut self, slab: &mut Slab<T>, id: Id<T>) {
        *slab[id].node_mut() = Node {
            previous: None,
            next: self.head,
        };
        if let Some(head) = self.head {
            slab[head].node_mut().previous = Some(id);
        }
        self.head = Some(id);
    }

    /// Take out an entry that is in this list.
    pub fn unlink(&mut self, slab: &mut Slab<T>, id: Id<T>) {
        let Node { previous, next } = std::mem::take(slab[id].node_mut());
        match previous {
            Some(previous) => slab[previous].node_mut().next = next,
            None => self.head = next,
        }
        if let Some(next) = next {
            slab[next].node_mut().previous = previous;
        }
    }

    pub fn iter<'a>(&self, slab: &'a Slab<T>) -> impl Iterator<Item = Id<T>> + use<'a, T> {
        let mut cursor = self.head;
        std::iter::from_fn(move || {
            let id = cursor?;
            cursor = slab[id].node().next;
            Some(id)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::hash::{BuildHasher, RandomState};

    use super::*;

    #[test]
    fn an_id_has_a_hash_of_its_own_which_is_that_of_its_copies() {
        let hasher = RandomState::new();
        let hash = |number| hasher.hash_one(Id::<()>::new(number));
        let hashes: BTreeSet<u64> = (0..1000).map(hash).collect();
        assert_eq!(hashes.len(), 1000);
        assert_eq!(hash(7), hash(7));
    }

    #[test]
    fn entries_keep_their_ids_over_many_pieces_and_free_slots_are_taken_first() {
        let mut slab = Slab::new();
        let count = PIECE * 2 + 3;
        let ids: Vec<Id<usize>> = (0..count).map(|number| slab.insert(number)).collect();
        assert_eq!(slab.pieces.len(), 3);
        assert!(ids.iter().map(|id| id.index()).eq(0..count));
        assert!(
            slab.iter()
                .map(|(id, entry)| (id.index(), *entry))
                .eq((0..count).map(|n| (n, n)))
        );
        assert!(
            slab.iter()
                .rev()
                .map(|(id, _)| id)
                .eq(ids.iter().rev().copied())
        );

        let gone = [ids[0], ids[PIECE], ids[count - 1]];
        for id in gone {
            assert_eq!(slab.remove(id), Some(id.index()));
            assert_eq!(slab.get(id), None);
            assert_eq!(slab.remove(id), None);
        }
        assert_eq!(slab.len(), count - 3);
        assert_eq!(slab.iter().count(), count - 3);
        let again: BTreeSet<Id<usize>> = (0..3).map(|_| slab.insert(7)).collect();
        assert_eq!(again, BTreeSet::from(gone));
        assert_eq!(slab.insert(8).index(), count, "no slot was free");
        assert_eq!((slab[gone[1]], slab.len()), (7, count + 1));
        slab[gone[1]] += 1;
        assert_eq!(slab.get(gone[1]), Some(&8));
    }

    struct Entry(Node<Entry>);

    impl Linked for Entry {
        fn node(&self) -> &Node<Entry> {
            &self.0
        }

        fn node_mut(&mut self) -> &mut Node<Entry> {
            &mut self.0
        }
    }

    #[test]
    fn a_list_has_the_newest_first_and_lets_go_of_any_of_its_entries() {
        for left_out in 0..4 {
            let mut slab = Slab::new();
            let mut list = List::new();
            let ids: Vec<_> = (0..4)
                .map(|_| slab.insert(Entry(Node::default())))
                .collect();
            for id in &ids {
                list.push(&mut slab, *id);
            }
            assert!(list.iter(&slab).eq(ids.iter().rev().copied()));
            list.unlink(&mut slab, ids[left_out]);
            let rest = || ids.iter().rev().copied().filter(|id| *id != ids[left_out]);
            assert!(list.iter(&slab).eq(rest()));
            list.push(&mut slab, ids[left_out]);
            let first = std::iter::once(ids[left_out]);
            assert!(list.iter(&slab).eq(first.chain(rest())));
            for id in &ids {
                list.unlink(&mut slab, *id);
            }
            assert_eq!(list.iter(&slab).next(), None);
        }
    }
}
