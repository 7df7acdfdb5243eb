//! Sequences written by hand, so that every row of the table is met in every run.

use crate::operation::{
    FLAGS, GARBAGE_IDS, GARBAGE_LISTS, MOST_LIST_BYTES, Op, Place, READ_ONLY, Sequence, Value,
    absent_cpus, absent_node, long_name, village,
};
use crate::scratch::Mount;

use Place::{At, Top};

fn write(place: &'static str, file: &'static str, value: &str) -> Op {
    Op::Write(At(place), file, Value::Text(value.into()))
}

/// After the village: `a` and `a/a` have CPUs and nodes, `b` has nothing.
pub fn sequences(mount: &Mount) -> Vec<Sequence> {
    let plain = [
        names(),
        handles(),
        moves(),
        rights(),
        lists(mount),
        shrinking(),
        flags(),
        rest(mount),
    ];
    let plain = plain.map(|ops| (false, ops)).into_iter();
    plain
        .chain([(true, exclusive())])
        .map(|(exclusive, ops)| Sequence {
            exclusive,
            ops: village(&mount.host).into_iter().chain(ops).collect(),
        })
        .collect()
}

fn names() -> Vec<Op> {
    let odd = [
        "a",
        "tasks",
        "cpuset.cpus",
        "a\nb",
        ".",
        "..",
        "cpuset.placement",
    ];
    let odd = odd
        .into_iter()
        .chain(["cpuset.mem_hardwall", "release_agent"]);
    let odd: Vec<String> = odd.map(String::from).chain([long_name()]).collect();
    let mut ops: Vec<Op> = odd
        .iter()
        .map(|name| Op::Mkdir(Top, name.clone()))
        .collect();
    ops.extend(odd.into_iter().map(|name| Op::Rename(At("b"), name)));
    ops.extend([
        Op::Mkdir(At("gone"), "a".into()),
        Op::Rename(At("a"), "a".into()),
        Op::RenameAway(At("a/a"), At("release_agent")),
        Op::RenameAway(At("a/a"), Top),
        Op::RenameAway(At("release_agent"), At("a")),
        Op::RenameFile(At("a")),
        Op::Rmdir(At("a")),
        Op::Rmdir(At("gone")),
        Op::RmdirFile(At("a")),
        Op::RmdirRoot,
        Op::Create(At("a")),
        Op::Unlink(At("a")),
        Op::Attach(At("a/a"), 0, ""),
        Op::Rmdir(At("a/a")),
    ]);
    ops
}

fn handles() -> Vec<Op> {
    vec![
        Op::Open(At("b")),
        Op::ReadOpen(0),
        Op::WriteOpen(0, ""),
        Op::WriteOpen(0, "abc"),
        Op::Rename(At("b"), "c".into()),
        write("c", "cpuset.cpus", "0"),
        Op::ReadOpen(0),
        Op::Rmdir(At("c")),
        Op::ReadOpen(0),
        Op::WriteOpen(0, "abc"),
        Op::Mkdir(Top, "c".into()),
        Op::ReadOpen(0),
        Op::WriteOpen(0, ""),
    ]
}

fn moves() -> Vec<Op> {
    let mut ops = vec![
        Op::Attach(At("b"), 0, ""),
        write("b", "cpuset.cpus", "0"),
        Op::Attach(At("b"), 0, ""),
        write("b", "cpuset.cpus", "\n"),
        write("b", "cpuset.mems", "0"),
        Op::Attach(At("b"), 0, ""),
        Op::Enter(At("b"), 0),
        Op::Enter(At("a/a"), 0),
        Op::Attach(At("a"), 1, " \n"),
        Op::Fork(0),
        Op::Confine(0, 0b01),
        Op::Confine(2, 0b11),
        Op::Exit(0),
        Op::AttachDead(At("a")),
        Op::Fork(0),
        Op::Attach(At("a"), 0, ""),
        Op::Leave(0),
    ];
    ops.extend(GARBAGE_IDS.map(|garbage| Op::AttachGarbage(At("a"), garbage)));
    ops
}

fn rights() -> Vec<Op> {
    let mut ops = vec![
        Op::AttachAsOther(At("a"), 0),
        Op::WriteAsOther(At("a"), "cpuset.cpus", "0"),
        Op::WriteRoot("cpuset.cpus"),
        Op::WriteRoot("cpuset.mems"),
    ];
    for file in READ_ONLY {
        ops.extend([
            write("a", file, "0"),
            write("a", file, ""),
            Op::Write(At("a"), file, Value::Padded(4097)),
            Op::WriteAsOther(At("a"), file, "0"),
        ]);
    }
    ops
}

fn lists(mount: &Mount) -> Vec<Op> {
    let odd = ["0,,1", "0 1", "all", "0-1:1/2", "N", "", "\n"].map(String::from);
    let garbage = GARBAGE_LISTS.map(String::from);
    let cpus = odd
        .into_iter()
        .chain(garbage)
        .chain(absent_cpus(&mount.host));
    let mut ops: Vec<Op> = cpus.map(|list| write("b", "cpuset.cpus", &list)).collect();
    for nodes in ["abc", "all", "300", "5000", "", "\n"].map(String::from) {
        ops.push(write("b", "cpuset.mems", &nodes));
    }
    ops.push(write("b", "cpuset.mems", &absent_node(&mount.host)));
    for bytes in [
        mount.most_list_bytes,
        mount.most_list_bytes + 1,
        MOST_LIST_BYTES + 1,
    ] {
        ops.push(Op::Write(At("a"), "cpuset.cpus", Value::Padded(bytes)));
    }
    ops.push(Op::Write(
        At("a"),
        "cpuset.mems",
        Value::Padded(MOST_LIST_BYTES + 1),
    ));
    ops
}

fn shrinking() -> Vec<Op> {
    vec![
        write("a", "cpuset.cpus", "0"),
        write("a", "cpuset.cpus", "\n"),
        write("a", "cpuset.mems", "\n"),
        write("a/a", "cpuset.cpus", "0-1"),
        Op::Mkdir(At("b"), "a".into()),
        write("b/a", "cpuset.cpus", "0"),
        write("b/a", "cpuset.mems", "0"),
        Op::Attach(At("a/a"), 0, ""),
        write("a/a", "cpuset.cpus", "\n"),
        write("a/a", "cpuset.mems", "\n"),
        write("a/a", "cpuset.cpus", "0"),
        write("a", "cgroup.clone_children", "1"),
        write("a", "notify_on_release", "1"),
        Op::Mkdir(At("a"), "c".into()),
        Op::Attach(At("a/c"), 1, ""),
    ]
}

fn flags() -> Vec<Op> {
    let values = [
        "2",
        "0x0",
        "abc",
        "",
        "\n",
        " 1",
        "010",
        "-1",
        "18446744073709551616",
    ];
    let files = ["notify_on_release", "cgroup.clone_children", FLAGS[0]];
    let mut ops = Vec::new();
    for file in files
        .into_iter()
        .chain([FLAGS[1], "cpuset.sched_load_balance"])
    {
        ops.extend(values.map(|value| write("b", file, value)));
        ops.extend([4096, 4097].map(|bytes| Op::Write(At("b"), file, Value::Padded(bytes))));
    }
    ops
}

fn rest(mount: &Mount) -> Vec<Op> {
    let mems = mount.host.mems.to_string();
    vec![
        write("a", "nosuch", "0"),
        write("a", "a", "0"),
        write("gone", "tasks", "0x"),
        Op::Write(At("a"), "tasks", Value::Padded(4097)),
        write("a", "tasks", ""),
        write("b", "cpuset.mems", &mems),
    ]
}

/// Under an exclusive scratch group.
fn exclusive() -> Vec<Op> {
    let mut ops = vec![
        write("b", "cpuset.cpus", "1"),
        // The flag last: b has a CPU of a's.
        write("a", FLAGS[0], "1"),
        write("b", "cpuset.cpus", "\n"),
        write("a/a", FLAGS[0], "1"),
        write("a", FLAGS[0], "1"),
        // The value last, on either side.
        write("b", "cpuset.cpus", "0"),
        write("a/a", FLAGS[0], "1"),
        write("a", FLAGS[0], "0"),
        write("a", FLAGS[1], "1"),
        write("b", "cpuset.mems", "0"),
        write("a", "cgroup.clone_children", "1"),
        Op::Mkdir(At("a"), "c".into()),
        write("a/a", FLAGS[0], "0"),
        Op::Mkdir(At("a"), "b".into()),
        write("a/b", "cpuset.cpus", "0"),
        write("a/b", FLAGS[0], "1"),
        write("a/b", "cpuset.cpus", "\n"),
    ];
    ops.extend(["a/a", "a/b", "a/c"].map(|group| write(group, FLAGS[1], "1")));
    ops
}
