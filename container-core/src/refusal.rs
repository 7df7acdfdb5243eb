//! Why the framework said no.

/// The errno of a refusal, named as in errno(3).
#[allow(missing_docs, reason = "errno(3) is their documentation")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Errno {
    EPERM,
    ENOENT,
    ESRCH,
    E2BIG,
    EAGAIN,
    EACCES,
    EBUSY,
    EEXIST,
    ENODEV,
    ENOTDIR,
    EISDIR,
    EINVAL,
    ENOSPC,
    EIO,
    ERANGE,
    ENAMETOOLONG,
    EOVERFLOW,
    ESTALE,
}

/// A refusal: the errno, the rule as a sentence with both operands in it, and which command of the
/// batch it struck.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule} ({errno:?})")]
pub struct Refusal {
    /// What errno(3) the kernel would give.
    pub errno: Errno,
    /// The whole sentence, both operands included: `cpuset.cpus 2-5 is not a subset of the parent's 0-3`.
    pub rule: String,
    /// Index of the refused command in the batch; 0 for single operations.
    pub command: usize,
}

impl Refusal {
    /// A refusal of a single operation, or of the first command of a batch.
    pub fn new(errno: Errno, rule: impl Into<String>) -> Refusal {
        Refusal {
            errno,
            rule: rule.into(),
            command: 0,
        }
    }
}
