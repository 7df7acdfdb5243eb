//! The group framework: hierarchies, groups, subsystems, css_sets and tasks.
//!
//! Pure: no I/O, no clock, no thread, no unsafe. Whoever owns a [`Framework`] asks it to
//! [`plan`](Framework::plan) a batch of [`Command`]s, carries out the plan's [`Effect`]s on the host,
//! and then [`commit`](Framework::commit)s it. Until the commit nothing has changed; a refused plan
//! has changed nothing either. A batch of which the host hears nothing is in force with one
//! [`attempt`](Framework::attempt).

mod command;
mod core;
mod cpu_set;
mod credentials;
mod css_set;
mod effect;
mod event;
mod framework;
mod group;
mod index;
mod name;
mod quantity;
mod refusal;
mod slab;
mod subsystem;
mod table;
mod task;
mod transaction;
mod view;

pub use crate::core::Core;
pub use command::{Attempt, Command, Plan};
pub use cpu_set::{CpuSet, IdSet, MAX_CPUS, NodeSet};
pub use credentials::Credentials;
pub use effect::Effect;
pub use event::Event;
pub use framework::{
    CpuGroupInfo, Framework, Generation, GroupInfo, GroupsGeneration, HierarchyInfo, HostResources,
    Ledger, MAX_TASK_PAGE, Owner, TaskCursor, TaskInfo, TaskPage,
};
pub use group::GroupId;
pub use name::{GroupPath, HierarchyName, MachineName};
pub use quantity::{Bytes, Cycles, Nanoseconds, Observation, Reading, Usage};
pub use refusal::{Errno, Refusal};
pub use subsystem::cpu::{CpuGroup, CpuLimits, CpuStat};
pub use subsystem::memory::MachineMemory;
pub use subsystem::{Context, ControlFile, CssTable, States, Subsystem, parse_flag, parse_u64};
pub use table::TaskSlot;
pub use task::{TaskId, TaskKind, TaskName, Tid};
pub use view::{
    MAX_VIEW_COMMANDS, MAX_VIEW_DEPTH, MAX_VIEW_GROUPS, MAX_VIEW_PAGE, MAX_VIEW_VALUE, MAX_VIEWS,
    ViewAccess, ViewCommand, ViewEvent, ViewGroup, ViewId, ViewPath, ViewRoot,
};

#[cfg(doctest)]
#[doc = include_str!("../../docs/writing-a-subsystem.md")]
struct WritingASubsystem;
