//! What is done to both sides: operations in the making, and how random ones are drawn.

use container_core::HostResources;
use proptest::prelude::*;
use proptest::sample::select;

use crate::scratch::Mount;

/// A group as an operation names it.
#[derive(Clone, Debug)]
pub enum Place {
    /// The scratch group itself.
    Top,
    /// One of those below it, modulo their number; the scratch group where there is none.
    Nth(usize),
    /// By its path below the scratch group, there or not.
    At(&'static str),
}

/// A living thread, modulo their number.
pub type Who = usize;

/// What is written to a control file.
#[derive(Clone, Debug)]
pub enum Value {
    Text(String),
    /// What is in the file, with blanks after it up to so many bytes.
    Padded(usize),
}

#[derive(Clone, Debug)]
pub enum Op {
    Mkdir(Place, String),
    Rmdir(Place),
    /// Remove a group by the name of a control file.
    RmdirFile(Place),
    RmdirRoot,
    Rename(Place, String),
    /// Rename to a new name in another group.
    RenameAway(Place, Place),
    RenameFile(Place),
    Write(Place, &'static str, Value),
    /// Write to a file of the hierarchy's root what is in it.
    WriteRoot(&'static str),
    /// Write a thread's id to `tasks`, and this after it.
    Attach(Place, Who, &'static str),
    /// Write the id of a thread that has ended.
    AttachDead(Place),
    /// Write what is no id; `{}` in it stands for that of a living thread.
    AttachGarbage(Place, &'static str),
    /// The thread itself writes 0.
    Enter(Place, Who),
    /// Move to the hierarchy's root.
    Leave(Who),
    Exit(Who),
    Fork(Who),
    /// The thread's last act: it asks to run on these CPUs only.
    Confine(Who, u32),
    Create(Place),
    Unlink(Place),
    /// Open the files of a group, to be read and written whatever becomes of it.
    Open(Place),
    ReadOpen(usize),
    WriteOpen(usize, &'static str),
    WriteAsOther(Place, &'static str, &'static str),
    AttachAsOther(Place, Who),
}

/// Operations on one scratch group.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// The scratch group is exclusive, so that those below may be.
    pub exclusive: bool,
    pub ops: Vec<Op>,
}

/// A name of 256 characters, one more than a file's name may have.
pub fn long_name() -> String {
    "x".repeat(256)
}

/// Threads that a sequence begins with, in the root.
pub const THREADS: usize = 3;

/// Most bytes of a list that the framework takes, whatever the host's kernel is built for.
pub const MOST_LIST_BYTES: usize = 6244;

pub const FLAGS: [&str; 2] = ["cpuset.cpu_exclusive", "cpuset.mem_exclusive"];

pub const READ_ONLY: [&str; 2] = ["cpuset.effective_cpus", "cpuset.effective_mems"];

/// Values that are syntax only: what they mean, if anything, is not the host's business.
pub const GARBAGE_LISTS: [&str; 7] = ["abc", "1-0", "-1", "0x1", "0:1/2", "0-1:2/1", "0-"];

pub const GARBAGE_IDS: [&str; 6] = ["abc", "{} {}", "{},{}", "-1", "99999999999999999999", "\n"];

/// CPU lists that both refuse for this host's CPUs.
pub fn absent_cpus(host: &HostResources) -> Vec<String> {
    let possible = host.possible_cpus;
    let absent = (0..possible).filter(|cpu| !host.present_cpus.contains(*cpu));
    let beyond = [
        possible.to_string(),
        format!("0-{possible}"),
        "99999999999".into(),
    ];
    beyond
        .into_iter()
        .chain(absent.map(|cpu| cpu.to_string()))
        .collect()
}

/// A memory node that this host does not have.
pub fn absent_node(host: &HostResources) -> String {
    host.mems
        .iter()
        .last()
        .map_or(0, |last| last + 1)
        .to_string()
}

fn places() -> impl Strategy<Value = Place> {
    prop_oneof![
        1 => Just(Place::Top),
        12 => (0..12usize).prop_map(Place::Nth),
        1 => select(vec!["a", "b", "a/a", "gone"]).prop_map(Place::At),
    ]
}

/// Groups below the scratch group, whose own values stay as they are.
fn below() -> impl Strategy<Value = Place> {
    (0..12usize).prop_map(Place::Nth)
}

fn names() -> impl Strategy<Value = String> {
    let odd = vec!["tasks", "cpuset.cpus", "a\nb", ".", "..", "release_agent"];
    let odd = odd.into_iter().map(String::from);
    let odd = odd.chain([
        long_name(),
        "cpuset.placement".into(),
        "cpuset.mem_hardwall".into(),
    ]);
    prop_oneof![
        12 => select(vec!["a", "b", "c"]).prop_map(String::from),
        1 => select(odd.collect::<Vec<_>>()),
    ]
}

fn lists(mount: &Mount) -> impl Strategy<Value = Value> + use<> {
    let common = vec!["0", "1", "0-1", "0-1", "0", "1", "\n", ""];
    let odd = vec![
        "0,,1", "0 1", "all", "0-1:1/2", "N", "1-N", " 1 ", "01\n", ",,",
    ];
    let garbage = GARBAGE_LISTS.into_iter().map(String::from);
    let refused = garbage.chain(absent_cpus(&mount.host)).collect::<Vec<_>>();
    let most = mount.most_list_bytes;
    prop_oneof![
        20 => select(common).prop_map(|text| Value::Text(text.into())),
        3 => select(odd).prop_map(|text| Value::Text(text.into())),
        3 => select(refused).prop_map(Value::Text),
        1 => select(vec![most, most + 1, MOST_LIST_BYTES + 1]).prop_map(Value::Padded),
    ]
}

fn nodes(host: &HostResources) -> impl Strategy<Value = Value> + use<> {
    let all = host.mems.to_string();
    let taken = vec![all.clone(), all.clone(), all, "\n".into(), String::new()];
    let refused = ["abc", "0x0", "all", "N"].map(String::from).into_iter();
    let refused = refused.chain([absent_node(host), "300".into(), "5000".into()]);
    prop_oneof![
        8 => select(taken).prop_map(Value::Text),
        1 => select(refused.collect::<Vec<_>>()).prop_map(Value::Text),
        1 => Just(Value::Padded(MOST_LIST_BYTES + 1)),
    ]
}

fn numbers() -> impl Strategy<Value = Value> {
    let odd = vec![
        "2", "abc", "", "\n", "0x0", "010", "08", "+1", " 1", "1 ", "-1",
    ];
    let odd = odd
        .into_iter()
        .chain(["18446744073709551616"])
        .collect::<Vec<_>>();
    prop_oneof![
        10 => select(vec!["0", "1", "1"]).prop_map(|text| Value::Text(text.into())),
        2 => select(odd).prop_map(|text| Value::Text(text.into())),
        1 => select(vec![4096, 4097]).prop_map(Value::Padded),
    ]
}

fn writes(mount: &Mount) -> impl Strategy<Value = Op> + use<> {
    let odd_files = vec!["nosuch", "a", "b", READ_ONLY[0], READ_ONLY[1]];
    let framework = select(vec!["notify_on_release", "cgroup.clone_children"]);
    let values = prop_oneof![numbers(), Just(Value::Padded(4097))];
    prop_oneof![
        10 => (below(), Just("cpuset.cpus"), lists(mount)),
        6 => (below(), Just("cpuset.mems"), nodes(&mount.host)),
        5 => (below(), select(FLAGS.to_vec()), numbers()),
        1 => (below(), Just("cpuset.sched_load_balance"), numbers()),
        3 => (places(), framework, numbers()),
        1 => (places(), select(odd_files), values),
        1 => (places(), Just("tasks"), select(vec![Value::Text("".into()), Value::Padded(4097)])),
    ]
    .prop_map(|(place, file, value)| Op::Write(place, file, value))
}

fn moves() -> impl Strategy<Value = Op> {
    let ends = select(vec!["", "", "\n", " \n"]);
    let garbage = select(GARBAGE_IDS.to_vec());
    prop_oneof![
        14 => (below(), 0..6usize, ends).prop_map(|(to, who, end)| Op::Attach(to, who, end)),
        1 => (places(), 0..6usize).prop_map(|(to, who)| Op::Attach(to, who, "")),
        2 => (below(), 0..6usize).prop_map(|(to, who)| Op::Enter(to, who)),
        3 => (0..6usize).prop_map(Op::Leave),
        2 => (0..6usize).prop_map(Op::Exit),
        2 => (0..6usize).prop_map(Op::Fork),
        1 => (0..6usize, 0..4u32).prop_map(|(who, mask)| Op::Confine(who, mask)),
        1 => below().prop_map(Op::AttachDead),
        1 => (below(), garbage).prop_map(|(to, garbage)| Op::AttachGarbage(to, garbage)),
        1 => (below(), 0..6usize).prop_map(|(to, who)| Op::AttachAsOther(to, who)),
    ]
}

fn rare() -> impl Strategy<Value = Op> {
    let other = select(vec![
        ("tasks", "abc"),
        ("cpuset.cpus", "0"),
        (READ_ONLY[0], "0"),
        ("nosuch", "0"),
    ]);
    prop_oneof![
        2 => below().prop_map(Op::RmdirFile),
        1 => Just(Op::RmdirRoot),
        1 => below().prop_map(Op::RenameFile),
        1 => select(vec!["cpuset.cpus", "cpuset.mems"]).prop_map(Op::WriteRoot),
        1 => places().prop_map(Op::Create),
        1 => places().prop_map(Op::Unlink),
        4 => below().prop_map(Op::Open),
        4 => (0..8usize).prop_map(Op::ReadOpen),
        3 => (0..8usize, select(vec!["", "abc"])).prop_map(|(n, text)| Op::WriteOpen(n, text)),
        3 => (below(), other).prop_map(|(at, (file, text))| Op::WriteAsOther(at, file, text)),
    ]
}

fn ops(mount: &Mount) -> impl Strategy<Value = Op> + use<> {
    prop_oneof![
        8 => (places(), names()).prop_map(|(above, name)| Op::Mkdir(above, name)),
        6 => below().prop_map(Op::Rmdir),
        2 => (below(), names()).prop_map(|(group, name)| Op::Rename(group, name)),
        1 => (below(), below()).prop_map(|(group, to)| Op::RenameAway(group, to)),
        24 => writes(mount),
        18 => moves(),
        5 => rare(),
    ]
}

/// What tells exclusive groups from others, most of it on groups that have CPUs.
fn exclusive_ops(mount: &Mount) -> impl Strategy<Value = Op> + use<> {
    let flags = select(vec!["0", "1", "1", "1"]).prop_map(|text| Value::Text(text.into()));
    let cpus = select(vec!["0", "1", "0-1", "0", "1", "\n"]);
    let cpus = cpus.prop_map(|text| Value::Text(text.into()));
    let writes = prop_oneof![
        4 => (below(), Just("cpuset.cpus"), cpus),
        3 => (below(), Just(FLAGS[0]), flags.clone()),
        1 => (below(), Just(FLAGS[1]), flags),
        1 => (below(), Just("cpuset.mems"), nodes(&mount.host)),
    ];
    prop_oneof![
        8 => writes.prop_map(|(place, file, value)| Op::Write(place, file, value)),
        2 => (places(), names()).prop_map(|(above, name)| Op::Mkdir(above, name)),
        1 => below().prop_map(Op::Rmdir),
        2 => ops(mount),
    ]
}

/// A random sequence. Groups with CPUs to begin with are usual: most of what can be done needs them.
pub fn sequences(mount: &Mount) -> impl Strategy<Value = Sequence> + use<> {
    let village = village(&mount.host);
    let flagged =
        ["a", "a/a"].map(|group| Op::Write(Place::At(group), FLAGS[0], Value::Text("1".into())));
    let begun = prop_oneof![1 => Just(Vec::new()), 3 => Just(village.clone())];
    let begun_exclusive =
        (0..=2usize).prop_map(move |flags| [&village, &flagged[..flags]].concat());
    let plain = (begun, proptest::collection::vec(ops(mount), 1..40));
    let exclusive = (
        begun_exclusive,
        proptest::collection::vec(exclusive_ops(mount), 1..25),
    );
    let sequence = |exclusive| {
        move |(begun, ops): (Vec<Op>, Vec<Op>)| Sequence {
            exclusive,
            ops: begun.into_iter().chain(ops).collect(),
        }
    };
    prop_oneof![
        9 => plain.prop_map(sequence(false)),
        1 => exclusive.prop_map(sequence(true)),
    ]
}

/// `a` with both CPUs and a child with one, and `b` with nothing.
pub fn village(host: &HostResources) -> Vec<Op> {
    let mems = host.mems.to_string();
    let write =
        |place, file, value: &str| Op::Write(Place::At(place), file, Value::Text(value.into()));
    vec![
        Op::Mkdir(Place::Top, "a".into()),
        write("a", "cpuset.cpus", "0-1"),
        write("a", "cpuset.mems", &mems),
        Op::Mkdir(Place::At("a"), "a".into()),
        write("a/a", "cpuset.cpus", "1"),
        write("a/a", "cpuset.mems", &mems),
        Op::Mkdir(Place::Top, "b".into()),
    ]
}
