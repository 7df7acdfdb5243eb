//! What the keeper shows of itself, in the words of the management surfaces.

use container_core::{Event, GroupInfo, MachineMemory, TaskId, TaskInfo, TaskKind};
use management::{Group, Ledger, Report};

use super::Keeper;
use super::machines::{Machine, State};

impl Keeper {
    /// The whole state, without the events.
    pub(super) fn state(&self) -> Report {
        Report {
            tasks: self
                .framework
                .tasks()
                .map(|info| self.task_row(&info))
                .collect(),
            groups: self.group_rows(),
            events: Vec::new(),
            machines: self
                .machines
                .iter()
                .map(|(_, machine)| self.machine_row(machine))
                .collect(),
            drift: self.drift.iter().cloned().collect(),
            ledger: self.ledger(),
            idle: self.is_idle(),
        }
    }

    fn task_row(&self, info: &TaskInfo) -> management::Task {
        let task = self.tasks.get(info.id);
        let counts = task.and_then(|task| task.counts);
        let kind = match info.name.kind {
            TaskKind::Vcpu(_) => "vcpu",
            TaskKind::Io => "io",
            TaskKind::Control => "control",
            TaskKind::Kvm(_) => "kvm",
        };
        management::Task {
            name: info.name.to_string(),
            machine: info.name.machine.to_string(),
            kind: kind.into(),
            tid: info.tid.0,
            alive: info.alive,
            groups: info.groups.iter().map(ToString::to_string).collect(),
            requested_cpus: info.cpus.map(|cpus| cpus.to_string()).unwrap_or_default(),
            observed_cpus: task
                .map(|task| task.observed.to_string())
                .unwrap_or_default(),
            usage_ns: info.usage.usage.0,
            cycles: info.usage.cycles.0,
            cycles_source: "tsc".into(),
            accuracy: if task.is_some_and(|task| task.is_exact()) {
                "exact"
            } else {
                "sampled"
            }
            .into(),
            wait_ns: task.map_or(0, |task| task.wait.0),
            residual_ns: task.map_or(0, |task| task.residual.0),
            exits: counts.map(|counts| counts.exits),
            halt_poll_success_ns: counts.map(|counts| counts.halt_poll_success_ns),
            halt_poll_fail_ns: counts.map(|counts| counts.halt_poll_fail_ns),
        }
    }

    fn group_rows(&self) -> Vec<Group> {
        let hierarchies = self.framework.hierarchies();
        let groups = hierarchies
            .iter()
            .filter_map(|hierarchy| self.framework.walk(&hierarchy.name).ok());
        groups
            .flatten()
            .map(|group| self.group_row(&group))
            .collect()
    }

    fn group_row(&self, group: &GroupInfo) -> Group {
        let name = |task: &TaskId| self.framework.task(*task).map(|task| task.name.to_string());
        Group {
            group: group.path.to_string(),
            depth: group.depth,
            requested_cpus: group.requested_cpus.map(|cpus| cpus.to_string()),
            effective_cpus: group.effective_cpus.map(|cpus| cpus.to_string()),
            tasks: group.tasks.iter().filter_map(name).collect(),
            notify_on_release: group.notify_on_release,
            own_usage_ns: group.own.map(|own| own.usage.0),
            own_cycles: group.own.map(|own| own.cycles.0),
            removed_usage_ns: group.removed.map(|removed| removed.usage.0),
            usage_ns: group.shown.map(|shown| shown.usage.0),
            cycles: group.shown.map(|shown| shown.cycles.0),
        }
    }

    pub(super) fn machine_row(&self, machine: &Machine) -> management::Machine {
        let control = machine.tasks.get(&TaskKind::Control);
        let memory = control
            .filter(|_| machine.memory.is_some())
            .map(|control| self.framework.memory(*control));
        let launching = self.launching.contains_key(machine.name());
        machine_row(machine, launching, memory)
    }

    fn ledger(&self) -> Ledger {
        let settled = self.machines.settled();
        let sums = self.framework.ledger();
        Ledger {
            groups_ns: sums.groups.usage.0,
            tasks_ns: sums.tasks.usage.0 + sums.retired.usage.0,
            witness_ns: settled.witness_ns,
            residual_ns: settled.residual_ns,
            supervisor_ns: host::own_cpu_time().0.saturating_sub(self.spent_before.0),
        }
    }
}

/// A machine's row; `launching` where a process for its next life is being started, `memory` where it is looked at.
fn machine_row(
    machine: &Machine,
    launching: bool,
    memory: Option<MachineMemory>,
) -> management::Machine {
    let after = |at: Option<u64>| at.map(|at| at.saturating_sub(machine.times.spawned));
    management::Machine {
        name: machine.name().to_string(),
        pid: machine.pid,
        state: machine.state_word().into(),
        spawned_ns: machine.times.spawned,
        born_after_ns: after(machine.times.born),
        go_after_ns: after(machine.times.go),
        first_output_after_ns: after(machine.times.first_output),
        ended_after_ns: after(machine.times.ended),
        restart: machine.asked.restart.word().into(),
        restarting: machine.restart_at.is_some() || launching,
        // Known before the process is gone; whoever waits for it would then find a machine that still lives.
        end: machine
            .verdict
            .clone()
            .filter(|_| machine.state == State::Ended),
        witness_ns: machine.settlement.map(|settlement| settlement.witness_ns),
        residual_ns: machine.settlement.map(|settlement| settlement.residual_ns),
        peak_resident_bytes: machine
            .settlement
            .map(|settlement| settlement.peak_resident_bytes),
        committed_bytes: memory.map(|memory| memory.committed.0),
        resident_bytes: memory.map(|memory| memory.resident.0),
        witnessed: machine.settlement.is_some(),
    }
}

/// An event of the framework as a row, yet to be numbered.
pub(super) fn event(event: &Event) -> management::Event {
    let mut row = management::Event::default();
    let (kind, text) = match event {
        Event::Mounted { hierarchy } => ("mounted", format!("{hierarchy} mounted")),
        Event::Unmounted { hierarchy } => ("unmounted", format!("{hierarchy} unmounted")),
        Event::Remounted {
            hierarchy,
            subsystems,
        } => {
            let subsystems = match &subsystems[..] {
                [] => "none".to_owned(),
                names => names.join(","),
            };
            (
                "remounted",
                format!("{hierarchy} remounted with the subsystems {subsystems}"),
            )
        }
        Event::GroupCreated { group } => {
            row.group = Some(group.to_string());
            ("group_created", format!("{group} created"))
        }
        Event::GroupRemoved { group } => {
            row.group = Some(group.to_string());
            ("group_removed", format!("{group} removed"))
        }
        Event::GroupRenamed { from, to } => {
            row.group = Some(to.to_string());
            ("group_renamed", format!("{from} renamed to {to}"))
        }
        Event::TaskBorn { name, .. } => {
            row.task = Some(name.to_string());
            ("task_born", format!("{name} born"))
        }
        Event::TaskMoved { name, from, to, .. } => {
            row.task = Some(name.to_string());
            row.group = Some(to.to_string());
            ("task_moved", format!("{name} moved from {from} to {to}"))
        }
        Event::TaskExited { name, .. } => {
            row.task = Some(name.to_string());
            ("task_exited", format!("{name} exited"))
        }
        Event::FileWritten { group, file, value } => {
            row.group = Some(group.to_string());
            (
                "file_written",
                format!("{group} {file} = {}", value.trim_end()),
            )
        }
        Event::GroupFrozen { group } => {
            row.group = Some(group.to_string());
            ("group_frozen", format!("{group} frozen"))
        }
        Event::GroupThawed { group } => {
            row.group = Some(group.to_string());
            ("group_thawed", format!("{group} thawed"))
        }
        Event::Released { group, .. } => {
            row.group = Some(group.to_string());
            ("released", format!("{group} released"))
        }
    };
    row.kind = kind.into();
    row.text = text;
    row
}
