//! `pinfold apply` where machines are in the way, fail, or come and go beside it.

use std::io::Write;
use std::os::unix::net::UnixStream;

use management::api::{Applied, ApplyRequest, Plan};
use management::client::Client;
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};

use crate::support::kernel::{affinity, assert_pinned, threads};
use crate::support::serve::Serve;
use crate::support::{kvm, two_cpus};

/// A machine of one vCPU that halts.
fn vm(name: &str, more: &str) -> String {
    format!(
        "[vm.{name}]\nmemory = \"16M\"\nvcpus = 1\nguest = {{ tiny = [\"print born\", \"halt\"] }}\n{more}\n"
    )
}

fn group(name: &str, cpus: &str) -> String {
    format!("[group.\"p:/{name}\"]\nfiles = {{ \"cpuset.cpus\" = \"{cpus}\" }}\n")
}

const P: &str = "[hierarchy.p]\nsubsystems = [\"cpuset\"]\n";

fn pid(report: &management::Report, name: &str) -> u32 {
    let machine = report.machines.iter().find(|machine| machine.name == name);
    machine.unwrap_or_else(|| panic!("no {name}")).pid
}

/// Every group, its CPUs and its tasks; not what they have used.
fn groups(serve: &Serve) -> Vec<String> {
    let report = serve.report();
    let line = |group: &management::Group| {
        let mut tasks = group.tasks.clone();
        tasks.sort_unstable();
        let (path, cpus) = (&group.group, &group.requested_cpus);
        format!("{path} {cpus:?} {tasks:?}")
    };
    report.groups.iter().map(line).collect()
}

#[test]
fn a_machine_that_runs_otherwise_is_made_anew_and_the_others_are_not_touched() {
    let Some((cpu, _)) = kvm().then(two_cpus).flatten() else {
        return;
    };
    let serve = Serve::start();
    let cpu = cpu.to_string();
    let one_to_one = format!(
        "[group.\"p:/one\"]\nfiles = {{ \"cpuset.cpus\" = \"{cpu}\", \"cpuset.placement\" = \"one-to-one\" }}\n"
    );
    let on = "[vm.m.groups]\nvcpu = [\"p:/one\"]\n";
    let (m, other) = (vm("m", on), vm("other", ""));
    let before = [P, &one_to_one, &m, &other].concat();
    serve.must(&["apply", &serve.file("s.toml", &before)]);
    let report = serve.machine_is("m", "running");
    let (was, stays) = (pid(&report, "m"), pid(&report, "other"));

    let after = [P, &one_to_one, &m.replace("16M", "32M"), &other].concat();
    let spec = serve.file("s.toml", &after);
    let would = serve.must(&["apply", &spec, "--dry-run"]);
    let why = "would stop m, to be made anew: machine m runs with memory 16777216 bytes and the spec says memory 33554432 bytes\nwould start m\n";
    assert!(would.contains(why), "{would}");
    assert_eq!(pid(&serve.report(), "m"), was);
    let done = serve.must(&["apply", &spec]);
    assert_eq!(
        format!("{done}nothing was changed\n"),
        would.replace("would ", "")
    );
    let report = serve.machine_is("m", "running");
    assert_ne!(pid(&report, "m"), was);
    assert_eq!(pid(&report, "other"), stays);
    assert_pinned(&report);
    let ended = report
        .events
        .iter()
        .find(|event| event.kind == "machine_ended" && event.machine.as_deref() == Some("m"));
    assert_eq!(ended.expect("it ended").text, "m has ended: stopped");

    // In the way: the only seat is to be another's, and its group is to go.
    let n = vm("n", on).replace("vm.m", "vm.n");
    serve.must(&[
        "apply",
        &serve.file("s.toml", &[P, &one_to_one, &n, &other].concat()),
    ]);
    let report = serve.machine_is("n", "running");
    assert_pinned(&report);
    serve.must(&["apply", &serve.file("s.toml", &[P, &other].concat())]);
    let report = serve.report();
    assert_eq!(report.machines.len(), 1);
    assert_eq!(pid(&report, "other"), stays);
}

#[test]
fn a_refused_apply_stops_no_machine() {
    let Some((cpu, _)) = kvm().then(two_cpus).flatten() else {
        return;
    };
    let serve = Serve::start();
    let cpu = cpu.to_string();
    let before = [P, &group("a", &cpu), &vm("m", "groups = [\"p:/a\"]")].concat();
    serve.must(&["apply", &serve.file("s.toml", &before)]);
    let was = pid(&serve.machine_is("m", "running"), "m");
    serve.must(&["hierarchy", "mount", "q", "cpuacct"]);
    let state = groups(&serve);
    assert!(
        state
            .iter()
            .any(|line| line.starts_with("p:/a ") && line.contains("m/vcpu0"))
    );
    // It would end `m`, and then find that a place of the new one is not there.
    let other = vm("n", "").replace("vcpus = 1", "vcpus = 64");
    let two = format!(
        "[group.\"p:/one\"]\nfiles = {{ \"cpuset.cpus\" = \"{cpu}\", \"cpuset.placement\" = \"one-to-one\" }}\n{}groups = [\"p:/one\"]\n",
        other
    );
    for bad in [
        [P, &*two].concat(),
        [P, "[hierarchy.r]\nsubsystems = [\"cpuacct\"]\n"].concat(),
    ] {
        let spec = serve.file("bad.toml", &bad);
        for more in [&[][..], &["--dry-run"]] {
            let args = [&["apply", &*spec][..], more].concat();
            let (code, _, err) = serve.cli(&args);
            assert_eq!(code, Some(2), "{err}");
        }
    }
    assert_eq!(pid(&serve.machine_is("m", "running"), "m"), was);
    assert_eq!(groups(&serve), state);
}

#[test]
fn an_apply_whose_machine_cannot_be_built_is_taken_back_whole() {
    let Some((cpu, other)) = kvm().then(two_cpus).flatten() else {
        return;
    };
    let serve = Serve::start();
    let (cpu, other) = (cpu.to_string(), other.to_string());
    let stays = vm("stays", "groups = [\"p:/a\"]");
    let old = vm("old", "groups = [\"p:/old\"]");
    let before = [P, &group("a", &cpu), &group("old", &cpu), &stays, &old].concat();
    serve.must(&["apply", &serve.file("before.toml", &before)]);
    let report = serve.machine_is("old", "running");
    let (stays_pid, old_pid) = (pid(&report, "stays"), pid(&report, "old"));
    let state = groups(&serve);
    // Groups change, `old` is in the way of its group, `stays` moves, `fine` comes, and `bad` has no socket to bind.
    let nowhere = "vsock = { path = \"/proc/v.sock\" }\ngroups = [\"p:/b\"]";
    let after = [
        P,
        "[hierarchy.b]\nsubsystems = [\"cpuacct\"]\n[group.\"b:/t\"]\n",
        &group("a", &cpu),
        &group("b", &other),
        &vm("stays", "groups = [\"p:/b\", \"b:/t\"]"),
        &vm("fine", "groups = [\"p:/b\", \"b:/t\"]"),
        &vm("bad", nowhere),
    ]
    .concat();
    let spec = serve.file("after.toml", &after);
    serve.must(&["apply", &spec, "--dry-run"]);
    let (code, out, err) = serve.cli(&["apply", &spec]);
    assert_eq!((code, &*out), (Some(1), ""), "no rule refused it: {err}");
    assert!(
        err.contains("machine bad could not be started: could not be built"),
        "{err}"
    );
    assert!(err.contains("the groups are as they were"), "{err}");
    assert!(
        err.contains("machine old, which was ended for it, runs anew"),
        "{err}"
    );
    let report = serve.machine_is("old", "running");
    assert_eq!(groups(&serve), state);
    let mut names: Vec<&str> = report.machines.iter().map(|one| &*one.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["old", "stays"]);
    assert_eq!(pid(&report, "stays"), stays_pid);
    assert_ne!(pid(&report, "old"), old_pid);
    assert_pinned(&report);
    let again = serve.must(&["apply", &serve.file("before.toml", &before)]);
    assert!(again.starts_with("everything is as"), "{again}");
}

#[test]
fn a_restart_policy_alone_and_groups_are_changed_while_a_machine_runs() {
    let Some((cpu, other)) = kvm().then(two_cpus).flatten() else {
        return;
    };
    let serve = Serve::start();
    let groups = [
        P,
        &group("a", &cpu.to_string()),
        &group("b", &other.to_string()),
    ]
    .concat();
    let spec = |text: String| serve.file("s.toml", &[&*groups, &text].concat());
    serve.must(&["apply", &spec(vm("m", "groups = [\"p:/a\"]"))]);
    let was = pid(&serve.machine_is("m", "running"), "m");
    let to = spec(vm("m", "groups = [\"p:/b\"]\nrestart = \"always\""));
    let would = serve.must(&["apply", &to, "--dry-run"]);
    assert!(would.contains("would have m restart: always\n"), "{would}");
    assert!(!would.contains("stop"), "{would}");
    serve.must(&["apply", &to]);
    let report = serve.machine_is("m", "running");
    assert_eq!(pid(&report, "m"), was, "it runs on");
    assert_eq!(
        serve.json(&["vm", "show", "m", "--json"])["restart"],
        "always"
    );
    for tid in threads(was) {
        assert_eq!(
            affinity(was, tid).expect("a live thread").to_string(),
            other.to_string()
        );
    }
    assert!(serve.must(&["apply", &to]).starts_with("everything is as"));
    // The policy is in force, and it comes back to where it was moved.
    let process = host::Process::open(was).expect("it lives");
    process.kill().expect("ours");
    let report = serve.report_where("it runs again", |report| {
        let mut machines = report.machines.iter();
        machines.any(|one| one.state == "running" && one.pid != was)
    });
    assert_pinned(&report);
    let again = pid(&report, "m");
    for tid in threads(again) {
        let found = affinity(again, tid).expect("a live thread");
        assert_eq!(found.to_string(), other.to_string());
    }
    assert!(serve.must(&["apply", &to]).starts_with("everything is as"));
}

#[test]
fn no_plan_and_no_apply_is_refused_for_machines_that_start_and_end_beside_it() {
    if !kvm() {
        return;
    }
    let serve = Serve::start();
    let names = ["m0", "m1", "m2", "m3"];
    let machines: String = names
        .map(|name| vm(name, "").replace("halt", "exit"))
        .concat();
    let without = [P, &machines].concat();
    let with = [P, "[group.\"p:/x\"]\n", &machines].concat();
    let apply = |client: &Client, spec: &str| {
        let request = ApplyRequest {
            spec: spec.to_owned(),
            file: "/s.toml".into(),
        };
        let answer = client.post("/v1/apply", &request);
        let answer = answer.unwrap_or_else(|error| panic!("an apply: {error}"));
        answer.json::<Applied>().expect("what was applied")
    };
    apply(&serve.client(), &without);
    std::thread::scope(|scope| {
        let start_and_end = |name: &'static str| {
            let client = serve.client();
            for _ in 0..12 {
                let route = format!("/v1/machines/{name}/state?wait=true");
                let running = serde_json::json!({"state": "running"});
                client.put(&route, &running).expect("it starts");
                serve.machine_is(name, "ended");
            }
        };
        let busy = names.map(|name| scope.spawn(move || start_and_end(name)));
        let client = serve.client();
        let mut rounds = 0;
        while rounds < 10 || !busy.iter().all(|thread| thread.is_finished()) {
            assert_eq!(apply(&client, &with).commands.len(), 3, "round {rounds}");
            let dry = serde_json::json!({ "commands": [] });
            let dry = client.post("/v1/plan?dry_run=true", &dry);
            let seen: Plan = dry.expect("a dry run").json().expect("a plan");
            let bound = serde_json::json!({
                "commands": [{"op": "rmdir", "group": "p:/x"}], "generation": seen.generation,
            });
            let bound = client.post("/v1/plan", &bound);
            bound.unwrap_or_else(|error| {
                panic!("a plan of generation {}: {error}", seen.generation)
            });
            rounds += 1;
        }
        let lives = serve.hears("machine_started");
        assert!(lives >= 4 * 12, "{lives} lives");
    });
}

#[test]
fn an_apply_goes_on_to_its_end_without_its_client() {
    if !kvm() {
        return;
    }
    let serve = Serve::start();
    let before = vm("m", "");
    serve.must(&["apply", &serve.file("s.toml", &before)]);
    let was = pid(&serve.machine_is("m", "running"), "m");
    let after = before.replace("16M", "32M");
    let body = serde_json::json!({"spec": after, "file": "/s.toml"}).to_string();
    let mut gone = UnixStream::connect(serve.socket()).expect("it listens");
    let length = body.len();
    write!(
        gone,
        "POST /v1/apply HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .expect("it reads");
    serve.hears("machine_ended");
    drop(gone);
    serve.report_where("m is made anew", |report| {
        let mut machines = report.machines.iter();
        machines.any(|one| one.name == "m" && one.pid != was && one.state == "running")
    });
    let spec = serve.file("s.toml", &after);
    assert!(
        serve
            .must(&["apply", &spec])
            .starts_with("everything is as")
    );
}

#[test]
fn an_apply_shows_its_progress_on_a_terminal_and_its_answer_where_it_always_does() {
    if !kvm() {
        return;
    }
    let serve = Serve::start();
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    unlockpt(&ours).expect("our terminal");
    let name = ptsname(&ours, Vec::new()).expect("our terminal");
    let text = |args: &[&str]| {
        let theirs = open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("its end");
        let mut command = serve.command(args);
        command.env("TERM", "xterm").stderr(theirs);
        let done = command.output().expect("it runs");
        assert_eq!(done.status.code(), Some(0));
        // A line of ours, so that there is an end to what is read.
        let theirs = open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("its end");
        rustix::io::write(&theirs, b"#\n").expect("its end");
        let mut shown = Vec::new();
        while !shown.contains(&b'#') {
            let mut piece = [0; 4096];
            let read = rustix::io::read(&ours, &mut piece).expect("our end");
            shown.extend_from_slice(&piece[..read]);
        }
        let out = String::from_utf8(done.stdout).expect("text");
        (out, String::from_utf8_lossy(&shown).into_owned())
    };
    let spec = serve.file("s.toml", &[vm("a", ""), vm("b", "")].concat());
    let (out, shown) = text(&["apply", &spec]);
    assert!(out.starts_with("start a\nstart b\n"), "{out}");
    assert!(shown.contains("0/2 apply"), "{shown:?}");
    let spec = serve.file("s.toml", &vm("a", ""));
    let (out, shown) = text(&["apply", &spec, "--json"]);
    assert!(out.starts_with('{'), "{out}");
    assert_eq!(shown, "#\r\n", "nothing beside JSON");
}
