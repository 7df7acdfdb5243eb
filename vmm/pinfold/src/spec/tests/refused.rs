//! The exact words for each bad file.

use std::path::Path;

use super::{TREES, VM, host, loaded};
use crate::spec::load;

fn refused(text: &str) -> String {
    loaded(text).expect_err(text).to_string()
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
        (
            "vcpus = 2",
            "vcpus = 2\nrestart = true",
            "a.toml:5: restart \"1\" of machine web is none of \"no\", \"on-failure\" and \"always\"".into(),
        ),
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
             `memory`, `vcpus`, `guest`, `groups`, `agent`, `vsock`, `namespaces`, `restart`, `task`"
                .into(),
        ),
        (
            "vcpus = 2",
            "cpus = 2",
            "a.toml:4: unknown key `cpus`, expected one of `memory`, `vcpus`, `guest`, `groups`, `agent`, `vsock`, `namespaces`, `restart`, `task`".into(),
        ),
        (
            "vcpus = 2",
            "vcpus = 2\nagent = 'write'",
            "a.toml:5: agent \"write\" of machine web is neither \"read\" nor \"delegate\"".into(),
        ),
        (
            "vcpus = 2",
            "vcpus = 2\nvsock = { cid = 2 }",
            "a.toml:5: vsock.cid 2 of machine web is not one of 3 to 4294967294".into(),
        ),
        (
            "vcpus = 2",
            "vcpus = 2\nvsock = { path = '/no/such/web.sock' }",
            "a.toml:5: vsock.path \"/no/such/web.sock\" of machine web: there is no such folder".into(),
        ),
        (
            "vcpus = 2",
            "vcpus = 2\nvsock = 'web.sock'",
            "a.toml:5: invalid type: string \"web.sock\", expected a table, as { path = \"web.sock\" }".into(),
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
    let verbs = "burn, sleep, print, exit, barrier, forever, halt, fault, reset, touch, tree, roots, get, set, \
                 mkdir, rmdir, attach, ping, exits, subscribe, unsubscribe, wait, collect, stamp, \
                 reconnect, disconnect, serve, send, receive, accept, rtt, flood, garbage, huge, \
                 half-open, unprivileged or badqueue";
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
fn a_script_that_touches_more_than_its_machine_has_is_refused_at_its_line() {
    let script = |line: &str| VM.replace("'exit'", &format!("\n'{line}'"));
    let refused = refused(&script("touch 61M"));
    assert_eq!(
        refused,
        "a.toml:6: machine web: script line 1, \"touch 61M\": touches up to byte 68157440 of a memory of 67108864"
    );
    assert!(loaded(&script("touch 60M")).is_ok());
}

#[test]
fn namespaces_that_a_machine_cannot_have_are_refused_with_the_reason() {
    let own = |kinds: &str| VM.replace("guest", &format!("namespaces = [{kinds}]\nguest"));
    for (kind, why) in [
        ("pid", "could not announce its threads"),
        ("user", "no right to what is passed on to it"),
        (
            "time",
            "\"time\" is none that a machine can have of its own; uts, ipc, net and mount are",
        ),
    ] {
        let refused = refused(&own(&format!("'net', '{kind}'")));
        assert!(
            refused.starts_with("a.toml:5: namespaces of machine web: ") && refused.ends_with(why),
            "{refused}"
        );
    }
    let spec = loaded(&own("'uts', 'ipc', 'net', 'mount'")).unwrap();
    assert_eq!(
        spec.machines[0].namespaces.to_string(),
        "uts, ipc, net, mount"
    );
    assert!(loaded(VM).unwrap().machines[0].namespaces.is_empty());
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

#[test]
fn a_socket_that_guests_of_another_machine_would_reach_is_refused() {
    let vm = |name: &str, path: &str| {
        VM.replace("web", name)
            .replace("vcpus", &format!("vsock = {{ path = '{path}' }}\nvcpus"))
    };
    let two = |a: &str, b: &str| loaded(&(vm("a", a) + &vm("b", b)));
    let why = |a: &str, b: &str| two(a, b).expect_err("refused").to_string();
    let same = why("/tmp/x.sock", "/tmp/../tmp/x.sock");
    assert!(same.contains("has the vsock.path"), "{same}");
    for (a, b) in [
        ("/tmp/x.sock", "/tmp/x.sock_52"),
        ("/tmp/x.sock_52", "/tmp/x.sock"),
    ] {
        let reached = why(a, b);
        let rule = "/tmp/x.sock_52 is where guests with the vsock.path /tmp/x.sock connect to";
        assert!(reached.ends_with(rule), "{reached}");
    }
    let apart = two("/tmp/x.sock", "/tmp/x.sock_a").unwrap();
    assert!(apart.keeps_from_guests(Path::new("/tmp/run.sock")).is_ok());
    for path in ["/tmp/x.sock", "/tmp/x.sock_1", "/tmp/../tmp/x.sock_a_77"] {
        assert!(apart.keeps_from_guests(Path::new(path)).is_err(), "{path}");
    }
}
