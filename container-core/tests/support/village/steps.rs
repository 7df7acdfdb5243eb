//! What a host and guests may do at random.

use container_core::TaskKind;
use proptest::prelude::*;
use proptest::sample::select;

/// A host's command in the making; places and tasks are numbers, modulo what there is.
#[derive(Clone, Debug)]
pub enum Op {
    Mkdir(usize, usize),
    Rmdir(usize),
    Rename(usize, usize),
    Write(usize, &'static str, &'static str),
    Attach(usize, usize),
    Fork(usize, TaskKind, usize),
    Exit(usize),
    Chown(usize),
    Clone(usize),
}

/// A guest's command in the making.
#[derive(Clone, Debug)]
pub enum Ask {
    Make(usize, usize),
    Remove(usize),
    Set(usize, &'static str, &'static str),
    Enter(usize, TaskKind),
    Odd(&'static str),
}

#[derive(Clone, Debug)]
pub enum Step {
    Host(Vec<Op>),
    /// Which of the first views asks.
    Guest(usize, Vec<Ask>),
    Charge(u64),
    /// A machine does with a vCPU what it was told.
    Obey(usize),
    /// A neighbour's view is closed, and opened elsewhere.
    Open(usize),
}

fn writes() -> impl Strategy<Value = (&'static str, &'static str)> {
    let flags = select(vec![
        "notify_on_release",
        "notify_on_release",
        "cgroup.clone_children",
        "cpuset.cpu_exclusive",
    ]);
    let cpus = select(vec!["0", "1", "0-1", "2-3", "0-3", "1-2", "\n", "7", "all"]);
    prop_oneof![
        5 => (Just("cpuset.cpus"), cpus),
        3 => (Just("cpuset.mems"), select(vec!["0", "0", "\n", "1"])),
        5 => (flags, select(vec!["0", "1"])),
        2 => (Just("cpuset.placement"), select(vec!["float", "one-to-one"])),
        4 => (Just("freezer.state"), select(vec!["FROZEN", "THAWED"])),
        2 => (select(vec!["cgroup.max.depth", "cgroup.max.descendants"]), limits()),
        1 => (select(vec!["cpuacct.usage", "cpuacct.cycles"]), select(vec!["0", "1"])),
        1 => (Just("release_agent"), Just("/secret/agent")),
    ]
}

fn limits() -> impl Strategy<Value = &'static str> {
    select(vec!["0", "2", "5", "max"])
}

fn kinds() -> impl Strategy<Value = TaskKind> {
    prop_oneof![4 => (0..3u16).prop_map(TaskKind::Vcpu), 1 => Just(TaskKind::Io)]
}

fn ops() -> impl Strategy<Value = Op> {
    let place = || 0..100usize;
    prop_oneof![
        6 => (place(), 0..3usize).prop_map(|(place, name)| Op::Mkdir(place, name)),
        5 => place().prop_map(Op::Rmdir),
        4 => (place(), 0..3usize).prop_map(|(place, name)| Op::Rename(place, name)),
        8 => (place(), writes()).prop_map(|(place, (file, value))| Op::Write(place, file, value)),
        // The first two groups are above most roots.
        2 => (0..2usize, select(vec!["cgroup.max.depth", "cgroup.max.descendants"]), limits())
            .prop_map(|(place, file, limit)| Op::Write(place, file, limit)),
        10 => (place(), place()).prop_map(|(place, task)| Op::Attach(place, task)),
        3 => (place(), kinds(), place()).prop_map(|(m, kind, parent)| Op::Fork(m, kind, parent)),
        1 => place().prop_map(Op::Exit),
        1 => place().prop_map(Op::Chown),
        1 => place().prop_map(Op::Clone),
    ]
}

fn asks() -> impl Strategy<Value = Ask> {
    let place = || 0..100usize;
    let files = (
        select(vec!["tasks", "tasks", "debug.cgroup_css_links"]),
        select(vec!["vcpu0", "vcpu1", "7"]),
    );
    prop_oneof![
        5 => (place(), 0..3usize).prop_map(|(place, name)| Ask::Make(place, name)),
        3 => place().prop_map(Ask::Remove),
        8 => (place(), writes()).prop_map(|(place, (file, value))| Ask::Set(place, file, value)),
        1 => (place(), files).prop_map(|(place, (file, value))| Ask::Set(place, file, value)),
        8 => (place(), kinds()).prop_map(|(place, kind)| Ask::Enter(place, kind)),
        1 => select(vec!["p:/a", "x:/a", "b:/", "y:/", "p:/a/b"]).prop_map(Ask::Odd),
    ]
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => ops().prop_map(|op| Step::Host(vec![op])),
        4 => proptest::collection::vec(ops(), 2..5).prop_map(Step::Host),
        8 => (0..4usize, asks()).prop_map(|(view, ask)| Step::Guest(view, vec![ask])),
        3 => (0..4usize, proptest::collection::vec(asks(), 2..4))
            .prop_map(|(view, asks)| Step::Guest(view, asks)),
        1 => (1..1000u64).prop_map(Step::Charge),
        2 => (0..100usize).prop_map(Step::Obey),
        1 => (0..100usize).prop_map(Step::Open),
    ];
    proptest::collection::vec(step, 10..50)
}
