//! Where a machine's tasks go at its next start, and what else changes while it lives.

use super::*;
use crate::Restart;
use crate::keeper::{Amendment, Rehearsal, Request};

/// A machine whose control runs, in the root.
fn running(stage: &mut Stage, machine: NewMachine) -> (MachineId, TaskId) {
    stage.create(machine);
    let id = stage.launched();
    let (task, _) = stage.born(id);
    (id, task)
}

fn host_plans(stage: &mut Stage, commands: Vec<Command>) {
    let (answer, pending) = reply();
    stage.keeper.on_request(Request::Plan {
        by: ROOT,
        commands,
        generation: None,
        dry_run: false,
        reply: answer,
    });
    while stage.keeper.under_way.is_some() {
        stage.keeper.advance();
    }
    pending.wait().unwrap().unwrap();
}

fn control_of(machine: &NewMachine) -> Vec<String> {
    let groups = machine.placement.groups_of(TaskKind::Control).iter();
    groups.map(ToString::to_string).collect()
}

#[test]
fn a_machine_that_was_moved_is_started_again_where_a_host_last_put_it() {
    for by_policy in [false, true] {
        let mut stage = Stage::new();
        let restart = if by_policy {
            Restart::Always
        } else {
            Restart::No
        };
        let (id, task) = running(&mut stage, with("web", |machine| machine.restart = restart));
        let to = |path: &str| Command::Attach {
            group: group(path),
            task,
        };
        host_plans(&mut stage, vec![mkdir("b:/t"), to("b:/t"), to("p:/one")]);
        host_plans(&mut stage, vec![mkdir("b:/u"), to("b:/u")]);
        let rename = Command::Rename {
            group: group("b:/u"),
            to: "v".into(),
        };
        host_plans(&mut stage, vec![rename]);
        stage.ends(id, "exit 0");
        match by_policy {
            true => stage.later(),
            false => assert_eq!(stage.order("web", Order::Start), None),
        }
        let again = stage.asked_for().expect("a process");
        assert_eq!(
            control_of(&again),
            ["p:/one", "b:/v"],
            "by policy: {by_policy}"
        );
        let io = again.placement.groups_of(TaskKind::Io);
        assert_eq!(
            io,
            again.placement.groups_of(TaskKind::Control),
            "it follows"
        );
    }
}

#[test]
fn a_restart_that_is_taken_back_calls_a_waiting_one_off() {
    let mut stage = Stage::new();
    let always = with("web", |machine| machine.restart = Restart::Always);
    let (id, _) = running(&mut stage, always);
    stage.ends(id, "exit 0");
    let amend = |stage: &mut Stage, machine: &str, restart| {
        let amendment = Amendment {
            machine: name(machine),
            restart,
            placement: Placement::default(),
        };
        stage.keeper.amend(&ROOT, vec![amendment])
    };
    let nobody = amend(&mut stage, "nobody", Restart::No);
    refused(Some(nobody), Errno::ENOENT, &["nobody"]);
    amend(&mut stage, "web", Restart::Always).unwrap();
    assert_eq!(stage.told("machine_stays_ended").len(), 0);
    amend(&mut stage, "web", Restart::OnFailure).unwrap();
    assert_eq!(stage.told("machine_stays_ended").len(), 1);
    stage.later();
    assert!(stage.asked_for().is_none());
}

#[test]
fn what_changes_while_a_process_is_being_started_is_the_machine_that_comes() {
    let mut stage = Stage::new();
    assert_eq!(stage.create(new_machine("web")), None);
    let amendment = Amendment {
        machine: name("web"),
        restart: Restart::Always,
        placement: in_group("web", "p:/one").placement,
    };
    stage.keeper.amend(&ROOT, vec![amendment]).unwrap();
    let id = stage.launched();
    let asked = &stage.keeper.machines.get(id).unwrap().asked;
    assert_eq!(
        (control_of(asked), asked.restart),
        (vec!["p:/one".into()], Restart::Always)
    );
}

#[test]
fn one_that_has_ended_gives_way_to_another_of_its_name_once_that_has_a_process() {
    let mut stage = Stage::new();
    let (id, _) = running(&mut stage, new_machine("web"));
    let replace = |stage: &mut Stage| {
        let (answer, pending) = reply();
        let machine = with("web", |machine| machine.config.memory_bytes *= 2);
        stage.keeper.on_create(&ROOT, machine, true, answer);
        pending.wait_until(Instant::now()).unwrap_or(None)
    };
    refused(replace(&mut stage), Errno::EEXIST, &["web", "running"]);
    stage.ends(id, "exit 0");
    assert_eq!(replace(&mut stage), None);
    let no_process = Err("no process".to_owned());
    let _ = stage.asked_for();
    stage.keeper.on_launched(&name("web"), no_process);
    assert!(
        stage.keeper.machines.get(id).is_some(),
        "the old one is there still"
    );
    assert_eq!(replace(&mut stage), None);
    let new = stage.launched();
    assert!(stage.keeper.machines.get(id).is_none());
    let asked = &stage.keeper.machines.get(new).unwrap().asked;
    assert_eq!(asked.config.memory_bytes, 2 << 20);
}

fn rehearsal(gone: &[&str], commands: Vec<Command>, machines: Vec<NewMachine>) -> Rehearsal {
    Rehearsal {
        by: ROOT,
        gone: gone.iter().copied().map(name).collect(),
        commands,
        machines,
    }
}

#[test]
fn a_rehearsal_finds_what_would_be_refused_and_leaves_no_trace() {
    let mut stage = Stage::new();
    stage.create(in_group("web", "p:/one"));
    let web = stage.launched();
    stage.born(web);
    let before = stage.keeper.framework.snapshot();
    let rehearse = |stage: &Stage, what: Rehearsal| stage.keeper.rehearse(&what);
    let db = || in_group("db", "p:/one");

    let found = rehearse(&stage, rehearsal(&[], vec![], vec![db()])).unwrap();
    let control = found
        .births
        .iter()
        .find(|birth| birth.task.kind == TaskKind::Control);
    let control = control.unwrap();
    assert_eq!(control.groups, [group("p:/one")]);
    assert_eq!(control.cpus, Some([0].into_iter().collect()));

    let taken = rehearse(&stage, rehearsal(&[], vec![], vec![new_machine("web")]));
    assert_eq!(taken.unwrap_err().errno, Errno::EEXIST);
    rehearse(
        &stage,
        rehearsal(&["web"], vec![], vec![new_machine("web")]),
    )
    .unwrap();

    let both = vec![db(), in_group("dc", "p:/one")];
    let crowded = rehearse(&stage, rehearsal(&[], vec![], both)).unwrap_err();
    assert_eq!(crowded.errno, Errno::ENOSPC);
    assert!(crowded.rule.contains("task dc/vcpu0"), "{crowded}");

    let busy = vec![stage::rmdir("p:/one")];
    let refusal = rehearse(&stage, rehearsal(&[], busy.clone(), vec![])).unwrap_err();
    assert_eq!(refusal.errno, Errno::EBUSY);
    rehearse(&stage, rehearsal(&["web"], busy.clone(), vec![])).unwrap();
    let nowhere = rehearse(&stage, rehearsal(&["web"], busy, vec![db()])).unwrap_err();
    assert_eq!(nowhere.errno, Errno::ENOENT);
    assert_eq!(stage.keeper.framework.snapshot(), before);
    assert!(stage.asked_for().is_none());
}

#[test]
fn the_group_that_its_namespaces_gave_a_machine_is_not_where_it_is_started_again() {
    let mut stage = Stage::new();
    let tree = Command::Mount {
        hierarchy: "n".parse().unwrap(),
        subsystems: vec!["ns".into()],
    };
    host_plans(&mut stage, vec![tree, mkdir("n:/a"), mkdir("b:/t")]);
    let machine = with("web", |machine| {
        machine.namespaces = [host::Namespace::Uts].into_iter().collect();
        let groups = vec![group("n:/a"), group("b:/")];
        machine.placement.by_kind.insert(TaskKind::Control, groups);
    });
    let (id, task) = running(&mut stage, machine);
    let groups = stage.keeper.framework.task(task).unwrap().groups;
    let home = groups
        .into_iter()
        .find(|group| group.path().contains("node_"));
    let below = home.expect("a group of its own").child("below").unwrap();
    let to = |group: container_core::GroupPath| Command::Attach { group, task };
    let below_it = Command::Mkdir {
        group: below.clone(),
    };
    host_plans(&mut stage, vec![below_it, to(below), to(group("b:/t"))]);
    stage.ends(id, "exit 0");
    assert_eq!(stage.order("web", Order::Start), None);
    let again = stage.asked_for().expect("a process");
    assert_eq!(control_of(&again), ["n:/a", "b:/t"]);
}

#[test]
fn a_rehearsal_has_room_for_a_machine_once_another_has_ended_and_counts_no_failure() {
    let mut stage = Stage::new();
    let tree = Command::Mount {
        hierarchy: "m".parse().unwrap(),
        subsystems: vec!["memory".into()],
    };
    let limit = |mib: u32| write("m:/a", "memory.limit_in_bytes", &format!("{mib}M"));
    host_plans(&mut stage, vec![tree, mkdir("m:/a"), limit(10)]);
    running(&mut stage, in_group("web", "m:/a"));
    let next = || vec![in_group("next", "m:/a")];
    let crowded = stage.keeper.rehearse(&rehearsal(&[], vec![], next()));
    assert_eq!(crowded.unwrap_err().errno, Errno::ENOMEM);
    let done = stage.keeper.rehearse(&rehearsal(&["web"], vec![], next()));
    assert_eq!(done.unwrap().births.len(), 3);
    let wider = stage
        .keeper
        .rehearse(&rehearsal(&[], vec![limit(20)], next()));
    assert_eq!(wider.unwrap().births.len(), 3);
    let read = |file| {
        let framework = &stage.keeper.framework;
        framework.read(&ROOT, &group("m:/a"), file).unwrap()
    };
    assert_eq!(read("memory.failcnt"), "0\n");
    assert_eq!(read("memory.limit_in_bytes"), format!("{}\n", 10 << 20));
}
