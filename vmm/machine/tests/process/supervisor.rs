//! The supervisor's part, with a bound on every wait.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use link::{
    AgentStream, Guest, Link, MachineConfig, Thread, ThreadKind, ToMachine, ToSupervisor, VERSION,
    VcpuCounts, VsockConfig,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::guest::Program;

/// No answer takes longer; generous, since the host may be busy.
pub const BOUND: Duration = Duration::from_secs(10);

/// A machine process and the link to it.
pub struct Machine {
    child: Child,
    pub link: Option<Link<ToMachine, ToSupervisor>>,
    path: PathBuf,
    descriptors: Vec<OwnedFd>,
    agents: usize,
    threads: Vec<Thread>,
    counts: Vec<Vec<VcpuCounts>>,
}

/// Start a machine process, whose built-in guest is `image`, and connect to it.
pub fn spawn(image: &str) -> Machine {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("machine-{}-{serial}", std::process::id()));
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["machine".as_ref(), image.as_ref(), path.as_os_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + BOUND;
    let link = loop {
        match link::connect(&path) {
            Ok(link) => break link,
            Err(error) => assert!(Instant::now() < deadline, "{path:?}: {error}"),
        }
        std::thread::sleep(Duration::from_micros(200));
    };
    Machine {
        child,
        link: Some(link),
        path,
        descriptors: Vec::new(),
        agents: 0,
        threads: Vec::new(),
        counts: Vec::new(),
    }
}

/// The order for a machine of 16 MiB.
pub fn order(vcpus: u16, script: Vec<u8>) -> ToMachine {
    order_with(vcpus, script, None)
}

/// The same, of a machine with a vsock device.
pub fn order_with(vcpus: u16, script: Vec<u8>, vsock: Option<VsockConfig>) -> ToMachine {
    ToMachine::Create {
        version: VERSION,
        machine: MachineConfig {
            name: "test".into(),
            memory_bytes: 16 << 20,
            vcpus,
            guest: Guest::Tiny { script },
            vsock,
        },
    }
}

/// Start a machine up to `Born`.
pub fn born(vcpus: u16, program: Program) -> (Machine, Vec<Thread>) {
    born_of("assembled", vcpus, program.bytes())
}

/// Start a machine with the given image up to `Born`.
pub fn born_of(image: &str, vcpus: u16, script: Vec<u8>) -> (Machine, Vec<Thread>) {
    let mut machine = spawn(image);
    machine.send(&order(vcpus, script));
    match machine.recv() {
        Some(ToSupervisor::Born { version, threads }) => {
            assert_eq!(version, VERSION);
            (machine, threads)
        }
        other => panic!("{other:?} instead of Born"),
    }
}

/// Start a machine and let it go.
pub fn running(vcpus: u16, program: Program) -> Machine {
    let (machine, _) = born(vcpus, program);
    machine.send(&ToMachine::Go);
    machine
}

impl Machine {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn send(&self, message: &ToMachine) {
        self.link.as_ref().unwrap().send(message).unwrap();
    }

    /// Write bytes that need not be a message.
    pub fn send_raw(&self, bytes: &[u8]) {
        rustix::io::write(self.link.as_ref().unwrap(), bytes).unwrap();
    }

    /// The next message; None at the end of the link.
    pub fn recv(&mut self) -> Option<ToSupervisor> {
        self.recv_within(BOUND).expect("no message in time")
    }

    /// The next message within `bound`, if one comes: Some(None) at the end of the link. Descriptors are
    /// kept for [`Machine::agent`], and counts for [`Machine::counts`].
    pub fn recv_within(&mut self, bound: Duration) -> Option<Option<ToSupervisor>> {
        loop {
            match self.recv_any_within(bound) {
                Some(Some(ToSupervisor::Counted { vcpus })) => self.counts.push(vcpus),
                received => return received,
            }
        }
    }

    /// What KVM has counted, as often as it was said so far.
    pub fn counts(&self) -> &[Vec<VcpuCounts>] {
        &self.counts
    }

    fn recv_any_within(&mut self, bound: Duration) -> Option<Option<ToSupervisor>> {
        let link = self.link.as_ref().unwrap();
        if !ready(link, bound) {
            return None;
        }
        match link.recv_with_descriptor() {
            Ok(received) => {
                let (message, descriptor) = received.unwrap();
                self.descriptors.extend(descriptor);
                match &message {
                    ToSupervisor::Born { threads, .. } => self.threads.clone_from(threads),
                    ToSupervisor::Agent { .. } => self.agents += 1,
                    _ => {}
                }
                Some(Some(message))
            }
            Err(link::LinkError::Closed) => Some(None),
            Err(error) => panic!("{error}"),
        }
    }

    /// How many agents have been heard of.
    pub fn agents_so_far(&self) -> usize {
        self.agents
    }

    /// Wait for the guest's agent: its port, and the supervisor's end of the stream.
    pub fn agent(&mut self) -> (u32, AgentStream) {
        loop {
            match self.recv() {
                Some(ToSupervisor::Agent { source_port }) => {
                    let descriptor = self.descriptors.pop().unwrap();
                    return (source_port, AgentStream::from_fd(descriptor).unwrap());
                }
                Some(_) => {}
                None => panic!("no agent before the end"),
            }
        }
    }

    /// All messages to the end of the link.
    pub fn recv_all(&mut self) -> Vec<ToSupervisor> {
        std::iter::from_fn(|| self.recv()).collect()
    }

    /// Is there something to read on the console within `bound`?
    pub fn prints_within(&self, bound: Duration) -> bool {
        ready(self.child.stdout.as_ref().unwrap(), bound)
    }

    /// Read up to `most` bytes of output, waiting for the first ones.
    pub fn read_some(&mut self, most: usize) -> Vec<u8> {
        assert!(self.prints_within(BOUND), "no output in time");
        let mut some = vec![0; most];
        let count = self.child.stdout.as_mut().unwrap().read(&mut some).unwrap();
        some.truncate(count);
        some
    }

    /// All output to its end.
    pub fn read_all(&mut self) -> String {
        let mut all = Vec::new();
        loop {
            let some = self.read_some(65536);
            if some.is_empty() {
                return String::from_utf8(all).unwrap();
            }
            all.extend(some);
        }
    }

    /// Leave the console's pipe room for one page only.
    pub fn shrink_console(&self) {
        rustix::pipe::fcntl_setpipe_size(self.child.stdout.as_ref().unwrap(), 4096).unwrap();
    }

    /// Stop reading the console for good.
    pub fn close_console(&mut self) {
        self.child.stdout = None;
    }

    /// Wait for the process's end; returns its exit code. The kernel's taking the VM apart waits for
    /// grace periods: 3 ms on an idle host, seconds on a crowded one.
    pub fn exit_code(&mut self) -> i32 {
        let deadline = Instant::now() + 3 * BOUND;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or_else(|| panic!("{status}"));
            }
            assert!(Instant::now() < deadline, "the process does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// The time a thread has run so far, by the scheduler's count, in nanoseconds.
    pub fn run_ns(&self, tid: u32) -> u64 {
        let path = format!("/proc/{}/task/{tid}/schedstat", self.pid());
        let text = std::fs::read_to_string(path).unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    }

    /// The same, once the thread sleeps: on a crowded host it may be some time on its way to that.
    pub fn run_ns_asleep(&self, tid: u32) -> u64 {
        let path = format!("/proc/{}/task/{tid}/stat", self.pid());
        let deadline = Instant::now() + BOUND;
        loop {
            let stat = std::fs::read_to_string(&path).unwrap();
            if stat
                .rsplit(')')
                .next()
                .unwrap()
                .trim_start()
                .starts_with('S')
            {
                return self.run_ns(tid);
            }
            assert!(Instant::now() < deadline, "thread {tid} does not sleep");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The thread of this kind in a machine that has been born.
pub fn tid_in(machine: &Machine, kind: ThreadKind) -> u32 {
    tid_of(&machine.threads, kind)
}

/// The thread of this kind.
pub fn tid_of(threads: &[Thread], kind: ThreadKind) -> u32 {
    threads
        .iter()
        .find(|thread| thread.kind == kind)
        .unwrap()
        .tid
}

/// Is there something to read within `bound`?
pub fn ready(fd: impl AsFd, bound: Duration) -> bool {
    let timeout = Timespec {
        tv_sec: bound.as_secs() as i64,
        tv_nsec: bound.subsec_nanos().into(),
    };
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)).unwrap() > 0
}
