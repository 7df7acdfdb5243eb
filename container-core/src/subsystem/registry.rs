//! Which subsystems there are.

use std::collections::HashSet;

use super::{Subsystem, cpu, cpuacct, cpuset, debug, freezer, memory, ns};
use crate::{Errno, Refusal};

/// Which subsystem: its place in [`Subsystems`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SubsystemId(pub usize);

pub(crate) const CPUSET: SubsystemId = SubsystemId(0);
pub(crate) const CPUACCT: SubsystemId = SubsystemId(1);
pub(crate) const DEBUG: SubsystemId = SubsystemId(2);
pub(crate) const FREEZER: SubsystemId = SubsystemId(3);
pub(crate) const MEMORY: SubsystemId = SubsystemId(4);
pub(crate) const NS: SubsystemId = SubsystemId(5);
pub(crate) const CPU: SubsystemId = SubsystemId(6);

/// Most subsystems at once, those that a program brings included: each has its place in the core's bindings.
pub(crate) const MAX_SUBSYSTEMS: usize = 16;

/// The registered subsystems.
#[derive(Clone)]
pub(crate) struct Subsystems {
    pub cpuset: cpuset::Cpuset,
    pub cpuacct: cpuacct::Cpuacct,
    pub debug: debug::Debug,
    pub freezer: freezer::Freezer,
    pub memory: memory::Memory,
    pub ns: ns::Ns,
    pub cpu: cpu::Cpu,
    /// Those that the program has brought.
    others: Vec<Box<dyn Subsystem>>,
}

impl Subsystems {
    /// Those that the framework comes with.
    const OWN: usize = 7;

    /// # Panics
    /// For too many, and for a name of a subsystem or a file that is taken.
    pub fn new(others: Vec<Box<dyn Subsystem>>) -> Subsystems {
        let subsystems = Subsystems {
            cpuset: cpuset::Cpuset::new(),
            cpuacct: cpuacct::Cpuacct::new(),
            debug: debug::Debug,
            freezer: freezer::Freezer::new(),
            memory: memory::Memory::new(),
            ns: ns::Ns,
            cpu: cpu::Cpu::new(),
            others,
        };
        let names = || subsystems.ids().map(|id| subsystems.get(id).name());
        let files = || subsystems.ids().flat_map(|id| subsystems.get(id).files());
        assert!(
            subsystems.ids().len() <= MAX_SUBSYSTEMS,
            "too many subsystems"
        );
        assert!(are_distinct(names()), "two subsystems of one name");
        assert!(
            are_distinct(files().map(|file| file.name)),
            "two files of one name"
        );
        subsystems
    }

    pub fn ids(
        &self,
    ) -> impl DoubleEndedIterator<Item = SubsystemId> + ExactSizeIterator + Clone + use<> {
        (0..Self::OWN + self.others.len()).map(SubsystemId)
    }

    pub fn get(&self, id: SubsystemId) -> &dyn Subsystem {
        match id {
            CPUSET => &self.cpuset,
            CPUACCT => &self.cpuacct,
            DEBUG => &self.debug,
            FREEZER => &self.freezer,
            MEMORY => &self.memory,
            NS => &self.ns,
            CPU => &self.cpu,
            SubsystemId(other) => &*self.others[other - Self::OWN],
        }
    }

    pub fn get_mut(&mut self, id: SubsystemId) -> &mut dyn Subsystem {
        match id {
            CPUSET => &mut self.cpuset,
            CPUACCT => &mut self.cpuacct,
            DEBUG => &mut self.debug,
            FREEZER => &mut self.freezer,
            MEMORY => &mut self.memory,
            NS => &mut self.ns,
            CPU => &mut self.cpu,
            SubsystemId(other) => &mut *self.others[other - Self::OWN],
        }
    }

    /// A subsystem by name.
    ///
    /// # Errors
    /// EINVAL where there is none of that name.
    pub fn named(&self, name: &str) -> Result<SubsystemId, Refusal> {
        self.ids()
            .find(|id| self.get(*id).name() == name)
            .ok_or_else(|| {
                let names: Vec<_> = self.ids().map(|id| self.get(id).name()).collect();
                let rule = format!("there is no subsystem {name:?}, only {}", names.join(", "));
                Refusal::new(Errno::EINVAL, rule)
            })
    }
}

fn are_distinct<'a>(mut names: impl Iterator<Item = &'a str>) -> bool {
    let mut seen = HashSet::new();
    names.all(|name| seen.insert(name))
}
