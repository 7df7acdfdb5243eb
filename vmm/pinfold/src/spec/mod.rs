//! Spec files: from TOML to the commands and machines it asks for, or one clear refusal.
//!
//! [`load`] reads the file (`file` has its shape) and gives it meaning (`plan`): names are checked,
//! what is left out is filled in, every task of every machine has its group in every hierarchy.
//! [`Spec::check`] then asks the framework itself whether all of it would be granted. Nothing here
//! starts a machine or touches the host beyond reading the file.
//!
//! A running supervisor is asked in the same words: [`machine_from_json`] is a `[vm.NAME]` in JSON,
//! and [`apply`] says what is missing between what there is and a whole spec.

pub mod apply;
mod body;
mod channel;
mod check;
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "`serve` hands it to the API, which comes next")
)]
pub mod door;
mod file;
mod machine;
mod plan;
mod source;

use std::path::{Path, PathBuf};

use container_core::{Command, GroupPath, HostResources, MachineName, TaskKind};

use host::Namespaces;
use supervisor::{AgentAccess, NewMachine, Placement, Restart};

pub use body::machine_from_json;
pub use source::SpecError;

/// A spec file, understood.
#[derive(Debug)]
pub struct Spec {
    /// Where it was read from.
    pub file: PathBuf,
    /// What it asks of the framework before any machine starts, in order: hierarchies, then groups with
    /// their control files, parents first.
    pub changes: Vec<Change>,
    /// The machines, in the order of the file.
    pub machines: Vec<MachineSpec>,
}

/// One command and the line that asks for it.
#[derive(Debug)]
pub struct Change {
    /// The command.
    pub command: Command,
    /// Line in the file, from 1.
    pub line: usize,
    /// True for a value that the file leaves out and that is copied from the parent group.
    pub inherited: bool,
}

/// A machine to start.
#[derive(Debug)]
pub struct MachineSpec {
    /// Its name.
    pub name: MachineName,
    /// Line of its `[vm.NAME]`, from 1.
    pub line: usize,
    /// What its process is to build.
    pub config: link::MachineConfig,
    /// What its guest's agent may do; None where it has none.
    pub agent: Option<AgentAccess>,
    /// Namespaces that its process has of its own.
    pub namespaces: Namespaces,
    /// When it is started anew.
    pub restart: Restart,
    /// For each kind of task but KVM's helpers, its group in each hierarchy.
    places: Vec<(TaskKind, Vec<Place>)>,
}

/// The group of a task in one hierarchy, and the line that says so.
#[derive(Clone, Debug)]
struct Place {
    group: GroupPath,
    line: usize,
}

impl MachineSpec {
    /// Every task the machine is born with: its vCPUs, `io`, `control`, and KVM's first helper.
    pub fn kinds(&self) -> Vec<TaskKind> {
        let named = self.places.iter().map(|(kind, _)| *kind);
        named.chain([TaskKind::Kvm(0)]).collect()
    }

    /// The task's group in each hierarchy of the spec, root groups included, in the order of the
    /// spec. KVM's helpers follow `control`; a vCPU that the machine has not is in no group.
    pub fn groups_of(&self, kind: TaskKind) -> Vec<GroupPath> {
        let places = self.places_of(kind).iter();
        places.map(|place| place.group.clone()).collect()
    }

    /// What the supervisor is asked for.
    pub fn to_new(&self) -> NewMachine {
        let kinds = self.kinds().into_iter();
        NewMachine {
            name: self.name.clone(),
            config: self.config.clone(),
            placement: Placement {
                by_kind: kinds.map(|kind| (kind, self.groups_of(kind))).collect(),
            },
            agent: self.agent.clone(),
            namespaces: self.namespaces,
            restart: self.restart,
        }
    }

    fn places_of(&self, kind: TaskKind) -> &[Place] {
        let kind = match kind {
            TaskKind::Kvm(_) => TaskKind::Control,
            named => named,
        };
        let found = self.places.iter().find(|(named, _)| *named == kind);
        found.map_or(&[], |(_, places)| places)
    }
}

/// Read a spec file for a host with these resources, which the root groups of its hierarchies have.
///
/// # Errors
/// [`SpecError`] with the line and the rule: the file cannot be read, is not TOML, or asks for what
/// the spec language does not have.
pub fn load(path: &Path, host: &HostResources) -> Result<Spec, SpecError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| SpecError::unreadable(path, &error))?;
    understand(path, &text, host)
}

/// Give a spec file's text its meaning, as [`load`] does; paths in it stand relative to `path`.
///
/// # Errors
/// Those of [`load`], but for reading.
pub fn understand(path: &Path, text: &str, host: &HostResources) -> Result<Spec, SpecError> {
    let source = source::Source::new(path, text);
    let file = toml::from_str(text).map_err(|error| source.not_a_spec(&error))?;
    plan::plan(&source, file, host)
}

#[cfg(test)]
mod tests;
