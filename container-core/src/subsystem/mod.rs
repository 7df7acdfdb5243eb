//! Subsystems: what a group means to its tasks.
//!
//! The framework knows groups and who is in them; a subsystem gives a group its effect (which CPUs,
//! which bill). Each is bound to one hierarchy at a time, keeps its own state keyed by group, and
//! is told of what happens through the kernel's callbacks (struct cgroup_subsys). Adding one to those that the
//! framework comes with is one file and its lines in `registry`; any program can bring its own
//! ([`with_subsystems`](crate::Framework::with_subsystems)).

pub(crate) mod cpu;
pub(crate) mod cpuacct;
pub(crate) mod cpuset;
mod css_table;
pub(crate) mod debug;
pub(crate) mod freezer;
pub(crate) mod memory;
pub(crate) mod ns;
mod number;
mod registry;

pub use css_table::{CssTable, States};
pub use number::{parse_flag, parse_u64};
pub(crate) use registry::{
    CPU, CPUACCT, CPUSET, FREEZER, MAX_SUBSYSTEMS, MEMORY, NS, SubsystemId, Subsystems,
};

use crate::core::Core;
use crate::group::GroupId;
use crate::table::TaskSlot;
use crate::transaction::Touched;
use crate::{Credentials, Errno, Refusal};

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

    /// Its state by group, if it keeps any: what frees, hands over and undoes it is done for it then.
    fn states(&self) -> Option<&dyn States> {
        None
    }

    /// The same, to change.
    fn states_mut(&mut self) -> Option<&mut dyn States> {
        None
    }

    /// A group is being made (a root, where `parent` is None).
    fn css_alloc(&mut self, _cx: &mut Context<'_>, _group: GroupId, _parent: Option<GroupId>) {}

    /// The group is in its tree.
    fn css_online(&mut self, _cx: &mut Context<'_>, _group: GroupId) {}

    /// The group leaves its tree; it may still come back through [`undo`](Self::undo).
    fn css_offline(&mut self, _cx: &mut Context<'_>, _group: GroupId, _parent: GroupId) {}

    /// The group will not come back. Told to every subsystem, also of groups that it never knew.
    fn css_free(&mut self, group: GroupId) {
        if let Some(states) = self.states_mut() {
            states.free(group);
        }
    }

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
    fn bind(&mut self, _cx: &mut Context<'_>, from: GroupId, to: GroupId) {
        if let Some(states) = self.states_mut() {
            states.rebind(from, to);
        }
    }

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
    fn undo(&mut self) {
        if let Some(states) = self.states_mut() {
            states.undo();
        }
    }

    /// What was done stays.
    fn settle(&mut self) {
        if let Some(states) = self.states_mut() {
            states.settle();
        }
    }

    /// The whole state as text, equal for equal states.
    fn dump(&self) -> String {
        self.states().map_or_else(String::new, States::dump)
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
