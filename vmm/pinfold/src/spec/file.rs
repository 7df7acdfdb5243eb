//! The shape of a spec file, as TOML has it: names and values are still text, each with its place.
//!
//! ```toml
//! [hierarchy.placement]
//! subsystems = ["cpuset"]
//! release_agent = "on-release.sh"        # relative to the spec file
//!
//! [group."placement:/gold"]
//! files = { "cpuset.cpus" = "0" }        # control files; numbers and booleans may stand bare
//! notify_on_release = true               # left out: the parent's, as at any mkdir
//! uid = 1000                             # owner; left out: the parent's
//! gid = 1000
//! mode = 0o750
//!
//! [vm.web]
//! memory = "64M"
//! vcpus = 2
//! guest = { tiny = ["burn 200ms", "exit"] }
//! groups = ["placement:/gold"]           # of all its tasks
//! agent = "delegate"                     # what its guest may do below them
//! vsock = { path = "web.sock" }          # relative to the spec file
//! namespaces = ["net", "mount"]          # of its process's own
//! restart = "on-failure"                 # or "always"; left out: "no"
//!
//! [vm.web.task.vcpu1]
//! groups = ["placement:/gold/hot"]       # of this task, in place of the one of the same hierarchy
//! ```
//!
//! `groups` has a second form, by kind of task; TOML allows one form a machine:
//!
//! ```toml
//! [vm.web.groups]
//! all = ["billing:/tenant-a"]
//! vcpu = ["placement:/gold"]
//! io = ["placement:/housekeeping"]
//! control = ["placement:/housekeeping"]
//! ```
//!
//! Nothing is given a meaning here; that is [`plan`](super::plan)'s.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

/// Entries by name. The map sorts them; their places tell the order in the file.
pub type Table<T> = BTreeMap<Spanned<String>, T>;

/// A whole spec file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// `[hierarchy.NAME]`
    #[serde(default)]
    pub hierarchy: Table<Hierarchy>,
    /// `[group."HIERARCHY:/path"]`
    #[serde(default)]
    pub group: Table<Group>,
    /// `[vm.NAME]`
    #[serde(default)]
    pub vm: Table<Machine>,
}

/// A hierarchy to mount.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hierarchy {
    /// The subsystems bound to it.
    #[serde(default)]
    pub subsystems: Vec<Spanned<String>>,
    /// The program that is run at each release in it.
    pub release_agent: Option<Spanned<String>>,
}

/// A group to make, or the root group of a hierarchy to write to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Control files to write.
    #[serde(default)]
    pub files: Table<Spanned<Scalar>>,
    /// Whether becoming empty makes an event.
    pub notify_on_release: Option<Spanned<bool>>,
    /// Owner.
    pub uid: Option<Spanned<u32>>,
    /// Owning group of users.
    pub gid: Option<Spanned<u32>>,
    /// Permission bits.
    pub mode: Option<Spanned<u16>>,
}

/// A machine to start.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// `64M`
    pub memory: Option<Spanned<Scalar>>,
    /// 1 to 64.
    pub vcpus: Option<Spanned<i64>>,
    /// What to boot.
    pub guest: Option<Spanned<Guest>>,
    /// Where its tasks are placed.
    #[serde(default)]
    pub groups: Groups,
    /// What the guest's agent may do: `read` or `delegate`; left out, it has no channel.
    pub agent: Option<Spanned<Scalar>>,
    /// The guest's sockets on the host.
    pub vsock: Option<Vsock>,
    /// Namespaces that its process has of its own: `uts`, `ipc`, `net`, `mount`.
    #[serde(default)]
    pub namespaces: Vec<Spanned<String>>,
    /// When it is started anew: `no`, `on-failure` or `always`; left out, `no`.
    pub restart: Option<Spanned<Scalar>>,
    /// Exceptions for single tasks, by name: `vcpu1`.
    #[serde(default)]
    pub task: Table<Task>,
}

/// A vsock device.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, as { path = \"web.sock\" }")]
pub struct Vsock {
    /// The guest's address.
    pub cid: Option<Spanned<i64>>,
    /// The host's socket, relative to the spec file; left out, there is none.
    pub path: Option<Spanned<String>>,
}

/// What to boot.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, as { tiny = [\"exit\"] }")]
pub struct Guest {
    /// Script lines of the built-in guest.
    pub tiny: Option<Vec<Spanned<String>>>,
}

/// An exception for one task.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// In place of the machine's groups of the same hierarchies.
    #[serde(default)]
    pub groups: Vec<Spanned<String>>,
}

/// Groups of a machine's tasks: a list for all of them, or lists by kind.
#[derive(Debug, Default)]
pub struct Groups {
    /// Of every task of which the kind names no other group in the hierarchy.
    pub all: Vec<Spanned<String>>,
    /// Of the vCPUs.
    pub vcpu: Vec<Spanned<String>>,
    /// Of the device thread.
    pub io: Vec<Spanned<String>>,
    /// Of the thread that talks to the supervisor, and of KVM's helpers.
    pub control: Vec<Spanned<String>>,
}

/// A string, or a number or boolean that stands for its text (`true` for `1`).
#[derive(Debug, PartialEq, Eq)]
pub struct Scalar(pub String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ByKind {
    #[serde(default)]
    all: Vec<Spanned<String>>,
    #[serde(default)]
    vcpu: Vec<Spanned<String>>,
    #[serde(default)]
    io: Vec<Spanned<String>>,
    #[serde(default)]
    control: Vec<Spanned<String>>,
}

// By hand: serde's `untagged` would lose the places and the message.
impl<'de> Deserialize<'de> for Groups {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Groups;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of groups, or a table of lists by kind of task")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Groups, A::Error> {
                let all = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                Ok(Groups {
                    all,
                    ..Groups::default()
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Groups, A::Error> {
                let by = ByKind::deserialize(MapAccessDeserializer::new(table))?;
                Ok(Groups {
                    all: by.all,
                    vcpu: by.vcpu,
                    io: by.io,
                    control: by.control,
                })
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, an integer or a boolean")
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Scalar, E> {
                Ok(Scalar(text))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Scalar, E> {
                Ok(Scalar(u8::from(flag).to_string()))
            }
        }
        deserializer.deserialize_any(Text)
    }
}
