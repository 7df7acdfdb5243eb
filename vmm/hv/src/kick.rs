//! Kicks: making a vCPU leave the guest from another thread, without a lost wake-up.
//!
//! A kick is a signal to the vCPU's thread. If the thread is inside KVM_RUN, the signal itself ends
//! it with EINTR. If it is just before, the signal's handler runs first and sets `immediate_exit`
//! in the `kvm_run` that the thread registered, so the coming KVM_RUN returns EINTR at once. Either
//! way the run after a kick returns [`VmExit::Kicked`](crate::VmExit::Kicked).
//!
//! The loop's side of the bargain is the order: clear the byte, *then* look at the mailbox, then
//! run. A message put in the mailbox before its kick is seen by that look, or its kick is still to
//! come and ends the run.
//!
//! The signal is SIGURG. A real-time one is queued, and is *refused* once the user's queue is full:
//! a lost kick. A standard one is only ever pending once, which is all a kick needs, and cannot be
//! refused. SIGURG is ignored by default, so one sent to a thread with no vCPU harms nothing.

use std::cell::Cell;
use std::io;
use std::ptr;
use std::sync::Once;

use crate::HvError;

const SIGNAL: libc::c_int = libc::SIGURG;

thread_local! {
    /// The `immediate_exit` byte of the vCPU that this thread runs; null if it runs none. A plain
    /// cell with a constant start: no lazy set-up and no destructor, so a signal handler may read it.
    static IMMEDIATE_EXIT: Cell<*mut u8> = const { Cell::new(ptr::null_mut()) };
}

/// Kicks the vCPU of one thread out of the guest. Clones kick the same.
#[derive(Debug, Clone)]
pub struct Kicker {
    process: libc::pid_t,
    thread: libc::pid_t,
}

impl Kicker {
    /// Makes the vCPU's current run, or else its next, return
    /// [`VmExit::Kicked`](crate::VmExit::Kicked). Never blocks. A thread that has ended is fine.
    pub fn kick(&self) {
        // The only failure open to a signal to a thread of our own process is ESRCH: it has ended.
        // If its number went to a new thread of ours, that one's handler finds no vCPU, or ends a
        // run early, which every run loop must take anyway.
        // SAFETY: `tgkill` takes three integers and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_tgkill, self.process, self.thread, SIGNAL) };
    }
}

/// A thread's registration: from now on a kick of this thread sets the vCPU's byte.
#[derive(Debug)]
pub(crate) struct Registration {
    byte: *mut u8,
    thread: libc::pid_t,
}

// SAFETY: `byte` is never dereferenced through this struct, only compared and stored in the
// thread-local of the thread it is for, which `release` checks.
unsafe impl Send for Registration {}

impl Registration {
    /// Registers `byte` for the calling thread.
    ///
    /// # Safety
    ///
    /// `byte` must stay valid for writes, and be written by nothing but volatile writes, until
    /// [`Registration::release`] has returned true on this same thread, or until the thread ends.
    pub(crate) unsafe fn new(byte: *mut u8) -> Result<(Self, Kicker), HvError> {
        if IMMEDIATE_EXIT.get().is_null() {
            install_handler()?;
            unblock_signal()?;
        } else if IMMEDIATE_EXIT.get() != byte {
            return Err(HvError::ThreadTaken);
        }
        IMMEDIATE_EXIT.set(byte);
        // SAFETY: neither call takes an argument or can fail.
        let (process, thread) = unsafe { (libc::getpid(), libc::gettid()) };
        Ok((Self { byte, thread }, Kicker { process, thread }))
    }

    /// Takes the registration back. False on any other thread than the one that registered, which
    /// may be running its handler this very moment: then the byte must stay valid for ever.
    pub(crate) fn release(&self) -> bool {
        let here = self.is_of_this_thread();
        if here && IMMEDIATE_EXIT.get() == self.byte {
            IMMEDIATE_EXIT.set(ptr::null_mut());
        }
        here
    }

    pub(crate) fn is_of_this_thread(&self) -> bool {
        // SAFETY: the call takes no argument and cannot fail.
        unsafe { libc::gettid() == self.thread }
    }
}

extern "C" fn on_kick(_: libc::c_int) {
    let byte = IMMEDIATE_EXIT.get();
    if !byte.is_null() {
        // SAFETY: a byte that is registered for this thread is valid for writes until this thread
        // itself takes it back, which it is not doing while it is in here: `Registration::new`.
        unsafe { byte.write_volatile(1) };
    }
}

/// Puts the handler in place, once a process. SA_RESTART lets every other system call of a kicked
/// thread go on; KVM_RUN answers EINTR all the same.
fn install_handler() -> Result<(), HvError> {
    static ONCE: Once = Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| {
        let handler: extern "C" fn(libc::c_int) = on_kick;
        // SAFETY: all-zero bytes are a valid `sigaction`: no flags, an empty mask, the default
        // handler.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: `action` is filled in; the handler only reads a thread-local and writes a byte,
        // both async-signal-safe.
        if unsafe { libc::sigaction(SIGNAL, &raw const action, ptr::null_mut()) } != 0 {
            result = Err(HvError::Signal(io::Error::last_os_error()));
        }
    });
    result
}

/// A thread inherits its maker's blocked signals, which might hold ours.
fn unblock_signal() -> Result<(), HvError> {
    // SAFETY: all-zero bytes are a valid `sigset_t`; the set lives across the calls, and the signal
    // number is a valid one.
    let errno = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, SIGNAL);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut())
    };
    match errno {
        0 => Ok(()),
        errno => Err(HvError::Signal(io::Error::from_raw_os_error(errno))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kick_sets_the_byte_of_this_thread_until_it_is_released() {
        let byte: &'static mut u8 = Box::leak(Box::new(0));
        let byte = &raw mut *byte;
        // SAFETY: the byte is leaked, so it is valid for ever.
        let (registration, kicker) = unsafe { Registration::new(byte) }.unwrap();
        kicker.kick();
        // SAFETY: valid for ever, and the handler has run: a signal to oneself is delivered before
        // `tgkill` returns.
        assert_eq!(unsafe { byte.read_volatile() }, 1);
        assert!(registration.release());
        // SAFETY: as above.
        unsafe { byte.write_volatile(0) };
        kicker.kick();
        // SAFETY: as above.
        assert_eq!(unsafe { byte.read_volatile() }, 0);
    }

    #[test]
    fn a_second_vcpu_on_one_thread_is_refused() {
        let bytes: &'static mut [u8; 2] = Box::leak(Box::new([0; 2]));
        let (first, second) = (&raw mut bytes[0], &raw mut bytes[1]);
        // SAFETY: the bytes are leaked, so they are valid for ever.
        let (registration, _) = unsafe { Registration::new(first) }.unwrap();
        // SAFETY: as above.
        let refused = unsafe { Registration::new(second) };
        assert!(matches!(refused, Err(HvError::ThreadTaken)));
        assert!(registration.release());
    }

    #[test]
    fn a_kick_of_an_ended_thread_is_fine() {
        let kicker = std::thread::spawn(|| {
            let byte: &'static mut u8 = Box::leak(Box::new(0));
            // SAFETY: the byte is leaked, so it is valid for ever.
            unsafe { Registration::new(&raw mut *byte) }.unwrap().1
        })
        .join()
        .unwrap();
        kicker.kick();
    }
}
