//! Namespaces of a child's own, and memory that is its own.

use std::fs;
use std::io::{Read, Write, pipe};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Barrier;

use host::{
    Errno, Exit, Namespace, Namespaces, ProcessMemory, TaskDirectory, fork_process,
    fork_process_in, own_namespaces, spawn_process_in,
};

use super::forks::{LONG, dies_within};

const KINDS: [Namespace; 4] = [
    Namespace::Uts,
    Namespace::Ipc,
    Namespace::Net,
    Namespace::Mount,
];

/// Whether this process may administer the system, as new namespaces ask for.
fn privileged() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("SKIPPED: only root enters namespaces");
    }
    root
}

pub fn a_child_is_in_exactly_the_namespaces_that_were_asked_for_with_all_its_threads() {
    if !privileged() {
        return;
    }
    for mask in 0..16 {
        let asked: Namespaces = (0..4)
            .filter(|bit| mask & 1 << bit != 0)
            .map(|bit| KINDS[bit])
            .collect();
        let (go, mut tell) = pipe().expect("a pipe");
        let (mut ready, ready_end) = pipe().expect("a pipe");
        let child = fork_process_in(asked, &[go.as_fd(), ready_end.as_fd()], || {
            let both = Barrier::new(2);
            let ended = std::thread::scope(|scope| {
                scope.spawn(|| {
                    both.wait();
                    (&go).read(&mut [0])
                });
                both.wait();
                (&ready_end).write_all(b"x").and((&go).read(&mut [0]))
            });
            u8::from(ended.is_err())
        });
        let child = child.expect("a fork");
        ready.read_exact(&mut [0]).expect("it is ready");
        let directory = TaskDirectory::open(&child).expect("it lives");
        assert_eq!(directory.tids().expect("it lives").len(), 2);
        let own = own_namespaces(&directory).expect("its threads are in the same");
        assert_eq!(own, asked, "{own} in place of {asked}");
        tell.write_all(b"xx").expect("it reads");
        assert!(dies_within(&child, LONG));
        assert_eq!(child.reap().expect("a zombie").exit, Exit::Code(0));
    }
}

pub fn what_a_program_mounts_in_its_own_namespace_is_not_the_hosts() {
    if !privileged() {
        return;
    }
    let name = format!("pinfold-host-test-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    fs::create_dir(&directory).expect("a directory");
    let script = format!(
        "mount -t tmpfs none '{0}' && : > '{0}/inside'",
        directory.display()
    );
    let own = Namespaces::from_iter([Namespace::Mount]);
    let args = ["-c".into(), script.into()];
    let child = spawn_process_in(own, Path::new("/bin/sh"), &args, &[]).expect("a shell");
    let died = dies_within(&child, LONG);
    let inside = directory.join("inside").exists();
    fs::remove_dir(&directory).expect("nothing is mounted on it here");
    assert!(died);
    assert_eq!(child.reap().expect("a zombie").exit, Exit::Code(0));
    assert!(!inside, "the mount has come out");
}

pub fn namespaces_that_may_not_be_entered_are_an_error_and_leave_no_child() {
    let child = fork_process(&[], || {
        let nobody = rustix::process::Uid::from_raw(65_534);
        if rustix::process::geteuid().is_root() && rustix::thread::set_thread_uid(nobody).is_err() {
            return 2;
        }
        let own = Namespaces::from_iter([Namespace::Uts, Namespace::Net]);
        let spawned = spawn_process_in(own, Path::new("/bin/true"), &[], &[]);
        let forked = fork_process_in(own, &[], || 0);
        let refused = [spawned, forked].map(|refused| {
            let error = refused.expect_err("not nobody's right");
            let names = error.to_string().contains("uts, net");
            names && error.errno() == Some(Errno::PERM)
        });
        u8::from(refused != [true, true])
    })
    .expect("a fork");
    assert!(dies_within(&child, LONG));
    assert_eq!(child.reap().expect("a zombie").exit, Exit::Code(0));
}

pub fn memory_that_a_process_has_touched_is_its_own_until_it_is_dead() {
    const BYTES: u64 = 24 << 20;
    let (go, mut tell) = pipe().expect("a pipe");
    let (mut ready, ready_end) = pipe().expect("a pipe");
    let child = fork_process(&[go.as_fd(), ready_end.as_fd()], || {
        let mut memory = vec![0u8; 2 * BYTES as usize];
        memory[..BYTES as usize].fill(1);
        std::hint::black_box(&mut memory);
        let _ = (&ready_end).write_all(b"x");
        let _ = (&go).read(&mut [0]);
        0
    })
    .expect("a fork");
    let memory = ProcessMemory::open(&child).expect("it lives");
    ready.read_exact(&mut [0]).expect("it is ready");
    let held = memory.anonymous().expect("it lives").0;
    assert!((BYTES..BYTES + (4 << 20)).contains(&held), "{held}");
    let status = fs::read_to_string(format!("/proc/{}/status", child.pid()));
    let status = status.expect("it lives");
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    let kernels = 1024 * kib.and_then(|kib| kib.parse::<u64>().ok()).expect("a size");
    assert!(held.abs_diff(kernels) < 512 << 10, "{held}, not {kernels}");
    tell.write_all(b"x").expect("it reads");
    assert!(dies_within(&child, LONG));
    assert_eq!(memory.anonymous().expect("a zombie has none").0, 0);
    child.reap().expect("a zombie");
    assert!(memory.anonymous().expect_err("reaped").is_ended());
    assert!(ProcessMemory::open(&child).expect_err("reaped").is_ended());
}
