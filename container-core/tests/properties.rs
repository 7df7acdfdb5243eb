//! Random commands against the framework and against a naive model of it.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

#[path = "properties/cpu.rs"]
mod cpu;
#[path = "properties/cpuacct.rs"]
mod cpuacct;
#[path = "properties/cpuset.rs"]
mod cpuset;
#[path = "properties/freezer.rs"]
mod freezer;
#[path = "properties/memory.rs"]
mod memory;
#[path = "support/mirror.rs"]
mod mirror;
#[path = "support/model.rs"]
mod model;
#[path = "properties/ns.rs"]
mod ns;
#[path = "properties/pair.rs"]
mod pair;
mod support;

use container_core::*;
use cpu::{cpu_ops, cpu_pairs, cpu_writes};
use cpuacct::cpuacct_ops;
use cpuset::cpuset_ops;
use freezer::freezer_ops;
use memory::memory_ops;
use model::HIERARCHIES;
use ns::namespace_ops;
use pair::Pair;
use proptest::prelude::*;
use proptest::sample::select;
use support::*;

/// A group as a generated command names it: mostly one that is there.
#[derive(Clone, Debug)]
enum Place {
    /// One of those in the model, modulo their number.
    Standing(usize),
    /// One of those that have no children and are no roots.
    Leaf(usize),
    /// One of those in this hierarchy: often one that a clone has made.
    LeafOf(&'static str, usize),
    Named(String),
}

/// A command in the making. Tasks are numbers: 0 is the id allocated last, dead or unborn as it
/// may be, the others stand for living ones.
#[derive(Clone, Debug)]
enum Op {
    Mount(&'static str),
    Unmount(&'static str),
    /// With `debug`, or without; of the others, those that it has.
    Remount(&'static str, bool),
    Mkdir(Place, &'static str),
    Rmdir(Place),
    Rename(Place, &'static str),
    Write(Place, &'static str, &'static str),
    Attach(Place, usize),
    Fork {
        kind: TaskKind,
        parent: Option<usize>,
    },
    Exit(usize),
    Clone(usize, &'static str),
    Reserve(usize, u64),
}

#[derive(Clone, Debug)]
enum Step {
    Batch(Vec<Op>),
    Charge(u64),
    Credit(usize, u64),
    Resident(usize, u64),
    Allow(&'static str),
    /// A machine does with a vCPU what it was told.
    Obey(usize),
}

const TASKS: usize = 20;
/// By what a task is cloned; each hierarchy of the model has one of these, or two.
const CLONED_BY: [&str; 6] = ["cpuset", "cpuacct", "freezer", "cpu", "memory", "ns"];

fn places() -> impl Strategy<Value = Place> {
    let paths = (
        select(HIERARCHIES.to_vec()),
        select(vec!["", "a", "b", "a/b", "b/a"]),
    );
    prop_oneof![
        9 => (0..60usize).prop_map(Place::Standing),
        9 => (0..60usize).prop_map(Place::Leaf),
        1 => paths.prop_map(|(hierarchy, path)| Place::Named(format!("{hierarchy}:/{path}"))),
    ]
}

/// The groups of a hierarchy that the prelude makes and some more, and those that clones make.
fn places_in(hierarchy: &'static str, paths: &[&'static str]) -> impl Strategy<Value = Place> {
    let paths: Vec<String> = paths
        .iter()
        .map(|path| format!("{hierarchy}:/{path}"))
        .collect();
    prop_oneof![
        4 => select(paths).prop_map(Place::Named),
        1 => (0..20usize).prop_map(move |number| Place::LeafOf(hierarchy, number)),
    ]
}

fn writes() -> impl Strategy<Value = (&'static str, &'static str)> {
    let flags = select(vec![
        "notify_on_release",
        "cgroup.clone_children",
        "cpuset.cpu_exclusive",
        "cpuset.mem_exclusive",
    ]);
    let cpus = vec![
        "0", "1", "2", "3", "0-1", "2-3", "0-3", "1-2", "0-3", "\n", "4", "7", "8",
    ];
    prop_oneof![
        6 => cpu_writes(),
        6 => (Just("cpuset.cpus"), select(cpus)),
        3 => (Just("cpuset.mems"), select(vec!["0", "0", "0", "\n", "1"])),
        6 => (flags, select(vec!["0", "1"])),
        3 => (Just("cpuset.placement"), select(vec!["float", "one-to-one"])),
        6 => (Just("freezer.state"), select(vec!["FROZEN", "FROZEN", "THAWED", "FREEZING"])),
        1 => (Just("cpuacct.usage"), Just("0")),
        1 => (Just("release_agent"), select(vec!["/one", "/two"])),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    let kinds = prop_oneof![2 => (0..4u16).prop_map(TaskKind::Vcpu), 1 => Just(TaskKind::Io)];
    let names = || select(vec!["a", "b"]);
    prop_oneof![
        2 => select(HIERARCHIES.to_vec()).prop_map(Op::Mount),
        1 => select(HIERARCHIES.to_vec()).prop_map(Op::Unmount),
        2 => (select(HIERARCHIES.to_vec()), any::<bool>())
            .prop_map(|(hierarchy, debug)| Op::Remount(hierarchy, debug)),
        8 => (places(), names()).prop_map(|(place, name)| Op::Mkdir(place, name)),
        12 => places().prop_map(Op::Rmdir),
        1 => (places(), names()).prop_map(|(place, to)| Op::Rename(place, to)),
        16 => (places(), writes()).prop_map(|(place, (file, value))| Op::Write(place, file, value)),
        20 => (places(), 0..TASKS).prop_map(|(place, task)| Op::Attach(place, task)),
        8 => (kinds, proptest::option::of(0..TASKS))
            .prop_map(|(kind, parent)| Op::Fork { kind, parent }),
        4 => (0..TASKS).prop_map(Op::Exit),
        3 => (0..TASKS, select(CLONED_BY.to_vec())).prop_map(|(task, by)| Op::Clone(task, by)),
    ]
}

fn steps<S: Strategy<Value = Op>>(ops: fn() -> S) -> impl Strategy<Value = Vec<Step>> {
    batches_of(ops, 2..5)
}

/// The same with batches of so many.
fn batches_of<S: Strategy<Value = Op>>(
    ops: fn() -> S,
    size: std::ops::Range<usize>,
) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => ops().prop_map(|op| Step::Batch(vec![op])),
        4 => proptest::collection::vec(ops(), size).prop_map(Step::Batch),
        2 => (1..1000u64).prop_map(Step::Charge),
        2 => (0..TASKS, 0..2000u64).prop_map(|(task, over)| Step::Credit(task, over)),
        2 => (0..TASKS, 0..9000u64).prop_map(|(task, bytes)| Step::Resident(task, bytes)),
        1 => select(vec!["0-3", "0-3", "0-1", "1-3", "2"]).prop_map(Step::Allow),
        4 => (0..TASKS).prop_map(Step::Obey),
    ];
    proptest::collection::vec(step, 20..80)
}

fn mounting(hierarchy: &str) -> Command {
    match hierarchy {
        "p" => mount("p", &["cpuset", "debug"]),
        "b" => mount("b", &["cpuacct", "freezer"]),
        "m" => mount("m", &["memory"]),
        "n" => mount("n", &["ns"]),
        _ => mount("x", &["cpu"]),
    }
}

fn remounting(hierarchy: &str, debug: bool) -> Command {
    let Command::Mount {
        hierarchy,
        mut subsystems,
    } = mounting(hierarchy)
    else {
        unreachable!("a mount is one");
    };
    subsystems.retain(|name| name != "debug");
    subsystems.extend(debug.then(|| "debug".to_owned()));
    Command::Remount {
        hierarchy,
        subsystems,
    }
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..Default::default()
    }
}

fn replay(steps: &[Step]) {
    let mut pair = Pair::new();
    for step in steps {
        pair.step(step);
    }
}

proptest! {
    #![proptest_config(cases(100))]

    /// Conservation with credits among the charges, one group a task and hierarchy, css_sets unique and counted, one release a
    /// transition, plans that leave no trace, and every errno.
    #[test]
    fn the_framework_is_what_its_naive_model_is(steps in steps(ops)) {
        replay(&steps);
    }

    /// Quotas within those above, and a mirror of them in the host's controller that the kernel would take.
    #[test]
    fn cpu_limits_nest_and_their_effects_are_in_an_order_that_the_kernel_takes(steps in steps(cpu_ops)) {
        replay(&steps);
    }

    /// The same where a batch changes a group and the one above it.
    #[test]
    fn a_group_and_the_one_above_it_change_in_one_batch(steps in batches_of(cpu_pairs, 2..4)) {
        replay(&steps);
    }

    /// Not a nanosecond lost or billed twice, whoever moves, ends, is cloned or is reset; what a removed group used stays
    /// with its parent, and each counter that has to be read is read once.
    #[test]
    fn what_was_used_stays_billed_through_moves_exits_clones_and_resets(steps in steps(cpuacct_ops)) {
        replay(&steps);
    }

    /// Who is to be frozen, who is by the machines' word, and what is told of it.
    #[test]
    fn groups_freeze_and_thaw_as_their_vcpus_do(steps in steps(freezer_ops)) {
        replay(&steps);
    }

    /// No group past its limit; every byte with its machine, through moves, exits, clones and unmounts; each refusal by a limit
    /// counted, and only those.
    #[test]
    fn memory_stays_with_its_machine_and_within_limits(steps in steps(memory_ops)) {
        replay(&steps);
    }

    /// Nobody moves but down into an empty child of its group, and by birth; each that becomes empty is released.
    #[test]
    fn a_task_with_namespaces_stays_where_it_was_born_or_below(steps in steps(namespace_ops)) {
        replay(&steps);
    }

    /// Children within their parents, exclusive siblings apart, vCPUs one to one.
    #[test]
    fn cpusets_stay_within_and_apart(steps in steps(cpuset_ops)) {
        replay(&steps);
    }
}
