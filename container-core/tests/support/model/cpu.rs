//! Shares and quotas, and which of them go together.

use container_core::{Errno, Errno::*};

use super::{Model, Node};

impl Model {
    pub(super) fn write_cpu(&mut self, node: Node, file: &str, value: i64) -> Result<(), Errno> {
        let number = value.unsigned_abs();
        let mut cpu = self.groups[&node].cpu;
        match file {
            "cpu.shares" => cpu.0 = number.clamp(2, 262_144),
            "cpu.cfs_quota_us" if value < 0 => cpu.1 = None,
            "cpu.cfs_quota_us" if number >= 1000 => cpu.1 = Some(number),
            "cpu.cfs_period_us" if (1000..=1_000_000).contains(&number) => cpu.2 = number,
            _ => return Err(EINVAL),
        }
        let before = std::mem::replace(&mut self.groups.get_mut(&node).unwrap().cpu, cpu);
        match self.groups[&node].parent.is_some() && self.cpu_ratios_are_ordered() {
            true => Ok(()),
            false => {
                self.groups.get_mut(&node).unwrap().cpu = before;
                Err(EINVAL)
            }
        }
    }

    /// Whether every group has at most what each one above it has, where both have a quota.
    fn cpu_ratios_are_ordered(&self) -> bool {
        let ratio = |node: &Node| {
            let (_, quota, period) = self.groups[node].cpu;
            quota.map(|quota| (quota << 20) / period)
        };
        self.groups.keys().all(|node| {
            let mut above = self.groups[node].parent;
            std::iter::from_fn(|| {
                let this = above?;
                above = self.groups[&this].parent;
                Some(this)
            })
            .all(|above| match (ratio(node), ratio(&above)) {
                (Some(below), Some(above)) => below <= above,
                _ => true,
            })
        })
    }
}
