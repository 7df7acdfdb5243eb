//! Starting processes: by fork, which is the quickest, and by running another program.
//!
//! What every child has in common: it dies with the thread that started it (PR_SET_PDEATHSIG, which
//! follows the *thread*: start children from one that lives as long as they are to), it reads
//! /dev/null, and of our descriptors it has only stdout, stderr and those it was given. Between fork
//! and the caller's code nothing allocates and nothing takes a lock.
//!
//! A forked child is a copy of this process with its one thread, so it may run any Rust code. It never
//! returns into its parent's frames: whatever `child` does, the process ends where it ends, with
//! nothing flushed and nothing dropped above it. Values that `child` owns may close only descriptors
//! that were kept.
#![allow(unsafe_code)]

use std::ffi::{CString, OsString};
use std::io::Write;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, fcntl_dupfd_cloexec, retry_on_intr};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::{HostError, Namespaces, Process};

/// Exit code of a forked child that could not be set up; `child` has not run.
pub const SETUP_FAILED: u8 = 125;

/// Exit code of a child that panicked, as the Rust runtime has it.
const PANICKED: u8 = 101;

/// Descriptors below this are stdin, stdout and stderr, which every child has.
const FIRST_FREE: RawFd = 3;

/// Fork, run `child` in the copy, and end it with the value it returns.
///
/// The child keeps `keep` under the same numbers. Signal dispositions and masks are inherited.
///
/// # Errors
/// [`HostError::ManyThreads`] where the calling process has more than one thread; EAGAIN, ENOMEM,
/// EMFILE.
pub fn fork_process(
    keep: &[BorrowedFd<'_>],
    child: impl FnOnce() -> u8,
) -> Result<Process, HostError> {
    fork_process_in(Namespaces::NONE, keep, child)
}

/// As [`fork_process`], the child in namespaces of its own. Returns once it is in them.
///
/// # Errors
/// Those of [`fork_process`], and of unshare(2): EPERM without the right to administer the system.
pub fn fork_process_in(
    namespaces: Namespaces,
    keep: &[BorrowedFd<'_>],
    child: impl FnOnce() -> u8,
) -> Result<Process, HostError> {
    require_one_thread()?;
    let refused = |errno| HostError::system("unshare", namespaces.to_string(), errno);
    let pipe = (!namespaces.is_empty()).then(|| pipe_with(PipeFlags::CLOEXEC));
    let (errors, writer) = pipe.transpose().map_err(refused)?.unzip();
    let mut kept: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).collect();
    kept.sort_unstable();
    // Half a line in the buffer would be written by parent and child both.
    let _ = std::io::stdout().flush();
    let parent = getpid();
    // SAFETY: the child has no other thread to miss, and never leaves this call.
    let process = unsafe {
        fork(|| {
            if let Some(writer) = &writer
                && let Err(errno) = namespaces.enter()
            {
                tell(writer, UNSHARE, errno);
                return SETUP_FAILED;
            }
            // The pipe's end is among what is closed: the child stands where it is to stand.
            let ready = enter_child(parent).and_then(|()| close_all_but(&kept));
            match ready {
                Ok(()) => catch_unwind(AssertUnwindSafe(child)).unwrap_or(PANICKED),
                Err(_) => SETUP_FAILED,
            }
        })
    }?;
    drop(writer);
    match errors.and_then(|errors| told(&errors)) {
        None => Ok(process),
        Some((_, errno)) => Err(bury(&process, refused(errno))),
    }
}

/// Run a program in a new process, with our environment, an empty signal mask and SIGPIPE as usual.
///
/// Each descriptor of `keep` is the child's under the number beside it, 3 or more. Returns once the
/// program is loaded; the caller may have any number of threads.
///
/// # Errors
/// ENOENT and whatever else execve(2) returns; EINVAL for a number below 3 or a NUL in an argument;
/// EAGAIN, ENOMEM, EMFILE.
pub fn spawn_process(
    program: &Path,
    args: &[OsString],
    keep: &[(BorrowedFd<'_>, RawFd)],
) -> Result<Process, HostError> {
    spawn_process_in(Namespaces::NONE, program, args, keep)
}

/// As [`spawn_process`], the program in namespaces of its own from its beginning.
///
/// # Errors
/// Those of [`spawn_process`], and of unshare(2): EPERM without the right to administer the system.
pub fn spawn_process_in(
    namespaces: Namespaces,
    program: &Path,
    args: &[OsString],
    keep: &[(BorrowedFd<'_>, RawFd)],
) -> Result<Process, HostError> {
    let error = |errno| HostError::system("execve", program.display().to_string(), errno);
    if keep.iter().any(|(_, number)| *number < FIRST_FREE) {
        return Err(error(Errno::INVAL));
    }
    // Sources and the pipe are moved above every number asked for, so that placing one overwrites none.
    let above = keep
        .iter()
        .map(|(_, number)| number + 1)
        .max()
        .unwrap_or(FIRST_FREE);
    let sources: Vec<(OwnedFd, RawFd)> = keep
        .iter()
        .map(|(fd, number)| Ok((fcntl_dupfd_cloexec(fd, above)?, *number)))
        .collect::<Result<_, _>>()
        .map_err(error)?;
    let (errors, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(error)?;
    let writer = fcntl_dupfd_cloexec(writer, above).map_err(error)?;

    let words: Vec<CString> = std::iter::once(program.as_os_str())
        .chain(args.iter().map(OsString::as_os_str))
        .map(|word| CString::new(word.as_bytes()).map_err(|_| error(Errno::INVAL)))
        .collect::<Result<_, _>>()?;
    let argv: Vec<*const libc::c_char> = words
        .iter()
        .map(|word| word.as_ptr())
        .chain([std::ptr::null()])
        .collect();

    let parent = getpid();
    let mut child = || {
        if let Err(errno) = namespaces.enter() {
            tell(&writer, UNSHARE, errno);
            return SETUP_FAILED;
        }
        let errno = match enter_child(parent).and_then(|()| place(&sources)) {
            Ok(()) => execute(&argv),
            Err(errno) => errno,
        };
        tell(&writer, EXECVE, errno);
        SETUP_FAILED
    };
    // SAFETY: until execv the child makes system calls only, on what was prepared above; it allocates
    // nothing, takes no lock and writes nothing but its own stack, and never leaves this call.
    let process = unsafe { fork_in_place(&mut child) }?;
    drop(writer);
    match told(&errors) {
        // The pipe closed by itself: the program runs.
        None => Ok(process),
        Some((UNSHARE, errno)) => {
            let refused = HostError::system("unshare", namespaces.to_string(), errno);
            Err(bury(&process, refused))
        }
        Some((_, errno)) => Err(bury(&process, error(errno))),
    }
}

/// What a child could not do.
const UNSHARE: u8 = b'u';
/// See [`UNSHARE`].
const EXECVE: u8 = b'e';

/// In the child: say on a pipe why it cannot go on.
fn tell(writer: &OwnedFd, what: u8, errno: Errno) {
    let [a, b, c, d] = errno.raw_os_error().to_ne_bytes();
    let _ = rustix::io::write(writer, &[what, a, b, c, d]);
}

/// What a child said on a pipe; None where the pipe closed without a word.
fn told(errors: &OwnedFd) -> Option<(u8, Errno)> {
    let mut word = [EXECVE, 0, 0, 0, 0];
    match retry_on_intr(|| rustix::io::read(errors, &mut word)) {
        Ok(0) => None,
        Ok(_) => {
            let [what, a, b, c, d] = word;
            let errno = Errno::from_raw_os_error(i32::from_ne_bytes([a, b, c, d]));
            Some((what, errno))
        }
        Err(errno) => Some((EXECVE, errno)),
    }
}

/// A child that could not go on ends by itself.
fn bury(process: &Process, why: HostError) -> HostError {
    let _ = process.wait_without_reaping(false);
    let _ = process.reap();
    why
}

/// A thread asks the kernel to be alone: it refuses in company, and does nothing where it is true
/// (unshare(2), CLONE_THREAD).
fn require_one_thread() -> Result<(), HostError> {
    let alone = UnshareFlags::from_bits_retain(libc::CLONE_THREAD as u32);
    // SAFETY: CLONE_FILES is not among the flags, so no descriptor table is parted.
    match unsafe { unshare_unsafe(alone) } {
        Ok(()) => Ok(()),
        Err(Errno::INVAL) => Err(HostError::ManyThreads),
        Err(errno) => Err(HostError::system("unshare", "this process", errno)),
    }
}

/// Fork, run `child` in the copy, and end it there with the value returned.
///
/// # Safety
/// `child` runs in a copy of the process that has the calling thread only: where there are others, it
/// may do no more than what signal-safety(7) lists.
unsafe fn fork(child: impl FnOnce() -> u8) -> Result<Process, HostError> {
    // SAFETY: passed on to the caller.
    match unsafe { libc::fork() } {
        -1 => {
            let errno = Errno::from_io_error(&std::io::Error::last_os_error());
            Err(HostError::system(
                "fork",
                "this process",
                errno.unwrap_or(Errno::AGAIN),
            ))
        }
        0 => {
            let code = child();
            // SAFETY: ends the process without running what its parent wanted run at its own end.
            unsafe { libc::_exit(code.into()) }
        }
        pid => own_child(pid),
    }
}

/// Stack of a child that shares our memory until it becomes a program.
const CHILD_STACK_BYTES: usize = 64 << 10;

/// Start `child` in our own memory, on a stack of its own, and sleep until it has become a program or ended. Nothing of
/// our memory is copied: a fork costs as many page faults afterwards as pages are written to, in every thread.
///
/// All signals are blocked from before the child is there until it has become a program, as posix_spawn(3) does it: a
/// handler of ours that ran in the child would do so in our memory, and in the middle of whatever this thread does.
/// The child sets its own mask free in [`execute`].
///
/// # Safety
/// `child` may do no more than what signal-safety(7) lists, and may leave nothing changed in memory that another thread
/// looks at.
unsafe fn fork_in_place<F: FnMut() -> u8>(child: &mut F) -> Result<Process, HostError> {
    extern "C" fn enter<F: FnMut() -> u8>(child: *mut libc::c_void) -> libc::c_int {
        // SAFETY: it is the closure that is given to clone below, whose owner sleeps meanwhile.
        unsafe { (*child.cast::<F>())().into() }
    }
    let mut stack = vec![0u128; CHILD_STACK_BYTES / size_of::<u128>()];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let blocked = SignalsBlocked::new();
    // SAFETY: the stack is the child's alone, aligned, and outlives it, since this thread sleeps until the child has left
    // our memory; the rest is passed on to the caller.
    let pid = unsafe {
        let top = stack.as_mut_ptr_range().end;
        libc::clone(
            enter::<F>,
            top.cast(),
            flags,
            std::ptr::from_mut(child).cast(),
        )
    };
    let error = std::io::Error::last_os_error();
    drop(blocked);
    match pid {
        -1 => {
            let errno = Errno::from_io_error(&error);
            Err(HostError::system(
                "clone",
                "this process",
                errno.unwrap_or(Errno::AGAIN),
            ))
        }
        pid => own_child(pid),
    }
}

/// This thread takes no signal; dropped, those that came meanwhile are delivered.
struct SignalsBlocked {
    before: libc::sigset_t,
}

impl SignalsBlocked {
    fn new() -> Self {
        // SAFETY: the calls write the sets they are given, and sets of zeros are sets. They fail for a wrong `how` only.
        unsafe {
            let (mut all, mut before) = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_BLOCK, &all, &mut before);
            SignalsBlocked { before }
        }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: the set is one that the kernel wrote.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}

/// Our child, not reaped yet: the number is its own. Without a pidfd it is not let live.
fn own_child(pid: libc::pid_t) -> Result<Process, HostError> {
    Process::open(pid as u32).inspect_err(|_| {
        // SAFETY: both calls take the number of our own unreaped child, and a null pointer is allowed.
        unsafe {
            libc::kill(pid, libc::SIGKILL);
            libc::waitpid(pid, std::ptr::null_mut(), 0);
        }
    })
}

/// In the child: die with the parent, and read nothing.
fn enter_child(parent: Pid) -> Result<(), Errno> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // A parent that died before the call above sends nothing any more.
    if getppid() != Some(parent) {
        return Err(Errno::SRCH);
    }
    // Its own number, if it is above the standard ones, is closed with the others.
    let null = open(c"/dev/null", OFlags::RDWR, Mode::empty())?.into_raw_fd();
    duplicate_to(null, 0)
}

/// In the child: close every descriptor from 3 on that is not in the sorted list.
fn close_all_but(kept: &[RawFd]) -> Result<(), Errno> {
    let mut first = FIRST_FREE;
    for fd in kept.iter().copied().filter(|fd| *fd >= FIRST_FREE) {
        if first < fd {
            close_range(first, fd - 1, 0)?;
        }
        first = fd + 1;
    }
    close_range(first, RawFd::MAX, 0)
}

/// In the child: mark every descriptor from 3 on to be closed by exec, then put those given in place.
fn place(sources: &[(OwnedFd, RawFd)]) -> Result<(), Errno> {
    close_range(FIRST_FREE, RawFd::MAX, libc::CLOSE_RANGE_CLOEXEC)?;
    sources
        .iter()
        .try_for_each(|(source, number)| duplicate_to(source.as_raw_fd(), *number))
}

/// In the child: become the program; returns only where that failed.
fn execute(argv: &[*const libc::c_char]) -> Errno {
    drop_handlers();
    // SAFETY: the set is written before it is read; `argv` ends in a null pointer and its strings
    // outlive the call; nothing else here has an obligation.
    unsafe {
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
        // The Rust runtime ignores it, and an ignored signal stays so across exec.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::execv(argv[0], argv.as_ptr());
    }
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// In the child: nothing of ours handles a signal that comes between the unblocking and the exec, which does the same. The
/// table of handlers is the child's own: CLONE_SIGHAND is not among its flags.
fn drop_handlers() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the structure is written by the first call before it is looked at. Numbers that are not a program's to
        // handle are refused with EINVAL, by the first call or by the second.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let known = libc::sigaction(signal, std::ptr::null(), &mut action) == 0;
            if known && ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction) {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
    }
}

fn close_range(first: RawFd, last: RawFd, flags: libc::c_uint) -> Result<(), Errno> {
    // SAFETY: called in a child only, whose copies of the closed descriptors' owners are never
    // dropped: it ends by _exit, by exec, or in the caller's code, which is told what it may close.
    let outcome = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if outcome < 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    Ok(())
}

/// dup2(2), without the close-on-exec flag.
fn duplicate_to(fd: RawFd, number: RawFd) -> Result<(), Errno> {
    // SAFETY: called in a child only, where nobody owns what stood under `number` any more.
    if unsafe { libc::dup2(fd, number) } < 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exit;

    #[test]
    fn no_signal_finds_a_child_in_our_memory() {
        const SIGNALS: [libc::c_int; 4] =
            [libc::SIGTERM, libc::SIGINT, libc::SIGURG, libc::SIGUSR1];
        let mut child = || {
            // SAFETY: the set is written before it is looked at.
            let open = unsafe {
                let mut mask = std::mem::zeroed();
                libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut mask);
                SIGNALS.map(|signal| libc::sigismember(&mask, signal) != 1)
            };
            open.contains(&true).into()
        };
        // SAFETY: the child makes one system call and writes nothing but its own stack.
        let process = unsafe { fork_in_place(&mut child) }.unwrap();
        let exit = process.wait_without_reaping(false).unwrap();
        process.reap().unwrap();
        assert_eq!(exit, Some(Exit::Code(0)));
    }
}
