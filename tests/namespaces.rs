//! Machines whose process has namespaces of its own: entered before it runs, seen by the kernel, and a group of their
//! own where `ns` is mounted.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use management::Report;
use support::serve::Serve;
use support::{PATIENCE, Run, kvm, task};

/// What the kernel calls the kinds, of which `namespaces` has the first three and "mount".
const KINDS: [&str; 4] = ["uts", "ipc", "net", "mnt"];

/// Whether machines can have namespaces here.
fn able() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("SKIPPED: only root enters namespaces");
    }
    root && kvm()
}

fn spec(namespaces: &str, notify: bool) -> String {
    format!(
        r#"
[hierarchy.n]
subsystems = ["ns", "cpuset"]
[hierarchy.b]
subsystems = ["cpuacct"]
[group."n:/a"]
notify_on_release = {notify}
[group."n:/b"]
[group."b:/t"]

[vm.m]
memory = "16M"
vcpus = 2
guest = {{ tiny = ["vcpu0: ping", "vcpu0: roots", "vcpu0: print up", "vcpu0: accept 700", "halt"] }}
groups = ["n:/a", "b:/t"]
agent = "delegate"
vsock = {{ path = "m.sock" }}
namespaces = [{namespaces}]

[vm.rest]
memory = "16M"
vcpus = 1
guest = {{ tiny = ["halt"] }}
"#
    )
}

fn pid(report: &Report) -> u32 {
    let mut machines = report.machines.iter();
    machines.find(|row| row.name == "m").expect("is known").pid
}

/// The kinds in which all threads of a process are in one namespace, which is not ours.
fn own(pid: u32) -> Vec<&'static str> {
    let link = |path: String| fs::read_link(path).expect("a namespace");
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it lives");
    let threads: Vec<String> = threads
        .map(|thread| thread.expect("it lives").path().display().to_string())
        .collect();
    let is_own = |kind: &&str| {
        let of_threads = threads
            .iter()
            .map(|thread| link(format!("{thread}/ns/{kind}")));
        let all: BTreeSet<_> = of_threads.collect();
        assert_eq!(all.len(), 1, "{kind} of {pid}: {all:?}");
        !all.contains(&link(format!("/proc/self/ns/{kind}")))
    };
    KINDS.into_iter().filter(is_own).collect()
}

/// Of each living task of the machine, its group where ns is mounted.
fn homes(report: &Report) -> BTreeSet<String> {
    let living = report
        .tasks
        .iter()
        .filter(|task| task.alive && task.machine == "m");
    let groups = living.flat_map(|task| task.groups.iter());
    groups
        .filter(|group| group.starts_with("n:"))
        .cloned()
        .collect()
}

#[test]
fn every_thread_is_in_the_namespaces_asked_for_and_stands_in_a_group_of_its_machines_own() {
    if !able() {
        return;
    }
    for (asked, expected) in [
        (r#""net""#, &["net"][..]),
        (r#""mount", "uts", "ipc", "net""#, &KINDS[..]),
    ] {
        let mut run = Run::start(&spec(asked, true));
        run.line("m | vcpu0: up");
        let report = run.all_running();
        let pid = pid(&report);
        assert_eq!(own(pid), expected);
        let home = format!("n:/a/node_{pid}");
        assert_eq!(homes(&report), [home.clone()].into());
        // It has the CPUs of the group that it is below, and its threads are pinned to them.
        let cpus = run.file("n:/a", "cpuset.cpus");
        assert_eq!(run.file(&home, "cpuset.cpus"), cpus);
        assert_eq!(task(&report, "m/vcpu0").requested_cpus, cpus);
        assert_eq!(task(&report, "rest/vcpu0").groups, ["n:/", "b:/"]);

        // Nobody leaves, and nobody goes down but where nobody is.
        for (group, task) in [
            ("n:/", "m/vcpu0"),
            ("n:/a", "m/vcpu0"),
            ("n:/b", "m/control"),
        ] {
            run.must_refuse(&format!("group attach {group} {task}"), "EPERM");
        }
        run.must(&format!("group mkdir {home}/in"));
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let value = run.file(&home, file);
            run.must(&format!("group set {home}/in {file} {value}"));
        }
        run.must(&format!("group attach {home}/in m/vcpu1"));
        run.must_refuse(&format!("group attach {home}/in m/vcpu0"), "EPERM");
        run.must_refuse(&format!("group attach {home} m/vcpu1"), "EPERM");

        // Its end is a release, and who asked for that has the group to remove.
        run.must("vm stop --force m");
        run.line(&format!("{home}/in released"));
        run.must(&format!("group rmdir {home}/in"));
        run.line(&format!("{home} released"));
        run.must(&format!("group rmdir {home}"));
        run.must("vm stop --force rest");
        run.end();
    }
}

#[test]
fn a_guest_has_its_agent_and_its_sockets_also_from_a_net_and_mount_namespace_of_its_own() {
    if !able() {
        return;
    }
    let mut run = Run::start(&spec(r#""net", "mount""#, false));
    // The names of groups made for namespaces are thread ids of the host: no guest sees them.
    run.line("m | vcpu0: pong");
    run.line("m | vcpu0: root b delegate cpuacct");
    run.line("m | vcpu0: up");
    assert!(
        !run.seen.iter().any(|line| line.contains("root n ")),
        "{:?}",
        run.seen
    );
    let socket = run.scratch.path().join("m.sock");
    let mut client = UnixStream::connect(socket).expect("the machine listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a socket");
    client.write_all(b"CONNECT 700\n").expect("taken");
    let mut client = BufReader::new(client);
    let mut answer = String::new();
    client.read_line(&mut answer).expect("an answer");
    assert!(answer.starts_with("OK "), "{answer:?}");
    client.get_mut().write_all(b"over the wall").expect("taken");
    let writes = client.get_mut().shutdown(Shutdown::Write);
    writes.expect("it is open");
    let mut echo = String::new();
    client.read_to_string(&mut echo).expect("an echo");
    assert_eq!(echo, "over the wall");
    run.must("vm stop --force m");
    run.must("vm stop --force rest");
    run.end();
}

#[test]
fn a_group_that_nobody_asked_to_hear_of_goes_with_its_machine() {
    if !able() {
        return;
    }
    let serve = Serve::start();
    serve.must(&["hierarchy", "mount", "n", "ns"]);
    serve.must(&["group", "mkdir", "n:/a"]);
    let table = "memory = \"16M\"\nvcpus = 1\nguest = { tiny = [\"halt\"] }\ngroups = [\"n:/a\"]\n";
    let file = |name: &str, more: &str| {
        serve.file(
            &format!("{name}.toml"),
            &format!("[vm.{name}]\n{table}{more}\n"),
        )
    };
    let own = "namespaces = [\"uts\"]";
    serve.must(&["vm", "create", &file("one", own)]);
    serve.must(&["vm", "create", &file("two", own)]);
    // One that shares the host's namespaces is born into the group itself, others or not.
    serve.must(&["vm", "create", &file("plain", "")]);
    serve.must(&["vm", "create", &file("other", "")]);
    for name in ["one", "two", "plain", "other"] {
        serve.machine_is(name, "running");
    }
    let home = |report: &Report, name: &str| {
        let of_it = report.tasks.iter().filter(|task| task.machine == name);
        let groups: BTreeSet<String> = of_it.flat_map(|task| task.groups.clone()).collect();
        assert_eq!(groups.len(), 1, "{groups:?}");
        groups.into_iter().next().unwrap_or_default()
    };
    let report = serve.report();
    let homes = ["one", "two"].map(|name| home(&report, name));
    assert!(
        homes.iter().all(|home| home.starts_with("n:/a/node_")),
        "{homes:?}"
    );
    assert_ne!(homes[0], homes[1]);
    for plain in ["plain", "other"] {
        assert_eq!(home(&report, plain), "n:/a");
    }
    serve.must(&["vm", "stop", "--force", "--wait", "one"]);
    let left = |report: &Report| {
        let groups = report.groups.iter().map(|group| group.group.clone());
        groups
            .filter(|group| group.contains("node_"))
            .collect::<Vec<_>>()
    };
    let report = serve.report_where("its group is gone", |report| left(report).len() == 1);
    assert_eq!(left(&report), [homes[1].clone()]);
    // Started again it is another process, with a group of its name.
    serve.must(&["vm", "start", "one"]);
    let report = serve.machine_is("one", "running");
    assert_eq!(left(&report).len(), 2);
    assert!(left(&report).contains(&home(&report, "two")));

    let apart = format!(
        "[vm.apart]\n{}{own}\n[vm.apart.groups]\nvcpu = [\"n:/a\"]\n",
        table.replace("groups = [\"n:/a\"]\n", "")
    );
    let apart = serve.file("apart.toml", &apart);
    serve.must_refuse(&["vm", "create", &apart], "its tasks stand together in n");
    let pid = serve.file(
        "pid.toml",
        &format!("[vm.p]\n{table}namespaces = [\"pid\"]\n"),
    );
    serve.must_refuse(&["vm", "create", &pid], "could not announce its threads");
}
