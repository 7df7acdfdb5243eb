//! Reports for the tests of this folder.

use management::{Event, Group, Machine, Report, Task};

/// One second.
pub const SECOND: u64 = 1_000_000_000;

pub fn task(name: &str, groups: &[&str], cpus: [&str; 2], counts: [u64; 2]) -> Task {
    let machine = name.split('/').next().unwrap_or_default();
    let [requested, observed] = cpus.map(str::to_owned);
    Task {
        name: name.into(),
        machine: machine.into(),
        alive: true,
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
        requested_cpus: requested,
        observed_cpus: observed,
        usage_ns: counts[0],
        wait_ns: counts[1],
        ..Task::default()
    }
}

pub fn group(name: &str, depth: usize, cpus: Option<[&str; 2]>, tasks: &[&str]) -> Group {
    Group {
        group: name.into(),
        depth,
        requested_cpus: cpus.map(|[requested, _]| requested.to_owned()),
        effective_cpus: cpus.map(|[_, effective]| effective.to_owned()),
        tasks: tasks.iter().map(|&task| task.to_owned()).collect(),
        ..Group::default()
    }
}

fn event(number: u64, text: &str) -> Event {
    Event {
        id: format!("1f.{number}"),
        text: text.into(),
        ..Event::default()
    }
}

/// Two machines in two hierarchies, `seconds` after their start: `web/vcpu1` uses all of its CPU, and `db/vcpu0`
/// half of one, for which it waits a tenth of the time.
pub fn two_groups(seconds: u64) -> Report {
    let at = |tenths: u64| seconds * SECOND / 10 * tenths;
    let billed = |name: &str, depth, usage_ns, tasks: &[&str]| Group {
        usage_ns: Some(usage_ns),
        ..group(name, depth, None, tasks)
    };
    let machine = |name: &str, state: &str| Machine {
        name: name.into(),
        pid: 4711,
        state: state.into(),
        ..Machine::default()
    };
    let web = ["web/vcpu0", "web/control", "web/io"];
    let db = ["db/vcpu0", "db/control", "db/io"];
    let [gold, hot] = ["placement:/gold/web", "placement:/gold/web/hot"];
    let [a, b] = ["billing:/tenant-a", "billing:/tenant-b"];
    Report {
        tasks: vec![
            task("web/vcpu0", &[gold, a], ["0", "0"], [0, 0]),
            task("web/vcpu1", &[hot, a], ["0", "0"], [at(10), 0]),
            task("web/control", &[gold, a], ["0", "0"], [0, 0]),
            task("web/io", &[gold, a], ["0", "0"], [0, 0]),
            task(
                "db/vcpu0",
                &["placement:/silver", b],
                ["1-3", "1-2"],
                [at(5), at(1)],
            ),
            task(
                "db/control",
                &["placement:/silver", b],
                ["1-3", "1-2"],
                [0, 0],
            ),
            task("db/io", &["placement:/silver", b], ["1-3", "1-2"], [0, 0]),
        ],
        groups: vec![
            group("placement:/", 0, Some(["0-2", "0-2"]), &[]),
            group("placement:/gold", 1, Some(["0", "0"]), &[]),
            group(gold, 2, Some(["0", "0"]), &web),
            group(hot, 3, Some(["0", "0"]), &["web/vcpu1"]),
            group("placement:/silver", 1, Some(["1-3", "1-2"]), &db),
            billed("billing:/", 0, at(15), &[]),
            billed(
                a,
                1,
                at(10),
                &["web/vcpu0", "web/vcpu1", "web/control", "web/io"],
            ),
            billed(b, 1, at(5), &db),
        ],
        events: vec![
            event(54, "web stands in its groups and runs"),
            event(58, "placement:/gold/web/hot released"),
        ],
        machines: vec![machine("web", "running"), machine("db", "paused")],
        ..Report::default()
    }
}
