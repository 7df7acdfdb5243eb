//! Subsystems: what a group means to its tasks.
//!
//! The framework knows groups and who is in them; a subsystem gives a group its effect (which CPUs,
//! which bill). Each is bound to one hierarchy at a time, keeps its own state keyed by group, and
//! is told of what happens through the kernel's callbacks (struct cgroup_subsys). Adding one to those that the
//! framework comes with is one file and its lines in [`Subsystems`]; any program can bring its own
//! ([`with_subsystems`](crate::Framework::with_subsystems)).

pub(crate) mod cpu;
pub(crate) mod cpuacct;
pub(crate) mod cpuset;
pub(crate) mod debug;
pub(crate) mod freezer;
pub(crate) mod memory;
pub(crate) mod ns;

use std::collections::HashSet;
use std::fmt::{Debug, Write};

use crate::core::Core;
use crate::group::GroupId;
use crate::table::TaskSlot;
use crate::transaction::Touched;
use crate::{Credentials, Errno, Refusal};

/// Which subsystem: its place in [`Subsystems`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SubsystemId(pub usize);

pub(crate) const CPUSET: SubsystemId = SubsystemId(0);
pub(crate) const CPUACCT: SubsystemId = SubsystemId(1);
pub(crate) const DEBUG: SubsystemId = SubsystemId(2);
pub(crate) const FREEZER: SubsystemId = SubsystemId(3);
pub(crate) const MEMORY: SubsystemId = SubsystemId(4);
pub(crate) const NS: SubsystemId = SubsystemId(5);
pub(crate) const CPU: SubsystemId = SubsystemId(6);

/// Most subsystems at once, those that a program brings included: each has its place in the core's bindings.
pub(crate) const MAX_SUBSYSTEMS: usize = 16;

/// The registered subsystems.
#[derive(Clone)]
pub(crate) struct Subsystems {
    pub cpuset: cpuset::Cpuset,
    pub cpuacct: cpuacct::Cpuacct,
    pub debug: debug::Debug,
    pub freezer: freezer::Freezer,
    pub memory: memory::Memory,
    pub ns: ns::Ns,
    pub cpu: cpu::Cpu,
    /// Those that the program has brought.
    others: Vec<Box<dyn Subsystem>>,
}

impl Subsystems {
    /// Those that the framework comes with.
    const OWN: usize = 7;

    /// # Panics
    /// For too many, and for a name of a subsystem or a file that is taken.
    pub fn new(others: Vec<Box<dyn Subsystem>>) -> Subsystems {
        let subsystems = Subsystems {
            cpuset: cpuset::Cpuset::new(),
            cpuacct: cpuacct::Cpuacct::new(),
            debug: debug::Debug,
            freezer: freezer::Freezer::new(),
            memory: memory::Memory::new(),
            ns: ns::Ns,
            cpu: cpu::Cpu::new(),
            others,
        };
        let names = || subsystems.ids().map(|id| subsystems.get(id).name());
        let files = || subsystems.ids().flat_map(|id| subsystems.get(id).files());
        assert!(
            subsystems.ids().len() <= MAX_SUBSYSTEMS,
            "too many subsystems"
        );
        assert!(are_distinct(names()), "two subsystems of one name");
        assert!(
            are_distinct(files().map(|file| file.name)),
            "two files of one name"
        );
        subsystems
    }

    pub fn ids(
        &self,
    ) -> impl DoubleEndedIterator<Item = SubsystemId> + ExactSizeIterator + Clone + use<> {
        (0..Self::OWN + self.others.len()).map(SubsystemId)
    }

    pub fn get(&self, id: SubsystemId) -> &dyn Subsystem {
        match id {
            CPUSET => &self.cpuset,
            CPUACCT => &self.cpuacct,
            DEBUG => &self.debug,
            FREEZER => &self.freezer,
            MEMORY => &self.memory,
            NS => &self.ns,
            CPU => &self.cpu,
            SubsystemId(other) => &*self.others[other - Self::OWN],
        }
    }

    pub fn get_mut(&mut self, id: SubsystemId) -> &mut dyn Subsystem {
        match id {
            CPUSET => &mut self.cpuset,
            CPUACCT => &mut self.cpuacct,
            DEBUG => &mut self.debug,
            FREEZER => &mut self.freezer,
            MEMORY => &mut self.memory,
            NS => &mut self.ns,
            CPU => &mut self.cpu,
            SubsystemId(other) => &mut *self.others[other - Self::OWN],
        }
    }

    /// A subsystem by name.
    ///
    /// # Errors
    /// EINVAL where there is none of that name.
    pub fn named(&self, name: &str) -> Result<SubsystemId, Refusal> {
        self.ids()
            .find(|id| self.get(*id).name() == name)
            .ok_or_else(|| {
                let names: Vec<_> = self.ids().map(|id| self.get(id).name()).collect();
                let rule = format!("there is no subsystem {name:?}, only {}", names.join(", "));
                Refusal::new(Errno::EINVAL, rule)
            })
    }
}

fn are_distinct<'a>(mut names: impl Iterator<Item = &'a str>) -> bool {
    let mut seen = HashSet::new();
    names.all(|name| seen.insert(name))
}

/// Copies a subsystem with all its state. It comes of itself with `Clone`.
pub trait CloneSubsystem {
    /// A copy, boxed.
    fn boxed(&self) -> Box<dyn Subsystem>;
}

impl<S: Subsystem + Clone + 'static> CloneSubsystem for S {
    fn boxed(&self) -> Box<dyn Subsystem> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Subsystem> {
    fn clone(&self) -> Self {
        (**self).boxed()
    }
}

/// What a callback may look at, and where it says which tasks it concerns.
pub struct Context<'a> {
    /// Groups, tasks, and the host's resources.
    pub core: &'a Core,
    pub(crate) touched: &'a mut Touched,
}

/// One resource controller. Callbacks come for groups of the hierarchy that it is bound to; while it is not mounted
/// that is one group, with all tasks in it.
///
/// A batch may be taken back at any point: whatever a callback changes, [`undo`](Self::undo) has to restore. A
/// [`CssTable`] does.
pub trait Subsystem: CloneSubsystem + Send + Sync {
    /// What hierarchies are mounted with.
    fn name(&self) -> &'static str;

    /// Its control files, each with the name before it: `pids.max`.
    fn files(&self) -> &'static [ControlFile];

    /// A group is being made (a root, where `parent` is None).
    fn css_alloc(&mut self, _cx: &mut Context<'_>, _group: GroupId, _parent: Option<GroupId>) {}

    /// The group is in its tree.
    fn css_online(&mut self, _cx: &mut Context<'_>, _group: GroupId) {}

    /// The group leaves its tree; it may still come back through [`undo`](Self::undo).
    fn css_offline(&mut self, _cx: &mut Context<'_>, _group: GroupId, _parent: GroupId) {}

    /// The group will not come back. Told to every subsystem, also of groups that it never knew.
    fn css_free(&mut self, _group: GroupId) {}

    /// May the task enter? If no subsystem objects, the move cannot fail any more.
    fn can_attach(
        &mut self,
        _cx: &mut Context<'_>,
        _task: TaskSlot,
        _to: GroupId,
    ) -> Result<(), Refusal> {
        Ok(())
    }

    /// Another subsystem objected to what this one had agreed to.
    fn cancel_attach(&mut self, _cx: &mut Context<'_>, _task: TaskSlot, _to: GroupId) {}

    /// The task has moved.
    fn attach(&mut self, _cx: &mut Context<'_>, _task: TaskSlot, _from: GroupId, _to: GroupId) {}

    /// A task was born into the group. can_attach was not asked; what cannot be given is refused here.
    fn fork(
        &mut self,
        _cx: &mut Context<'_>,
        _task: TaskSlot,
        _group: GroupId,
    ) -> Result<(), Refusal> {
        Ok(())
    }

    /// A task has left the group and all others for good.
    fn exit(&mut self, _cx: &mut Context<'_>, _task: TaskSlot, _group: GroupId) {}

    /// The subsystem goes from one hierarchy's root to another's; neither has children. The core
    /// still says the old one.
    fn bind(&mut self, _cx: &mut Context<'_>, _from: GroupId, _to: GroupId) {}

    /// The group was made by clone; its task enters next.
    fn post_clone(&mut self, _cx: &mut Context<'_>, _group: GroupId) {}

    /// The host allows other CPUs or nodes than before.
    fn host_changed(&mut self, _cx: &mut Context<'_>) {}

    /// A file of [`files`](Self::files), without the final newline.
    fn read(&self, core: &Core, by: &Credentials, group: GroupId, file: &str) -> String;

    /// Write a file that is writable in the table.
    fn write(
        &mut self,
        _cx: &mut Context<'_>,
        _group: GroupId,
        file: &str,
        _value: &str,
    ) -> Result<(), Refusal> {
        Err(Refusal::new(Errno::EINVAL, format!("{file} is read-only")))
    }

    /// What a guest may write to a file in a view with this root, as [`write`](Self::write) is to
    /// be given it. Values whose range is the host's are held against those of the root here, so
    /// that it makes no difference to a guest what else the host has.
    fn within(
        &self,
        _core: &Core,
        _root: GroupId,
        _file: &str,
        value: &str,
    ) -> Result<String, Refusal> {
        Ok(value.into())
    }

    /// Take back everything since the last `settle`.
    fn undo(&mut self) {}

    /// What was done stays.
    fn settle(&mut self) {}

    /// The whole state as text, equal for equal states.
    fn dump(&self) -> String {
        String::new()
    }
}

/// One row of a table of control files.
#[derive(Debug)]
pub struct ControlFile {
    pub(crate) name: &'static str,
    /// Only in a hierarchy's root group.
    pub(crate) root_only: bool,
    /// In every group but the root.
    pub(crate) not_in_root: bool,
    /// Bytes that a write may have; None for a read-only file.
    pub(crate) max_write: Option<usize>,
    /// Whether guests may know of it: what it shows of a group in a view is of that group alone.
    pub(crate) shown_to_guests: bool,
}

/// Bytes that a write may have where the file does not say otherwise: a page, as in the kernel.
pub(crate) const MAX_WRITE: usize = 4096;

impl ControlFile {
    /// A file that refuses writes.
    pub const fn read_only(name: &'static str) -> ControlFile {
        ControlFile {
            name,
            root_only: false,
            not_in_root: false,
            max_write: None,
            shown_to_guests: false,
        }
    }

    /// A file that takes writes of at most 4096 bytes.
    pub const fn writable(name: &'static str) -> ControlFile {
        ControlFile {
            name,
            root_only: false,
            not_in_root: false,
            max_write: Some(MAX_WRITE),
            shown_to_guests: false,
        }
    }

    /// A root does not have it.
    pub const fn not_in_root(self) -> ControlFile {
        ControlFile {
            not_in_root: true,
            ..self
        }
    }

    /// Guests may read it, and write it in groups that they were handed.
    pub const fn shown_to_guests(self) -> ControlFile {
        ControlFile {
            shown_to_guests: true,
            ..self
        }
    }
}

/// Parse a number as the kernel's kstrtoull does with base 0: an optional `+`, then decimal, `0x`
/// hexadecimal or `0` octal digits, and at most one newline after them.
///
/// # Errors
/// EINVAL for anything else, ERANGE past 64 bits.
pub fn parse_u64(file: &str, value: &str) -> Result<u64, Refusal> {
    let text = value.strip_suffix('\n').unwrap_or(value);
    let digits = text.strip_prefix('+').unwrap_or(text);
    let (digits, radix) = match digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        let rule = format!("{file} takes a number, and {text:?} is none");
        return Err(Refusal::plain(Errno::EINVAL, rule));
    }
    u64::from_str_radix(digits, radix).map_err(|_| {
        Refusal::plain(
            Errno::ERANGE,
            format!("{file} takes numbers up to {}, not {text}", u64::MAX),
        )
    })
}

/// A flag file: any number but 0 sets it.
///
/// # Errors
/// Those of [`parse_u64`].
pub fn parse_flag(file: &str, value: &str) -> Result<bool, Refusal> {
    Ok(parse_u64(file, value)? != 0)
}

/// A subsystem's state by group, with an undo log.
#[derive(Clone, Debug)]
pub struct CssTable<T> {
    states: Vec<Option<T>>,
    log: Vec<(GroupId, Option<T>)>,
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

    /// Groups that have a state.
    pub(crate) fn len(&self) -> usize {
        self.all().count()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_parsed_as_by_kstrtoull() {
        let big = "18446744073709551616";
        for (text, number) in [("0", 0), ("2\n", 2), ("+1", 1), ("0x1F", 31), ("010", 8)] {
            assert_eq!(parse_u64("f", text).unwrap(), number, "{text:?}");
        }
        for text in [
            "", "\n", "abc", "-1", " 1", "1 ", "1\n\n", "0x", "08", "++1",
        ] {
            assert_eq!(
                parse_u64("f", text).unwrap_err().errno,
                Errno::EINVAL,
                "{text:?}"
            );
        }
        assert_eq!(parse_u64("f", big).unwrap_err().errno, Errno::ERANGE);
    }
}
