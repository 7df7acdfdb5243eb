//! What a child has, what it has not, and how its end is seen.

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write, pipe};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use host::{Errno, Exit, HostError, Process, Signal, fork_process, spawn_process};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The first argument of this binary when it is the program under test.
pub const AS_PROGRAM: &str = "--as-program";

/// Whether the process is dead within the time.
pub fn dies_within(process: &Process, time: Duration) -> bool {
    let timeout = Timespec::try_from(time).expect("a short time");
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    poll(&mut fds, Some(&timeout)).is_ok_and(|ready| ready == 1)
}

pub const LONG: Duration = Duration::from_secs(20);

pub fn a_child_is_waited_for_and_reaped_once() {
    let (go, mut tell) = pipe().expect("a pipe");
    let child = fork_process(&[go.as_fd()], || {
        let _ = (&go).read(&mut [0]);
        7
    })
    .expect("a fork");
    assert_eq!(child.wait_without_reaping(true).expect("our child"), None);
    assert!(matches!(child.reap(), Err(HostError::StillRunning { .. })));
    assert!(child.resident_bytes().expect("it lives") > 0);
    tell.write_all(b"x").expect("it reads");

    assert!(dies_within(&child, LONG));
    assert_eq!(
        child.wait_without_reaping(false).expect("our child"),
        Some(Exit::Code(7))
    );
    assert_eq!(
        child.wait_without_reaping(true).expect("again"),
        Some(Exit::Code(7))
    );
    let witness = child.cpu_time().expect("a zombie has a clock");
    assert!(witness.0 > 0);
    assert_eq!(child.resident_bytes().expect("a zombie has none"), 0);
    child.kill().expect("a zombie takes no harm");

    assert_eq!(child.reap().expect("a zombie").exit, Exit::Code(7));
    assert!(child.cpu_time().expect_err("its clock is gone").is_ended());
    assert!(
        child
            .signal(Signal::TERM)
            .expect_err("nobody is left")
            .is_ended()
    );
    assert_eq!(child.reap().expect_err("once").errno(), Some(Errno::CHILD));
    child.kill().expect("nothing to do");
}

pub fn a_killed_child_says_which_signal() {
    let child = fork_process(&[], || {
        loop {
            std::thread::park();
        }
    })
    .expect("a fork");
    child.kill().expect("our child");
    assert_eq!(
        child.wait_without_reaping(false).expect("ours"),
        Some(Exit::Signal(9))
    );
    assert_eq!(child.reap().expect("a zombie").exit, Exit::Signal(9));
}

pub fn a_child_that_panics_ends_there() {
    let child = fork_process(&[], || {
        std::panic::set_hook(Box::new(|_| {}));
        panic!("must not unwind into the parent's frames")
    })
    .expect("a fork");
    // 101 where panics unwind, SIGABRT where they abort.
    let exit = child
        .wait_without_reaping(false)
        .expect("ours")
        .expect("it waits");
    assert!([Exit::Code(101), Exit::Signal(6)].contains(&exit), "{exit}");
    child.reap().expect("a zombie");
}

/// Numbers of the open descriptors, but for the one that lists them.
fn open_descriptors() -> Vec<i32> {
    let entries = fs::read_dir("/proc/self/fd").expect("proc is mounted");
    let numbers: Vec<i32> = entries
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .to_str()
                .and_then(|n| n.parse().ok())
        })
        .map(|number| number.expect("a number"))
        .collect();
    // The listing's own descriptor is closed by now.
    let mut open: Vec<i32> = numbers
        .into_iter()
        .filter(|n| fs::read_link(format!("/proc/self/fd/{n}")).is_ok())
        .collect();
    open.sort_unstable();
    open
}

pub fn a_child_has_no_descriptor_but_those_kept() {
    let pipes: Vec<_> = (0..4).map(|_| pipe().expect("a pipe")).collect();
    let keep = [pipes[2].1.as_fd(), pipes[0].0.as_fd()];
    let mut wanted = vec![0, 1, 2, pipes[2].1.as_raw_fd(), pipes[0].0.as_raw_fd()];
    wanted.sort_unstable();
    let child = fork_process(&keep, || {
        let stdin = fs::read_link("/proc/self/fd/0").unwrap_or_default();
        if open_descriptors() != wanted {
            return 1;
        }
        if stdin != Path::new("/dev/null") {
            2
        } else {
            0
        }
    })
    .expect("a fork");
    assert_eq!(
        child.wait_without_reaping(false).expect("ours"),
        Some(Exit::Code(0))
    );
    child.reap().expect("a zombie");
}

pub fn a_process_of_two_threads_may_not_fork() {
    let (go, tell) = pipe().expect("a pipe");
    let other = std::thread::spawn(move || {
        let _ = (&go).read(&mut [0]);
    });
    let refusal = fork_process(&[], || 0).expect_err("two threads");
    assert!(matches!(refusal, HostError::ManyThreads), "{refusal}");
    drop(tell);
    other.join().expect("no panic");
    // A thread is joined a little before the kernel has forgotten it.
    let give_up = Instant::now() + LONG;
    let child = loop {
        match fork_process(&[], || 0) {
            Ok(child) => break child,
            Err(error) => assert!(Instant::now() < give_up, "{error}"),
        }
    };
    child.wait_without_reaping(false).expect("ours");
    child.reap().expect("a zombie");
}

pub fn a_child_dies_with_its_parent() {
    let (mut pids, tell_pid) = pipe().expect("a pipe");
    let (go, mut tell_go) = pipe().expect("a pipe");
    let parent = fork_process(&[tell_pid.as_fd(), go.as_fd()], || {
        let Ok(grandchild) = fork_process(&[], || {
            loop {
                std::thread::park();
            }
        }) else {
            return 1;
        };
        let _ = (&tell_pid).write_all(&grandchild.pid().to_ne_bytes());
        let _ = (&go).read(&mut [0]);
        0
    })
    .expect("a fork");
    let mut pid = [0; 4];
    pids.read_exact(&mut pid).expect("a pid");
    let grandchild = Process::open(u32::from_ne_bytes(pid)).expect("it lives");
    assert!(!dies_within(&grandchild, Duration::from_millis(20)));
    tell_go.write_all(b"x").expect("it reads");
    let has_died = dies_within(&grandchild, LONG);
    let _ = grandchild.kill();
    assert!(has_died, "it outlived its parent");
    assert!(dies_within(&parent, LONG));
    parent.reap().expect("a zombie");
}

/// The program that is run: writes what it finds to descriptor 7.
pub fn program(args: &[String]) -> u8 {
    let fds = open_descriptors();
    let target = |fd: i32| fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let blocked = blocked_in(&status);
    let report = format!("{args:?} {fds:?} {:?} {:?} {blocked}", target(0), target(3));
    u8::from(fs::write("/proc/self/fd/7", report).is_err())
}

/// The blocked signals of a `/proc/PID/status`, in its own spelling.
fn blocked_in(status: &str) -> &str {
    let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    line.unwrap_or_default().trim()
}

/// Those of the calling thread.
fn blocked_here() -> String {
    let status = fs::read_to_string("/proc/thread-self/status").expect("proc is mounted");
    blocked_in(&status).to_owned()
}

pub fn a_program_finds_its_descriptors_in_place_and_no_signal_blocked() {
    let (mut report, writer) = pipe().expect("a pipe");
    let (other, _other_writer) = pipe().expect("a pipe");
    let own = std::env::current_exe().expect("our path");
    let args: Vec<OsString> = [AS_PROGRAM, "a b"].map(OsString::from).into();
    let other_link =
        fs::read_link(format!("/proc/self/fd/{}", other.as_raw_fd())).expect("a pipe's name");
    let before = blocked_here();
    // Several threads are no hindrance here.
    let spawned = std::thread::scope(|scope| {
        let (go, tell) = pipe().expect("a pipe");
        scope.spawn(move || (&go).read(&mut [0]));
        let keep = [(writer.as_fd(), 7), (other.as_fd(), 3)];
        let child = spawn_process(&own, &args, &keep).expect("our own program");
        // The thread that starts a child is to outlive it: this one does.
        assert!(dies_within(&child, LONG));
        drop(tell);
        child
    });
    assert_eq!(spawned.reap().expect("a zombie").exit, Exit::Code(0));
    drop(writer);
    let mut text = String::new();
    report.read_to_string(&mut text).expect("a report");
    assert_eq!(
        text,
        format!("[\"a b\"] [0, 1, 2, 3, 7] \"/dev/null\" {other_link:?} 0000000000000000")
    );
    assert_eq!(blocked_here(), before, "the parent's own are as they were");
}

pub fn a_program_that_is_missing_is_an_error() {
    let error = spawn_process(Path::new("/nonexistent/program"), &[], &[]).expect_err("missing");
    assert_eq!(error.errno(), Some(Errno::NOENT), "{error}");
    let (reader, _writer) = pipe().expect("a pipe");
    let error = spawn_process(Path::new("/bin/true"), &[], &[(reader.as_fd(), 2)])
        .expect_err("stderr is not given away");
    assert_eq!(error.errno(), Some(Errno::INVAL), "{error}");
}

pub fn a_peak_of_memory_is_remembered() {
    const BYTES: usize = 48 << 20;
    let child = fork_process(&[], || {
        let mut memory = vec![1u8; BYTES];
        std::hint::black_box(&mut memory);
        0
    })
    .expect("a fork");
    child.wait_without_reaping(false).expect("ours");
    let end = child.reap().expect("a zombie");
    assert!(end.peak_resident_bytes as usize > BYTES, "{end:?}");
    assert!(end.user.0 + end.system.0 > 0);
}
