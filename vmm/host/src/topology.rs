//! The host's CPUs and memory nodes.
//!
//! [`resources`] is what a start needs, in a few system calls; [`read`] walks every CPU's files, some
//! 50 µs a CPU, for reports.
#![allow(unsafe_code)]

use std::fs;
use std::path::Path;
use std::str::FromStr;

use container_core::{CpuSet, HostResources, MAX_CPUS, NodeSet};

use crate::error::last_errno;
use crate::{Errno, HostError, affinity, procfs};

const CPU_FILES: &str = "/sys/devices/system/cpu";
const NODE_FILES: &str = "/sys/devices/system/node";

/// The host's CPUs, and what they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// What we may use of it.
    pub resources: HostResources,
    /// CPUs that are switched on.
    pub online: CpuSet,
    /// CPUs that could ever be plugged in.
    pub possible: CpuSet,
    /// The CPUs that are online, ascending.
    pub cpus: Vec<Cpu>,
}

/// One CPU. What the host does not tell is taken as: a core and a package of number 0, no sibling but
/// itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Its number.
    pub number: u32,
    /// Its core's number, unique in the package only.
    pub core: u32,
    /// Its socket's number.
    pub package: u32,
    /// The CPUs that share its core, itself included.
    pub siblings: CpuSet,
    /// The memory node it belongs to.
    pub node: Option<u32>,
    /// Its highest clock rate, in MHz; None where the host does not tell.
    pub max_mhz: Option<u32>,
}

/// What the kernel allows the calling thread: read it from one that has not been confined.
///
/// # Errors
/// [`HostError::System`] where /sys is not mounted.
pub fn resources() -> Result<HostResources, HostError> {
    let possible: CpuSet = list(&format!("{CPU_FILES}/possible"))?;
    Ok(HostResources {
        allowed_cpus: affinity::own()?,
        present_cpus: list(&format!("{CPU_FILES}/present"))?,
        possible_cpus: possible
            .iter()
            .last()
            .map_or(MAX_CPUS as u32, |last| last + 1),
        mems: allowed_mems()?,
    })
}

/// The whole picture.
///
/// # Errors
/// As [`resources`].
pub fn read() -> Result<Topology, HostError> {
    let online: CpuSet = list(&format!("{CPU_FILES}/online"))?;
    let nodes = nodes(Path::new(NODE_FILES));
    Ok(Topology {
        resources: resources()?,
        online,
        possible: list(&format!("{CPU_FILES}/possible"))?,
        cpus: online
            .iter()
            .map(|number| cpu(Path::new(CPU_FILES), number, &nodes))
            .collect(),
    })
}

fn cpu(files: &Path, number: u32, nodes: &[(u32, CpuSet)]) -> Cpu {
    let directory = files.join(format!("cpu{number}"));
    let itself = CpuSet::from_iter([number]);
    Cpu {
        number,
        core: value(&directory.join("topology/core_id")).unwrap_or(0),
        package: value(&directory.join("topology/physical_package_id")).unwrap_or(0),
        siblings: value(&directory.join("topology/thread_siblings_list")).unwrap_or(itself),
        node: nodes
            .iter()
            .find(|(_, cpus)| cpus.contains(number))
            .map(|(node, _)| *node),
        max_mhz: value::<u32>(&directory.join("cpufreq/cpuinfo_max_freq")).map(|khz| khz / 1000),
    }
}

fn nodes(files: &Path) -> Vec<(u32, CpuSet)> {
    let online: NodeSet = value(&files.join("online")).unwrap_or_default();
    let cpus = |node| value(&files.join(format!("node{node}/cpulist"))).unwrap_or_default();
    online.iter().map(|node| (node, cpus(node))).collect()
}

/// A value that a host need not tell.
fn value<T: FromStr>(file: &Path) -> Option<T> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn list<T: FromStr>(file: &str) -> Result<T, HostError> {
    let text = procfs::read(file)?;
    text.parse()
        .map_err(|_| HostError::malformed(file, &text, "a list of numbers and ranges"))
}

/// The memory nodes that our cpuset allows, without the way over /proc/self/status.
fn allowed_mems() -> Result<NodeSet, HostError> {
    const MPOL_F_MEMS_ALLOWED: libc::c_ulong = 1 << 2;
    const WORDS: usize = NodeSet::CAPACITY as usize / 64;
    // Kernels are built for up to 1024 nodes, and refuse a mask of fewer than they are built for.
    let mut mask = [0u64; 16];
    // SAFETY: the mask is writable for the number of bits stated; a null pointer asks for no policy,
    // and with this flag the address has to be null.
    let outcome = unsafe {
        let (policy, address) = (
            std::ptr::null::<libc::c_int>(),
            std::ptr::null::<libc::c_void>(),
        );
        let bits: libc::c_ulong = 16 * 64;
        let mask = mask.as_mut_ptr();
        libc::syscall(
            libc::SYS_get_mempolicy,
            policy,
            mask,
            bits,
            address,
            MPOL_F_MEMS_ALLOWED,
        )
    };
    if outcome < 0 {
        // A kernel without NUMA has one node.
        return match last_errno() {
            Errno::NOSYS => Ok(NodeSet::from_iter([0])),
            errno => Err(HostError::system("get_mempolicy", "this process", errno)),
        };
    }
    let is_set = |node: &u32| mask[*node as usize / 64] & 1 << (node % 64) != 0;
    Ok((0..(WORDS * 64) as u32).filter(is_set).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_describes_itself_without_contradiction() {
        let topology = read().expect("this host");
        let resources = &topology.resources;
        println!("{topology:?}");
        assert_eq!(*resources, super::resources().expect("this host"));
        assert!(!resources.allowed_cpus.is_empty());
        assert!(resources.allowed_cpus.is_subset_of(&topology.online));
        assert!(topology.online.is_subset_of(&resources.present_cpus));
        assert!(resources.present_cpus.is_subset_of(&topology.possible));
        assert!(
            topology
                .possible
                .iter()
                .all(|cpu| cpu < resources.possible_cpus)
        );
        assert!(!resources.mems.is_empty());
        assert_eq!(topology.cpus.len(), topology.online.len());
        for cpu in &topology.cpus {
            assert!(cpu.siblings.contains(cpu.number));
        }
    }

    #[test]
    fn a_cpu_that_tells_nothing_stands_alone() {
        let nodes = [(1, CpuSet::from_iter([4, 5]))];
        let cpu = cpu(Path::new("/nonexistent"), 5, &nodes);
        assert_eq!(cpu.siblings, CpuSet::from_iter([5]));
        assert_eq!((cpu.node, cpu.max_mhz), (Some(1), None));
    }
}
