//! What a subsystem keeps of each group, and how a batch is taken back.

use std::fmt::{Debug, Write};

use crate::group::GroupId;

/// A subsystem's state by group, with an undo log.
#[derive(Clone, Debug)]
pub struct CssTable<T> {
    states: Vec<Option<T>>,
    log: Vec<(GroupId, Option<T>)>,
}

/// A [`CssTable`] of whatever states, as the batch sees it.
pub trait States {
    /// See [`CssTable::free`].
    fn free(&mut self, group: GroupId);
    /// See [`CssTable::rebind`].
    fn rebind(&mut self, from: GroupId, to: GroupId);
    /// See [`CssTable::undo`].
    fn undo(&mut self);
    /// See [`CssTable::settle`].
    fn settle(&mut self);
    /// See [`CssTable::dump`].
    fn dump(&self) -> String;
    /// Groups that have a state.
    fn known_groups(&self) -> usize;
}

impl<T: Clone + Debug> States for CssTable<T> {
    fn free(&mut self, group: GroupId) {
        CssTable::free(self, group);
    }

    fn rebind(&mut self, from: GroupId, to: GroupId) {
        CssTable::rebind(self, from, to);
    }

    fn undo(&mut self) {
        CssTable::undo(self);
    }

    fn settle(&mut self) {
        CssTable::settle(self);
    }

    fn dump(&self) -> String {
        CssTable::dump(self)
    }

    fn known_groups(&self) -> usize {
        self.all().count()
    }
}

impl<T: Clone + Debug> Default for CssTable<T> {
    fn default() -> CssTable<T> {
        CssTable::new()
    }
}

impl<T: Clone + Debug> CssTable<T> {
    /// No group's.
    pub fn new() -> CssTable<T> {
        CssTable {
            states: Vec::new(),
            log: Vec::new(),
        }
    }

    /// A group's state.
    ///
    /// # Panics
    /// Before it was inserted, which css_alloc is to do.
    pub fn get(&self, group: GroupId) -> &T {
        let state = self.states.get(group.index()).and_then(Option::as_ref);
        state.expect("css_alloc comes before every other callback of a group")
    }

    /// Change a group's state; it comes back with [`undo`](Self::undo).
    ///
    /// # Panics
    /// As [`get`](Self::get).
    pub fn edit(&mut self, group: GroupId) -> &mut T {
        self.log.push((group, Some(self.get(group).clone())));
        self.get_mut(group)
    }

    /// Change a group's state outside any batch.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    pub fn get_mut(&mut self, group: GroupId) -> &mut T {
        let state = self.states.get_mut(group.index()).and_then(Option::as_mut);
        state.expect("css_alloc comes before every other callback of a group")
    }

    /// Every group's state.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.states.iter().flatten()
    }

    /// Every group's state, to be changed outside any batch.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.states.iter_mut().flatten()
    }

    /// A new group's state.
    pub fn insert(&mut self, group: GroupId, state: T) {
        let before = self.put(group, Some(state));
        self.log.push((group, before));
    }

    /// Hand a state over to another group.
    pub fn rebind(&mut self, from: GroupId, to: GroupId) {
        let state = self.put(from, None);
        self.log.push((from, state.clone()));
        let before = self.put(to, state);
        self.log.push((to, before));
    }

    /// Drop the state of a group that will not come back.
    pub fn free(&mut self, group: GroupId) {
        self.put(group, None);
    }

    /// Every state is as at the last [`settle`](Self::settle).
    pub fn undo(&mut self) {
        while let Some((group, before)) = self.log.pop() {
            self.put(group, before);
        }
    }

    /// What has changed stays.
    pub fn settle(&mut self) {
        self.log.clear();
    }

    /// All of it as text.
    pub fn dump(&self) -> String {
        let mut text = String::new();
        for (index, state) in self.states.iter().enumerate() {
            if let Some(state) = state {
                writeln!(text, "#{index} {state:?}").expect("a String takes every write");
            }
        }
        text
    }

    fn put(&mut self, group: GroupId, state: Option<T>) -> Option<T> {
        if self.states.len() <= group.index() {
            self.states.resize(group.index() + 1, None);
        }
        std::mem::replace(&mut self.states[group.index()], state)
    }
}
