//! Machines that are made, started again and forgotten while their keeper runs.

mod ends;
mod limits;
mod places;

use std::time::{Duration, Instant};

use actor::{Mailbox, reply};
use container_core::{Command, Credentials, Errno, MachineName, TaskId, TaskKind, Tid};
use host::TaskDirectory;

use crate::keeper::machines::{MachineId, State};
use crate::keeper::stage::{self, group, mkdir, new_machine, write};
use crate::keeper::{ChangeError, Keeper, Order};
use crate::runner::Job;
use crate::{Births, NewMachine, Placement, wire};

const ROOT: Credentials = Credentials::ROOT;

struct Stage {
    keeper: Keeper,
    runner: Mailbox<Job>,
    _wire: Mailbox<wire::Request>,
}

/// What was answered, None while nothing was.
type Answered = Option<Result<(), ChangeError>>;

impl Stage {
    /// A cpuset of one CPU whose group `p:/one` has one seat, and cpuacct.
    fn new() -> Stage {
        let mount = |hierarchy: &str, subsystem: &str| Command::Mount {
            hierarchy: hierarchy.parse().unwrap(),
            subsystems: vec![subsystem.into()],
        };
        let framework = stage::framework(&[
            mount("p", "cpuset"),
            mount("b", "cpuacct"),
            mkdir("p:/one"),
            write("p:/one", "cpuset.cpus", "0"),
            write("p:/one", "cpuset.mems", "0"),
            write("p:/one", "cpuset.placement", "one-to-one"),
        ]);
        let (keeper, wire, runner) = stage::keeper(framework);
        Stage {
            keeper,
            runner,
            _wire: wire,
        }
    }

    fn create_by(&mut self, by: Credentials, machine: NewMachine) -> Answered {
        let (answer, pending) = reply();
        self.keeper.on_create(&by, machine, false, answer);
        pending.wait_until(Instant::now()).unwrap_or(None)
    }

    fn create(&mut self, machine: NewMachine) -> Answered {
        self.create_by(ROOT, machine)
    }

    fn order(&mut self, machine: &str, order: Order) -> Answered {
        let (answer, pending) = reply();
        self.keeper.on_order(&ROOT, &name(machine), order, answer);
        pending.wait_until(Instant::now()).unwrap_or(None)
    }

    fn remove(&mut self, machine: &str) -> Result<(), ChangeError> {
        self.keeper.on_remove(&ROOT, &name(machine))
    }

    /// Which machine the runner has been asked for.
    fn asked_for(&self) -> Option<NewMachine> {
        match self.runner.try_recv().ok().flatten()? {
            Job::Launch(machine) => Some(*machine),
            other => panic!("asked for {other:?}"),
        }
    }

    /// The runner has started what it was asked for.
    fn launched(&mut self) -> MachineId {
        let machine = self.asked_for().expect("a launch");
        let name = machine.name.clone();
        let launch = Box::new(stage::launch(machine));
        self.keeper.on_launched(&name, Ok(launch));
        self.keeper.machines.living_by_name(&name).unwrap()
    }

    /// One thread of the machine's process is born, as `control`.
    fn born(&mut self, id: MachineId) -> (TaskId, u32) {
        let machine = self.keeper.machines.get_mut(id).unwrap();
        let (pid, process) = (machine.pid, machine.process.as_ref().unwrap());
        let directory = TaskDirectory::open(process).unwrap();
        machine.state = State::Running;
        let asked = machine.asked.clone();
        let (control, tid) = (TaskKind::Control, Tid(pid));
        let task = self.keeper.born_task(id, &directory, control, tid).unwrap();
        let births = Births::new(&self.keeper.framework, &asked, tid).unwrap();
        let birth = births.of(control, task, tid, None);
        let plan = self.keeper.framework.plan(&ROOT, &birth).unwrap();
        let events = self.keeper.framework.commit(plan).unwrap();
        self.keeper.record(events, None);
        (task, pid)
    }

    /// The machine's process dies, having said this.
    fn ends(&mut self, id: MachineId, verdict: &str) {
        self.keeper.condemn(id, verdict.into());
        let process = self.keeper.machines.get(id).unwrap().process.as_ref();
        process.unwrap().kill().unwrap();
        process.unwrap().wait_without_reaping(false).unwrap();
        self.keeper.on_died(id);
    }

    /// Time has come for what waits to be started again.
    fn later(&mut self) {
        let an_hour = Duration::from_secs(3600);
        self.keeper.restart_due(Instant::now() + an_hour);
    }

    fn told(&self, kind: &str) -> Vec<String> {
        let told = self.keeper.log.kept().filter(|event| event.kind == kind);
        told.map(|event| event.text.clone()).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.keeper.bury_all();
    }
}

fn name(text: &str) -> MachineName {
    text.parse().unwrap()
}

fn with(name: &str, change: impl FnOnce(&mut NewMachine)) -> NewMachine {
    let mut machine = new_machine(name);
    change(&mut machine);
    machine
}

fn in_group(name: &str, path: &str) -> NewMachine {
    let by_kind = [TaskKind::Vcpu(0), TaskKind::Control].map(|kind| (kind, vec![group(path)]));
    with(name, |machine| {
        machine.placement = Placement {
            by_kind: by_kind.into(),
        }
    })
}

#[track_caller]
fn refused(answered: Answered, errno: Errno, words: &[&str]) {
    match answered {
        Some(Err(ChangeError::Refused(refusal))) => {
            assert_eq!(refusal.errno, errno, "{refusal}");
            for word in words {
                assert!(refusal.rule.contains(word), "{word:?} not in {refusal}");
            }
        }
        other => panic!("not refused but {other:?}"),
    }
}

#[test]
fn a_birth_that_could_not_be_placed_is_refused_with_its_rule_before_any_process_exists() {
    let mut stage = Stage::new();
    let before = groups_and_tasks(&stage.keeper);
    let nowhere = in_group("web", "p:/nowhere");
    refused(
        stage.create(nowhere),
        Errno::ENOENT,
        &["task web/vcpu0", "p:/nowhere"],
    );
    let mut two = in_group("web", "p:/one");
    two.config.vcpus = 2;
    let seat = two.placement.by_kind[&TaskKind::Control].clone();
    two.placement.by_kind.insert(TaskKind::Vcpu(1), seat);
    refused(
        stage.create(two),
        Errno::ENOSPC,
        &["task web/vcpu1", "p:/one", "one-to-one"],
    );
    let none = with("web", |machine| machine.config.vcpus = 0);
    refused(stage.create(none), Errno::EINVAL, &["0 vCPUs"]);
    let other = with("web", |machine| machine.config.name = "db".into());
    refused(stage.create(other), Errno::EINVAL, &["web", "db"]);
    assert!(stage.asked_for().is_none(), "a process was asked for");
    assert_eq!(groups_and_tasks(&stage.keeper), before);
    assert_eq!(stage.keeper.machines.iter().count(), 0);
}

#[test]
fn two_machines_are_not_both_started_for_one_seat_while_neither_is_born() {
    let mut stage = Stage::new();
    assert_eq!(stage.create(in_group("web", "p:/one")), None);
    refused(
        stage.create(in_group("db", "p:/one")),
        Errno::ENOSPC,
        &["task db/vcpu0"],
    );
    // Nor once its process runs and its threads are not known yet.
    let web = stage.launched();
    refused(
        stage.create(in_group("db", "p:/one")),
        Errno::ENOSPC,
        &["task db/vcpu0"],
    );
    stage.ends(web, "could not be built");
    assert_eq!(stage.create(in_group("db", "p:/one")), None);
}

#[test]
fn a_name_is_taken_from_the_first_asking_until_its_machine_is_removed() {
    let mut stage = Stage::new();
    let taken = |stage: &mut Stage, state: &str| {
        refused(
            stage.create(new_machine("web")),
            Errno::EEXIST,
            &["web", state],
        );
    };
    assert_eq!(stage.create(new_machine("web")), None);
    taken(&mut stage, "starting");
    let web = stage.launched();
    taken(&mut stage, "starting");
    stage.ends(web, "exit 0");
    taken(&mut stage, "ended");
    stage.remove("web").unwrap();
    assert_eq!(stage.create(new_machine("web")), None);
}

#[test]
fn a_create_is_answered_when_the_process_has_its_order_and_where_there_is_none() {
    let mut stage = Stage::new();
    let (answer, pending) = reply();
    stage
        .keeper
        .on_create(&ROOT, new_machine("web"), false, answer);
    stage.launched();
    assert_eq!(pending.wait(), Ok(Ok(())));
    let (answer, pending) = reply();
    stage
        .keeper
        .on_create(&ROOT, new_machine("db"), false, answer);
    let why = || "no process".to_owned();
    stage.keeper.on_launched(&name("db"), Err(why()));
    let failed = Err(ChangeError::Host {
        why: why(),
        drifted: vec![],
    });
    assert_eq!(pending.wait(), Ok(failed));
    assert!(matches!(stage.remove("db"), Err(ChangeError::Refused(r)) if r.errno == Errno::ENOENT));
}

#[test]
fn only_root_and_the_supervisors_own_user_may_have_machines_made_ordered_and_removed() {
    let mut stage = Stage::new();
    let own = rustix::process::geteuid().as_raw();
    let by = |uid| Credentials { uid, ..ROOT };
    let stranger = by(own + 1000);
    let words = &["web", "only root"];
    refused(
        stage.create_by(stranger, new_machine("web")),
        Errno::EPERM,
        words,
    );
    let removed = stage.keeper.on_remove(&stranger, &name("web"));
    refused(Some(removed), Errno::EPERM, words);
    for order in [Order::Start, Order::Stop, Order::Kill, Order::Pause] {
        let (answer, pending) = reply();
        let web = name("web");
        stage.keeper.on_order(&stranger, &web, order, answer);
        refused(pending.wait().ok(), Errno::EPERM, words);
    }
    assert_eq!(stage.create_by(by(own), new_machine("web")), None);
}

/// The framework but for the ids that trials use up.
fn groups_and_tasks(keeper: &Keeper) -> String {
    let snapshot = keeper.framework.snapshot();
    let lines = snapshot.lines().filter(|line| !line.starts_with("next "));
    lines.collect()
}
