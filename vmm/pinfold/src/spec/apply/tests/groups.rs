//! Ways of groups: their files, their CPUs, and the tasks that stand in the way.

use super::*;

#[test]
fn from_nothing_all_is_made_and_the_machines_start() {
    let to = [
        P,
        &own("/a", "0-1"),
        &own("/a/x", "1"),
        &vm("m", 2, "'p:/a/x'"),
    ]
    .concat();
    let expected = [
        "mount p cpuset",
        "mkdir p:/a",
        "set p:/a cpus 0-1",
        "set p:/a mems 0",
        "mkdir p:/a/x",
        "set p:/a/x cpus 1",
        "set p:/a/x mems 0",
        "set p:/a cpu_exclusive 1",
        "set p:/a/x cpu_exclusive 1",
    ];
    assert_eq!(goes("", &to), expected);
}

#[test]
fn two_exclusive_sets_with_tasks_in_them_change_places() {
    let text = |a, b| {
        let vms = [vm("m", 1, "'p:/a'"), vm("n", 1, "'p:/b'")].concat();
        [P, &own("/a", a), &own("/b", b), &vms].concat()
    };
    let expected = [
        "set p:/b cpu_exclusive 0",
        "set p:/a cpu_exclusive 0",
        "set p:/a cpus 2-3",
        "set p:/b cpus 0-1",
        "set p:/a cpu_exclusive 1",
        "set p:/b cpu_exclusive 1",
    ];
    assert_eq!(goes(&text("0-1", "2-3"), &text("2-3", "0-1")), expected);
}

#[test]
fn an_exclusive_set_is_emptied() {
    let expected = [
        "set p:/a cpu_exclusive 0",
        "set p:/a cpus ",
        "set p:/a cpu_exclusive 1",
    ];
    let nothing = group("/a", "'cpuset.cpus' = \"\\n\", 'cpuset.cpu_exclusive' = 1");
    let (from, to) = ([P, &own("/a", "0-1")].concat(), [P, &nothing].concat());
    assert_eq!(goes(&from, &to), expected);
}

#[test]
fn a_chain_goes_to_other_cpus_with_tasks_in_it_and_is_never_empty() {
    let text = |top: &str, middle: &str, low: &str| {
        let groups = [own("/a", top), own("/a/x", middle), cpus("/a/x/z", low)].concat();
        [P, &groups, &vm("m", 1, "'p:/a/x/z'")].concat()
    };
    let expected = [
        "set p:/a cpus 0-1,3-4",
        "set p:/a/x cpus 1,4",
        "set p:/a/x/z cpus 4",
        "set p:/a/x cpus 4",
        "set p:/a cpus 3-4",
    ];
    assert_eq!(
        goes(&text("0-2", "0-1", "1"), &text("3-4", "4", "4")),
        expected
    );
    assert_eq!(
        goes(&text("0", "0", "0"), &text("0-2", "0-1", "0-1")),
        [
            "set p:/a cpus 0-2",
            "set p:/a/x cpus 0-1",
            "set p:/a/x/z cpus 0-1"
        ]
    );
    assert_eq!(
        goes(&text("0-2", "0-1", "0-1"), &text("0", "0", "0")),
        [
            "set p:/a/x/z cpus 0",
            "set p:/a/x cpus 0",
            "set p:/a cpus 0"
        ]
    );
}

#[test]
fn groups_go_deepest_first_after_their_tasks_have_moved() {
    let tree = [
        own("/a", "0"),
        own("/a/x", "0"),
        own("/c", "3"),
        own("/c/y", "3"),
    ]
    .concat();
    let from = [P, &tree, &vm("m", 1, "'p:/a/x'")].concat();
    let to = [P, &own("/b", "0"), &vm("m", 1, "'p:/b'")].concat();
    let expected = [
        "rmdir p:/c/y",
        "rmdir p:/c",
        "set p:/a/x cpu_exclusive 0",
        "set p:/a cpu_exclusive 0",
        "mkdir p:/b",
        "set p:/b cpus 0",
        "set p:/b mems 0",
        "attach p:/b m/vcpu0",
        "attach p:/b m/io",
        "attach p:/b m/control",
        "attach p:/b m/kvm0",
        "rmdir p:/a/x",
        "rmdir p:/a",
        "set p:/b cpu_exclusive 1",
    ];
    assert_eq!(goes(&from, &to), expected);
}

#[test]
fn vcpus_of_two_full_one_to_one_groups_change_places() {
    let full = |path, cpus: &str| {
        group(
            path,
            &format!("'cpuset.cpus' = '{cpus}', 'cpuset.placement' = 'one-to-one'"),
        )
    };
    let text = |m, n| {
        [
            P,
            &full("/a", "0-1"),
            &full("/b", "2-3"),
            &vm("m", 2, m),
            &vm("n", 2, n),
        ]
        .concat()
    };
    let taken = goes(&text("'p:/a'", "'p:/b'"), &text("'p:/b'", "'p:/a'"));
    assert_eq!(
        taken[..2],
        ["set p:/a placement float", "set p:/b placement float"]
    );
    assert_eq!(taken.len(), 2 + 10 + 2);
    // Where there is room, no seat is given up.
    let taken = goes(&text("'p:/a'", "'p:/b'"), &text("'p:/'", "'p:/a'"));
    assert!(taken.contains(&"set p:/a placement float".to_owned()));
    let taken = goes(&text("'p:/'", "'p:/b'"), &text("'p:/a'", "'p:/b'"));
    assert!(
        !taken.iter().any(|line| line.contains("placement")),
        "{taken:#?}"
    );
}

#[test]
fn a_one_to_one_group_keeps_the_seats_of_those_that_leave_until_they_have_left() {
    let seats = |cpus: &str| {
        group(
            "/a",
            &format!("'cpuset.cpus' = '{cpus}', 'cpuset.placement' = 'one-to-one'"),
        )
    };
    let from = [P, &seats("0-1"), &cpus("/b", "3"), &vm("m", 2, "'p:/a'")].concat();
    let to = [P, &seats("2"), &cpus("/b", "3"), &vm("m", 2, "'p:/a'")].concat();
    let to = to + "[vm.m.task.vcpu1]\ngroups = ['p:/b']\n";
    let expected = [
        "set p:/a cpus 0-2",
        "attach p:/b m/vcpu1",
        "set p:/a cpus 2",
    ];
    assert_eq!(goes(&from, &to), expected);
}

#[test]
fn a_file_that_the_spec_no_longer_has_is_as_in_a_new_group() {
    let limits = "'cgroup.max.depth' = 2, 'cgroup.clone_children' = 1";
    let from = [
        P,
        &group("/a", limits),
        "notify_on_release = true\nmode = 0o700\n",
    ]
    .concat();
    let to = [P, "[group.'p:/a']\n"].concat();
    let expected = [
        "set p:/a notify_on_release 0",
        "set p:/a clone_children 0",
        "set p:/a depth max",
        "chown p:/a 0 0 755",
    ];
    assert_eq!(goes(&from, &to), expected);
}

#[test]
fn a_limit_that_is_full_lets_one_group_take_the_place_of_another() {
    let full = group("/", "'cgroup.max.descendants' = 1");
    let from = [P, &full, &cpus("/a", "0"), &vm("m", 1, "'p:/a'")].concat();
    let to = [P, &full, &cpus("/b", "0"), &vm("m", 1, "'p:/b'")].concat();
    let taken = goes(&from, &to);
    assert_eq!(taken[0], "set p:/ descendants max");
    assert_eq!(taken.last().unwrap(), "set p:/ descendants 1");
}

#[test]
fn a_group_that_keeps_tasks_is_not_released_on_the_way() {
    let bare =
        "[hierarchy.p]\n[group.'p:/a']\nnotify_on_release = true\n[group.'p:/b']\n[group.'p:/c']\n";
    let one = |vcpu, io| {
        let groups = format!("[vm.m.groups]\nvcpu = ['p:/{vcpu}']\nio = ['p:/{io}']\n");
        vm("m", 1, "").replace("groups = []\n", &groups)
    };
    let (from, to) = (
        spec(&[bare, &one("a", "b")].concat()),
        spec(&[bare, &one("c", "a")].concat()),
    );
    let mut now = started(&from);
    let wanted = difference(&to, &now).unwrap();
    assert_eq!(
        lines(&now, &wanted),
        ["attach p:/a m/io", "attach p:/c m/vcpu0"]
    );
    let plan = now
        .framework
        .plan(&Credentials::ROOT, &wanted.commands)
        .unwrap();
    let events = now.framework.commit(plan).unwrap();
    let released =
        |event: &container_core::Event| matches!(event, container_core::Event::Released { .. });
    assert!(!events.iter().any(released), "{events:?}");
}

#[test]
fn a_group_is_frozen_or_thawed_whatever_has_become_of_its_vcpus() {
    let text = |files: &str, child: &str| {
        let group =
            |path: &str, files: &str| format!("[group.'f:{path}']\nfiles = {{ {files} }}\n");
        [
            "[hierarchy.f]\nsubsystems = ['freezer']\n",
            &group("/a", files),
            &group("/a/b", child),
            &vm("m", 1, "'f:/a/b'"),
        ]
        .concat()
    };
    let frozen = "'freezer.state' = 'FROZEN'";
    assert_eq!(
        goes(&text("", ""), &text(frozen, "")),
        ["set f:/a state FROZEN"]
    );
    assert_eq!(
        goes(&text(frozen, ""), &text("", frozen)),
        ["set f:/a state THAWED", "set f:/a/b state FROZEN"]
    );
    assert_eq!(
        goes(&text(frozen, ""), &text(frozen, "")),
        <[&str; 0]>::default()
    );
}
