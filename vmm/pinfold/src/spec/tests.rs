//! The loader: what a good file becomes; `refused` has the bad ones.

mod body;
mod refused;

use super::*;

/// Two CPUs of four possible ones, one memory node.
pub(super) fn host() -> HostResources {
    HostResources {
        allowed_cpus: (0..2).collect(),
        present_cpus: (0..2).collect(),
        possible_cpus: 4,
        mems: (0..1).collect(),
    }
}

pub(super) fn loaded(text: &str) -> Result<Spec, SpecError> {
    understand(Path::new("a.toml"), text, &host())
}

/// The changes as `LINE COMMAND`, the copied ones marked.
fn changes(spec: &Spec) -> Vec<String> {
    let shown = spec.changes.iter().map(|change| {
        let what = match &change.command {
            Command::Mount {
                hierarchy,
                subsystems,
            } => {
                format!("mount {hierarchy} {}", subsystems.join(","))
            }
            Command::Mkdir { group } => format!("mkdir {group}"),
            Command::Write { group, file, value } => format!("write {group} {file} {value}"),
            Command::Chown {
                group,
                uid,
                gid,
                mode,
            } => {
                format!("chown {group} {uid} {gid} {mode:o}")
            }
            other => format!("{other:?}"),
        };
        let copied = if change.inherited { " (inherited)" } else { "" };
        format!("{} {what}{copied}", change.line)
    });
    shown.collect()
}

const VM: &str = "\n[vm.web]\nmemory = '64M'\nvcpus = 2\nguest = { tiny = ['exit'] }\n";
pub(super) const TREES: &str = "\
[hierarchy.placement]
subsystems = ['cpuset']
[hierarchy.billing]
subsystems = ['cpuacct']
[group.'placement:/gold']
[group.'placement:/gold/web']
[group.'placement:/gold/web/hot']
[group.'billing:/a']
[vm.web]
memory = '64M'
vcpus = 2
guest = { tiny = ['exit'] }
";

#[test]
fn changes_come_parents_first_with_what_is_left_out_copied_from_above() {
    let spec = loaded(
        "[group.'p:/gold/web']
files = { 'cgroup.max.depth' = 3, 'cpuset.cpu_exclusive' = true, 'cpuset.cpus' = 0 }
mode = 0o700
[group.'p:/gold']
files = { 'cpuset.cpus' = '0-1', 'cpuset.cpu_exclusive' = 1 }
uid = 1000
notify_on_release = true
[group.'b:/x']
[hierarchy.p]
subsystems = ['cpuset', 'debug']
[hierarchy.b]
subsystems = ['cpuacct']",
    );
    let expected = [
        "10 mount p cpuset,debug",
        "12 mount b cpuacct",
        "4 mkdir p:/gold",
        "5 write p:/gold cpuset.cpus 0-1",
        "4 write p:/gold cpuset.mems 0 (inherited)",
        "5 write p:/gold cpuset.cpu_exclusive 1",
        "7 write p:/gold notify_on_release 1",
        "6 chown p:/gold 1000 0 755",
        "8 mkdir b:/x",
        "1 mkdir p:/gold/web",
        "2 write p:/gold/web cpuset.cpus 0",
        "1 write p:/gold/web cpuset.mems 0 (inherited)",
        "2 write p:/gold/web cgroup.max.depth 3",
        "2 write p:/gold/web cpuset.cpu_exclusive 1",
        "3 chown p:/gold/web 1000 0 700",
    ];
    assert_eq!(changes(&spec.unwrap()), expected);
}

#[test]
fn the_root_group_is_written_to_and_not_made() {
    let spec =
        loaded("[hierarchy.p]\nsubsystems = ['cpuset']\n[group.'p:/']\nnotify_on_release = false");
    assert_eq!(
        changes(&spec.unwrap()),
        ["2 mount p cpuset", "4 write p:/ notify_on_release 0"]
    );
}

#[test]
fn a_release_agent_is_found_beside_the_spec_file() {
    let host = host();
    let text = "[hierarchy.b]\nsubsystems = ['cpuacct']\nrelease_agent = 'true'";
    let spec = understand(Path::new("/bin/a.toml"), text, &host).unwrap();
    assert_eq!(
        changes(&spec),
        ["2 mount b cpuacct", "3 write b:/ release_agent /bin/true"]
    );
    let text = text.replace("'true'", "'/usr/../bin/true'");
    let spec = understand(Path::new("a.toml"), &text, &host).unwrap();
    assert_eq!(
        changes(&spec)[1],
        "3 write b:/ release_agent /usr/../bin/true"
    );
}

#[test]
fn every_task_is_in_one_group_of_each_hierarchy() {
    let text = "groups = ['placement:/gold/web']\n[vm.web.task.vcpu1]\ngroups = ['placement:/gold/web/hot']";
    let spec = loaded(&format!("{TREES}{text}")).unwrap();
    let machine = &spec.machines[0];
    let shown: Vec<_> = machine
        .kinds()
        .into_iter()
        .map(|kind| {
            let groups = machine.groups_of(kind);
            let groups: Vec<_> = groups.iter().map(ToString::to_string).collect();
            format!("{kind} {}", groups.join(" "))
        })
        .collect();
    let expected = [
        "vcpu0 placement:/gold/web billing:/",
        "vcpu1 placement:/gold/web/hot billing:/",
        "io placement:/gold/web billing:/",
        "control placement:/gold/web billing:/",
        "kvm0 placement:/gold/web billing:/",
    ];
    assert_eq!(shown, expected);
    assert_eq!(machine.groups_of(TaskKind::Vcpu(2)), []);
}

#[test]
fn a_task_goes_before_its_kind_and_that_before_the_machine() {
    let text = "[vm.web.groups]
all = ['billing:/a', 'placement:/gold']
vcpu = ['placement:/gold/web']
io = ['placement:/']
[vm.web.task.vcpu0]
groups = ['placement:/gold/web/hot']
[vm.web.task.control]
groups = ['billing:/']";
    let spec = loaded(&format!("{TREES}{text}")).unwrap();
    let groups = |kind| {
        spec.machines[0]
            .groups_of(kind)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        groups(TaskKind::Vcpu(0)),
        ["placement:/gold/web/hot", "billing:/a"]
    );
    assert_eq!(
        groups(TaskKind::Vcpu(1)),
        ["placement:/gold/web", "billing:/a"]
    );
    assert_eq!(groups(TaskKind::Io), ["placement:/", "billing:/a"]);
    assert_eq!(groups(TaskKind::Control), ["placement:/gold", "billing:/"]);
    assert_eq!(groups(TaskKind::Kvm(3)), ["placement:/gold", "billing:/"]);
}

#[test]
fn machines_keep_the_order_of_the_file() {
    let spec = loaded(&format!("{VM}{}", VM.replace("web", "a"))).unwrap();
    let names: Vec<_> = spec
        .machines
        .iter()
        .map(|machine| machine.name.as_str())
        .collect();
    assert_eq!(names, ["web", "a"]);
    assert_eq!(spec.machines[1].config.memory_bytes, 64 << 20);
    assert_eq!(spec.machines[1].line, 7);
}

#[test]
fn sizes_are_whole_numbers_with_a_unit() {
    for (text, bytes) in [
        ("4M", 4 << 20),
        ("65536K", 64 << 20),
        ("3G", 3 << 30),
        ("1G", 1 << 30),
    ] {
        let spec = loaded(&VM.replace("64M", text)).unwrap();
        assert_eq!(spec.machines[0].config.memory_bytes, bytes, "{text}");
    }
}

#[test]
fn a_machine_that_is_to_start_anew_says_when_and_run_does_not_do_it() {
    for (word, restart) in [
        ("no", Restart::No),
        ("on-failure", Restart::OnFailure),
        ("always", Restart::Always),
    ] {
        let spec = loaded(&format!("{VM}restart = '{word}'")).unwrap();
        assert_eq!(spec.machines[0].restart, restart);
        assert_eq!(spec.starts_once().is_ok(), restart == Restart::No);
    }
    let spec = loaded(&format!("{VM}restart = 'always'")).unwrap();
    let expected = "a.toml:2: machine web has restart \"always\", and `pinfold run` starts each \
                    machine once: leave it out, or use `pinfold serve`";
    assert_eq!(spec.starts_once().unwrap_err().to_string(), expected);
    assert_eq!(loaded(VM).unwrap().machines[0].restart, Restart::No);
}
