//! What a subsystem that a program brings is told, in which order, and what it is not told;
//! and which may be brought.

#[path = "callbacks/recorder.rs"]
mod recorder;
mod support;

use container_core::*;
use recorder::Stage;
use support::*;

#[test]
fn a_group_is_made_known_before_it_is_in_its_tree_and_freed_when_it_cannot_come_back() {
    let mut stage = Stage::new(&["one", "two"]);
    let (tried, made) = stage.make(&[mkdir("h:/a/b")]);
    let comes = [
        "one css_alloc h:/a/b below h:/a",
        "two css_alloc h:/a/b below h:/a",
        "one css_online h:/a/b",
        "two css_online h:/a/b",
    ];
    let never_was = [
        "one undo",
        "two undo",
        "one css_free h:/a/b",
        "two css_free h:/a/b",
    ];
    assert_eq!(tried, [comes, never_was].concat());
    assert_eq!(made, [&comes[..], &["one settle", "two settle"]].concat());

    let (tried, made) = stage.make(&[rmdir("h:/a/b")]);
    let goes = [
        "one css_offline h:/a/b below h:/a",
        "two css_offline h:/a/b below h:/a",
    ];
    assert_eq!(tried, [goes, ["one undo", "two undo"]].concat());
    let gone = [
        "one settle",
        "two settle",
        "one css_free h:/a/b",
        "two css_free h:/a/b",
    ];
    assert_eq!(made, [&goes[..], &gone].concat());
}

#[test]
fn all_agree_before_a_task_moves_and_who_had_agreed_is_told_that_it_stays() {
    let mut stage = Stage::new(&["one", "two", "three", "four"]);
    let (task, fork) = stage.born("web/io");
    let shut = [mkdir("h:/three"), mkdir("h:/one"), mkdir("h:/four")];
    stage.make(&[&shut[..], &[fork]].concat());
    let (tried, made) = stage.make(&[attach("h:/a", task)]);
    let moves = [
        "one can_attach web/io h:/a",
        "two can_attach web/io h:/a",
        "three can_attach web/io h:/a",
        "four can_attach web/io h:/a",
        "one attach web/io h:/ to h:/a",
        "two attach web/io h:/ to h:/a",
        "three attach web/io h:/ to h:/a",
        "four attach web/io h:/ to h:/a",
    ];
    assert_eq!(tried[..8], moves);
    assert_eq!(made[..8], moves);

    assert_eq!(
        stage.refused(&[attach("h:/three", task)])[..5],
        [
            "one can_attach web/io h:/three",
            "two can_attach web/io h:/three",
            "three can_attach web/io h:/three",
            "two cancel_attach web/io h:/three",
            "one cancel_attach web/io h:/three",
        ]
    );
    let first_objects = stage.refused(&[attach("h:/one", task)]);
    assert_eq!(
        first_objects[..2],
        ["one can_attach web/io h:/one", "one undo"],
        "nobody had agreed"
    );
    let last_objects = stage.refused(&[attach("h:/four", task)]);
    assert_eq!(
        last_objects[4..7],
        [
            "three cancel_attach web/io h:/four",
            "two cancel_attach web/io h:/four",
            "one cancel_attach web/io h:/four",
        ]
    );

    let (tried, made) = stage.make(&[attach("h:/a", task)]);
    let undone = ["one undo", "two undo", "three undo", "four undo"];
    assert_eq!(tried, undone, "it is there already");
    assert_eq!(
        made,
        ["one settle", "two settle", "three settle", "four settle"]
    );
}

#[test]
fn births_and_ends_are_told_to_all_with_the_group_that_each_sees() {
    let mut stage = Stage::unmounted(&["one", "two"]);
    stage.make(&[mount("h", &["one"]), mkdir("h:/a")]);
    let (task, fork) = stage.born("web/io");
    let (_, made) = stage.make(&[fork, attach("h:/a", task)]);
    let born = [
        "one fork web/io h:/",
        "two fork web/io (unmounted):/",
        "one can_attach web/io h:/a",
        "one attach web/io h:/ to h:/a",
        "one settle",
        "two settle",
    ];
    assert_eq!(
        made, born,
        "two stands in no hierarchy that one could move in"
    );
    let (tried, made) = stage.make(&[exit(task)]);
    let ends = ["one exit web/io h:/a", "two exit web/io (unmounted):/"];
    assert_eq!(tried, [ends, ["one undo", "two undo"]].concat());
    assert_eq!(made, [ends, ["one settle", "two settle"]].concat());
}

#[test]
fn a_birth_that_one_refuses_is_undone_for_all() {
    let mut stage = Stage::new(&["one", "two", "three"]);
    let (parent, fork) = stage.born("web/control");
    // It objects to who comes, not to who is there already.
    stage.make(&[fork, attach("h:/a", parent), rename("h:/a", "two")]);
    let (_, fork) = stage.born("web/io");
    let Command::Fork {
        task, name, tid, ..
    } = fork
    else {
        unreachable!("born is a Fork")
    };
    let parent = Some(parent);
    let before = stage.framework.snapshot();
    let refused = stage.refused(&[Command::Fork {
        task,
        name,
        tid,
        parent,
    }]);
    assert_eq!(
        refused,
        [
            "one fork web/io h:/two",
            "two fork web/io h:/two",
            "one undo",
            "two undo",
            "three undo",
        ]
    );
    assert_eq!(before, stage.framework.snapshot());
}

#[test]
fn a_clone_is_a_group_made_then_prepared_then_entered() {
    let mut stage = Stage::new(&["one", "two"]);
    let (task, fork) = stage.born("web/io");
    stage.make(&[fork, attach("h:/a", task)]);
    let (_, made) = stage.make(&[clone(task, "two")]);
    let node = format!("h:/a/node_{task}");
    let expected = [
        format!("one css_alloc {node} below h:/a"),
        format!("two css_alloc {node} below h:/a"),
        format!("one css_online {node}"),
        format!("two css_online {node}"),
        format!("one post_clone {node}"),
        format!("two post_clone {node}"),
        format!("one can_attach web/io {node}"),
        format!("two can_attach web/io {node}"),
        format!("one attach web/io h:/a to {node}"),
        format!("two attach web/io h:/a to {node}"),
        "one settle".into(),
        "two settle".into(),
    ];
    assert_eq!(made, expected);
}

#[test]
fn mounting_binds_what_was_asked_for_and_the_last_unmounting_takes_it_back() {
    let mut stage = Stage::unmounted(&["one", "two"]);
    assert_eq!(
        stage.heard(),
        [
            "one css_alloc (unmounted):/ below none",
            "two css_alloc (unmounted):/ below none",
            "one settle",
            "two settle",
        ]
    );
    let (tried, made) = stage.make(&[mount("h", &["two"])]);
    let binds = "two bind (unmounted):/ to h:/";
    assert_eq!(tried[..3], [binds, "one undo", "two undo"]);
    assert_eq!(made, [binds, "one settle", "two settle"]);

    stage.make(&[mkdir("h:/a")]);
    let (_, made) = stage.make(&[unmount("h")]);
    assert_eq!(made, ["one settle", "two settle"], "its group keeps it");
    let (_, made) = stage.make(&[mount("h", &["two"]), rmdir("h:/a"), unmount("h")]);
    assert_eq!(
        made[..4],
        [
            "two css_offline h:/a below h:/",
            "two bind h:/ to (unmounted):/",
            "one settle",
            "two settle",
        ]
    );
}

#[test]
fn what_happens_in_another_hierarchy_and_to_the_host_is_told_to_whom_it_concerns() {
    let mut stage = Stage::unmounted(&["one", "two"]);
    let (task, fork) = stage.born("web/io");
    stage.make(&[mount("h", &["one"]), mount("other", &["two"]), fork]);
    let (_, made) = stage.make(&[mkdir("other:/a"), attach("other:/a", task)]);
    let of_one: Vec<_> = made.iter().filter(|line| line.starts_with("one")).collect();
    assert_eq!(of_one, ["one settle"]);

    stage.heard();
    let plan = stage.framework.plan_host_change(host());
    let changed = [
        "one host_changed (unmounted):/",
        "two host_changed (unmounted):/",
        "one undo",
        "two undo",
    ];
    assert_eq!(stage.heard(), changed);
    stage.framework.commit(plan).unwrap();
    let changed = [changed[0], changed[1], "one settle", "two settle"];
    assert_eq!(stage.heard(), changed);
}

static FILES: &[ControlFile] = &[
    ControlFile::read_only("one.everywhere"),
    ControlFile::writable("one.below").not_in_root(),
];

static TAKEN: &[ControlFile] = &[ControlFile::read_only("cpuset.cpus")];

#[test]
fn its_files_stand_where_its_table_says_and_a_write_that_it_does_not_know_is_refused() {
    let Stage { mut framework, .. } = Stage::with_files(&[("one", FILES)]);
    let root = Credentials::ROOT;
    let plan = framework.plan(&root, &[mount("h", &["one"]), mkdir("h:/a")]);
    framework.commit(plan.unwrap()).unwrap();
    let read = |path, file| framework.read(&root, &group(path), file);
    let text = read("h:/", "one.everywhere").unwrap();
    assert_eq!(text, "one.everywhere of h:/\n");
    assert_eq!(read("h:/a", "one.below").unwrap(), "one.below of h:/a\n");
    assert_eq!(read("h:/", "one.below").unwrap_err().errno, Errno::ENOENT);
    let refusal = framework.plan(&root, &[write("h:/a", "one.below", "1")]);
    let refusal = refusal.unwrap_err();
    assert_eq!(refusal.errno, Errno::EINVAL);
    assert!(refusal.rule.contains("one.below"), "{refusal}");
}

const NINE: [(&str, &[ControlFile]); 9] = [
    ("a", &[]),
    ("b", &[]),
    ("c", &[]),
    ("d", &[]),
    ("e", &[]),
    ("f", &[]),
    ("g", &[]),
    ("h", &[]),
    ("i", &[]),
];

#[test]
fn nine_may_be_brought() {
    let Stage { mut framework, .. } = Stage::with_files(&NINE);
    let plan = framework.plan(&Credentials::ROOT, &[mount("h", &["a", "i"])]);
    framework.commit(plan.unwrap()).unwrap();
    framework.check_invariants();
}

#[test]
#[should_panic = "too many subsystems"]
fn not_ten() {
    Stage::with_files(&[&NINE[..], &[("j", &[])]].concat());
}

#[test]
#[should_panic = "two subsystems of one name"]
fn not_one_whose_name_is_taken() {
    Stage::with_files(&[("cpuset", &[])]);
}

#[test]
#[should_panic = "two files of one name"]
fn not_one_whose_file_is_taken() {
    Stage::with_files(&[("one", TAKEN)]);
}
