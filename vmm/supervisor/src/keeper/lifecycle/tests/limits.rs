//! Machines and the memory limits of their groups.

use std::time::Instant;

use actor::reply;
use container_core::{Bytes, Command, Errno, TaskKind};

use super::{ROOT, Stage, in_group, refused};
use crate::keeper::Request;
use crate::keeper::stage::{group, mkdir, write};
use crate::{NewMachine, memory_needed};

const LIMIT: &str = "memory.limit_in_bytes";

/// A stage whose group `m:/a` has room for two machines as [`small`] makes them.
fn stage() -> Stage {
    let mut stage = Stage::new();
    let two = 2 * memory_needed(&small("any").config).0;
    let commands = [
        Command::Mount {
            hierarchy: "m".parse().unwrap(),
            subsystems: vec!["memory".into()],
        },
        mkdir("m:/a"),
        write("m:/a", LIMIT, &two.to_string()),
    ];
    let plan = stage.keeper.framework.plan(&ROOT, &commands).unwrap();
    stage.keeper.framework.commit(plan).unwrap();
    stage
}

fn small(name: &str) -> NewMachine {
    in_group(name, "m:/a")
}

fn figure(stage: &Stage, file: &str) -> String {
    let file = format!("memory.{file}");
    let text = stage.keeper.framework.read(&ROOT, &group("m:/a"), &file);
    text.unwrap().trim_end().to_owned()
}

#[test]
fn machines_that_are_not_born_yet_count_and_one_too_many_has_no_process() {
    let mut stage = stage();
    assert_eq!(stage.create(small("web")), None);
    let web = stage.launched();
    assert_eq!(stage.create(small("db")), None);
    stage.asked_for().expect("a launch");
    let words = &["task cache/control", LIMIT, "m:/a "];
    refused(stage.create(small("cache")), Errno::ENOMEM, words);
    assert!(stage.asked_for().is_none(), "a process was asked for");
    assert_eq!(figure(&stage, "failcnt"), "1");
    assert_eq!(figure(&stage, "committed_bytes"), "0", "none is born yet");
    stage.born(web);
    let one = memory_needed(&small("web").config);
    assert_eq!(figure(&stage, "committed_bytes"), one.to_string());
    refused(stage.create(small("cache")), Errno::ENOMEM, words);
    assert_eq!(figure(&stage, "failcnt"), "2");
    stage.ends(web, "exit 0");
    assert_eq!(stage.create(small("cache")), None);
    assert_eq!(figure(&stage, "failcnt"), "2");
}

#[test]
fn a_change_in_earnest_is_counted_and_a_dry_run_is_not() {
    let mut stage = stage();
    stage.create(small("web"));
    let web = stage.launched();
    let (control, _) = stage.born(web);
    let within = [
        Command::Attach {
            group: group("m:/"),
            task: control,
        },
        write("m:/a", LIMIT, "1M"),
        Command::Attach {
            group: group("m:/a"),
            task: control,
        },
    ];
    for (dry_run, failures) in [(true, "0"), (false, "1"), (true, "1")] {
        let (answer, pending) = reply();
        stage.keeper.on_plan(&ROOT, &within, None, dry_run, answer);
        let answered = pending.wait_until(Instant::now()).unwrap();
        let answered = answered.map(|answered| answered.map(drop));
        refused(answered, Errno::ENOMEM, &[LIMIT, "m:/a "]);
        assert_eq!(figure(&stage, "failcnt"), failures);
    }
}

#[test]
fn what_a_process_holds_is_charged_and_too_much_of_it_is_its_end() {
    let mut stage = stage();
    stage.create(small("web"));
    let web = stage.launched();
    stage.born(web);
    let machine = stage.keeper.machines.get(web).unwrap();
    let memory = host::ProcessMemory::open(machine.process.as_ref().unwrap()).unwrap();
    let held = memory.anonymous().unwrap();
    assert!(held > Bytes(0));
    stage.keeper.machines.get_mut(web).unwrap().memory = Some(memory);
    let (reply, answer) = reply();
    stage.keeper.on_read(Request::Read {
        by: ROOT,
        group: group("m:/a"),
        file: "memory.usage_in_bytes".into(),
        reply,
    });
    // Whoever reads the file is told what the kernel says then.
    let usage = answer.wait().unwrap().unwrap();
    assert_eq!(usage, format!("{held}\n"));
    let row = stage.keeper.state().machines.remove(0);
    assert_eq!(row.resident_bytes, Some(held.0));
    stage.keeper.kill_swollen();
    assert_eq!(stage.told("machine_killed"), [""; 0]);

    let control = stage.keeper.machines.get(web).unwrap().tasks[&TaskKind::Control];
    let much = Bytes(1 << 30);
    stage.keeper.framework.charge_memory(control, much).unwrap();
    stage.keeper.kill_swollen();
    let told = stage.told("machine_killed");
    assert!(
        told[0].contains("holds 1073741824 bytes of memory"),
        "{told:?}"
    );
    let process = stage.keeper.machines.get(web).unwrap().process.as_ref();
    process.unwrap().wait_without_reaping(false).unwrap();
    stage.keeper.on_died(web);
    assert_eq!(figure(&stage, "usage_in_bytes"), "0");
    let row = stage.keeper.state().machines.remove(0);
    assert_eq!((row.resident_bytes, row.committed_bytes), (None, None));
}
