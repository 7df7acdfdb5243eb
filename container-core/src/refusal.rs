//! Why the framework said no.

/// The errno of a refusal, named as in errno(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Errno {
    EPERM, ENOENT, ESRCH, E2BIG, EAGAIN, EACCES, EBUSY, EEXIST, ENODEV, ENOTDIR, EISDIR, EINVAL, ENOSPC, EIO, ERANGE,
    ENAMETOOLONG, ESTALE,
}

/// A refusal: the errno, the rule as a sentence with both operands in it, and which command of the
/// batch it struck.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule} ({errno:?})")]
pub struct Refusal {
    pub errno: Errno,
    /// The whole sentence, both operands included: `cpuset.cpus 2-5 is not a subset of the parent's 0-3`.
    pub rule: String,
    /// Index of the refused command in the batch; 0 for single operations.
    pub command: usize,
}
