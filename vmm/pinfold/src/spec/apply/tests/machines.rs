//! Ways of machines: those that end, come, change places, or are made anew.

use super::*;

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
