//! What every management surface shows: one set of types for the terminal tree, `--report` and the API.
//!
//! Field names are part of the interface. Times are nanoseconds, host CPUs are canonical range lists
//! (`0-3,7`), groups are `HIERARCHY:/path`, tasks are `MACHINE/vcpu0`.

pub mod api;
pub mod client;
pub mod machine_table;
pub mod names;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The state of a supervisor at one moment, and what has been since it started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// Every task, the dead included, by birth.
    pub tasks: Vec<Task>,
    /// Every group, depth first, parents before children.
    pub groups: Vec<Group>,
    /// The event log from its oldest kept entry.
    pub events: Vec<Event>,
    /// Every machine, in the order of the spec.
    pub machines: Vec<Machine>,
    /// What the host changed behind our back, and whether it was repaired.
    pub drift: Vec<Drift>,
    /// Sums over the whole ledger.
    pub ledger: Ledger,
    /// No machine lives and no release agent runs.
    pub idle: bool,
}

/// One thread of a machine process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// `MACHINE/vcpu0`.
    pub name: String,
    /// The machine it belongs to.
    pub machine: String,
    /// `vcpu`, `io`, `control` or `kvm`.
    pub kind: String,
    /// The host's thread id.
    pub tid: u32,
    /// False once the thread has ended.
    pub alive: bool,
    /// Its group in each hierarchy; of a dead task, where it last was.
    pub groups: Vec<String>,
    /// CPUs its groups confine it to.
    pub requested_cpus: String,
    /// CPUs read back from the kernel after the last pin or check.
    pub observed_cpus: String,
    /// CPU time since its start.
    pub usage_ns: u64,
    /// Cycles since its start.
    pub cycles: u64,
    /// Where `cycles` come from: `tsc`, CPU time at the rate of the time-stamp counter (0 where that has none).
    pub cycles_source: String,
    /// `exact`, or `sampled` where no counter could be opened.
    pub accuracy: String,
    /// Time spent runnable but waiting for a host CPU.
    pub wait_ns: u64,
    /// Of `usage_ns`: what no counter of the task saw and was billed to it at the end of its machine.
    pub residual_ns: u64,
    /// Exits from the guest that KVM has counted of a vCPU. This and what follows is the machine's own word, up to two
    /// seconds old; None of other threads, and where KVM does not count.
    #[serde(default)]
    pub exits: Option<u64>,
    /// Time that KVM polled before halts of the vCPU, for wake-ups that came meanwhile.
    #[serde(default)]
    pub halt_poll_success_ns: Option<u64>,
    /// Time that KVM polled before halts of the vCPU in vain.
    #[serde(default)]
    pub halt_poll_fail_ns: Option<u64>,
}

/// One group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// `HIERARCHY:/path`.
    pub group: String,
    /// Depth below the root, which is 0.
    pub depth: usize,
    /// `cpuset.cpus`; None where no cpuset is bound to the hierarchy.
    pub requested_cpus: Option<String>,
    /// `cpuset.effective_cpus`.
    pub effective_cpus: Option<String>,
    /// Living tasks in this very group.
    pub tasks: Vec<String>,
    /// Whether becoming empty makes an event.
    pub notify_on_release: bool,
    /// CPU time used in this very group, never reset; None where no cpuacct is bound to the hierarchy.
    pub own_usage_ns: Option<u64>,
    /// Cycles used in this very group, never reset.
    pub own_cycles: Option<u64>,
    /// Own usage of children that were removed, kept here.
    pub removed_usage_ns: Option<u64>,
    /// `cpuacct.usage`: children included, resettable.
    pub usage_ns: Option<u64>,
    /// `cpuacct.cycles`: children included, resettable.
    pub cycles: Option<u64>,
}

/// One numbered event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// `EPOCH.SEQ`: the epoch is the supervisor's, the number counts from 1 in commit order.
    pub id: String,
    /// Nanoseconds of CLOCK_MONOTONIC.
    pub monotonic_ns: u64,
    /// `released`, `group_created`, `task_moved`, `machine_died`, …
    pub kind: String,
    /// The group it is about, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The task it is about, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The machine it is about, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// One sentence for people.
    pub text: String,
}

/// One machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Process id of its machine process.
    pub pid: u32,
    /// `starting`, `running`, `paused` or `ended`.
    pub state: String,
    /// CLOCK_MONOTONIC of the process's start.
    pub spawned_ns: u64,
    /// From spawn until all threads were announced.
    pub born_after_ns: Option<u64>,
    /// From spawn until every thread stood in its groups and `Go` was sent.
    pub go_after_ns: Option<u64>,
    /// From spawn until the first byte left the serial port.
    pub first_output_after_ns: Option<u64>,
    /// From spawn until the process ended.
    pub ended_after_ns: Option<u64>,
    /// When it is started anew after it has ended: `no`, `on-failure` or `always`.
    #[serde(default)]
    pub restart: String,
    /// It has ended, and is about to be started anew.
    #[serde(default)]
    pub restarting: bool,
    /// How it ended, once it has: `exit 0`, `signal 9`, `fault …`, `refused …`.
    pub end: Option<String>,
    /// CPU time of the whole process by the kernel's process clock, read before reaping.
    pub witness_ns: Option<u64>,
    /// What the threads' counters missed of it, billed to `control`.
    pub residual_ns: Option<i64>,
    /// Largest resident size, in bytes.
    pub peak_resident_bytes: Option<u64>,
    /// What it may come to need of the host's memory, in bytes: its guest's, and an allowance for its process. None before its
    /// birth and after its end.
    pub committed_bytes: Option<u64>,
    /// Anonymous memory that it has resident now, in bytes.
    pub resident_bytes: Option<u64>,
    /// False for a machine whose zombie was not ours to read: its bill is `sampled`.
    pub witnessed: bool,
}

/// An affinity that was not what Pinfold had set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Drift {
    /// `MACHINE/vcpu0`.
    pub task: String,
    /// What it was to be.
    pub requested_cpus: String,
    /// What the kernel said.
    pub observed_cpus: String,
    /// Whether setting it again held.
    pub repaired: bool,
}

/// The sums of the law of conservation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ledger {
    /// Σ own usage of groups, removed ones included.
    pub groups_ns: u64,
    /// Σ usage of tasks, dead ones included.
    pub tasks_ns: u64,
    /// Σ process clocks of ended machines.
    pub witness_ns: u64,
    /// Σ residuals of ended machines.
    pub residual_ns: u64,
    /// CPU time of the supervisor itself, billed to nobody.
    pub supervisor_ns: u64,
}
