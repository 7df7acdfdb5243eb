//! `pinfold hierarchy` and `pinfold group`.

use std::sync::atomic::{AtomicBool, Ordering};

use management::api::{Command, Plan, PlanRequest};
use management::client::{ClientError, route};

use crate::support::kernel::{affinity, assert_pinned};
use crate::support::serve::Serve;
use crate::support::{kvm, task, two_cpus};
use crate::{WEB, placed};

#[test]
fn hierarchies_are_mounted_listed_and_unmounted() {
    if !kvm() {
        return;
    }
    let serve = Serve::start();
    let dry = ["hierarchy", "mount", "placement", "cpuset", "--dry-run"];
    assert_eq!(
        serve.must(&dry),
        "0 effects on the host; nothing was changed\n"
    );
    assert_eq!(serve.must(&["hierarchy", "ls"]), "");
    serve.must(&["hierarchy", "mount", "placement", "cpuset", "debug"]);
    serve.must(&["hierarchy", "mount", "billing", "cpuacct"]);
    let ls = serve.must(&["hierarchy", "ls"]);
    assert!(
        ls.contains("placement") && ls.contains("cpuset,debug"),
        "{ls}"
    );
    let json = serve.json(&["hierarchy", "ls", "--json"]);
    assert_eq!(json.as_array().map(Vec::len), Some(2), "{json}");
    serve.must_refuse(&["hierarchy", "mount", "other", "cpuset"], "EBUSY");
    serve.must_refuse(&["hierarchy", "mount", "other", "blkio"], "EINVAL");
    serve.must(&["hierarchy", "umount", "billing", "--dry-run"]);
    assert!(serve.must(&["hierarchy", "ls"]).contains("billing"));
    serve.must(&["hierarchy", "umount", "billing"]);
    assert!(!serve.must(&["hierarchy", "ls"]).contains("billing"));
    serve.must_refuse(&["hierarchy", "umount", "billing"], "ENOENT");
    // Another set of subsystems, while there are no groups.
    let dry = [
        "hierarchy",
        "remount",
        "placement",
        "cpuset",
        "memory",
        "--dry-run",
    ];
    serve.must(&dry);
    assert!(serve.must(&["hierarchy", "ls"]).contains("cpuset,debug"));
    serve.must(&["hierarchy", "remount", "placement", "cpuset", "memory"]);
    assert!(serve.must(&["hierarchy", "ls"]).contains("cpuset,memory"));
    let events = serve.must(&["events"]);
    let remounted = "placement remounted with the subsystems cpuset,memory";
    assert!(events.contains(remounted), "{events}");
    serve.must(&["hierarchy", "mount", "other", "debug"]);
    let taken = ["hierarchy", "remount", "placement", "cpuset", "debug"];
    serve.must_refuse(&taken, "debug is bound to other");
    serve.must(&["hierarchy", "umount", "other"]);
    serve.must(&taken);
    serve.must_refuse(&["hierarchy", "remount", "billing"], "ENOENT");
    // One with groups lives on, and is mounted again with them.
    serve.must(&["group", "mkdir", "placement:/gold"]);
    let other = ["hierarchy", "remount", "placement", "cpuset"];
    serve.must_refuse(&other, "placement has child groups");
    serve.must(&["hierarchy", "umount", "placement"]);
    assert!(serve.must(&["hierarchy", "ls"]).contains("unmounted"));
    serve.must(&["hierarchy", "mount", "placement", "cpuset", "debug"]);
    assert!(serve.must(&["group", "tree"]).contains("gold"));
}

#[test]
fn groups_are_made_written_renamed_and_removed_by_the_verbs() {
    let Some((cpu, _)) = kvm().then(two_cpus).flatten() else {
        return;
    };
    let serve = placed(cpu);
    let set = serve.must(&["group", "get", "placement:/gold", "cpuset.cpus"]);
    assert_eq!(set, format!("{cpu}\n"));
    let files = serve.must(&["group", "get", "placement:/gold"]);
    assert!(files.lines().any(|file| file == "cpuset.mems"), "{files}");
    serve.must(&["group", "mkdir", "placement:/gold/a", "placement:/gold/b"]);
    let ls = serve.must(&["group", "ls", "placement:/gold"]);
    assert!(
        ls.contains("placement:/gold/a") && ls.contains("placement:/gold/b"),
        "{ls}"
    );
    assert!(serve.must(&["group", "ls"]).contains("placement:/"));
    let json = serve.json(&["group", "ls", "placement:/gold", "--json"]);
    assert_eq!(json.as_array().map(Vec::len), Some(2), "{json}");
    let tree = serve.must(&["group", "tree", "placement:/gold"]);
    assert!(
        tree.starts_with("placement:/gold") && tree.contains(" a"),
        "{tree}"
    );
    let json = serve.json(&["group", "tree", "--json"]);
    assert_eq!(json.as_array().map(Vec::len), Some(4), "{json}");
    serve.must(&["group", "rename", "placement:/gold/a", "hot"]);
    serve.must(&["group", "chown", "placement:/gold/hot", "1000:1000", "700"]);
    serve.must(&["group", "rmdir", "placement:/gold/b", "placement:/gold/hot"]);

    for (args, errno) in [
        (&["mkdir", "placement:/gold"][..], "EEXIST"),
        (&["mkdir", "nowhere:/a"], "ENOENT"),
        (&["mkdir", "placement:/a/b"], "ENOENT"),
        (&["rmdir", "placement:/silver"], "ENOENT"),
        (&["rename", "placement:/silver", "gilt"], "ENOENT"),
        (&["set", "placement:/gold", "cpuset.cpus", "4095"], "ERANGE"),
        (&["set", "placement:/gold", "cpuset.cpus", "-1"], "EINVAL"),
        (&["get", "placement:/gold", "no.such"], "ENOENT"),
        (&["tasks", "placement:/silver"], "ENOENT"),
        (&["tree", "placement:/silver"], "ENOENT"),
        (&["attach", "placement:/gold", "nobody/vcpu0"], "ESRCH"),
        (&["clone", "nobody/vcpu0", "cpuset"], "ESRCH"),
        (&["chown", "placement:/silver", "0:0", "755"], "ENOENT"),
    ] {
        serve.must_refuse(&[&["group"], args].concat(), errno);
    }
    // All or nothing: the first of the two would have been made.
    serve.must_refuse(
        &["group", "mkdir", "placement:/x", "placement:/gold"],
        "EEXIST",
    );
    assert!(!serve.must(&["group", "tree"]).contains('x'));
}

#[test]
fn tasks_move_by_the_verbs_and_a_dry_run_of_any_change_moves_nothing() {
    let Some((cpu, other)) = kvm().then(two_cpus).flatten() else {
        return;
    };
    let serve = placed(cpu);
    serve.must(&["vm", "create", &serve.file("web.toml", WEB)]);
    let pid = serve.machine_is("web", "running").machines[0].pid;
    let (silver, to) = ("placement:/silver", other.to_string());
    serve.must(&["group", "mkdir", silver]);
    serve.must(&["group", "set", silver, "cpuset.cpus", &to]);
    serve.must(&["group", "set", silver, "cpuset.mems", "0"]);
    let tasks = serve.must(&["group", "tasks", "placement:/gold"]);
    assert!(tasks.contains("web/vcpu1"), "{tasks}");
    assert_eq!(serve.must(&["group", "tasks", silver]), "");

    let before = serve.json(&["group", "tree", "--json"]);
    for change in [
        &["mkdir", "placement:/new"][..],
        &["set", "placement:/gold", "cpuset.cpus", &to],
        &["attach", silver, "web/vcpu1"],
        &["clone", "web/vcpu1", "cpuset"],
        &["rename", silver, "gilt"],
        &["chown", silver, "1000:1000", "700"],
        &["rmdir", silver],
    ] {
        let said = serve.must(&[&["group"], change, &["--dry-run"]].concat());
        assert!(
            said.ends_with("on the host; nothing was changed\n"),
            "{said}"
        );
        assert_eq!(
            serve.json(&["group", "tree", "--json"]),
            before,
            "{change:?}"
        );
    }
    let attach = ["group", "attach", silver, "web/vcpu1"];
    let said = serve.must(&[&attach[..], &["--dry-run"]].concat());
    let pin = format!("would pin web/vcpu1 to CPUs {other}, from {cpu}\n");
    assert!(said.contains(&pin), "{said}");

    assert_eq!(serve.must(&attach), "");
    let tid = task(&serve.report(), "web/vcpu1").tid;
    let kernel = || affinity(pid, tid).expect("a live thread").to_string();
    assert_eq!(kernel(), to);
    serve.must_refuse(&["group", "rmdir", silver], "EBUSY");
    let json = serve.json(&["group", "tasks", silver, "--json"]);
    assert_eq!(json[0]["name"], "web/vcpu1");
    // By its thread id it is the same task.
    serve.must(&["group", "attach", "placement:/gold", &tid.to_string()]);
    assert_eq!(kernel(), cpu.to_string());
    let made = serve.must(&["group", "clone", "web/vcpu1", "cpuset"]);
    assert_eq!(made, format!("placement:/gold/node_{tid}\n"));
    let inside = serve.must(&["group", "tasks", made.trim_end()]);
    assert!(inside.contains("web/vcpu1"), "{inside}");
    assert_pinned(&serve.report());
}

#[test]
fn of_two_clients_that_change_one_group_at_once_the_later_is_told_that_it_is_stale() {
    let Some((cpu, other)) = kvm().then(two_cpus).flatten() else {
        return;
    };
    let serve = placed(cpu);
    let client = serve.client();
    let set = |cpus: String, generation| PlanRequest {
        commands: vec![Command::Set {
            group: "placement:/gold".into(),
            file: "cpuset.cpus".into(),
            value: cpus,
        }],
        generation,
    };
    let both = format!("{cpu},{other}");
    let dry = client.post("/v1/plan?dry_run=true", &set(both.clone(), None));
    let seen: Plan = dry.expect("a plan").json().expect("a plan");
    let seen = Some(seen.generation);
    // Two clients have seen the same, and both go ahead.
    let race = |cpus: String| {
        let client = serve.client();
        client.post("/v1/plan", &set(cpus, seen)).map(|_| ())
    };
    let outcomes = std::thread::scope(|scope| {
        let one = scope.spawn(|| race(both));
        let two = scope.spawn(|| race(other.to_string()));
        [one, two].map(|thread| thread.join().expect("a client"))
    });
    let stale = outcomes.iter().filter(|outcome| match outcome {
        Err(ClientError::Refused(problem)) => {
            assert_eq!((problem.status, &*problem.errno), (409, "ESTALE"));
            true
        }
        Err(error) => panic!("{error}"),
        Ok(()) => false,
    });
    assert_eq!(stale.count(), 1, "one of the two is in force");
}

#[test]
fn who_waits_for_a_group_to_become_empty_is_told_by_the_file() {
    let Some((cpu, _)) = kvm().then(two_cpus).flatten() else {
        return;
    };
    let serve = placed(cpu);
    serve.must(&["vm", "create", &serve.file("web.toml", WEB)]);
    serve.machine_is("web", "running");
    let file = |group: &str| route::file(group, "cgroup.events");
    let waits = |group: &str| {
        let (client, file) = (serve.client(), file(group));
        let now = client.get(&file).expect("the file");
        assert_eq!(now.text(), "populated 1\nfrozen 0\n");
        let tag = now.tag().expect("a tag").to_owned();
        move || {
            let other = client.get_other(&format!("{file}?wait=60"), &tag);
            let other = other.expect("an answer");
            other.map(|answer| answer.text().to_owned())
        }
    };
    let waiting = ["placement:/gold", "placement:/"]
        .map(waits)
        .map(std::thread::spawn);
    let get = ["group", "get", "placement:/gold", "cgroup.events"];
    let until_empty = [&get[..], &["--wait=populated 1"]].concat();
    let mut command_line = serve.follow(&until_empty);
    serve.must(&["vm", "stop", "web", "--force"]);
    for thread in waiting {
        let told = thread.join().expect("a client");
        assert_eq!(told.as_deref(), Some("populated 0\nfrozen 0\n"));
    }
    command_line.line("populated 0");
    // What is so already is not waited for.
    assert_eq!(serve.must(&until_empty), "populated 0\nfrozen 0\n");
    let other = ["group", "get", "placement:/gold", "cpuset.cpus", "--wait"];
    serve.must_refuse(&other, "cpuset.cpus cannot be waited for");
}

#[test]
fn a_wait_without_a_line_ends_with_the_next_change() {
    let Some((cpu, _)) = kvm().then(two_cpus).flatten() else {
        return;
    };
    let serve = placed(cpu);
    serve.must(&["hierarchy", "mount", "plain"]);
    serve.must(&["group", "mkdir", "plain:/a"]);
    serve.must(&["vm", "create", &serve.file("web.toml", WEB)]);
    serve.machine_is("web", "running");
    let mut waiting = serve.follow(&["group", "get", "plain:/a", "cgroup.events", "--wait"]);
    // Nobody knows when it has begun to wait: there are changes until one is told.
    let told = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for group in ["plain:/a", "plain:/"].into_iter().cycle().take(400) {
                if told.load(Ordering::Relaxed) {
                    return;
                }
                serve.must(&["group", "attach", group, "web/vcpu1"]);
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        });
        waiting.line("populated");
        told.store(true, Ordering::Relaxed);
    });
}
