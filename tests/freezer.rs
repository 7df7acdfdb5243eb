//! The freezer: a frozen group's vCPUs are out of their guests and use no CPU, also ones that come later.

mod support;

use std::time::{Duration, Instant};

use management::Report;
use support::{PATIENCE, Run, kernel, kvm, task};

/// Two machines that compute without end, below one group, and one that is born into a frozen group.
const SPEC: &str = r#"
[hierarchy.state]
subsystems = ["freezer"]
[group."state:/a"]
[group."state:/a/b"]
[group."state:/cold"]
files = { "freezer.state" = "FROZEN" }

[vm.one]
memory = "16M"
vcpus = 1
guest = { tiny = ["print up", "forever"] }
groups = ["state:/a"]

[vm.two]
memory = "16M"
vcpus = 1
guest = { tiny = ["print up", "forever"] }
groups = ["state:/a/b"]
"#;

const LATE: &str = r#"
[vm.late]
memory = "16M"
vcpus = 2
guest = { tiny = ["print up", "exit"] }
groups = ["state:/cold"]
"#;

/// What a frozen thread may use in a second: nothing, but that a thread may still be on its way to sleep.
const NOTHING_NS: u64 = 1_000_000;

/// Threads of a report, by the kernel's word.
struct Threads(Vec<(u32, u32)>);

impl Threads {
    fn of(report: &Report, names: &[&str]) -> Threads {
        let threads = names.iter().map(|name| {
            let task = task(report, name);
            let mut machines = report.machines.iter();
            let machine = machines.find(|machine| machine.name == task.machine);
            (machine.expect("its machine").pid, task.tid)
        });
        Threads(threads.collect())
    }

    fn used(&self) -> Vec<u64> {
        let used = self.0.iter().map(|(pid, tid)| kernel::cpu_time(*pid, *tid));
        used.collect()
    }

    /// None of them runs for a second.
    fn rest(&self) {
        let before = self.used();
        std::thread::sleep(Duration::from_secs(1));
        let after = self.used();
        for (before, after) in before.iter().zip(&after) {
            let used = after - before;
            assert!(used <= NOTHING_NS, "{used} ns while frozen");
        }
    }

    /// Wait until each of them has used more than a frozen one can.
    fn run(&self) {
        let before = self.used();
        let deadline = Instant::now() + PATIENCE;
        let all_ran = |now: Vec<u64>| {
            let mut pairs = before.iter().zip(now);
            pairs.all(|(before, now)| now > before + 20 * NOTHING_NS)
        };
        while !all_ran(self.used()) {
            assert!(Instant::now() < deadline, "they do not run");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Wait until a group's state is this.
fn becomes(run: &mut Run, group: &str, state: &str) {
    let deadline = Instant::now() + PATIENCE;
    while run.file(group, "freezer.state") != state {
        assert!(Instant::now() < deadline, "{group} does not become {state}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn frozen_vcpus_use_no_cpu_and_thawed_ones_do_also_those_that_come_later() {
    if !kvm() {
        return;
    }
    let mut run = Run::start(SPEC);
    run.line("one | vcpu0: up");
    run.line("two | vcpu0: up");
    let report = run.report();
    let vcpus = |names: &[&str]| Threads::of(&report, names);
    let both = vcpus(&["one/vcpu0", "two/vcpu0"]);
    both.run();
    run.must("group set state:/a freezer.state FROZEN");
    run.line("state:/a frozen");
    assert_eq!(run.file("state:/a/b", "freezer.state"), "FROZEN");
    assert_eq!(run.file("state:/a/b", "freezer.parent_freezing"), "1");
    assert_eq!(
        run.file("state:/a", "cgroup.events"),
        "populated 1 frozen 1"
    );
    both.rest();
    // The child's own flag outlasts its parent's.
    run.must("group set state:/a/b freezer.state FROZEN");
    run.must("group set state:/a freezer.state THAWED");
    vcpus(&["one/vcpu0"]).run();
    vcpus(&["two/vcpu0"]).rest();
    // One that computes comes into a frozen group, and one goes out of it.
    run.must("group attach state:/cold one/vcpu0");
    becomes(&mut run, "state:/cold", "FROZEN");
    both.rest();
    run.must("group attach state:/ two/vcpu0 ; group attach state:/ one/vcpu0");
    both.run();
    assert_eq!(
        run.file("state:/cold", "freezer.state"),
        "FROZEN",
        "it is empty"
    );
    run.must("vm stop one");
    run.must("vm stop two");
    let ended = run.end();
    let ends = ended
        .report
        .machines
        .iter()
        .map(|machine| machine.end.as_deref());
    assert_eq!(
        ends.collect::<Vec<_>>(),
        [Some("stopped"); 2],
        "{}",
        ended.stderr
    );
    let told = ended
        .report
        .events
        .iter()
        .filter(|event| event.kind == "group_thawed");
    let told: Vec<&str> = told.map(|event| event.text.as_str()).collect();
    assert_eq!(told, ["state:/a thawed"], "its child was frozen still");
}

#[test]
fn who_is_born_into_a_frozen_group_runs_no_guest_instruction_until_it_is_thawed() {
    if !kvm() {
        return;
    }
    let mut run = Run::start(&format!("{SPEC}{LATE}"));
    run.line("one | vcpu0: up");
    becomes(&mut run, "state:/cold", "FROZEN");
    let report = run.all_running();
    Threads::of(&report, &["late/vcpu0", "late/vcpu1"]).rest();
    assert!(
        !run.hears("late | ", Duration::ZERO),
        "a serial byte of a frozen guest"
    );
    // A pause comes and goes, and changes nothing.
    run.must("vm pause late");
    run.line("late is out of its guest");
    run.must("vm resume late");
    run.line("late is in its guest again");
    assert!(
        !run.hears("late | ", Duration::from_millis(300)),
        "a resume thawed"
    );
    run.must("group set state:/cold freezer.state THAWED");
    run.line("late | vcpu");
    run.line("late has ended: exit 0");
    run.must("vm stop one");
    run.must("vm stop two");
    run.end();
}

#[test]
fn a_frozen_machine_can_be_stopped_and_killed() {
    if !kvm() {
        return;
    }
    let mut run = Run::start(SPEC);
    run.line("one | vcpu0: up");
    run.line("two | vcpu0: up");
    run.must("group set state:/a freezer.state FROZEN");
    becomes(&mut run, "state:/a", "FROZEN");
    run.must("vm stop one");
    run.line("one has ended: stopped");
    run.must("vm stop --force two");
    run.line("two has ended: killed on request");
    run.end();
}

/// Its guest moves a vCPU of its own into a group and freezes that.
const OWN: &str = r#"
[hierarchy.state]
subsystems = ["freezer"]
[group."state:/web"]

[vm.web]
memory = "16M"
vcpus = 2
agent = "delegate"
groups = ["state:/web"]
guest = { tiny = [
    "vcpu1: forever",
    "vcpu0: mkdir state:/pen ; attach vcpu1 state:/pen",
    "vcpu0: subscribe",
    "vcpu0: set state:/pen freezer.state FROZEN",
    "vcpu0: wait event",
    "vcpu0: wait event",
    "vcpu0: get state:/pen freezer.state",
    "vcpu0: set state:/ freezer.state FROZEN",
    "vcpu0: halt",
] }
"#;

#[test]
fn a_guest_freezes_its_own_and_is_told_but_not_its_root() {
    if !kvm() {
        return;
    }
    let mut run = Run::start(OWN);
    run.line_where("the write", |line| {
        line.contains("written state:/pen freezer.state FROZEN")
    });
    run.line_where("the state", |line| {
        line.starts_with("web | ") && line.contains(" frozen state:/pen")
    });
    run.line("get state:/pen freezer.state: FROZEN");
    run.line("refused set state:/ freezer.state FROZEN");
    let report = run.report();
    Threads::of(&report, &["web/vcpu1"]).rest();
    // The host's word counts there as anywhere.
    run.must("group set state:/web/pen freezer.state THAWED");
    Threads::of(&report, &["web/vcpu1"]).run();
    run.must("vm stop web");
    run.end();
}
