//! Ways of hierarchies: those that come, get other subsystems, or are left alone.

use super::*;

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
