//! Random trees, and a change to each.

use proptest::prelude::*;
use proptest::sample::select;

/// A group that may be there.
#[derive(Clone, Debug)]
pub enum Place {
    Named(&'static str),
    /// One of those in this hierarchy that have no children, modulo their number: often one that a clone has made.
    Leaf(&'static str, usize),
}

/// A command in the making; a task is a number, modulo how many there ever were.
#[derive(Clone, Debug)]
pub enum Op {
    Mkcpuset(&'static str, &'static str),
    Mkdir(&'static str),
    Rmdir(Place),
    Write(Place, &'static str, &'static str),
    Attach(Place, usize),
    Born(bool, Option<usize>),
    Exit(usize),
    Reserve(usize, u64),
    /// By which subsystem.
    Clone(usize, &'static str),
}

/// A random case; what of its ops is refused, where it stands, is left out.
#[derive(Clone, Debug)]
pub struct Case {
    /// Whether the cpuset hierarchy comes only with the change: its tasks were never confined then.
    pub mounted_late: bool,
    pub before: Vec<Op>,
    pub change: Vec<Op>,
    /// CPUs that the host allows from now on, in place of the ops.
    pub hotplug: Option<&'static str>,
}

fn places(hierarchy: &'static str, paths: &[&'static str]) -> impl Strategy<Value = Place> {
    prop_oneof![
        5 => select(paths.to_vec()).prop_map(Place::Named),
        1 => (0..20usize).prop_map(move |number| Place::Leaf(hierarchy, number)),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    const PLACED: &[&str] = &["p:/", "p:/a", "p:/a/a", "p:/a/b", "p:/b", "p:/b/a"];
    const BILLED: &[&str] = &["b:/", "b:/x", "b:/x/y", "b:/z"];
    const LIMITED: &[&str] = &["c:/", "c:/s", "c:/s/t", "c:/s/t/u", "c:/v"];
    let placed = || places("p", PLACED);
    let billed = || places("b", BILLED);
    let limited = || places("c", LIMITED);
    let frozen = || places("f", &["f:/a", "f:/a/b", "f:/c"]);
    let quotas = || select(vec!["-1", "20000", "50000", "80000", "200000"]);
    let periods = || select(vec!["50000", "100000", "400000"]);
    let lists = || select(vec!["0", "1", "2", "3", "0-1", "1-2", "2-3", "1-3", "0-3"]);
    let placements = select(vec!["float", "one-to-one"]);
    let states = select(vec!["FROZEN", "FROZEN", "THAWED"]);
    let cloned_by = select(vec!["cpuset", "cpuacct", "freezer", "cpu", "memory", "ns"]);
    prop_oneof![
        4 => (frozen(), states).prop_map(|(group, to)| Op::Write(group, "freezer.state", to)),
        5 => (frozen(), 0..20usize).prop_map(|(group, task)| Op::Attach(group, task)),
        3 => (select(PLACED), lists()).prop_map(|(group, cpus)| Op::Mkcpuset(group, cpus)),
        1 => select(BILLED).prop_map(Op::Mkdir),
        5 => (placed(), lists()).prop_map(|(group, cpus)| Op::Write(group, "cpuset.cpus", cpus)),
        2 => (placed(), placements).prop_map(|(group, to)| Op::Write(group, "cpuset.placement", to)),
        1 => billed().prop_map(|group| Op::Write(group, "cpuacct.usage", "0")),
        2 => select(LIMITED).prop_map(Op::Mkdir),
        2 => limited().prop_map(Op::Rmdir),
        1 => prop_oneof![placed(), billed(), frozen()].prop_map(Op::Rmdir),
        3 => (limited(), quotas()).prop_map(|(group, us)| Op::Write(group, "cpu.cfs_quota_us", us)),
        2 => (limited(), periods()).prop_map(|(group, us)| Op::Write(group, "cpu.cfs_period_us", us)),
        1 => limited().prop_map(|group| Op::Write(group, "cpu.shares", "512")),
        4 => (limited(), 0..20usize).prop_map(|(group, task)| Op::Attach(group, task)),
        9 => (placed(), 0..20usize).prop_map(|(group, task)| Op::Attach(group, task)),
        4 => (billed(), 0..20usize).prop_map(|(group, task)| Op::Attach(group, task)),
        3 => (any::<bool>(), proptest::option::of(0..20usize))
            .prop_map(|(is_vcpu, parent)| Op::Born(is_vcpu, parent)),
        1 => (0..20usize).prop_map(Op::Exit),
        3 => (0..20usize, 1..5u64).prop_map(|(task, pages)| Op::Reserve(task, pages * 4096)),
        2 => (billed(), select(vec!["0", "8192", "16384", "-1"]))
            .prop_map(|(group, limit)| Op::Write(group, "memory.limit_in_bytes", limit)),
        6 => (0..20usize, cloned_by).prop_map(|(task, by)| Op::Clone(task, by)),
    ]
}

/// Groups and tasks to begin with, so that few of the ops are refused.
fn beginnings() -> impl Strategy<Value = Vec<Op>> {
    let wide = || select(vec!["0-1", "0-2", "1-3", "0-3"]);
    let narrow = || select(vec!["0", "1", "1-2", "0-1", "2-3"]);
    let billed = ["b:/x", "b:/x/y", "b:/z"].map(Op::Mkdir);
    let others = ["c:/s", "c:/s/t", "f:/a", "f:/a/b", "f:/c"].map(Op::Mkdir);
    let born = [true, true, true, false, false, false].map(|is_vcpu| Op::Born(is_vcpu, None));
    (wide(), narrow(), wide(), narrow()).prop_map(move |(a, a_a, b, b_a)| {
        let placed = [("p:/a", a), ("p:/a/a", a_a), ("p:/b", b), ("p:/b/a", b_a)];
        let placed = placed.map(|(group, cpus)| Op::Mkcpuset(group, cpus));
        [&placed[..], &billed[..], &others[..], &born[..]].concat()
    })
}

pub fn cases() -> impl Strategy<Value = Case> {
    let before = (beginnings(), proptest::collection::vec(ops(), 5..30))
        .prop_map(|(beginning, ops)| [beginning, ops].concat());
    let change = proptest::collection::vec(ops(), 1..15);
    let hotplug = prop_oneof![
        7 => Just(None),
        1 => select(vec!["0", "0-1", "2-3", "0-4"]).prop_map(Some),
    ];
    (proptest::bool::weighted(0.2), before, change, hotplug).prop_map(
        |(mounted_late, before, change, hotplug)| Case {
            mounted_late,
            before,
            change,
            hotplug,
        },
    )
}
