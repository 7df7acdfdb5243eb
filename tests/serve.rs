//! `pinfold serve` and every verb that asks it, with guests that run: what a script sees, and what the kernel says.

mod support;

#[path = "serve/apply.rs"]
mod apply;
#[path = "serve/apply_machines.rs"]
mod apply_machines;
#[path = "serve/asking.rs"]
mod asking;
#[path = "serve/groups.rs"]
mod groups;
#[path = "serve/machines.rs"]
mod machines;
#[path = "serve/rights.rs"]
mod rights;
#[path = "serve/threads.rs"]
mod threads;

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use support::kernel::{affinity, assert_pinned, eventually, threads};
use support::serve::{Serve, assert_refused, to_end};
use support::{PINFOLD, Run, kvm, two_cpus};

/// A machine that stays, in the groups of `placed`.
const WEB: &str = r#"
[vm.web]
memory = "16M"
vcpus = 2
agent = "read"
groups = ["placement:/gold"]
guest = { tiny = ["vcpu0: print born", "vcpu0: serve", "vcpu1: halt"] }
"#;

/// A supervisor with one placed group, on one CPU.
fn placed(cpu: u32) -> Serve {
    let serve = Serve::start();
    serve.must(&["hierarchy", "mount", "placement", "cpuset"]);
    serve.must(&["group", "mkdir", "placement:/gold"]);
    let cpu = cpu.to_string();
    serve.must(&["group", "set", "placement:/gold", "cpuset.cpus", &cpu]);
    serve.must(&["group", "set", "placement:/gold", "cpuset.mems", "0"]);
    serve
}

/// Processes whose parent this is.
fn children(of: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| state_and_parent(*pid).is_some_and(|(_, parent)| parent == of))
        .collect()
}

/// Whether there is such a process, and not only its exit code.
fn lives(pid: u32) -> bool {
    state_and_parent(pid).is_some_and(|(state, _)| state != "Z" && state != "X")
}

fn state_and_parent(pid: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold spaces and brackets.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

#[test]
fn every_thread_of_a_machine_that_was_created_is_pinned_before_and_after_a_move() {
    let Some((one, other)) = kvm().then(two_cpus).flatten() else {
        return;
    };
    let serve = placed(one);
    serve.must(&["vm", "create", &serve.file("web.toml", WEB)]);
    let report = serve.machine_is("web", "running");
    assert_pinned(&report);
    let pid = report.machines[0].pid;
    let all_on = |cpu: u32| {
        let tids = threads(pid);
        assert!(tids.len() >= 4, "two vCPUs, io and control: {tids:?}");
        for tid in tids {
            let found = affinity(pid, tid).expect("a live thread");
            assert_eq!(found.to_string(), cpu.to_string(), "thread {tid}");
        }
    };
    all_on(one);
    let cpus = other.to_string();
    serve.must(&["group", "set", "placement:/gold", "cpuset.cpus", &cpus]);
    all_on(other);
    assert_pinned(&serve.report());
}

#[test]
fn one_supervisor_serves_a_host_and_no_private_run_beside_it() {
    if !kvm() {
        return;
    }
    let serve = Serve::start();
    let elsewhere = serve.scratch.path().join("other.sock");
    let second = ["serve", "--socket", elsewhere.to_str().expect("UTF-8")];
    serve.must_refuse(&second, "one supervisor serves a host");
    assert!(!elsewhere.exists(), "a refused supervisor listens nowhere");
    let spec = serve.file(
        "run.toml",
        &WEB.replace("groups = [\"placement:/gold\"]", ""),
    );
    serve.must_refuse(&["run", &spec], "a private run beside it is refused");
    assert_eq!(serve.must(&["vm", "ls"]), "");
}

#[test]
fn a_supervisor_is_refused_beside_a_private_run() {
    if !kvm() {
        return;
    }
    let alone = WEB.replace("groups = [\"placement:/gold\"]", "");
    let mut run = Run::start(&alone);
    run.line("born");
    let mut serve = Command::new(PINFOLD);
    serve
        .arg("serve")
        .arg("--state-dir")
        .arg(run.scratch.path().join("state"))
        .env("XDG_RUNTIME_DIR", run.scratch.path())
        .env_remove("PINFOLD_SOCKET");
    assert_refused(&to_end(serve), &["serve"], "one supervisor serves a host");
    run.must("vm stop --force web");
    run.end();
}

#[test]
fn a_supervisor_told_to_end_takes_its_machines_and_its_socket_with_it() {
    let Some((one, _)) = kvm().then(two_cpus).flatten() else {
        return;
    };
    let mut serve = placed(one);
    let about = fs::symlink_metadata(serve.socket()).expect("the socket");
    assert!(about.file_type().is_socket());
    assert_eq!(about.permissions().mode() & 0o777, 0o660);
    serve.must(&["vm", "create", &serve.file("web.toml", WEB)]);
    serve.machine_is("web", "running");
    let again = "[vm.again]\nmemory = \"16M\"\nvcpus = 1\nrestart = \"always\"\nguest = { tiny = [\"exit\"] }\n";
    serve.must(&["vm", "create", &serve.file("again.toml", again)]);
    serve.hears("machine_restarting");
    let processes = children(serve.pid());
    assert!(!processes.is_empty());
    let told = Instant::now();
    let (code, stderr) = serve.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(told.elapsed() < Duration::from_secs(9), "its grace ran out");
    assert!(
        stderr.contains("web has ended: stopped"),
        "asked, not killed: {stderr}"
    );
    assert!(!serve.socket().exists());
    eventually("no process is left", || {
        !processes.iter().any(|pid| lives(*pid))
    });
    let (code, _, err) = serve.cli(&["vm", "ls"]);
    assert_eq!(code, Some(1), "nobody is there, which is no refusal: {err}");
    assert!(err.contains("no supervisor listens at"), "{err}");
}

#[test]
fn a_supervisor_that_is_killed_leaves_no_machine_and_its_successor_takes_the_socket() {
    if !kvm() {
        return;
    }
    let alone = WEB.replace("groups = [\"placement:/gold\"]", "");
    let first = Serve::start();
    first.must(&["vm", "create", &first.file("web.toml", &alone)]);
    let pid = first.machine_is("web", "running").machines[0].pid;
    let process = host::Process::open(first.pid()).expect("a pidfd of our child");
    process.kill().expect("our child can be killed");
    eventually("its machine has gone too", || !lives(pid));
    // Its lock goes with its last descriptor, which may be after its machine.
    eventually("it has gone itself", || !lives(first.pid()));
    assert!(first.socket().exists(), "nobody was there to remove it");
    let _second = first.follow(&["serve", "--state-dir", "state"]);
    eventually("a successor answers", || {
        thread::sleep(Duration::from_millis(20));
        first.cli(&["vm", "ls"]).0 == Some(0)
    });
}
