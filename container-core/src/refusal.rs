//! Why the framework said no.
//!
//! A sentence names both operands, and an operand can be what not every listener may know: the path
//! of a group above a guest's view, a neighbour's task, a number of the host. So a sentence that may
//! reach a guest is kept in parts, each name apart from the words around it, and a [view](crate::view)
//! says the names its own way or, where one is not the guest's, none of it. Nothing is ever searched
//! for in the text: a guest could put there what it wants to know about. A sentence that was not
//! taken apart is for the host alone.

use crate::{GroupPath, TaskName};

/// The errno of a refusal, named as in errno(3).
#[allow(missing_docs, reason = "errno(3) is their documentation")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Errno {
    EPERM,
    ENOENT,
    ESRCH,
    E2BIG,
    EAGAIN,
    ENOMEM,
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
    /// The group whose memory limit was in the way.
    pub(crate) over_limit: Option<GroupPath>,
    /// The sentence in parts; none for one that is for the host alone.
    pub(crate) parts: Box<[Part]>,
}

/// A piece of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Constants, the asker's own words, and values of the groups that the sentence names: what
    /// whoever may know of those groups may hear.
    Words(String),
    Group(GroupPath),
    Task(TaskName),
}

impl Refusal {
    /// A refusal of a single operation, or of the first command of a batch. A guest hears only its
    /// errno: whatever the sentence names may be outside of its view.
    pub fn new(errno: Errno, rule: impl Into<String>) -> Refusal {
        Refusal {
            errno,
            rule: rule.into(),
            command: 0,
            over_limit: None,
            parts: [].into(),
        }
    }

    /// The same, said of the part of something larger that it struck: `task web/io: …`.
    pub fn of(self, what: &str) -> Refusal {
        Refusal {
            rule: format!("{what}: {}", self.rule),
            command: 0,
            parts: [].into(),
            ..self
        }
    }

    /// A refusal with nothing in it but constants and the asker's own words.
    pub(crate) fn plain(errno: Errno, rule: impl Into<String>) -> Refusal {
        Refusal::about(errno, [Part::Words(rule.into())])
    }

    /// A refusal for the sake of the groups and tasks that it names, and of nothing else: every
    /// number in its words is a value of theirs, or a constant.
    pub(crate) fn about<const PARTS: usize>(errno: Errno, parts: [Part; PARTS]) -> Refusal {
        let words = parts.iter().map(|part| match part {
            Part::Words(words) => words.clone(),
            Part::Group(path) => path.to_string(),
            Part::Task(name) => name.to_string(),
        });
        let rule: String = words.collect();
        Refusal {
            parts: parts.into(),
            ..Refusal::new(errno, rule)
        }
    }
}

/// `1 task`, `2 tasks`.
pub(crate) fn count(number: impl Into<u64>, one: &str, many: &str) -> String {
    let number = number.into();
    format!("{number} {}", if number == 1 { one } else { many })
}

impl From<&str> for Part {
    fn from(words: &str) -> Part {
        Part::Words(words.into())
    }
}

impl From<String> for Part {
    fn from(words: String) -> Part {
        Part::Words(words)
    }
}

impl From<&GroupPath> for Part {
    fn from(path: &GroupPath) -> Part {
        Part::Group(path.clone())
    }
}

impl From<&TaskName> for Part {
    fn from(name: &TaskName) -> Part {
        Part::Task(name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_a_part_says_which_and_nothing_of_it_goes_to_a_guest() {
        let path: GroupPath = "p:/a".parse().unwrap();
        let refusal = Refusal::about(Errno::EBUSY, [(&path).into(), " is busy".into()]);
        assert_eq!(refusal.rule, "p:/a is busy");
        assert_eq!(refusal.parts.len(), 2);
        let whole = Refusal {
            command: 3,
            over_limit: Some(path.clone()),
            ..refusal
        };
        let of = whole.of("task web/io");
        assert_eq!((of.errno, of.command), (Errno::EBUSY, 0));
        assert_eq!(of.rule, "task web/io: p:/a is busy");
        assert_eq!(of.over_limit, Some(path));
        assert!(of.parts.is_empty());
    }
}
