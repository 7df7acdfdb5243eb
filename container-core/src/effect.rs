//! What a plan asks of the host, as values.

use crate::{CpuSet, TaskId};

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
}
