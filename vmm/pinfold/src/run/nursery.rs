//! Where machine processes come from: forked while this process still has one thread.
//!
//! The first is started before the spec has been read, and makes what every machine has (a VM without
//! memory, the devices' thread) while it is. If the spec is then refused, it is killed: it had no
//! memory, no vCPU and no guest.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use anyhow::Context;
use host::Namespaces;
use hv::Hypervisor;
use supervisor::{Body, Launch, LaunchError, Program, Ready};

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
        nursery.first = Some(nursery.start(Namespaces::NONE)?);
        Ok(nursery)
    }

    fn start(&self, namespaces: Namespaces) -> Result<Ready, LaunchError> {
        let body = match &self.program {
            Some(path) => Body::Exec(path, &[]),
            None => Body::Fork(&machine_process::live),
        };
        Ready::start(&Program {
            kvm: self.kvm.as_fd(),
            body,
            namespaces,
        })
    }

    /// Start a process for each machine and tell it what to build.
    ///
    /// # Errors
    /// Those that were started by then are killed.
    pub fn launch_all(mut self, machines: &[MachineSpec]) -> anyhow::Result<Vec<Launch>> {
        let launch = |machine: &MachineSpec| {
            // The first has threads already, and shares our namespaces with them.
            let ready = match self.first.take_if(|_| machine.namespaces.is_empty()) {
                Some(ready) => ready,
                None => self.start(machine.namespaces)?,
            };
            ready.create(machine.to_new())
        };
        let launches: Result<Vec<_>, _> = machines.iter().map(launch).collect();
        launches.context("no machine was let run")
    }
}
