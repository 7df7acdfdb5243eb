//! The loader: what a good file becomes, and the exact words for each bad one.

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

fn refused(text: &str) -> String {
    loaded(text).expect_err(text).to_string()
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

/// What is wrong with a machine, one edit away from a good one.
#[test]
fn a_bad_machine_is_refused_with_its_line_and_both_operands() {
    let size = "is no size; a whole number and K, M or G is one, as 64M";
    let cases = [
        ("'64M'", "'64'", format!("a.toml:3: machine web: memory \"64\" {size}")),
        ("'64M'", "64", format!("a.toml:3: machine web: memory \"64\" {size}")),
        ("'64M'", "'lots'", format!("a.toml:3: machine web: memory \"lots\" {size}")),
        ("'64M'", "'-1M'", format!("a.toml:3: machine web: memory \"-1M\" {size}")),
        ("'64M'", "'64MiB'", format!("a.toml:3: machine web: memory \"64MiB\" {size}")),
        ("'64M'", "''", format!("a.toml:3: machine web: memory \"\" {size}")),
        ("'64M'", "'é'", format!("a.toml:3: machine web: memory \"é\" {size}")),
        ("'64M'", "'1M'", "a.toml:3: machine web: memory 1M is below the least a machine can have, 4M".into()),
        ("'64M'", "'4G'", "a.toml:3: machine web: memory 4G is above the most a machine can have, 3G".into()),
        (
            "'64M'",
            "'99999999999999999999G'",
            "a.toml:3: machine web: memory 99999999999999999999G is above the most a machine can have, 3G".into(),
        ),
        ("'64M'", "'4097K'", "a.toml:3: machine web: memory 4097K is not a whole number of pages of 4K".into()),
        ("vcpus = 2", "vcpus = 0", "a.toml:4: machine web asks for 0 vCPUs; it can have 1 to 64".into()),
        ("vcpus = 2", "vcpus = 65", "a.toml:4: machine web asks for 65 vCPUs; it can have 1 to 64".into()),
        ("vcpus = 2", "vcpus = -1", "a.toml:4: machine web asks for -1 vCPUs; it can have 1 to 64".into()),
        ("vcpus = 2", "vcpus = 'two'", "a.toml:4: invalid type: string \"two\", expected an integer".into()),
        ("vcpus = 2\n", "", "a.toml:2: machine web has no `vcpus`".into()),
        ("memory = '64M'\n", "", "a.toml:2: machine web has no `memory`".into()),
        ("{ tiny = ['exit'] }", "{}", "a.toml:5: the guest of machine web has no `tiny`".into()),
        (
            "{ tiny = ['exit'] }",
            "'exit'",
            "a.toml:5: invalid type: string \"exit\", expected a table, as { tiny = [\"exit\"] }".into(),
        ),
        (
            "{ tiny = ['exit'] }",
            "{ kernel = 'vmlinuz' }",
            "a.toml:5: `kernel` is not in this release of Pinfold: unknown key `kernel`, expected `tiny`".into(),
        ),
        (
            "vcpus = 2",
            "disks = []",
            "a.toml:4: `disks` is not in this release of Pinfold: unknown key `disks`, expected one of \
             `memory`, `vcpus`, `guest`, `groups`, `agent`, `task`"
                .into(),
        ),
        (
            "vcpus = 2",
            "cpus = 2",
            "a.toml:4: unknown key `cpus`, expected one of `memory`, `vcpus`, `guest`, `groups`, `agent`, `task`".into(),
        ),
        (
            "vcpus = 2",
            "vcpus = 2\nagent = 'read'",
            "a.toml:5: agent = \"read\" of machine web: the guest channel is not in this release, and \
             nothing is accepted that is not enforced"
                .into(),
        ),
        ("vm.web", "vm.'w/b'", "a.toml:2: machine name \"w/b\" is not 1 to 32 of [A-Za-z0-9._-] (EINVAL)".into()),
        ("vcpus = 2", "vcpus = 2\nvcpus = 3", "a.toml:5: key `vcpus` stands twice in its table".into()),
    ];
    for (good, bad, message) in cases {
        assert_eq!(refused(&VM.replace(good, bad)), message);
    }
}

#[test]
fn a_bad_script_is_refused_at_the_line_of_its_line() {
    let script = |lines: &str| refused(&VM.replace("['exit']", &format!("[\n{lines}]")));
    let verbs = "burn, sleep, print, exit, barrier, forever, halt, fault or reset";
    assert_eq!(
        script("'exit',\n'dance',\n"),
        format!(
            "a.toml:7: machine web: script line 2, \"dance\": unknown verb \"dance\": expected {verbs}"
        )
    );
    assert_eq!(
        script("''"),
        format!(
            "a.toml:6: machine web: script line 1, \"\": expected a verb ({})",
            verbs
        )
    );
    assert_eq!(
        script("'exit',\n'vcpu1: exit',\n' vcpu5: exit'"),
        "a.toml:8: machine web: script line 3, \" vcpu5: exit\", is for vcpu5; its vCPUs are vcpu0 to vcpu1"
    );
}

#[test]
fn two_machines_of_one_name_are_refused_with_both_lines() {
    assert_eq!(
        refused(&format!("{VM}{VM}")),
        "a.toml:7: machine web is declared twice, first on line 2"
    );
    assert_eq!(
        refused("[group.'a:/x']\n[group.'a:/x'] # again\n"),
        "a.toml:2: [group.'a:/x'] stands twice, first on line 1"
    );
}

#[test]
fn a_bad_placement_is_refused_with_its_line_and_what_is_missing() {
    let groups = |text: &str| refused(&format!("{TREES}{text}"));
    assert_eq!(
        groups("groups = ['billing:/a',\n'placement:/silver']"),
        "a.toml:14: group placement:/silver is not declared; declare it with [group.\"placement:/silver\"]"
    );
    assert_eq!(
        groups("groups = ['memory:/a']"),
        "a.toml:13: group memory:/a is in hierarchy memory, which is not declared; declare it with [hierarchy.memory]"
    );
    assert_eq!(
        groups("groups = ['gold']"),
        "a.toml:13: group \"gold\" is not of the form HIERARCHY:/path (EINVAL)"
    );
    assert_eq!(
        groups("groups = ['placement:/gold', 'placement:/gold/web']"),
        "a.toml:13: groups placement:/gold and placement:/gold/web are of one hierarchy; a task is in one \
         group of each"
    );
    assert_eq!(
        groups("groups = { vcpu = ['placement:/gold'], disk = [] }"),
        "a.toml:13: unknown key `disk`, expected one of `all`, `vcpu`, `io`, `control`"
    );
    assert_eq!(
        groups("groups = 'placement:/gold'"),
        "a.toml:13: invalid type: string \"placement:/gold\", expected a list of groups, or a table of lists \
         by kind of task"
    );
    assert_eq!(
        groups("[vm.web.task.vcpu2]\ngroups = []"),
        "a.toml:13: machine web has no task vcpu2: its vCPUs are vcpu0 to vcpu1"
    );
    assert_eq!(
        groups("[vm.web.task.kvm0]\ngroups = []"),
        "a.toml:13: machine web cannot place its task kvm0 alone: it follows control"
    );
    assert_eq!(
        groups("[vm.web.task.disk]\ngroups = []"),
        "a.toml:13: machine web has no task disk: its tasks are vcpu0 to vcpu1, io and control"
    );
}

#[test]
fn a_bad_tree_is_refused_with_its_line_and_what_is_missing() {
    let cases = [
        (
            "[hierarchy.a]\nsubsystems = ['cpuset']\n[hierarchy.b]\nsubsystems = ['cpuacct', 'cpuset']",
            "a.toml:4: subsystem cpuset of hierarchy b is already bound to hierarchy a on line 2",
        ),
        (
            "[hierarchy.a]\nsubsystems = ['cpuset', 'cpuset']",
            "a.toml:2: subsystem cpuset of hierarchy a is already bound to hierarchy a on line 2",
        ),
        (
            "[hierarchy.'a b']\nsubsystems = ['cpuset']",
            "a.toml:1: hierarchy name \"a b\" is not 1 to 64 of [A-Za-z0-9._-] (EINVAL)",
        ),
        (
            "[hierarchy.a]\nsubsystems = ['cpuset']\n[group.'a:/x/y']",
            "a.toml:3: group a:/x/y stands under a:/x, which is not declared; declare it with [group.\"a:/x\"]",
        ),
        (
            "\n[group.'a:/x']",
            "a.toml:2: group a:/x is in hierarchy a, which is not declared; declare it with [hierarchy.a]",
        ),
        (
            "[hierarchy.a]\nsubsystems = ['cpuset']\nrelease_agent = '/no/such'",
            "a.toml:3: release_agent /no/such cannot be run: No such file or directory (os error 2)",
        ),
        (
            "[hierarchy.a]\nsubsystems = ['cpuset']\nrelease_agent = '/etc/passwd'",
            "a.toml:3: release_agent /etc/passwd cannot be run: it is no executable file",
        ),
        (
            "[hierarchy.a]\nsubsystems = ['cpuset']\n[group.'a:/']\nfiles = { release_agent = '/bin/true' }",
            "a.toml:4: release_agent of a:/ is a key of [hierarchy.NAME], not a file of a group",
        ),
        (
            "[hierarchy.a]\nsubsystems = ['cpuset']\n[group.'a:/x']\nfiles = { tasks = 1 }",
            "a.toml:4: tasks of a:/x cannot be written in a spec: machines place their tasks with `groups`",
        ),
        (
            "[hierarchy.a]\nsubsystems = ['cpuset']\n[group.'a:/x']\nmode = 0o1777",
            "a.toml:4: mode 0o1777 of a:/x has bits above 0o777",
        ),
        (
            "[hierarchy.a]\n[group.'a:/x']\nuid = -1",
            "a.toml:3: invalid value: integer `-1`, expected an integer from 0 to 4294967295",
        ),
        (
            "[hierarchy.a]\nsubsystems = 'cpuset'",
            "a.toml:2: invalid type: string \"cpuset\", expected a list",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(refused(text), message);
    }
}

#[test]
fn what_is_not_a_spec_is_refused() {
    assert_eq!(
        refused("vm = 3"),
        "a.toml:1: invalid type: integer `3`, expected a table"
    );
    assert_eq!(
        refused("[machine.web]"),
        "a.toml:1: unknown key `machine`, expected one of `hierarchy`, `group`, `vm`"
    );
    assert_eq!(
        refused("[vm.web]\nmemory = \"64M\n"),
        "a.toml:2: invalid basic string, expected `\"`"
    );
    assert_eq!(
        refused("hello\n"),
        "a.toml:1: key with no value, expected `=`"
    );
    let file = |path: &str| load(Path::new(path), &host()).unwrap_err().to_string();
    assert_eq!(
        file("/no/such.toml"),
        "/no/such.toml: there is no such file"
    );
    assert_eq!(
        file("/tmp"),
        "/tmp: the file cannot be read: Is a directory (os error 21)"
    );
}
