//! Where machine processes come from while the supervisor runs: one is kept ready.
//!
//! A supervisor of several threads cannot fork a machine, it has to run a program: a millisecond and more until that
//! stands there with what every machine has. So one waits for its order, and the next is started once it has gone; a
//! machine that is asked for does not wait for its process. Owned by the runner, whose thread lives as long as the
//! machines may (they die with the thread that started them).

use std::os::fd::AsFd;

use host::Namespaces;

use crate::{Body, Launch, LaunchError, MachineProgram, NewMachine, Program, Ready};

/// The nursery.
#[derive(Debug)]
pub struct Nursery {
    /// None in a supervisor whose machines all came with the start.
    program: Option<MachineProgram>,
    ready: Option<Ready>,
}

impl Nursery {
    /// An empty one.
    pub fn new(program: Option<MachineProgram>) -> Self {
        Nursery {
            program,
            ready: None,
        }
    }

    /// Have a process ready. Where that fails, the next launch tries and says why.
    pub fn refill(&mut self) {
        let missing = self.ready.as_ref().is_none_or(|ready| !ready.is_alive());
        if let Some(program) = self.program.as_ref().filter(|_| missing) {
            self.ready = start(program, Namespaces::NONE).ok();
        }
    }

    /// Give a machine its process, and tell that what to build.
    ///
    /// # Errors
    /// A sentence: no process, or one that does not take its order.
    pub fn launch(&mut self, machine: NewMachine) -> Result<Launch, String> {
        let asked_ns = host::monotonic_ns();
        let program = self
            .program
            .as_ref()
            .ok_or("this supervisor has no program to start machines with")?;
        // One that waits has threads already, and shares our namespaces with them.
        let waits = self.ready.take_if(|_| machine.namespaces.is_empty());
        let ready = match waits.filter(Ready::is_alive) {
            Some(ready) => Ok(ready),
            None => start(program, machine.namespaces),
        };
        let launch = ready.and_then(|ready| ready.create(machine));
        let launch = launch.map_err(|error| error.to_string())?;
        Ok(Launch {
            spawned_ns: asked_ns,
            ..launch
        })
    }
}

fn start(program: &MachineProgram, namespaces: Namespaces) -> Result<Ready, LaunchError> {
    Ready::start(&Program {
        namespaces,
        kvm: program.kvm.as_fd(),
        body: Body::Exec(&program.path, &program.args),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;

    use super::*;
    use crate::keeper::stage::new_machine;

    fn nursery(program: &str) -> Nursery {
        Nursery::new(Some(MachineProgram {
            path: program.into(),
            args: vec!["60".into()],
            kvm: File::open("/dev/null").unwrap().into(),
        }))
    }

    fn pid_of_ready(nursery: &Nursery) -> u32 {
        nursery.ready.as_ref().and_then(Ready::pid).unwrap()
    }

    fn is_there(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    fn bury(launch: Launch) {
        launch.process.kill().unwrap();
        launch.process.wait_without_reaping(false).unwrap();
        launch.process.reap().unwrap();
    }

    #[test]
    fn a_machine_is_given_the_process_that_waits_and_counts_from_when_it_was_asked_for() {
        let mut nursery = nursery("/bin/sleep");
        nursery.refill();
        let ready = pid_of_ready(&nursery);
        let asked = host::monotonic_ns();
        let launch = nursery.launch(new_machine("web")).unwrap();
        assert_eq!(launch.process.pid(), ready);
        assert!(launch.spawned_ns >= asked);
        assert!(nursery.ready.is_none());
        // Without one that waits there is one all the same.
        bury(nursery.launch(new_machine("db")).unwrap());
        nursery.refill();
        assert_ne!(pid_of_ready(&nursery), ready);
        bury(launch);
    }

    #[test]
    fn one_that_died_while_it_waited_is_reaped_and_another_takes_its_place() {
        let mut nursery = nursery("/bin/sleep");
        nursery.refill();
        let dead = pid_of_ready(&nursery);
        let number = rustix::process::Pid::from_raw(dead as i32).unwrap();
        rustix::process::kill_process(number, rustix::process::Signal::KILL).unwrap();
        while nursery.ready.as_ref().unwrap().is_alive() {
            std::thread::yield_now();
        }
        let launch = nursery.launch(new_machine("web")).unwrap();
        assert_ne!(launch.process.pid(), dead);
        assert!(!is_there(dead), "a zombie is left");
        bury(launch);
    }

    #[test]
    fn one_that_is_not_needed_is_gone_with_its_nursery() {
        let mut nursery = nursery("/bin/sleep");
        nursery.refill();
        let ready = pid_of_ready(&nursery);
        drop(nursery);
        assert!(!is_there(ready));
    }

    #[test]
    fn a_program_that_cannot_be_run_is_said_when_a_machine_is_asked_for() {
        let mut nursery = nursery("/no/such/program");
        nursery.refill();
        let why = nursery.launch(new_machine("web")).unwrap_err();
        assert!(why.contains("/no/such/program"), "{why}");
        let why = Nursery::new(None).launch(new_machine("web")).unwrap_err();
        assert!(why.contains("no program"), "{why}");
    }
}
