//! Changes of groups, and what they do on the host.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::names::{GroupComponent, GroupName, HierarchyName, SubsystemName, TaskName};

/// One change, as `{"op": "mkdir", "group": "placement:/gold"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Mount a hierarchy and bind subsystems to it.
    Mount {
        /// Its name.
        #[schema(value_type = HierarchyName)]
        hierarchy: String,
        /// What its groups mean.
        #[serde(default)]
        #[schema(value_type = Vec<SubsystemName>)]
        subsystems: Vec<String>,
    },
    /// Unmount a hierarchy; one with child groups lives on.
    Umount {
        /// Its name.
        #[schema(value_type = HierarchyName)]
        hierarchy: String,
    },
    /// Give a hierarchy without child groups exactly these subsystems.
    Remount {
        /// Its name.
        #[schema(value_type = HierarchyName)]
        hierarchy: String,
        /// What its groups mean from here on; those that it loses are free again.
        #[serde(default)]
        #[schema(value_type = Vec<SubsystemName>)]
        subsystems: Vec<String>,
    },
    /// Make a group.
    Mkdir {
        /// Which.
        #[schema(value_type = GroupName)]
        group: String,
    },
    /// Remove a group that has neither tasks nor children.
    Rmdir {
        /// Which.
        #[schema(value_type = GroupName)]
        group: String,
    },
    /// Give a group another name within its parent.
    Rename {
        /// Which.
        #[schema(value_type = GroupName)]
        group: String,
        /// The name, not a path.
        #[schema(value_type = GroupComponent)]
        to: String,
    },
    /// Hand a group over, or change its permission bits.
    Chown {
        /// Which.
        #[schema(value_type = GroupName)]
        group: String,
        /// Its new owner.
        uid: u32,
        /// Its new owning group of users.
        gid: u32,
        /// Permission bits, at most 0o777 (511).
        #[schema(maximum = 511)]
        mode: u16,
    },
    /// Write a control file.
    Set {
        /// Of this group.
        #[schema(value_type = GroupName)]
        group: String,
        /// Which.
        file: String,
        /// What.
        value: String,
    },
    /// Move a task.
    Attach {
        /// Into this group.
        #[schema(value_type = GroupName)]
        group: String,
        /// `MACHINE/vcpu0`, or a thread id.
        #[schema(value_type = TaskName)]
        task: String,
    },
    /// Make a group `node_TID` below the task's own, and move it there.
    Clone {
        /// `MACHINE/vcpu0`, or a thread id.
        #[schema(value_type = TaskName)]
        task: String,
        /// In whose hierarchy.
        #[schema(value_type = SubsystemName)]
        subsystem: String,
    },
}

/// The body of a plan: commands that are in force together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// In the order in which they are checked.
    #[schema(max_items = 10_000)]
    pub commands: Vec<Command>,
    /// Refuse (409, ESTALE) unless the groups are still those of this generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

/// What a plan does, or did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// Of the groups: that it was made for in a dry run, that it made otherwise.
    pub generation: u64,
    /// On the host, in order.
    pub effects: Vec<Effect>,
    /// False in a dry run.
    pub committed: bool,
    /// From the plan's beginning to its commit, in nanoseconds; absent in a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ns: Option<u64>,
}

/// One thing that a plan does on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Confine a thread to CPUs.
    Pin {
        /// `MACHINE/vcpu0`.
        task: String,
        /// To these.
        cpus: String,
        /// From these; absent for one that has not been confined.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
    },
    /// Keep a vCPU out of its guest.
    Freeze {
        /// `MACHINE/vcpu0`.
        task: String,
    },
    /// Let a vCPU into its guest again.
    Thaw {
        /// `MACHINE/vcpu0`.
        task: String,
    },
    /// Read a thread's counter exactly, and bill it.
    Sample {
        /// `MACHINE/vcpu0`.
        task: String,
    },
    /// Make a group of the cpu hierarchy, limit it otherwise, or remove it.
    Limit {
        /// Which.
        group: String,
        /// What it may have; absent for one that is removed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limits: Option<CpuLimits>,
    },
    /// Have what a thread uses count in a group of the cpu hierarchy.
    Enroll {
        /// `MACHINE/vcpu0`.
        task: String,
        /// Which; absent for none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
    },
}

/// What a group may have of the CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CpuLimits {
    /// Weight among its siblings.
    pub shares: u64,
    /// CPU time in a period, microseconds; absent for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_us: Option<u64>,
    /// Length of a period, microseconds.
    pub period_us: u64,
}
