//! The one write path, asked by a host's client.

mod counts;

use actor::reply;
use container_core::{
    Command, CpuSet, Credentials, Errno, GroupsGeneration, TaskKind, TaskName, Tid,
};
use host::TaskDirectory;

use crate::Births;
use crate::keeper::machines::{Machine, State};
use crate::keeper::stage::{self, group, mkdir, new_machine};
use crate::keeper::{ChangeError, EventPage, Keeper, Planned, PlannedEffect, Request};

fn keeper() -> Keeper {
    let mount = Command::Mount {
        hierarchy: "b".parse().unwrap(),
        subsystems: vec!["cpuset".into(), "cpuacct".into()],
    };
    stage::keeper(stage::framework(&[mount, mkdir("b:/a")])).0
}

fn plan(
    keeper: &mut Keeper,
    commands: Vec<Command>,
    generation: Option<u64>,
    dry_run: bool,
) -> Result<Planned, ChangeError> {
    let (answer, pending) = reply();
    keeper.on_request(Request::Plan {
        by: Credentials::ROOT,
        commands,
        generation: generation.map(GroupsGeneration),
        dry_run,
        reply: answer,
    });
    while keeper.under_way.is_some() {
        keeper.advance();
    }
    pending.wait().unwrap()
}

#[test]
fn a_change_for_groups_of_another_generation_is_refused_with_both_numbers() {
    let mut keeper = keeper();
    let before = keeper.framework.snapshot();
    for dry_run in [false, true] {
        for wanted in [0, 2] {
            let refused = plan(&mut keeper, vec![mkdir("b:/c")], Some(wanted), dry_run);
            let Err(ChangeError::Refused(refusal)) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!(refusal.errno, Errno::ESTALE);
            let numbers = format!("of generation {wanted} and they are of generation 1");
            assert!(refusal.rule.contains(&numbers), "{refusal}");
        }
    }
    assert_eq!(keeper.framework.snapshot(), before);
    let planned = plan(&mut keeper, vec![mkdir("b:/c")], Some(1), false).unwrap();
    assert_eq!(
        (planned.generation, planned.committed),
        (GroupsGeneration(2), true)
    );
    assert!(planned.took_ns.is_some());
}

#[test]
fn a_dry_run_says_what_the_change_then_does_and_changes_nothing() {
    let mut keeper = keeper();
    let process = stage::launch(new_machine("web")).process;
    let (pid, directory) = (process.pid(), TaskDirectory::open(&process).unwrap());
    let mut machine = Machine::new(new_machine("web"), process, 0);
    machine.state = State::Running;
    let id = keeper.machines.add(machine);
    let born = keeper.born_task(id, &directory, TaskKind::Control, Tid(pid));
    let task = born.unwrap();
    let machine = keeper.machines.get(id).unwrap();
    let births = Births::new(&keeper.framework, &machine.asked, Tid(pid)).unwrap();
    let birth = births.of(TaskKind::Control, task, Tid(pid), None);
    let birth = keeper.framework.plan(&Credentials::ROOT, &birth).unwrap();
    keeper.framework.commit(birth).unwrap();

    let (before, events) = (keeper.framework.snapshot(), keeper.log.last());
    let attach = || {
        let group = group("b:/a");
        let cpus = stage::write("b:/a", "cpuset.cpus", "0");
        let mems = stage::write("b:/a", "cpuset.mems", "0");
        vec![cpus, mems, Command::Attach { group, task }]
    };
    let dry = plan(&mut keeper, attach(), None, true).unwrap();
    let name = TaskName {
        machine: "web".parse().unwrap(),
        kind: TaskKind::Control,
    };
    assert_eq!(dry.effects, [PlannedEffect::Sample { task: name }]);
    assert_eq!((dry.committed, dry.took_ns), (false, None));
    assert_eq!(dry.generation, keeper.framework.groups_generation());
    assert_eq!(keeper.framework.snapshot(), before);
    assert_eq!(keeper.log.last(), events);
    assert_eq!(
        keeper
            .tasks
            .get(task)
            .unwrap()
            .thread()
            .unwrap()
            .pin(&CpuSet::from_iter([0])),
        Ok(CpuSet::from_iter([0]))
    );

    let done = plan(&mut keeper, attach(), Some(dry.generation.0), false).unwrap();
    assert_eq!(done.effects, dry.effects);
    assert_eq!(done.generation.0, dry.generation.0 + 1);
    keeper.bury_all();
}

#[test]
fn events_are_given_a_page_at_a_time_and_each_says_from_where_to_go_on() {
    let mut keeper = keeper();
    for name in ["b:/1", "b:/2", "b:/3"] {
        plan(&mut keeper, vec![mkdir(name)], None, false).unwrap();
    }
    let page = |keeper: &mut Keeper, last, most| -> EventPage {
        let (answer, pending) = reply();
        keeper.on_request(Request::EventsSince {
            last,
            most,
            reply: answer,
        });
        pending.wait().unwrap()
    };
    let newest = page(&mut keeper, None, 0);
    assert_eq!((newest.events.len(), newest.last.seq), (0, 3));
    let first = page(&mut keeper, None, 2);
    assert_eq!((first.lost, first.more, first.last.seq), (Some(0), true, 2));
    assert_eq!(first.events[1].id, first.last.to_string());
    let second = page(&mut keeper, Some(first.last), 2);
    assert_eq!((second.events.len(), second.more), (1, false));
    assert_eq!(second.last, newest.last);
    let none = page(&mut keeper, Some(second.last), 2);
    assert_eq!((none.lost, none.events.len()), (Some(0), 0));
    assert_eq!(none.last, newest.last);
    let other = crate::EventId { epoch: 1, seq: 1 };
    assert_eq!(page(&mut keeper, Some(other), 9).lost, None);
}
