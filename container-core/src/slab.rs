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
pub(crate) struct Id<T> {
    /// The slot's index plus one.
    number: NonZeroU32,
    of: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// The first slot that a new slab hands out.
    pub const FIRST: Id<T> = Id {
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
    pub fn index(self) -> usize {
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
