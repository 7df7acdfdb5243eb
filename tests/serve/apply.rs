//! `pinfold apply`.

use crate::support::kernel::{affinity, assert_pinned, threads};
use crate::support::serve::Serve;
use crate::support::{kvm, two_cpus};

const GROUPS: &str = r#"
[hierarchy.placement]
subsystems = ["cpuset"]
[hierarchy.billing]
subsystems = ["cpuacct"]
[group."placement:/gold"]
files = { "cpuset.cpus" = "CPU" }
[group."billing:/tenant"]
"#;

const MACHINE: &str = r#"
[vm.web]
memory = "16M"
vcpus = 1
groups = ["placement:/gold", "billing:/tenant"]
guest = { tiny = ["halt"] }
"#;

#[test]
fn a_dry_run_changes_nothing_and_a_second_apply_finds_nothing_to_do() {
    let Some((cpu, _)) = kvm().then(two_cpus).flatten() else {
        return;
    };
    let serve = Serve::start();
    let groups = GROUPS.replace("CPU", &cpu.to_string());
    serve.file("whole.toml", &format!("{groups}{MACHINE}"));
    let would = serve.must(&["apply", "whole.toml", "--dry-run"]);
    assert!(
        would.contains("would hierarchy mount placement cpuset\n"),
        "{would}"
    );
    let placed = format!(
        "would start web\nwould place web/vcpu0 in placement:/gold, billing:/tenant, on CPUs {cpu}\n"
    );
    assert!(would.contains(&placed), "{would}");
    assert!(would.ends_with("nothing was changed\n"), "{would}");
    assert_eq!(serve.must(&["hierarchy", "ls"]), "");
    assert_eq!(serve.json(&["vm", "ls", "--json"]), serde_json::json!([]));

    let done = serve.must(&["apply", "whole.toml"]);
    assert_eq!(
        format!("{done}nothing was changed\n"),
        would.replace("would ", ""),
        "what was done is what the dry run said"
    );
    assert_pinned(&serve.machine_is("web", "running"));
    let nothing = "everything is as whole.toml says\n";
    assert_eq!(serve.must(&["apply", "whole.toml"]), nothing);
    let again = serve.json(&["apply", "whole.toml", "--json"]);
    for key in [
        "commands", "stopped", "removed", "replaced", "started", "births", "amended",
    ] {
        assert_eq!(again[key], serde_json::json!([]), "{again}");
    }

    serve.file("less.toml", &groups);
    let would = serve.must(&["apply", "less.toml", "--dry-run"]);
    assert!(
        would.contains("would stop web\nwould remove web\n"),
        "{would}"
    );
    serve.machine_is("web", "running");
    let done = serve.must(&["apply", "less.toml"]);
    assert_eq!(
        format!("{done}nothing was changed\n"),
        would.replace("would ", "")
    );
    assert_eq!(serve.must(&["vm", "ls"]), "");
    assert_eq!(
        serve.must(&["apply", "less.toml"]),
        "everything is as less.toml says\n"
    );
}

#[test]
fn two_exclusive_sets_change_places_in_one_plan_with_tasks_inside() {
    let Some((one, other)) = kvm().then(two_cpus).flatten() else {
        return;
    };
    let spec = |a: u32, b: u32| {
        let group = |name: &str, cpu: u32| {
            format!(
                "[group.\"placement:/{name}\"]\n\
                 files = {{ \"cpuset.cpus\" = \"{cpu}\", \"cpuset.cpu_exclusive\" = 1 }}\n\
                 [vm.{name}]\nmemory = \"16M\"\nvcpus = 1\ngroups = [\"placement:/{name}\"]\n\
                 guest = {{ tiny = [\"halt\"] }}\n"
            )
        };
        let (a, b) = (group("a", a), group("b", b));
        format!("[hierarchy.placement]\nsubsystems = [\"cpuset\"]\n{a}{b}")
    };
    let serve = Serve::start();
    let on = |name: &str, cpu: u32| {
        let report = serve.machine_is(name, "running");
        assert_pinned(&report);
        let machine = report.machines.iter().find(|machine| machine.name == name);
        let pid = machine.expect("it runs").pid;
        for tid in threads(pid) {
            let found = affinity(pid, tid).expect("a live thread");
            assert_eq!(found.to_string(), cpu.to_string(), "{name}, thread {tid}");
        }
    };
    serve.must(&["apply", &serve.file("before.toml", &spec(one, other))]);
    on("a", one);
    on("b", other);
    let after = serve.file("after.toml", &spec(other, one));
    let would = serve.must(&["apply", &after, "--dry-run"]);
    let pin = format!("would pin a/vcpu0 to CPUs {other}, from {one}\n");
    assert!(would.contains(&pin), "{would}");
    on("a", one);
    serve.must(&["apply", &after]);
    on("a", other);
    on("b", one);
    let get = ["group", "get", "placement:/a", "cpuset.cpu_exclusive"];
    assert_eq!(serve.must(&get), "1\n");
    assert!(
        serve
            .must(&["apply", &after])
            .starts_with("everything is as")
    );
}

#[test]
fn a_spec_is_refused_whole_by_its_line_under_the_name_that_was_given() {
    if !kvm() {
        return;
    }
    let serve = Serve::start();
    let mount = "[hierarchy.p]\nsubsystems = [\"cpuset\"]\n";
    let vm = "[vm.m]\nmemory = \"16M\"\nvcpus = 1\nguest = { tiny = [\"halt\"] }\n";
    for (line, rule, spec) in [
        (
            3,
            "EINVAL",
            "[hierarchy.p]\n\nsubsystems = [\"blkio\"]\n".to_owned(),
        ),
        (
            4,
            "ERANGE",
            format!("{mount}[group.\"p:/a\"]\nfiles = {{ \"cpuset.cpus\" = \"4095\" }}\n"),
        ),
        (
            7,
            "is not declared",
            format!("{mount}{vm}groups = [\"p:/silver\"]\n"),
        ),
        (7, "unknown key", format!("{mount}{vm}disks = []\n")),
        (1, "", "[hierarchy.p\n".to_owned()),
    ] {
        serve.file("s.toml", &spec);
        for more in [&[][..], &["--dry-run"]] {
            let args = [&["apply", "s.toml"][..], more].concat();
            let (code, out, err) = serve.cli(&args);
            assert_eq!((code, &*out), (Some(2), ""), "{err}");
            assert!(err.starts_with(&format!("s.toml:{line}: ")), "{err}");
            assert!(err.contains(rule) && err.lines().count() == 1, "{err}");
        }
    }
    assert_eq!(serve.must(&["hierarchy", "ls"]), "");
    let (code, _, err) = serve.cli(&["apply", "none.toml"]);
    assert!(code == Some(1) && err.contains("none.toml"), "{err}");
}
