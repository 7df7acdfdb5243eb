//! What is held, beside machines that are some orders behind; and a keeper that freezes.

use super::*;
use proptest::prelude::*;

use actor::Mailbox;
use container_core::{Command, CpuSet, Credentials, GroupPath, HostResources, Tid};
use host::TaskDirectory;

use crate::Births;
use crate::keeper::changes::Then;
use crate::keeper::stage::{self, framework, keeper, launch, mkdir, new_machine, write};
use crate::wire::Said;

/// Set what is to be held, and give the order that follows.
fn set(hold: &mut Hold, reason: Reason, vcpus: VcpuSet, now: Instant) -> Option<(VcpuSet, u64)> {
    hold.set(reason, vcpus);
    match hold.order()? {
        ToMachine::Hold { vcpus, number } => {
            hold.ordered(now);
            assert_eq!(hold.order(), None);
            Some((vcpus, number))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_order_is_given_when_the_union_of_the_reasons_changes() {
    let (mut hold, now) = (Hold::default(), Instant::now());
    assert_eq!(set(&mut hold, Reason::Frozen, 0, now), None);
    assert_eq!(set(&mut hold, Reason::Frozen, 0b11, now), Some((0b11, 1)));
    assert_eq!(set(&mut hold, Reason::Throttled, 0b10, now), None);
    assert_eq!(
        set(&mut hold, Reason::Throttled, 0b110, now),
        Some((0b111, 2))
    );
    assert_eq!(set(&mut hold, Reason::Frozen, 0, now), Some((0b110, 3)));
    assert_eq!(
        (hold.of(Reason::Frozen), hold.of(Reason::Throttled)),
        (0, 0b110)
    );
}

#[test]
fn a_vcpu_that_is_out_and_uses_time_is_seen_and_one_that_was_in_between_is_not() {
    let (mut hold, now) = (Hold::default(), Instant::now());
    set(&mut hold, Reason::Frozen, 0b1, now);
    hold.on_held(1);
    assert!(hold.has_rested(0, Nanoseconds(5)));
    assert!(hold.has_rested(0, Nanoseconds(5 + REST.0)));
    assert!(!hold.has_rested(0, Nanoseconds(6 + REST.0)));
    set(&mut hold, Reason::Frozen, 0, now);
    set(&mut hold, Reason::Frozen, 0b1, now);
    hold.on_held(3);
    assert!(hold.has_rested(0, Nanoseconds(6 + REST.0)));
}

#[test]
fn the_time_limit_is_of_the_vcpu_that_has_been_leaving_longest() {
    let (mut hold, now) = (Hold::default(), Instant::now());
    let later = now + Duration::from_secs(1);
    set(&mut hold, Reason::Frozen, 0b01, now);
    set(&mut hold, Reason::Throttled, 0b10, later);
    assert_eq!(hold.due(), Some(now + HOLD_LIMIT));
    assert_eq!(hold.on_held(1), 0b01);
    assert_eq!((hold.out(), hold.due()), (0b01, Some(later + HOLD_LIMIT)));
    set(&mut hold, Reason::Throttled, 0, later);
    assert_eq!((hold.out(), hold.due()), (0b01, None));
}

#[test]
fn a_machine_that_does_not_answer_in_time_is_killed() {
    let (mut keeper, wire, _runner) = keeper(framework(&[]));
    let id = keeper.on_launch(launch(new_machine("web")));
    keeper.hold(id, Reason::Frozen, 0b1);
    let said = std::iter::from_fn(|| wire.try_recv().unwrap());
    let said = said
        .filter(|said| matches!(said, wire::Request::Say(..)))
        .count();
    assert_eq!(said, 1);
    let verdict = |keeper: &Keeper| keeper.machines.get(id).unwrap().verdict.clone();
    keeper.kill_not_held(Instant::now());
    assert_eq!(verdict(&keeper), None);
    let late = Instant::now() + HOLD_LIMIT;
    keeper.on_held(id, 1);
    keeper.kill_not_held(late);
    assert_eq!(verdict(&keeper), None);
    keeper.hold(id, Reason::Frozen, 0b10);
    keeper.kill_not_held(Instant::now() + HOLD_LIMIT);
    assert_eq!(verdict(&keeper).unwrap(), "did not leave its guest in time");
    assert_eq!(keeper.machines.get(id).unwrap().hold_due(), None);
    keeper.bury_all();
}

const VCPUS: u16 = 4;

#[derive(Clone, Copy, Debug)]
enum Step {
    Give(Reason, VcpuSet),
    /// The machine takes this many of its orders in.
    Take(usize),
    /// It says what is true of the last that it has taken.
    Answer,
}

fn step() -> impl Strategy<Value = Step> {
    let reason = prop_oneof![Just(Reason::Frozen), Just(Reason::Throttled)];
    prop_oneof![
        3 => (reason, 0..1u64 << VCPUS).prop_map(|(reason, set)| Step::Give(reason, set)),
        2 => (1usize..4).prop_map(Step::Take),
        2 => Just(Step::Answer),
    ]
}

proptest! {
    /// Beside a machine that is some orders behind: what is called out is out there and stays so, and when
    /// all is answered all that is to be held is out.
    #[test]
    fn what_is_called_out_is_out(steps in proptest::collection::vec(step(), 0..60)) {
        let (mut hold, now) = (Hold::default(), Instant::now());
        let mut orders = std::collections::VecDeque::new();
        let (mut inside, mut last) = (VcpuSet::MAX, (0, 0));
        let finish = [Step::Take(usize::MAX), Step::Answer];
        for step in steps.into_iter().chain(finish) {
            match step {
                Step::Give(reason, vcpus) => orders.extend(set(&mut hold, reason, vcpus, now)),
                Step::Take(count) => {
                    for order in orders.drain(..count.min(orders.len())) {
                        last = order;
                        inside = !order.0;
                    }
                }
                Step::Answer => {
                    let before = hold.out();
                    let new = hold.on_held(last.1);
                    prop_assert_eq!(new & before, 0);
                    prop_assert_eq!(new | before, hold.out());
                }
            }
            prop_assert_eq!(hold.out() & inside, 0, "called out and is inside");
            for (vcpus, _) in &orders {
                prop_assert_eq!(hold.out() & !vcpus, 0, "called out and about to enter");
            }
        }
        let wanted = hold.of(Reason::Frozen) | hold.of(Reason::Throttled);
        prop_assert_eq!(hold.out(), wanted);
        prop_assert_eq!(hold.due(), None);
    }
}

/// What machines have been told since.
fn told(wire: &Mailbox<wire::Request>) -> Vec<ToMachine> {
    let asked = std::iter::from_fn(|| wire.try_recv().unwrap());
    let told = asked.filter_map(|asked| match asked {
        wire::Request::Say(_, message) => Some(*message),
        _ => None,
    });
    told.collect()
}

/// A keeper with the group `f:/a`, and a machine of one vCPU, in no group and about to go.
fn with_machine() -> (Keeper, Mailbox<wire::Request>, MachineId, TaskId) {
    let mount = Command::Mount {
        hierarchy: "f".parse().unwrap(),
        subsystems: vec!["freezer".into(), "cpuset".into()],
    };
    let cpus = [("cpus", "0"), ("mems", "0")];
    let cpus = cpus.map(|(file, value)| write("f:/a", &format!("cpuset.{file}"), value));
    let commands = [&[mount, mkdir("f:/a")][..], &cpus].concat();
    let (mut keeper, wire, _runner) = keeper(framework(&commands));
    let machine = new_machine("web");
    let process = launch(machine.clone()).process;
    let (pid, directory) = (process.pid(), TaskDirectory::open(&process).unwrap());
    let mut placing = Machine::new(machine.clone(), process, 0);
    placing.state = State::Placing;
    let id = keeper.machines.add(placing);
    let born = keeper.born_task(id, &directory, TaskKind::Vcpu(0), Tid(pid));
    let task = born.unwrap();
    let births = Births::new(&keeper.framework, &machine, Tid(pid)).unwrap();
    let birth = births.of(TaskKind::Vcpu(0), task, Tid(pid), None);
    change(&mut keeper, &birth);
    (keeper, wire, id, task)
}

fn change(keeper: &mut Keeper, commands: &[Command]) {
    keeper.begin(&Credentials::ROOT, commands, Then::Nothing);
    while keeper.under_way.is_some() {
        keeper.advance();
    }
}

fn attach(group: &str, task: TaskId) -> Command {
    let group = stage::group(group);
    Command::Attach { group, task }
}

fn state(keeper: &Keeper) -> String {
    let group: GroupPath = stage::group("f:/a");
    let text = keeper
        .framework
        .read(&Credentials::ROOT, &group, "freezer.state");
    text.unwrap().trim_end().to_owned()
}

fn events(keeper: &Keeper) -> Vec<String> {
    let kept = keeper.log.kept().map(|event| event.text.clone());
    kept.filter(|text| text.ends_with("frozen") || text.ends_with("thawed"))
        .collect()
}

#[test]
fn a_group_is_frozen_by_its_machines_word_and_thawed_by_its_own() {
    let (mut keeper, wire, id, task) = with_machine();
    let frozen = write("f:/a", "freezer.state", "FROZEN");
    change(&mut keeper, &[attach("f:/a", task), frozen]);
    let (vcpus, number) = (1, 1);
    assert_eq!(told(&wire), [ToMachine::Hold { vcpus, number }]);
    assert_eq!(
        (state(&keeper), events(&keeper)),
        ("FREEZING".into(), vec![])
    );
    keeper.on_said(id, Said::Held(1));
    assert_eq!(
        (state(&keeper), events(&keeper)),
        ("FROZEN".into(), vec!["f:/a frozen".into()])
    );
    change(&mut keeper, &[write("f:/a", "freezer.state", "THAWED")]);
    let (vcpus, number) = (0, 2);
    assert_eq!(told(&wire), [ToMachine::Hold { vcpus, number }]);
    assert_eq!(
        (state(&keeper), events(&keeper).len()),
        ("THAWED".into(), 2)
    );
    assert!(!keeper.framework.is_to_be_held(task));
    keeper.bury_all();
}

#[test]
fn one_that_is_throttled_and_out_is_frozen_at_once() {
    let (mut keeper, wire, id, task) = with_machine();
    keeper.hold(id, Reason::Throttled, 1);
    keeper.on_said(id, Said::Held(1));
    told(&wire);
    let frozen = write("f:/a", "freezer.state", "FROZEN");
    change(&mut keeper, &[attach("f:/a", task), frozen]);
    assert_eq!((told(&wire), state(&keeper)), (vec![], "FROZEN".into()));
    keeper.hold(id, Reason::Throttled, 0);
    assert_eq!((told(&wire), state(&keeper)), (vec![], "FROZEN".into()));
    keeper.bury_all();
}

#[test]
fn a_freeze_of_a_change_that_fails_is_taken_back() {
    let (mut keeper, wire, _, task) = with_machine();
    // No thread may be confined to a CPU that is not there, whatever the framework was told.
    let far = CpuSet::from_iter([0, 700]);
    let resources = HostResources {
        allowed_cpus: far,
        present_cpus: far,
        possible_cpus: 701,
        mems: keeper.framework.host().mems,
    };
    let plan = keeper.framework.plan_host_change(resources);
    keeper.framework.commit(plan).unwrap();
    let frozen = write("f:/a", "freezer.state", "FROZEN");
    let before = keeper.framework.snapshot();
    change(
        &mut keeper,
        &[
            attach("f:/a", task),
            frozen,
            write("f:/a", "cpuset.cpus", "700"),
        ],
    );
    assert_eq!(keeper.framework.snapshot(), before);
    assert_eq!(told(&wire), [], "one step: it was not even told");
    assert_eq!(
        keeper
            .machines
            .iter()
            .next()
            .unwrap()
            .1
            .hold
            .of(Reason::Frozen),
        0
    );
    keeper.bury_all();
}

#[test]
fn an_order_that_finds_no_room_is_owed_and_no_go_overtakes_it() {
    let (mut keeper, wire, id, task) = with_machine();
    for _ in 0..HOLDS_WAITING {
        keeper.say(id, ToMachine::Ping(0));
    }
    let frozen = write("f:/a", "freezer.state", "FROZEN");
    change(&mut keeper, &[attach("f:/a", task), frozen]);
    keeper.go(id);
    let machine = keeper.machines.get(id).unwrap();
    assert!(machine.verdict.is_none() && machine.state == State::Placing);
    assert!(told(&wire).iter().all(|told| *told == ToMachine::Ping(0)));
    assert!(keeper.next_deadline() <= Instant::now() + HOLD_AGAIN);
    std::thread::sleep(HOLD_AGAIN);
    keeper.on_time();
    let (vcpus, number) = (1, 1);
    let told = told(&wire)
        .into_iter()
        .filter(|told| *told != ToMachine::Ping(0));
    assert_eq!(
        told.collect::<Vec<_>>(),
        [ToMachine::Hold { vcpus, number }, ToMachine::Go]
    );
    keeper.bury_all();
}
