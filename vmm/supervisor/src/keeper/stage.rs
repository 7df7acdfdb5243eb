//! For tests: a keeper whose wire and runner do nothing until they are looked at, and machines that sleep.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use actor::{Address, Mailbox, mailbox};
use container_core::{
    Command, CpuSet, Credentials, Framework, GroupPath, HostResources, Nanoseconds, NodeSet,
};
use link::{Guest, MachineConfig};

use super::{Keeper, Request};
use crate::runner::Job;
use crate::{
    Body, Config, CpuController, KEEPER_MAILBOX, Launch, NewMachine, Placement, Program,
    RUNNER_MAILBOX, Ready, Restart, WIRE_MAILBOX, wire,
};

pub fn group(path: &str) -> GroupPath {
    path.parse().unwrap()
}

pub fn mkdir(path: &str) -> Command {
    Command::Mkdir { group: group(path) }
}

pub fn rmdir(path: &str) -> Command {
    Command::Rmdir { group: group(path) }
}

pub fn write(path: &str, file: &str, value: &str) -> Command {
    Command::Write {
        group: group(path),
        file: file.into(),
        value: value.into(),
    }
}

/// A framework of one CPU, in which these are in force.
pub fn framework(commands: &[Command]) -> Framework {
    let cpus = CpuSet::from_iter([0]);
    let mut framework = Framework::new(HostResources {
        allowed_cpus: cpus,
        present_cpus: cpus,
        possible_cpus: 1,
        mems: NodeSet::from_iter([0]),
    });
    framework.rehearse(&Credentials::ROOT, commands).unwrap();
    framework
}

/// A keeper, and what its wire and its runner are asked.
pub fn keeper(framework: Framework) -> (Keeper, Mailbox<wire::Request>, Mailbox<Job>) {
    let (_, own) = mailbox(1);
    let (to_wire, wire) = mailbox(WIRE_MAILBOX);
    let (to_runner, runner) = mailbox(RUNNER_MAILBOX);
    let config = Config {
        framework,
        history: vec![],
        onlooker: None,
        spent_before: Nanoseconds(0),
        withhold_go: Duration::ZERO,
        cpu_controller: CpuController::Own,
        machine_program: None,
    };
    let keeper = Keeper::new(own, to_wire, to_runner, config).unwrap();
    (keeper, wire, runner)
}

/// A keeper that serves, for as long as a test takes without a look at what the host's own CPUs are.
pub fn serve(framework: Framework) -> (Address<Request>, JoinHandle<()>) {
    let (mut keeper, _, _) = keeper(framework);
    let (address, own) = mailbox(KEEPER_MAILBOX);
    keeper.mailbox = own;
    keeper.next_watch += Duration::from_secs(3600);
    (address, std::thread::spawn(move || keeper.run()))
}

/// A machine of one vCPU, in no groups.
pub fn new_machine(name: &str) -> NewMachine {
    NewMachine {
        name: name.parse().unwrap(),
        config: MachineConfig {
            name: name.into(),
            memory_bytes: 1 << 20,
            vcpus: 1,
            guest: Guest::Tiny { script: vec![] },
            vsock: None,
        },
        placement: Placement::default(),
        agent: None,
        namespaces: host::Namespaces::NONE,
        restart: Restart::No,
    }
}

/// Its process, which does nothing.
pub fn launch(machine: NewMachine) -> Launch {
    let kvm = File::open("/dev/null").unwrap();
    let ready = Ready::start(&Program {
        namespaces: host::Namespaces::NONE,
        kvm: kvm.as_fd(),
        body: Body::Exec(Path::new("/bin/sleep"), &[OsString::from("60")]),
    });
    ready.unwrap().create(machine).unwrap()
}
