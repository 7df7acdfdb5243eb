//! Ways that have to be found, one story each.

use super::*;

const P: &str = "[hierarchy.p]\nsubsystems = ['cpuset']\n";

fn group(path: &str, files: &str) -> String {
    format!("[group.'p:{path}']\nfiles = {{ {files} }}\n")
}

/// An exclusive set.
fn own(path: &str, cpus: &str) -> String {
    group(
        path,
        &format!("'cpuset.cpus' = '{cpus}', 'cpuset.cpu_exclusive' = 1"),
    )
}

fn cpus(path: &str, cpus: &str) -> String {
    group(path, &format!("'cpuset.cpus' = '{cpus}'"))
}

fn vm(name: &str, vcpus: u16, groups: &str) -> String {
    format!(
        "[vm.{name}]\nmemory = '64M'\nvcpus = {vcpus}\nguest = {{ tiny = ['forever'] }}\ngroups = [{groups}]\n"
    )
}

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
fn machines_that_the_spec_does_not_have_end_and_their_group_waits_for_that() {
    let from = [P, &cpus("/a", "0"), &vm("m", 1, "'p:/a'")].concat();
    let (from, kept, gone) = (spec(&from), spec(&[P, &cpus("/a", "0")].concat()), spec(P));
    let now = started(&from);
    let wanted = difference(&kept, &now).unwrap();
    assert_eq!(wanted.gone, ["m".parse().unwrap()]);
    assert_eq!((wanted.waits.as_deref(), wanted.commands.len()), (None, 0));
    let wanted = difference(&gone, &now).unwrap();
    let why = "group p:/a is not in the spec, and its task m/vcpu0 is in the way (EBUSY)";
    assert_eq!(wanted.waits.as_deref(), Some(why));
    assert_eq!(lines(&now, &wanted), ["rmdir p:/a"]);
}

#[test]
fn a_machine_that_comes_waits_for_the_seats_of_one_that_goes() {
    let full = group(
        "/a",
        "'cpuset.cpus' = '0', 'cpuset.placement' = 'one-to-one'",
    );
    let text = |name| [P, &full, &vm(name, 1, "'p:/a'")].concat();
    let (from, to) = (spec(&text("m")), spec(&text("n")));
    let wanted = difference(&to, &started(&from)).unwrap();
    assert_eq!(wanted.start.len(), 1);
    let waits = wanted.waits.unwrap();
    assert!(
        waits.contains("one-to-one and has no CPU of 0 left for n/vcpu0 (ENOSPC)"),
        "{waits}"
    );
    goes(&text("m"), &text("n"));
}

#[test]
fn hierarchies_that_the_spec_does_not_name_are_left_alone() {
    let from = spec(&["[hierarchy.q]\n[group.'q:/z']\n", P, &vm("m", 1, "'q:/z'")].concat());
    let to = spec(&[P, &cpus("/a", "0"), &vm("m", 1, "'p:/a'")].concat());
    let mut now = started(&from);
    let wanted = difference(&to, &now).unwrap();
    assert!(!lines(&now, &wanted).iter().any(|line| line.contains("q:")));
    carried_out(&mut now, &wanted);
    assert_eq!(
        now.framework
            .group(&"q:/z".parse().unwrap())
            .unwrap()
            .tasks
            .len(),
        4
    );
    assert_eq!(difference(&to, &now).unwrap().commands, []);
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
fn machines_change_places_under_limits_that_have_room_for_one_each() {
    let text = |m: &str, n: &str, limit: &str| {
        let group = |path: &str| {
            format!("[group.'m:{path}']\nfiles = {{ 'memory.limit_in_bytes' = '{limit}' }}\n")
        };
        let groups = [group("/a"), group("/b")].concat();
        let vms = [vm("m", 1, m), vm("n", 1, n)].concat();
        format!("[hierarchy.m]\nsubsystems = ['memory']\n{groups}{vms}")
    };
    let taken = goes(
        &text("'m:/a'", "'m:/b'", "72M"),
        &text("'m:/b'", "'m:/a'", "80M"),
    );
    let limits: Vec<&String> = taken.iter().filter(|line| line.contains("limit")).collect();
    let expected = [
        "set m:/a limit_in_bytes 9223372036854771712",
        "set m:/b limit_in_bytes 9223372036854771712",
        "set m:/a limit_in_bytes 83886080",
        "set m:/b limit_in_bytes 83886080",
    ];
    let mut sorted = limits[..2].to_vec();
    sorted.sort();
    assert_eq!([&sorted, &limits[2..]].concat(), expected);
    // Where nobody enters, a limit changes in one step.
    let taken = goes(
        &text("'m:/a'", "'m:/b'", "72M"),
        &text("'m:/a'", "'m:/b'", "80M"),
    );
    assert_eq!(taken, expected[2..]);
}

#[test]
fn the_group_that_a_machine_with_namespaces_was_cloned_into_stays() {
    let text = |more: &str| {
        let vm = vm("m", 1, "'n:/a'").replace("guest", "namespaces = ['net']\nguest");
        format!("[hierarchy.n]\nsubsystems = ['ns', 'cpuset']\n[group.'n:/a']\n{more}{vm}")
    };
    let from = text("");
    let mut now = started(&spec(&from));
    let home: Vec<GroupPath> = now
        .framework
        .walk(&"n".parse().unwrap())
        .unwrap()
        .into_iter()
        .filter(|group| group.tasks.len() == 4)
        .map(|group| group.path)
        .collect();
    assert!(home[0].path().starts_with("/a/node_1"), "{home:?}");
    let wanted = [spec(&from), spec(&text("[group.'n:/b']\n"))];
    assert!(is_nothing(&difference(&wanted[0], &now).unwrap()));
    let more = difference(&wanted[1], &now).unwrap();
    assert_eq!(
        lines(&now, &more),
        ["mkdir n:/b", "set n:/b cpus 0-5", "set n:/b mems 0"]
    );
    carried_out(&mut now, &more);
    let walk = now.framework.walk(&"n".parse().unwrap()).unwrap();
    assert!(walk.iter().any(|group| group.path == home[0]));
    // Nothing moves it elsewhere.
    let elsewhere = text("[group.'n:/b']\n").replace("groups = ['n:/a']", "groups = ['n:/b']");
    let refused = difference(&spec(&elsewhere), &now).unwrap_err().to_string();
    assert!(refused.contains("EPERM"), "{refused}");
}

#[test]
fn a_machine_with_other_namespaces_is_made_anew_and_its_group_goes_with_it() {
    let text = |kinds: &str| {
        let vm = vm("m", 1, "'n:/a'").replace("guest", &format!("namespaces = [{kinds}]\nguest"));
        format!("[hierarchy.n]\nsubsystems = ['ns']\n[group.'n:/a']\n{vm}")
    };
    for (from, to) in [("", "'net'"), ("'net'", ""), ("'net'", "'net', 'uts'")] {
        let mut now = started(&spec(&text(from)));
        let to = spec(&text(to));
        let wanted = difference(&to, &now).unwrap();
        let [(machine, why)] = &wanted.replace[..] else {
            panic!("{wanted:#?}")
        };
        assert_eq!(&*machine.name, "m");
        assert!(why.contains("namespaces"), "{why}");
        assert!(wanted.waits.is_some(), "its name is taken until then");
        let removed = lines(&now, &wanted);
        let has_home = !from.is_empty();
        assert_eq!(removed.len(), usize::from(has_home), "{removed:?}");
        assert!(
            removed
                .iter()
                .all(|line| line.starts_with("rmdir n:/a/node_1"))
        );
        carried_out(&mut now, &wanted);
        assert!(is_nothing(&difference(&to, &now).unwrap()));
    }
}

#[test]
fn a_machine_that_becomes_larger_is_made_anew_within_the_limit_or_not_at_all() {
    let text = |memory: &str, limit: &str| {
        let vm = vm("m", 1, "'m:/a'").replace("memory = '64M'", &format!("memory = '{memory}'"));
        let files = format!("files = {{ 'memory.limit_in_bytes' = '{limit}' }}");
        format!("[hierarchy.m]\nsubsystems = ['memory']\n[group.'m:/a']\n{files}\n{vm}")
    };
    let from = text("64M", "72M");
    let taken = goes(&from, &text("128M", "136M"));
    assert_eq!(taken, ["set m:/a limit_in_bytes 142606336"]);
    // Back to what is less: the limit is set once the machine has ended.
    let taken = goes(&text("128M", "136M"), &from);
    assert_eq!(taken, ["set m:/a limit_in_bytes 75497472"]);
}

#[test]
fn a_restart_and_other_groups_are_changed_while_a_machine_lives() {
    let groups = [P, &cpus("/a", "0"), &cpus("/b", "1")].concat();
    let was = [&*groups, &vm("m", 1, "'p:/a'")].concat();
    let moved = [&*groups, &vm("m", 1, "'p:/b'")].concat();
    let machine = |text: &str, more: &str| spec(&[text, more].concat());
    let mut now = started(&spec(&was));
    let to = machine(&was, "[vm.m.task.io]\ngroups = ['p:/b']\n");
    let wanted = difference(&to, &now).unwrap();
    assert_eq!(lines(&now, &wanted), ["attach p:/b m/io"]);
    let [change] = &wanted.amend[..] else {
        panic!("{wanted:#?}")
    };
    let io = change.placement.groups_of(TaskKind::Io);
    assert_eq!(io, ["p:/b".parse().unwrap()]);
    assert!(wanted.replace.is_empty() && wanted.waits.is_none());

    let always = was.replace("[vm.m]", "[vm.m]\nrestart = 'always'");
    let to = spec(&always);
    let wanted = difference(&to, &now).unwrap();
    assert!(wanted.commands.is_empty() && wanted.replace.is_empty());
    assert_eq!(wanted.amend[0].restart, supervisor::Restart::Always);
    carried_out(&mut now, &wanted);
    assert!(is_nothing(&difference(&to, &now).unwrap()));

    // One that has ended is placed at its next start.
    now.framework = without(&now.framework, &["m".parse().unwrap()]).unwrap();
    now.machines[0].alive = false;
    let to = spec(&moved.replace("[vm.m]", "[vm.m]\nrestart = 'always'"));
    let wanted = difference(&to, &now).unwrap();
    assert!(wanted.commands.is_empty() && wanted.start.is_empty());
    assert_eq!(wanted.amend.len(), 1);
    carried_out(&mut now, &wanted);
    assert!(is_nothing(&difference(&to, &now).unwrap()));
}

#[test]
fn there_is_a_way_back_over_hierarchies_that_come() {
    let from = spec(&[P, &cpus("/a", "0"), &vm("m", 1, "'p:/a'")].concat());
    let groups = "[hierarchy.b]\nsubsystems = ['cpuacct']\n[group.'b:/t']\n[group.'b:/t/u']\n";
    let to = [P, &cpus("/a", "0"), groups, &vm("m", 1, "'p:/a', 'b:/t/u'")].concat();
    let to = spec(&to);
    let mut now = started(&from);
    let wanted = difference(&to, &now).unwrap();
    assert!(lines(&now, &wanted).contains(&"mount b cpuacct".to_owned()));
    carried_out(&mut now, &wanted);
}

#[test]
fn a_hierarchy_without_groups_gets_another_set_of_subsystems_and_there_is_a_way_back() {
    let to = [
        "[hierarchy.p]\nsubsystems = ['cpuset', 'memory']\n",
        &cpus("/a", "1"),
    ]
    .concat();
    let expected = [
        "remount p cpuset,memory",
        "mkdir p:/a",
        "set p:/a cpus 1",
        "set p:/a mems 0",
    ];
    assert_eq!(goes(P, &to), expected);
    assert_eq!(
        goes(&to.replace(&cpus("/a", "1"), ""), P),
        ["remount p cpuset"]
    );
}

#[test]
fn subsystems_change_places_by_way_of_none() {
    let of = |p: &str, q: &str| {
        format!("[hierarchy.p]\nsubsystems = [{p}]\n[hierarchy.q]\nsubsystems = [{q}]\n")
    };
    let (from, to) = (
        of("'cpuset', 'debug'", "'memory'"),
        of("'memory'", "'cpuset'"),
    );
    let expected = [
        "remount p debug",
        "remount q ",
        "remount p memory",
        "remount q cpuset",
    ];
    assert_eq!(goes(&from, &to), expected);
    // To one that comes, and back from it.
    assert_eq!(
        goes(
            "[hierarchy.p]\nsubsystems = ['cpuset']\n",
            &of("", "'cpuset'")
        ),
        ["remount p ", "mount q cpuset"]
    );
}
