//! The kernel's own release agent, timed: a cgroup-v1 hierarchy of the bench's own, without controllers, and
//! `release.c` as its agent.
//!
//! Only ids of processes that the bench has started are written into it, and it is unmounted however the
//! bench ends.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode};

use crate::support::Scratch;

/// The kernel starts an agent within milliseconds.
const PATIENCE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// The hierarchy, a group in it that notifies on release, and where its agent's stamps arrive.
pub struct KernelAgent {
    program: PathBuf,
    mount: PathBuf,
    stamps: fs::File,
    scratch: Scratch,
}

impl KernelAgent {
    /// None, with the reason printed, where the host does not let the bench mount one.
    pub fn set_up() -> Option<Self> {
        let skipped = |why: String| println!("  SKIPPED: the kernel's release agent: {why}");
        let scratch = Scratch::new();
        let (mount, fifo) = (scratch.path().join("v1"), scratch.path().join("stamps"));
        fs::create_dir(&mount).expect("a scratch directory");
        rustix::fs::mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).expect("a FIFO");
        // Open for writing too, so that it never ends.
        let stamps = fs::File::options().read(true).write(true).open(&fifo);
        let program = scratch.path().join("release");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/bench/release.c");
        let mut compile = Command::new("cc");
        compile.args(["-O2", "-static", "-o"]).arg(&program);
        compile.arg(format!("-DSTAMPS=\"{}\"", fifo.display()));
        if let Err(why) = succeed(compile.arg(source)) {
            skipped(why);
            return None;
        }
        let options = format!("none,name=pinfold-bench-{}", std::process::id());
        let mut command = Command::new("mount");
        command.args(["-t", "cgroup", "-o", &options, "none"]);
        if let Err(why) = succeed(command.arg(&mount)) {
            skipped(why);
            return None;
        }
        let agent = KernelAgent {
            stamps: stamps.expect("the FIFO just made"),
            program,
            mount,
            scratch,
        };
        match agent.prepare() {
            Ok(()) => Some(agent),
            Err(error) => {
                skipped(error.to_string());
                None
            }
        }
    }

    fn prepare(&self) -> std::io::Result<()> {
        fs::create_dir(self.group())?;
        fs::write(
            self.mount.join("release_agent"),
            self.program.to_str().unwrap_or_default(),
        )?;
        fs::write(self.group().join("notify_on_release"), "1")
    }

    /// From just before the group's last task exits until its agent's `main`.
    pub fn release_by_exit(&mut self) -> Duration {
        let stamp = self.scratch.file("exit", "01234567");
        let mut child = self.start("exit", &stamp);
        drop(child.stdin.take());
        child.wait().expect("our child");
        let began = number(&fs::read(&stamp).expect("the child's stamp"));
        self.agent_ran_after(began)
    }

    /// From just before the group's last task is moved out until its agent's `main`.
    pub fn release_by_move(&mut self) -> Duration {
        let stamp = self.scratch.file("exit", "01234567");
        let mut child = self.start("exit", &stamp);
        let began = host::monotonic_ns();
        put(&child, &self.mount);
        let time = self.agent_ran_after(began);
        drop(child.stdin.take());
        child.wait().expect("our child");
        time
    }

    /// A child in the group, that ends when its standard input does.
    fn start(&self, what: &str, stamp: &Path) -> Child {
        let mut command = Command::new(&self.program);
        command.arg(what).arg(stamp).stdin(Stdio::piped());
        let child = command.spawn().expect("the program starts");
        put(&child, &self.group());
        // Until it waits.
        std::thread::sleep(Duration::from_millis(2));
        child
    }

    fn agent_ran_after(&mut self, began: u64) -> Duration {
        let mut fds = [PollFd::new(&self.stamps, PollFlags::IN)];
        let ready = poll(&mut fds, Some(&PATIENCE)).expect("a FIFO can be polled");
        assert!(ready > 0, "the kernel's release agent was not run");
        let mut stamp = [0; 8];
        self.stamps.read_exact(&mut stamp).expect("a stamp");
        Duration::from_nanos(number(&stamp) - began)
    }

    fn group(&self) -> PathBuf {
        self.mount.join("scratch")
    }
}

impl Drop for KernelAgent {
    fn drop(&mut self) {
        let tasks = fs::read_to_string(self.group().join("tasks")).unwrap_or_default();
        for task in tasks.lines() {
            // A child that a panic has left behind: it was started here.
            let _ = fs::write(self.mount.join("tasks"), task);
        }
        let _ = fs::remove_dir(self.group());
        if let Err(why) = succeed(Command::new("umount").arg(&self.mount)) {
            println!("  a hierarchy is left at {}: {why}", self.mount.display());
        }
    }
}

fn put(child: &Child, group: &Path) {
    fs::write(group.join("tasks"), child.id().to_string()).expect("our child can be moved");
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(bytes.try_into().expect("a stamp of 8 bytes"))
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
