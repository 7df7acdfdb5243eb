//! A keeper with one guest, and a wire and a runner that do nothing until they are looked at.

mod doors;

use std::path::Path;
use std::time::Duration;

use actor::Mailbox;
use container_core::{Command, Credentials, Errno, Framework, ViewAccess, ViewCommand};
use link::ToMachine;

use crate::agent::{Outcome, Request, Token};
use crate::keeper::machines::{Machine, State};
use crate::keeper::stage::{self, group, mkdir, new_machine, rmdir, write};
use crate::keeper::{Asker, Keeper, MachineId};
use crate::runner::Job;
use crate::{AgentAccess, WIRE_MAILBOX, wire};

fn framework() -> Framework {
    let mount = Command::Mount {
        hierarchy: "p".parse().unwrap(),
        subsystems: vec![],
    };
    let agent = write("p:/", "release_agent", "/agent");
    stage::framework(&[mount, agent, mkdir("p:/web")])
}

struct Stage {
    keeper: Keeper,
    machine: MachineId,
    wire: Mailbox<wire::Request>,
    runner: Mailbox<Job>,
}

impl Stage {
    fn new() -> Self {
        Stage::of(framework(), &["p:/web"])
    }

    /// A guest of `web` whose view has these roots.
    fn of(framework: Framework, roots: &[&str]) -> Self {
        let (mut keeper, wire, runner) = stage::keeper(framework);
        let process = host::spawn_process(Path::new("/bin/cat"), &[], &[]).unwrap();
        let mut machine = Machine::new(new_machine("web"), process, 0);
        machine.state = State::Running;
        let machine = keeper.machines.add(machine);
        let agent = AgentAccess {
            access: ViewAccess::Delegate,
            roots: roots.iter().map(|root| group(root)).collect(),
        };
        keeper.open_view(machine, &agent).unwrap();
        Stage {
            keeper,
            machine,
            wire,
            runner,
        }
    }

    /// The guest's agent asks; what it is answered.
    fn ask(&mut self, request: Request) -> Outcome {
        let asker = Asker {
            machine: self.machine,
            session: wire::SessionId(1),
            token: Token(1),
        };
        self.keeper.on_agent(asker, request);
        match self.wire.try_recv() {
            Ok(Some(wire::Request::Answer(_, outcome))) => *outcome,
            other => panic!("no answer, but {other:?}"),
        }
    }

    /// These are in force, and their events told.
    fn change(&mut self, commands: &[Command]) {
        let plan = self.keeper.framework.plan(&Credentials::ROOT, commands);
        let events = self.keeper.framework.commit(plan.unwrap()).unwrap();
        self.keeper.record(events, None);
    }

    /// Release agents that the runner has been given since the last time.
    fn runs(&self) -> usize {
        let jobs = std::iter::from_fn(|| self.runner.try_recv().ok().flatten());
        jobs.filter(|job| matches!(job, Job::ReleaseAgent { .. }))
            .count()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(machine) = self.keeper.machines.get(self.machine) {
            let process = machine.process.as_ref().unwrap();
            let _ = process.kill();
            let _ = process.reap();
        }
    }
}

#[test]
fn a_guest_that_has_used_up_its_share_is_welcomed_and_shown_events_and_nothing_else() {
    let mut stage = Stage::new();
    stage
        .keeper
        .charge_share(stage.machine, Duration::from_secs(1));
    let (hierarchy, group) = ("p".parse().unwrap(), || "p:/".parse().unwrap());
    let file = "tasks".into();
    for (request, is_served) in [
        (Request::Greet, true),
        (Request::Subscribe { since: None }, true),
        (Request::Replay { after: 0 }, true),
        (Request::Unsubscribe, true),
        (Request::Roots, false),
        (
            Request::Tree {
                hierarchy,
                after: None,
            },
            false,
        ),
        (
            Request::Read {
                group: group(),
                file,
            },
            false,
        ),
        (Request::Change(vec![]), false),
    ] {
        let told = format!("{request:?}");
        let outcome = stage.ask(request);
        assert_eq!(outcome.is_ok(), is_served, "{told}: {outcome:?}");
        let errno = outcome.err().map(|refusal| refusal.errno);
        assert!(is_served || errno == Some(Errno::EAGAIN), "{told}");
    }
}

#[test]
fn what_guests_make_happen_leaves_room_for_what_a_machine_lives_by() {
    let mut stage = Stage::new();
    stage.keeper.subscribe(stage.machine, None);
    for _ in 0..WIRE_MAILBOX {
        stage.change(&[mkdir("p:/web/a"), rmdir("p:/web/a")]);
    }
    stage.keeper.say(stage.machine, ToMachine::Pause);
    let verdict = &stage.keeper.machines.get(stage.machine).unwrap().verdict;
    assert_eq!(*verdict, None, "killed for its neighbours' events");
    // What found no room is owed, and told by the newest once there is some.
    assert!(stage.keeper.pushes_owed);
    while let Ok(Some(_)) = stage.wire.try_recv() {}
    stage.keeper.push_again();
    let last = 2 * WIRE_MAILBOX as u64;
    assert!(matches!(
        stage.wire.try_recv(),
        Ok(Some(wire::Request::Push(_, seq, _))) if seq == last
    ));
}

#[test]
fn a_guest_sets_off_so_many_release_agents_and_the_host_any_number() {
    let mut stage = Stage::new();
    stage.change(&[
        mkdir("p:/web/a"),
        write("p:/web/a", "notify_on_release", "1"),
    ]);
    let group = || "p:/a/b".parse().unwrap();
    let release = || {
        vec![
            ViewCommand::Mkdir { group: group() },
            ViewCommand::Rmdir { group: group() },
        ]
    };
    for _ in 0..100 {
        let changed = stage.ask(Request::Change(release()));
        assert!(changed.is_ok(), "{changed:?}");
    }
    let ran = stage.runs();
    assert!((16..50).contains(&ran), "{ran}");
    let said = |event: &&management::Event| event.text.contains("not run");
    assert_eq!(stage.keeper.log.kept().filter(said).count(), 100 - ran);
    for _ in 0..100 {
        stage.change(&[mkdir("p:/web/a/b"), rmdir("p:/web/a/b")]);
    }
    assert_eq!(stage.runs(), 100);
}
