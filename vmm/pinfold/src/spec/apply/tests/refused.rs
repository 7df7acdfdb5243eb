//! What there is no way to, in words.

use super::*;

const P: &str = "[hierarchy.p]\nsubsystems = ['cpuset']\n[group.'p:/a']\n[group.'p:/b']\n";
const VM: &str = "[vm.m]\nmemory = '64M'\nvcpus = 1\nguest = { tiny = ['exit'] }\n\
                  groups = ['p:/a']\nagent = 'read'\n";

fn refused(now: &Known, to: &str) -> String {
    difference(&spec(to), now).expect_err(to).to_string()
}

#[test]
fn a_machine_that_is_built_otherwise_is_made_anew() {
    let text = [P, VM].concat();
    let mut now = started(&spec(&text));
    let cases = [
        (
            "64M",
            "128M",
            "memory 67108864 bytes and the spec says memory 134217728 bytes",
        ),
        (
            "vcpus = 1",
            "vcpus = 2",
            "1 vcpus and the spec says 2 vcpus",
        ),
        ("exit", "forever", "one guest and the spec says another"),
        (
            "'read'",
            "'delegate'",
            "agent read in p:/a and the spec says agent delegate in p:/a",
        ),
        (
            "['p:/a']",
            "['p:/b']",
            "agent read in p:/a and the spec says agent read in p:/b",
        ),
        (
            "agent = 'read'\n",
            "",
            "agent read in p:/a and the spec says agent none",
        ),
        (
            "agent",
            "vsock = { cid = 5, path = '/run/m.sock' }\nagent",
            "vsock cid 3 and the spec says vsock cid 5 at /run/m.sock",
        ),
    ];
    for (was, is, what) in cases {
        let to = spec(&text.replace(was, is));
        let wanted = difference(&to, &now).unwrap();
        let [(machine, why)] = &wanted.replace[..] else {
            panic!("{wanted:#?}")
        };
        assert_eq!(machine.name.as_str(), "m");
        assert_eq!(*why, format!("machine m runs with {what}"));
        assert_eq!(wanted.waits.as_ref(), Some(why));
        assert!(wanted.start.is_empty() && wanted.gone.is_empty());
    }
    now.framework = without(&now.framework, &["m".parse().unwrap()]).unwrap();
    now.machines[0].alive = false;
    assert!(is_nothing(&difference(&spec(&text), &now).unwrap()));
    let to = spec(&text.replace("vcpus = 1", "vcpus = 2"));
    let wanted = difference(&to, &now).unwrap();
    let [(_, why)] = &wanted.replace[..] else {
        panic!("{wanted:#?}")
    };
    assert_eq!(why, "machine m ran with 1 vcpus and the spec says 2 vcpus");
    assert_eq!(wanted.waits, None, "it has ended");
}

#[test]
fn a_spec_that_breaks_a_rule_itself_is_refused_with_its_line() {
    let now = started(&spec(P));
    let to = [P, "files = { 'cpuset.cpus' = 7 }"].concat();
    let expected = "s.toml:5: cpuset.cpus 7 is not a subset of the host's 0-5 (EINVAL)";
    assert_eq!(refused(&now, &to), expected);
}

#[test]
fn a_subsystem_that_is_elsewhere_or_a_hierarchy_that_is_otherwise_is_refused_with_its_line() {
    let now = started(&spec(P));
    assert_eq!(
        refused(&now, "[hierarchy.q]\nsubsystems = ['cpuset']"),
        "s.toml:2: cpuset is bound to p and cannot go to q (EBUSY)"
    );
    assert_eq!(
        refused(&now, "[hierarchy.p]\nsubsystems = ['cpuset', 'debug']"),
        "s.toml:2: p has child groups (2 below its root): it keeps the subsystems cpuset, and cannot \
         have cpuset,debug (EBUSY)"
    );
}

#[test]
fn a_hierarchy_that_is_unmounted_and_lives_on_is_to_be_mounted_first() {
    let mut now = started(&spec(P));
    let unmount = Command::Unmount {
        hierarchy: "p".parse().unwrap(),
    };
    commit(&mut now.framework, &[unmount]).unwrap();
    assert_eq!(
        refused(&now, P),
        "s.toml:2: hierarchy p was unmounted and lives on with 3 groups, which only a mount brings \
         back: mount it, and apply again (EBUSY)"
    );
}

#[test]
fn a_task_of_no_known_machine_is_in_the_way_of_its_group() {
    let mut now = started(&spec(&[P, VM].concat()));
    now.machines.clear();
    assert_eq!(
        refused(&now, "[hierarchy.p]\nsubsystems = ['cpuset']"),
        "group p:/a is not in the spec, and its task m/vcpu0 is in the way (EBUSY)"
    );
}
