//! The two versions of cgroups, as far as they are alike.

use std::fmt;

use container_core::{CpuLimits, CpuStat, Nanoseconds};

use super::{v1, v2};

/// Which of the kernel's two interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupVersion {
    /// A hierarchy of the controller's own.
    One,
    /// The unified hierarchy, where our groups are threaded.
    Two,
}

impl fmt::Display for CgroupVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            CgroupVersion::One => "cgroup-v1",
            CgroupVersion::Two => "cgroup-v2",
        })
    }
}

impl CgroupVersion {
    /// The file of a group that lists its threads and takes a new one's id.
    pub fn threads_file(self) -> &'static str {
        match self {
            CgroupVersion::One => v1::THREADS,
            CgroupVersion::Two => v2::THREADS,
        }
    }

    /// The files of a group that say its limits, and what they hold for these.
    pub fn limit_files(self, limits: &CpuLimits) -> Vec<(&'static str, String)> {
        match self {
            CgroupVersion::One => v1::files(limits),
            CgroupVersion::Two => v2::files(limits),
        }
    }

    /// Of the text of `cpu.stat`; None where it is not as documented.
    pub(super) fn stat(self, text: &str) -> Option<CpuStat> {
        let (throttled, unit) = match self {
            CgroupVersion::One => v1::THROTTLED,
            CgroupVersion::Two => v2::THROTTLED,
        };
        let number = |key: &str| -> Option<u64> {
            let mut lines = text.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(name, _)| *name == key)?.1.parse().ok()
        };
        Some(CpuStat {
            nr_periods: number("nr_periods")?,
            nr_throttled: number("nr_throttled")?,
            throttled: Nanoseconds(number(throttled)?.checked_mul(unit)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_group_was_held_is_nanoseconds_whatever_the_kernels_unit() {
        let counted = "nr_periods 7\nnr_throttled 3\n";
        let expected = CpuStat {
            nr_periods: 7,
            nr_throttled: 3,
            throttled: Nanoseconds(12_000),
        };
        let one = format!("{counted}throttled_time 12000\nwait_sum 5\n");
        assert_eq!(CgroupVersion::One.stat(&one), Some(expected));
        let two = format!("usage_usec 9\nuser_usec 9\n{counted}throttled_usec 12\n");
        assert_eq!(CgroupVersion::Two.stat(&two), Some(expected));
        // As of a group in which the controller is not on.
        assert_eq!(CgroupVersion::Two.stat("usage_usec 9\n"), None);
    }
}
