//! Where machine processes come from: forked while this process still has one thread.
//!
//! The first is started before the spec has been read, and makes what every machine has (a VM without
//! memory, the devices' thread) while it is. If the spec is then refused, it is killed: it had no
//! memory, no vCPU and no guest.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use anyhow::Context;
use hv::Hypervisor;
use supervisor::{Body, Launch, LaunchError, NewMachine, Placement, Program, Ready, Restart};

use crate::cli::RunArgs;
use crate::machine_process;
use crate::spec::MachineSpec;

/// Starts the machine processes of one run.
pub struct Nursery {
    kvm: OwnedFd,
    /// What runs in the machine's place, for tests.
    program: Option<PathBuf>,
    first: Option<Ready>,
}

impl Nursery {
    /// Start the first process.
    ///
    /// # Errors
    /// No link, no process.
    pub fn open(args: &RunArgs, kvm: Hypervisor) -> anyhow::Result<Nursery> {
        let mut nursery = Nursery {
            kvm: kvm.into_fd(),
            program: args.machine_program.clone(),
            first: None,
        };
        nursery.first = Some(nursery.start()?);
        Ok(nursery)
    }

    fn start(&self) -> Result<Ready, LaunchError> {
        let body = match &self.program {
            Some(path) => Body::Exec(path, &[]),
            None => Body::Fork(&machine_process::live),
        };
        Ready::start(&Program {
            kvm: self.kvm.as_fd(),
            body,
        })
    }

    /// Start a process for each machine and tell it what to build.
    ///
    /// # Errors
    /// Those that were started by then are killed.
    pub fn launch_all(mut self, machines: &[MachineSpec]) -> anyhow::Result<Vec<Launch>> {
        let launch = |machine: &MachineSpec| {
            let ready = match self.first.take() {
                Some(ready) => ready,
                None => self.start()?,
            };
            let kinds = machine.kinds().into_iter();
            let by_kind = kinds.map(|kind| (kind, machine.groups_of(kind))).collect();
            ready.create(NewMachine {
                name: machine.name.clone(),
                config: machine.config.clone(),
                placement: Placement { by_kind },
                agent: machine.agent.clone(),
                restart: Restart::No,
            })
        };
        let launches: Result<Vec<_>, _> = machines.iter().map(launch).collect();
        launches.context("no machine was let run")
    }
}
