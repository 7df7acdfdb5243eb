//! What a plan asks of the host, as values.

use crate::{CpuGroup, CpuLimits, CpuSet, GroupPath, TaskId};

/// One thing to be carried out on the host before a plan is committed.
#[allow(
    clippy::large_enum_variant,
    reason = "a Sample as large as a Pin costs nothing that counts"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Confine the task to these host CPUs.
    Pin {
        /// Whom; perhaps born in the same batch.
        task: TaskId,
        /// What it is confined to once the batch stands.
        cpus: CpuSet,
        /// What it was confined to, for the rollback; None for a task that was never pinned.
        before: Option<CpuSet>,
    },
    /// Keep the vCPU out of its guest from now on. It is out once its machine says so, which is told to
    /// [`note_held`](crate::Framework::note_held).
    Freeze {
        /// Whom; perhaps born in the same batch.
        task: TaskId,
    },
    /// Let the vCPU into its guest again.
    Thaw {
        /// Whom.
        task: TaskId,
    },
    /// Read the task's counters exactly and charge them before it changes groups (or is reset).
    Sample {
        /// Whose; never one born in the same batch.
        task: TaskId,
    },
    /// Make a group of the cpu hierarchy, limit it otherwise, or remove it.
    ///
    /// Effects come in such an order that no group ever has more than one above it, as in the kernel: what
    /// grows first, from the root down, and what shrinks last, from the leaves up. In between come the tasks.
    Limit {
        /// Which.
        group: CpuGroup,
        /// What it is called once the batch stands, or was last called.
        path: GroupPath,
        /// The one above it; None for the root.
        parent: Option<CpuGroup>,
        /// What it may have once the batch stands; None where it is there no more.
        limits: Option<CpuLimits>,
        /// What it might, for the rollback; None where it was not there.
        before: Option<CpuLimits>,
    },
    /// Have what the task uses count in a group of the cpu hierarchy.
    Enroll {
        /// Whom; perhaps born in the same batch.
        task: TaskId,
        /// Where; None where the subsystem is not mounted any more.
        group: Option<CpuGroup>,
        /// What that is called once the batch stands.
        path: Option<GroupPath>,
        /// Where it counted, for the rollback; None where it did in none.
        before: Option<CpuGroup>,
    },
}
