//! Pictures, as they are drawn.

use super::*;
use management::Drift;

fn group(name: &str, depth: usize, tasks: &[&str]) -> Group {
    Group {
        group: name.into(),
        depth,
        tasks: tasks.iter().map(|&task| task.to_owned()).collect(),
        ..Group::default()
    }
}

fn pinned(name: &str, depth: usize, cpus: [&str; 2], tasks: &[&str]) -> Group {
    let [requested, effective] = cpus.map(|cpus| Some(cpus.to_owned()));
    Group {
        requested_cpus: requested,
        effective_cpus: effective,
        ..group(name, depth, tasks)
    }
}

fn billed(name: &str, depth: usize, usage_ns: u64) -> Group {
    Group {
        usage_ns: Some(usage_ns),
        cycles: Some(usage_ns * 3),
        ..group(name, depth, &[])
    }
}

fn report() -> Report {
    let machine = |name: &str, end: Option<&str>| Machine {
        name: name.into(),
        pid: 4711,
        state: "running".into(),
        first_output_after_ns: Some(2_143_000),
        end: end.map(str::to_owned),
        ended_after_ns: end.map(|_| 412_345_678),
        ..Machine::default()
    };
    let released = |id: &str, group: &str| Event {
        id: id.into(),
        kind: "released".into(),
        group: Some(group.into()),
        text: format!("{group} released"),
        ..Event::default()
    };
    Report {
        machines: vec![machine("web", None), machine("db", Some("exit 0"))],
        groups: vec![
            pinned("placement:/", 0, ["0-1", "0-1"], &[]),
            pinned("placement:/gold", 1, ["0", "0"], &[]),
            pinned("placement:/gold/hot", 2, ["0", "0"], &["web/vcpu1"]),
            pinned(
                "placement:/gold/web",
                2,
                ["0", "0"],
                &["web/vcpu0", "web/io", "web/control"],
            ),
            pinned("placement:/silver", 1, ["0-3", "0-1"], &[]),
            pinned("placement:/tin", 1, ["", "0-1"], &["db/io"]),
            billed("billing:/", 0, 1_204_000_000),
            billed("billing:/tenant-a", 1, 1_204_000_000),
        ],
        events: vec![
            released("1.7", "placement:/silver"),
            released("1.9", "placement:/silver"),
        ],
        drift: vec![Drift {
            task: "web/vcpu0".into(),
            requested_cpus: "0".into(),
            observed_cpus: "0-1".into(),
            repaired: true,
        }],
        ..Report::default()
    }
}

#[test]
fn the_trees_show_cpus_tasks_releases_and_bills() {
    let expected = "\
web  running                pid 4711  first output after 2.143 ms
db   exit 0 after 412.3 ms  pid 4711  first output after 2.143 ms

placement:/  cpus 0-1
├─ gold      cpus 0
│  ├─ hot    cpus 0           web/vcpu1
│  └─ web    cpus 0           web/vcpu0,io,control
├─ silver    cpus 0-3 → 0-1   released (#9)
└─ tin       cpus none → 0-1  db/io

billing:/    1.204 s  3.612 Gcycles
└─ tenant-a  1.204 s  3.612 Gcycles

drift: web/vcpu0 was found on CPUs 0-1 instead of 0, repaired
";
    let style = Style {
        width: 100,
        utf8: true,
    };
    assert_eq!(tree(&report(), style), expected);
}

#[test]
fn a_narrow_terminal_without_utf8_cuts_lines_and_draws_in_ascii() {
    let expected = "\
web  running              ~
db   exit 0 after 412.3 ms~

placement:/  cpus 0-1
|- gold      cpus 0
|  |- hot    cpus 0       ~
|  `- web    cpus 0       ~
|- silver    cpus 0-3 -> 0~
`- tin       cpus none -> ~

billing:/    1.204 s  3.61~
`- tenant-a  1.204 s  3.61~

drift: web/vcpu0 was found~
";
    let style = Style {
        width: 27,
        utf8: false,
    };
    assert_eq!(tree(&report(), style), expected);
}

#[test]
fn tasks_of_a_machine_stand_together_and_runs_of_vcpus_are_shortened() {
    let shown = |names: &[&str]| {
        tasks(
            &names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        shown(&["b/vcpu10", "b/vcpu2", "a/io", "b/vcpu1", "b/vcpu0"]),
        "a/io b/vcpu0-2,vcpu10"
    );
    assert_eq!(
        shown(&["a/control", "a/io", "a/vcpu1", "b/vcpu2"]),
        "a/vcpu1,control,io b/vcpu2"
    );
}

#[test]
fn a_name_cannot_steer_the_terminal() {
    let report = Report {
        groups: vec![group("a:/\x1b[2J", 1, &[])],
        ..Report::default()
    };
    assert!(!tree(&report, Style::PLAIN).contains('\x1b'));
}

#[test]
fn an_event_is_a_line() {
    let event = Event {
        id: "1.12".into(),
        text: "placement:/gold/hot released".into(),
        ..Event::default()
    };
    assert_eq!(super::event(&event), "  #12  placement:/gold/hot released");
}
