//! What is left of a machine that has ended, and how it comes back.

use std::time::{Duration, Instant};

use agent_protocol::Ask;
use container_core::{Errno, TaskKind, Tid};
use host::TaskDirectory;
use link::{Thread, ThreadKind};

use super::{ROOT, Stage, in_group, name, refused, with};
use crate::keeper::birth::BIRTH_LIMIT;
use crate::keeper::death::GONE_LIMIT;
use crate::keeper::machines::State;
use crate::keeper::stage::{self, group, new_machine};
use crate::keeper::{AgentError, Order};
use crate::{Restart, WIRE_MAILBOX, wire};

#[test]
fn a_machine_that_has_ended_is_removed_and_the_ledger_keeps_its_sums() {
    let mut stage = Stage::new();
    let gone = Some(stage.remove("web"));
    refused(gone, Errno::ENOENT, &["web"]);
    stage.create(new_machine("web"));
    let starting = Some(stage.remove("web"));
    refused(starting, Errno::EBUSY, &["web", "started"]);
    let web = stage.launched();
    stage.born(web);
    let lives = Some(stage.remove("web"));
    refused(lives, Errno::EBUSY, &["web", "running"]);
    stage.ends(web, "exit 0");
    let before = stage.keeper.state();
    assert_eq!((before.machines.len(), before.tasks.len()), (1, 1));
    assert!(before.ledger.witness_ns > 0);
    stage.remove("web").unwrap();
    let after = stage.keeper.state();
    assert_eq!((after.machines.len(), after.tasks.len()), (0, 0));
    let own = |ledger: &management::Ledger| management::Ledger {
        supervisor_ns: 0,
        ..ledger.clone()
    };
    assert_eq!(own(&after.ledger), own(&before.ledger));
    assert_eq!(after.ledger.groups_ns, after.ledger.tasks_ns);
    assert!(stage.keeper.tasks.of_machine(web).is_empty());
}

#[test]
fn the_guest_of_a_machine_that_has_ended_is_not_asked_and_the_machine_is_not_unknown() {
    let mut stage = Stage::new();
    let ask = |stage: &mut Stage| {
        let (answer, pending) = actor::reply();
        stage
            .keeper
            .ask_agent(&ROOT, &name("web"), Ask::Ping, answer);
        pending.wait_until(Instant::now()).unwrap().unwrap()
    };
    let unknown = AgentError::NoMachine(name("web"));
    assert_eq!(ask(&mut stage), Err(unknown));
    stage.create(new_machine("web"));
    let starting = AgentError::NotRunning(name("web"), "starting");
    assert_eq!(ask(&mut stage), Err(starting));
    let web = stage.launched();
    stage.born(web);
    stage.ends(web, "exit 0");
    let ended = AgentError::NotRunning(name("web"), "ended");
    assert_eq!(ask(&mut stage), Err(ended));
}

#[test]
fn an_ended_machine_holds_no_descriptor_and_is_in_the_report_as_before() {
    let mut stage = Stage::new();
    stage.create(new_machine("web"));
    let web = stage.launched();
    let (task, pid) = stage.born(web);
    assert!(held_of(pid) >= 2, "a directory and a schedstat");
    stage.ends(web, "exit 3");
    assert_eq!(held_of(pid), 0);
    let machine = stage.keeper.machines.get(web).unwrap();
    assert!(machine.process.is_none() && machine.directory.is_none());
    assert!(stage.keeper.tasks.get(task).unwrap().has_ended());
    let state = stage.keeper.state();
    assert_eq!(state.machines[0].end.as_deref(), Some("exit 3"));
    assert_eq!(state.machines[0].pid, pid);
    assert_eq!(Some(state.tasks[0].usage_ns), state.machines[0].witness_ns);
}

#[test]
fn a_machine_has_no_end_before_its_process_is_gone() {
    let mut stage = Stage::new();
    stage.create(new_machine("web"));
    let web = stage.launched();
    stage.born(web);
    stage.order("web", Order::Kill);
    let killed = &stage.keeper.state().machines[0];
    assert_eq!((&*killed.state, &killed.end), ("running", &None));
    stage.ends(web, "killed on request");
    let ended = &stage.keeper.state().machines[0];
    assert_eq!(&*ended.state, "ended");
    assert!(ended.end.is_some());
}

#[test]
fn a_thread_whose_birth_was_refused_is_let_go_with_its_machine() {
    let mut stage = Stage::new();
    stage.create(new_machine("web"));
    let web = stage.launched();
    let machine = stage.keeper.machines.get(web).unwrap();
    let pid = machine.pid;
    let directory = TaskDirectory::open(machine.process.as_ref().unwrap()).unwrap();
    let born = stage
        .keeper
        .born_task(web, &directory, TaskKind::Control, Tid(pid));
    drop((born.unwrap(), directory));
    stage.ends(web, "its threads could not be placed");
    assert_eq!(held_of(pid), 0);
    assert!(stage.keeper.tasks.of_machine(web).is_empty());
}

#[test]
fn a_machine_that_is_told_to_end_while_it_is_born_is_no_liar() {
    for told in [None, Some(Order::Stop)] {
        let mut stage = Stage::new();
        stage.create(new_machine("web"));
        let web = stage.launched();
        if let Some(order) = told {
            assert_eq!(stage.order("web", order), Some(Ok(())));
        }
        let pid = stage.keeper.machines.get(web).unwrap().pid;
        // As it is once these have ended.
        let gone = [ThreadKind::Io, ThreadKind::Vcpu(0)].map(|kind| Thread {
            kind,
            tid: u32::MAX,
        });
        let control = Thread {
            kind: ThreadKind::Control,
            tid: pid,
        };
        stage.keeper.on_born(web, &[&gone[..], &[control]].concat());
        let killed = stage.told("machine_killed");
        assert_eq!(killed.is_empty(), told.is_some(), "{killed:?}");
        assert!(
            killed
                .iter()
                .all(|text| text.contains("lied about its threads"))
        );
        assert!(
            stage.keeper.tasks.of_machine(web).is_empty(),
            "it has no place"
        );
        // And it is not waited for without end.
        stage.keeper.kill_overdue(Instant::now() + BIRTH_LIMIT);
        assert_eq!(stage.told("machine_killed").len(), 1);
    }
}

#[test]
fn a_machine_that_outlives_its_last_word_is_killed_once_and_its_verdict_does_not_grow() {
    let mut stage = Stage::new();
    stage.create(new_machine("web"));
    let web = stage.launched();
    stage.born(web);
    stage.keeper.condemn(web, "exit 0".into());
    stage.keeper.expect_gone(web);
    // It said so long ago.
    let due = &mut stage.keeper.machines.get_mut(web).unwrap().due;
    *due = due.map(|(by, what)| (by - GONE_LIMIT, what));
    let overdue = Instant::now();
    let verdict = |stage: &Stage| {
        let machine = stage.keeper.machines.get(web).unwrap();
        (machine.state, machine.verdict.clone().unwrap())
    };
    let lived_on = (State::Running, "exit 0: was to end and lived on".to_owned());
    // The next round is a second later, and the kernel may take longer for a kill.
    for round in 0..3 {
        let at = overdue + Duration::from_secs(round);
        stage.keeper.kill_overdue(at);
        assert_eq!(verdict(&stage), lived_on);
    }
    assert_eq!(stage.told("machine_killed").len(), 1);
    let process = stage.keeper.machines.get(web).unwrap().process.as_ref();
    process.unwrap().wait_without_reaping(false).unwrap();
    stage.keeper.kill_overdue(Instant::now() + GONE_LIMIT);
    assert_eq!(verdict(&stage), (State::Ended, lived_on.1));
}

/// Descriptors of ours on that process's files.
fn held_of(pid: u32) -> usize {
    let of_it = format!("/proc/{pid}/");
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.to_string_lossy().starts_with(&of_it))
        .count()
}

#[test]
fn a_machine_that_has_ended_is_started_again_in_its_former_place() {
    let mut stage = Stage::new();
    refused(stage.order("web", Order::Start), Errno::ENOENT, &["web"]);
    stage.create(in_group("web", "p:/one"));
    let first = stage.launched();
    refused(
        stage.order("web", Order::Start),
        Errno::EBUSY,
        &["web", "starting"],
    );
    stage.born(first);
    stage.ends(first, "exit 1");
    assert_eq!(stage.order("web", Order::Start), None);
    refused(
        stage.order("web", Order::Start),
        Errno::EBUSY,
        &["starting"],
    );
    let second = stage.launched();
    assert_ne!(first, second);
    let asked = &stage.keeper.machines.get(second).unwrap().asked;
    let groups = asked.placement.groups_of(TaskKind::Vcpu(0));
    assert_eq!(groups, [group("p:/one")]);
    let state = stage.keeper.state();
    assert_eq!((state.machines.len(), state.tasks.len()), (1, 0));
    assert_eq!(state.ledger.groups_ns, state.ledger.tasks_ns);
}

#[test]
fn a_failing_machine_is_started_again_and_waits_longer_each_time() {
    let mut stage = Stage::new();
    stage.create(with("web", |machine| machine.restart = Restart::OnFailure));
    for _ in 0..2 {
        let web = stage.launched();
        stage.ends(web, "exit 1");
        assert!(stage.asked_for().is_none(), "started without a wait");
        assert!(!stage.keeper.is_idle());
        stage.later();
    }
    // No process this time.
    stage.asked_for().unwrap();
    let why = || Err("no process".to_owned());
    stage.keeper.on_launched(&name("web"), why());
    assert_eq!(
        stage.told("machine_restarting"),
        [
            "web is started again in 1 s",
            "web is started again in 2 s",
            "web is started again in 4 s: no process",
        ]
    );
    stage.later();
    let web = stage.launched();
    stage.ends(web, "exit 0");
    stage.later();
    assert!(stage.asked_for().is_none(), "it had ended well");
    assert!(stage.keeper.is_idle());
}

#[test]
fn a_machine_whose_place_is_gone_waits_for_it() {
    let mut stage = Stage::new();
    stage.create(with("web", |machine| {
        machine.restart = Restart::Always;
        machine.placement = in_group("web", "p:/one").placement;
    }));
    let web = stage.launched();
    stage.ends(web, "exit 0");
    let rmdir = [stage::rmdir("p:/one")];
    let plan = stage.keeper.framework.plan(&ROOT, &rmdir).unwrap();
    stage.keeper.framework.commit(plan).unwrap();
    stage.later();
    assert!(stage.asked_for().is_none());
    let told = stage.told("machine_restarting");
    assert!(told[1].contains("in 2 s: task web/vcpu0"), "{told:?}");
}

#[test]
fn a_start_that_fails_leaves_a_machine_that_waited_for_its_restart_waiting() {
    let mut stage = Stage::new();
    stage.create(with("web", |machine| machine.restart = Restart::Always));
    let web = stage.launched();
    stage.ends(web, "exit 1");
    assert_eq!(stage.order("web", Order::Start), None);
    stage.asked_for().unwrap();
    let no_process = Err("no process".to_owned());
    stage.keeper.on_launched(&name("web"), no_process);
    assert!(!stage.keeper.is_idle());
    stage.later();
    assert!(stage.asked_for().is_some());
}

#[test]
fn a_machine_that_the_wire_could_not_watch_is_buried_all_the_same() {
    let mut stage = Stage::new();
    let unheard = std::iter::repeat_with(|| wire::Request::End);
    for request in unheard.take(WIRE_MAILBOX) {
        stage.keeper.wire.try_send(request).unwrap();
    }
    stage.create(new_machine("web"));
    let web = stage.launched();
    let machine = stage.keeper.machines.get(web).unwrap();
    let end = machine.verdict.clone().unwrap();
    assert!(end.contains("could not be watched"), "{end}");
    let process = machine.process.as_ref().unwrap();
    process.wait_without_reaping(false).unwrap();
    let an_hour = Duration::from_secs(3600);
    stage.keeper.kill_overdue(Instant::now() + an_hour);
    assert_eq!(stage.told("machine_ended").len(), 1);
    assert_eq!(stage.told("machine_killed").len(), 1);
    stage.remove("web").unwrap();
}

#[test]
fn a_machine_that_was_told_to_end_is_not_started_again() {
    let mut stage = Stage::new();
    stage.create(with("web", |machine| machine.restart = Restart::Always));
    let web = stage.launched();
    assert_eq!(stage.order("web", Order::Kill), Some(Ok(())));
    stage.ends(web, "exit 1");
    stage.later();
    assert!(stage.asked_for().is_none());
    // Nor one that waits for its start and is told so.
    stage.order("web", Order::Start);
    let web = stage.launched();
    stage.ends(web, "exit 1");
    assert_eq!(stage.order("web", Order::Stop), Some(Ok(())));
    stage.later();
    assert!(stage.asked_for().is_none());
    refused(stage.order("web", Order::Stop), Errno::ESRCH, &["ended"]);
    assert!(stage.keeper.is_idle());
}
