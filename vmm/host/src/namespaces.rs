//! Namespaces of a process's own: entered before it runs, and looked at from outside.
//!
//! A namespace is a thread's, and unshare(2) concerns the calling thread alone; what a process has of
//! them, all its threads have only if they were made after that. So they are entered in the child
//! between its fork and whatever it is to run ([`spawn_process_in`](crate::spawn_process_in)).
#![allow(unsafe_code)]

use std::fmt;
use std::str::FromStr;

use rustix::fs::{AtFlags, CWD, statat};
use rustix::io::Errno;

use crate::error::last_errno;
use crate::{HostError, TaskDirectory};

/// A kind of namespace that a process can enter by itself, alone or not.
///
/// Two kinds are left out. A `pid` namespace is entered by one's children only, and a process that numbers
/// its threads in another could not tell its supervisor who they are. A `user` namespace would take the
/// right to `/dev/kvm` and to the descriptors that are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    /// The host's name.
    Uts,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Network devices, addresses, ports, abstract unix sockets.
    Net,
    /// Mounts. What the host mounts and unmounts later is seen; what the process mounts is its own.
    Mount,
}

/// All of them, in the order in which they are named.
const ALL: [Namespace; 4] = [
    Namespace::Uts,
    Namespace::Ipc,
    Namespace::Net,
    Namespace::Mount,
];

impl Namespace {
    fn word(self) -> &'static str {
        match self {
            Namespace::Uts => "uts",
            Namespace::Ipc => "ipc",
            Namespace::Net => "net",
            Namespace::Mount => "mount",
        }
    }

    /// Its name under `/proc/PID/ns`.
    fn file(self) -> &'static str {
        match self {
            Namespace::Mount => "mnt",
            other => other.word(),
        }
    }

    fn flag(self) -> libc::c_int {
        match self {
            Namespace::Uts => libc::CLONE_NEWUTS,
            Namespace::Ipc => libc::CLONE_NEWIPC,
            Namespace::Net => libc::CLONE_NEWNET,
            Namespace::Mount => libc::CLONE_NEWNS,
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

/// The word is none of a kind that can be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownNamespace {
    /// Its threads could not be told from outside.
    #[error(
        "a process does not enter a pid namespace itself, and one in it could not announce its threads"
    )]
    Pid,
    /// It would be another user.
    #[error(
        "a process in a user namespace of its own would have no right to what is passed on to it"
    )]
    User,
    /// There is none of that name.
    #[error("{0:?} is none that a machine can have of its own; uts, ipc, net and mount are")]
    Other(String),
}

impl FromStr for Namespace {
    type Err = UnknownNamespace;

    fn from_str(word: &str) -> Result<Self, UnknownNamespace> {
        let mut all = ALL.into_iter();
        all.find(|kind| kind.word() == word)
            .ok_or_else(|| match word {
                "pid" => UnknownNamespace::Pid,
                "user" => UnknownNamespace::User,
                other => UnknownNamespace::Other(other.into()),
            })
    }
}

/// Some kinds, perhaps none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    flags: libc::c_int,
}

impl Namespaces {
    /// No kind: everything is shared.
    pub const NONE: Namespaces = Namespaces { flags: 0 };

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.flags == 0
    }

    fn contains(self, kind: Namespace) -> bool {
        self.flags & kind.flag() != 0
    }

    fn kinds(self) -> impl Iterator<Item = Namespace> {
        ALL.into_iter().filter(move |kind| self.contains(*kind))
    }

    /// Leave the namespaces of these kinds for new ones. System calls only, as a child needs it whose
    /// parent has other threads.
    pub(crate) fn enter(self) -> Result<(), Errno> {
        if self.is_empty() {
            return Ok(());
        }
        // SAFETY: CLONE_FILES is not among the flags, so no descriptor table is parted; nothing else here
        // is of memory.
        if unsafe { libc::unshare(self.flags) } < 0 {
            return Err(last_errno());
        }
        if !self.contains(Namespace::Mount) {
            return Ok(());
        }
        let flags = libc::MS_REC | libc::MS_SLAVE;
        let (root, null) = (c"/".as_ptr(), std::ptr::null());
        // SAFETY: the target is a string that ends in NUL; for a change of propagation the other pointers
        // are not looked at, and are null.
        match unsafe { libc::mount(null, root, null, flags, null.cast()) } {
            0 => Ok(()),
            _ => Err(last_errno()),
        }
    }
}

impl FromIterator<Namespace> for Namespaces {
    fn from_iter<I: IntoIterator<Item = Namespace>>(kinds: I) -> Self {
        Namespaces {
            flags: kinds.into_iter().fold(0, |all, kind| all | kind.flag()),
        }
    }
}

/// `uts, net`, or `none`.
impl fmt::Display for Namespaces {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return out.write_str("none");
        }
        for (index, kind) in self.kinds().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}{kind}")?;
        }
        Ok(())
    }
}

/// The kinds in which every thread of a process has another namespace than this one, and all of them the
/// same.
///
/// # Errors
/// EACCES without the right to trace the process; [`HostError::Ended`] where a thread has ended, and
/// [`HostError::Malformed`] where its threads are not all in the same.
pub fn own_namespaces(directory: &TaskDirectory) -> Result<Namespaces, HostError> {
    let mut own = Namespaces::NONE;
    for kind in ALL {
        let path = format!("/proc/self/ns/{}", kind.file());
        let ours = statat(CWD, &*path, AtFlags::empty())
            .map_err(|errno| HostError::system("fstatat", path, errno))?;
        let theirs = directory.namespaces(kind.file())?;
        let (Some(first), true) = (
            theirs.first(),
            theirs.windows(2).all(|two| two[0] == two[1]),
        ) else {
            let object = format!("/proc/PID/task/*/ns/{}", kind.file());
            return Err(HostError::malformed(
                object,
                &format!("{theirs:?}"),
                "one namespace of all threads",
            ));
        };
        if *first != (ours.st_dev, ours.st_ino) {
            own.flags |= kind.flag();
        }
    }
    Ok(own)
}
