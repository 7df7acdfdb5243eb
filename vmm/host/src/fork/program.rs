//! Running another program, from a process of any number of threads: the child starts in its parent's memory.

use std::ffi::{CString, OsString};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::getpid;

use super::SETUP_FAILED;
use super::child::{
    EXECVE, FIRST_FREE, UNSHARE, bury, close_range, duplicate_to, enter_child, own_child, tell,
    told,
};
use crate::error::last_errno;
use crate::{HostError, Namespaces, Process};

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
    let errno = last_errno();
    drop(blocked);
    match pid {
        -1 => Err(HostError::system("clone", "this process", errno)),
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
    last_errno()
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
