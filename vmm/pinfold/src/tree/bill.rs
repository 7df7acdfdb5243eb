//! The final bill: what each machine and each group has used, against what the kernel saw.

use std::fmt::Write;

use management::{Group, Machine, Report};

use super::{hierarchy, line};
use crate::screen::Style;
use crate::units::{bytes, cycles, time};

/// After an empty line two tables and the sums of the ledger.
///
/// ```text
/// machine  end     vcpus     others    total     process clock  residual  peak memory
/// web      exit 0  600.1 ms  2.1 ms    602.2 ms  602.2 ms       1.4 ms    6.2 MiB
///
/// group              own       with children  cycles (tsc)
/// billing:/          0         602.2 ms       1.986 Gcycles
/// billing:/tenant-a  602.2 ms  602.2 ms       1.986 Gcycles
///
/// groups 602.2 ms = tasks 602.2 ms = process clocks 602.2 ms, of which residual 1.4 ms; …
/// ```
///
/// `others` are io, control and KVM's helpers. The process clock is the kernel's own count of the whole
/// process, the witness; the residual is what the threads' counters missed of it.
pub fn bill(report: &Report, style: Style) -> String {
    let mut out = String::from("\n");
    let machines = report
        .machines
        .iter()
        .map(|machine| machine_row(report, machine));
    let head = [
        "machine",
        "end",
        "vcpus",
        "others",
        "total",
        "process clock",
        "residual",
        "peak memory",
    ];
    table(&mut out, &head, machines, style);

    let source = report
        .tasks
        .first()
        .map_or("", |task| task.cycles_source.as_str());
    let cycles = match source {
        "" => "cycles".to_owned(),
        source => format!("cycles ({source})"),
    };
    let head = ["group", "own", "with children", &cycles];
    for groups in report.groups.chunk_by(|a, b| hierarchy(a) == hierarchy(b)) {
        let billed = groups.iter().filter(|group| group.usage_ns.is_some());
        table(&mut out, &head, billed.map(group_row), style);
    }
    line(&mut out, &sums(report), style);
    out
}

/// A table of at least one row, and an empty line after it; without rows, nothing.
fn table(out: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>, style: Style) {
    let head = head.iter().map(|&cell| cell.to_owned()).collect();
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    if rows.len() > 1 {
        for row in super::columns(rows) {
            line(out, &row, style);
        }
        out.push('\n');
    }
}

fn machine_row(report: &Report, machine: &Machine) -> Vec<String> {
    let tasks = report
        .tasks
        .iter()
        .filter(|task| task.machine == machine.name);
    let (mut vcpus, mut others) = (0, 0);
    for task in tasks {
        let sum = if task.kind == "vcpu" {
            &mut vcpus
        } else {
            &mut others
        };
        *sum += task.usage_ns;
    }
    let witness = match (machine.witness_ns, machine.witnessed) {
        (Some(witness), true) => time(witness),
        _ => "sampled".to_owned(),
    };
    vec![
        machine.name.clone(),
        machine.end.clone().unwrap_or_else(|| machine.state.clone()),
        time(vcpus),
        time(others),
        time(vcpus + others),
        witness,
        machine.residual_ns.map_or_else(String::new, signed),
        machine.peak_resident_bytes.map_or_else(String::new, bytes),
    ]
}

fn group_row(group: &Group) -> Vec<String> {
    let own = group.own_usage_ns.unwrap_or(0) + group.removed_usage_ns.unwrap_or(0);
    vec![
        group.group.clone(),
        time(own),
        time(group.usage_ns.unwrap_or(0)),
        cycles(group.cycles.unwrap_or(0)),
    ]
}

/// The law of conservation in one line; where it does not hold, to the nanosecond.
fn sums(report: &Report) -> String {
    let ledger = &report.ledger;
    let by_groups = report
        .groups
        .iter()
        .any(|group| group.own_usage_ns.is_some());
    let by_groups = by_groups.then_some(("groups", ledger.groups_ns));
    let sums = [
        ("tasks", ledger.tasks_ns),
        ("process clocks", ledger.witness_ns),
    ];
    let sums: Vec<_> = by_groups.into_iter().chain(sums).collect();
    let holds = sums.windows(2).all(|pair| pair[0].1 == pair[1].1);
    let mut out = String::new();
    for (at, &(name, ns)) in sums.iter().enumerate() {
        if at > 0 {
            out.push_str(if sums[at - 1].1 == ns { " = " } else { " != " });
        }
        let shown = if holds { time(ns) } else { format!("{ns} ns") };
        let _ = write!(out, "{name} {shown}");
    }
    let residual = time(ledger.residual_ns);
    let supervisor = time(ledger.supervisor_ns);
    let _ = write!(
        out,
        ", of which residual {residual}; supervisor {supervisor}, billed to nobody"
    );
    out
}

fn signed(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    format!("{sign}{}", time(ns.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use management::{Ledger, Task};

    fn report() -> Report {
        let task = |kind: &str, usage_ns| Task {
            machine: "web".into(),
            kind: kind.into(),
            usage_ns,
            cycles_source: "tsc".into(),
            ..Task::default()
        };
        let group = |group: &str, own, usage_ns| Group {
            group: group.into(),
            own_usage_ns: own,
            removed_usage_ns: own.map(|_| 0),
            usage_ns,
            cycles: usage_ns.map(|ns| ns * 3),
            ..Group::default()
        };
        Report {
            tasks: vec![
                task("vcpu", 400_000_000),
                task("vcpu", 200_000_000),
                task("control", 2_200_000),
            ],
            groups: vec![
                group("placement:/", None, None),
                group("billing:/", Some(0), Some(602_200_000)),
                group("billing:/tenant-a", Some(602_200_000), Some(602_200_000)),
            ],
            machines: vec![
                Machine {
                    name: "web".into(),
                    end: Some("exit 0".into()),
                    witness_ns: Some(602_200_000),
                    residual_ns: Some(1_400_000),
                    peak_resident_bytes: Some(6 << 20),
                    witnessed: true,
                    ..Machine::default()
                },
                Machine {
                    name: "db".into(),
                    state: "running".into(),
                    residual_ns: Some(-1_500),
                    ..Machine::default()
                },
            ],
            ledger: Ledger {
                groups_ns: 602_200_000,
                tasks_ns: 602_200_000,
                witness_ns: 602_200_000,
                residual_ns: 1_400_000,
                supervisor_ns: 1_900_000,
            },
            ..Report::default()
        }
    }

    #[test]
    fn a_bill_shows_machines_groups_and_the_sums() {
        let expected = "
machine  end      vcpus     others    total     process clock  residual   peak memory
web      exit 0   600.0 ms  2.200 ms  602.2 ms  602.2 ms       1.400 ms   6.0 MiB
db       running  0         0         0         sampled        -1.500 us

group              own       with children  cycles (tsc)
billing:/          0         602.2 ms       1.806 Gcycles
billing:/tenant-a  602.2 ms  602.2 ms       1.806 Gcycles

groups 602.2 ms = tasks 602.2 ms = process clocks 602.2 ms, of which residual 1.400 ms; \
supervisor 1.900 ms, billed to nobody
";
        assert_eq!(bill(&report(), Style::PLAIN), expected);
    }

    #[test]
    fn sums_that_differ_are_shown_to_the_nanosecond() {
        let mut report = report();
        report.ledger.tasks_ns += 1;
        report.ledger.witness_ns += 1;
        assert!(sums(&report).starts_with(
            "groups 602200000 ns != tasks 602200001 ns = process clocks 602200001 ns,"
        ));
    }

    #[test]
    fn without_cpuacct_there_are_no_groups_in_the_sums() {
        let mut report = report();
        report.groups.truncate(1);
        report.ledger.groups_ns = 0;
        assert!(sums(&report).starts_with("tasks 602.2 ms = process clocks 602.2 ms,"));
        assert!(!bill(&report, Style::PLAIN).contains("group "));
    }
}
