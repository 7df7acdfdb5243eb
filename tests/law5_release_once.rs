//! Law 5: each transition to empty makes exactly one event, numbered in commit order.

mod support;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use management::Report;
use support::random::Random;
use support::{Run, Scratch, kvm};

const SPEC: &str = r#"
[hierarchy.placement]
subsystems = ["debug"]
[group."placement:/yard"]
notify_on_release = true

[vm.m]
memory = "16M"
vcpus = 4
guest = { tiny = ["vcpu0: print up", "halt"] }
"#;

fn released(report: &Report) -> Vec<String> {
    let events = report
        .events
        .iter()
        .filter(|event| event.kind == "released");
    events.filter_map(|event| event.group.clone()).collect()
}

/// Numbers count from 1 without a hole, all of one epoch.
fn assert_numbered(report: &Report) {
    let numbers: Vec<_> = report
        .events
        .iter()
        .map(|event| event.id.split_once('.').expect("EPOCH.SEQ"))
        .collect();
    for (number, expected) in numbers.iter().zip(1_u64..) {
        assert_eq!(number.1.parse(), Ok(expected));
        assert_eq!(number.0, numbers[0].0);
    }
}

/// Random lives of groups and stays of tasks, beside a model that counts occupants.
#[test]
fn two_hundred_random_lifetimes_release_each_exactly_once_in_order() {
    if !kvm() {
        return;
    }
    let mut random = Random::seeded();
    let mut run = Run::start(SPEC);
    run.line("m | vcpu0: up");
    let mut homes: [String; 4] = std::array::from_fn(|_| "placement:/".into());
    // Occupants (tasks and child groups) of each living group that notifies, beside the root.
    let mut groups: BTreeMap<String, usize> = BTreeMap::from([("placement:/yard".into(), 0)]);
    let mut expected = Vec::new();
    let mut lifetimes = 0;
    let leave = |groups: &mut BTreeMap<String, usize>, expected: &mut Vec<String>, group: &str| {
        if let Some(occupants) = groups.get_mut(group) {
            *occupants -= 1;
            if *occupants == 0 {
                expected.push(group.to_owned());
            }
        }
    };
    while lifetimes < 200 {
        let living: Vec<String> = groups.keys().cloned().collect();
        let some = living[random.below(living.len())].clone();
        match random.below(4) {
            0 if groups.len() < 12 && some.matches('/').count() < 5 => {
                lifetimes += 1;
                let group = format!("{some}/g{lifetimes}");
                run.must(&format!("group mkdir {group}")); // notify_on_release is inherited
                *groups.get_mut(&some).unwrap() += 1;
                groups.insert(group, 0);
            }
            1 if groups[&some] == 0 && some != "placement:/yard" => {
                run.must(&format!("group rmdir {some}"));
                groups.remove(&some);
                let parent = some.rsplit_once('/').unwrap().0.to_owned();
                leave(&mut groups, &mut expected, &parent);
            }
            _ => {
                let vcpu = random.below(4);
                let to = if random.below(4) == 0 {
                    "placement:/".to_owned()
                } else {
                    some
                };
                if homes[vcpu] == to {
                    continue;
                }
                run.must(&format!("group attach {to} m/vcpu{vcpu}"));
                if let Some(occupants) = groups.get_mut(&to) {
                    *occupants += 1;
                }
                let from = std::mem::replace(&mut homes[vcpu], to);
                leave(&mut groups, &mut expected, &from);
            }
        }
    }
    // The machine's death empties what is left, all in one commit.
    run.must("vm stop --force m");
    let mut at_death: Vec<String> = homes
        .iter()
        .filter(|home| groups.contains_key(*home))
        .cloned()
        .collect();
    at_death.sort();
    at_death.dedup();
    // A group whose child still stands is not empty when its last task goes.
    at_death.retain(|group| {
        !groups
            .keys()
            .any(|other| other.starts_with(&format!("{group}/")))
    });
    let report = run.end().report;
    let seen = released(&report);
    println!("{} releases over {lifetimes} lifetimes", seen.len());
    assert!(
        expected.len() >= 100,
        "too few releases to prove anything: {}",
        expected.len()
    );
    assert_eq!(&seen[..expected.len()], &expected[..], "in commit order");
    let mut last = seen[expected.len()..].to_vec();
    last.sort();
    assert_eq!(last, at_death);
    assert_numbered(&report);
}

#[test]
fn a_flag_set_on_an_empty_group_fires_nothing() {
    if !kvm() {
        return;
    }
    let mut run = Run::start(SPEC);
    run.line("m | vcpu0: up");
    run.must("group set placement:/yard notify_on_release 0");
    run.must("group set placement:/yard notify_on_release 1");
    run.must("group mkdir placement:/yard/quiet");
    run.must("group set placement:/yard/quiet notify_on_release 0");
    run.must("group attach placement:/yard/quiet m/vcpu1");
    run.must("group attach placement:/ m/vcpu1");
    assert_eq!(released(&run.report()), Vec::<String>::new());
    run.must("vm stop --force m");
    run.end();
}

/// The agent is run with the program and the group's path, the environment of a kernel release agent,
/// no descriptor but the null device's, and no right of the supervisor's.
#[test]
fn the_release_agent_is_run_with_the_groups_path_and_nothing_of_the_supervisors() {
    if !kvm() {
        return;
    }
    let scratch = Scratch::new();
    let told = scratch.path().join("told");
    let yard = Permissions::from_mode(0o777);
    std::fs::create_dir(&told).unwrap();
    std::fs::set_permissions(&told, yard).unwrap();
    let script = format!(
        "#!/bin/sh\nexec > {told}/new\necho \"argument $1 $#\"\nenv | sort\nls -l /proc/self/fd\nid -u\nmv {told}/new {told}/done\n",
        told = told.display()
    );
    let agent = scratch.file("agent", &script);
    let executable = Permissions::from_mode(0o755);
    std::fs::set_permissions(&agent, executable).unwrap();
    let spec = format!(
        r#"
[hierarchy.placement]
subsystems = ["debug"]
release_agent = "{}"
[group."placement:/yard"]
notify_on_release = true
[vm.m]
memory = "16M"
vcpus = 1
guest = {{ tiny = ["exit"] }}
groups = ["placement:/yard"]
[vm.clock]
memory = "16M"
vcpus = 1
guest = {{ tiny = ["halt"] }}
"#,
        agent.display()
    );
    let mut run = Run::start_in(scratch, &spec, |_| ());
    run.line("release agent for placement:/yard: exit status: 0");
    let said = std::fs::read_to_string(told.join("done")).expect("the agent's own words");
    assert!(said.contains("argument /yard 1"), "{said}");
    assert!(
        said.contains("HOME=/\n") && said.contains("PATH=/sbin:/bin:/usr/sbin:/usr/bin\n"),
        "{said}"
    );
    for leaked in ["XDG_RUNTIME_DIR", "CARGO", "socket:", "anon_inode", "kvm"] {
        assert!(!said.contains(leaked), "{leaked} leaked: {said}");
    }
    if rustix::process::geteuid().is_root() {
        assert!(said.contains("65534"), "{said}");
    }
    run.must("vm stop --force clock");
    assert_eq!(released(&run.end().report), ["placement:/yard"]);
}
