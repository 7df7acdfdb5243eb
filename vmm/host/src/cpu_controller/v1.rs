//! Version 1: a hierarchy that the controller has for itself or with others, in which a thread stands where it is put.

use std::path::{Path, PathBuf};

use container_core::CpuLimits;
use rustix::fs::{Access, access};

use super::files::write;
use crate::{HostError, cgroup};

/// The threads of a group; one is put in by writing its id.
pub const THREADS: &str = "tasks";
/// How long a group was held, in `cpu.stat`, and its unit in nanoseconds.
pub const THROTTLED: (&str, u64) = ("throttled_time", 1);

/// Our cgroup, if we may make groups in it.
///
/// # Errors
/// [`HostError::NotMounted`]; EACCES, EROFS and others where our cgroup in it cannot be written to.
pub fn own(mounts: &str, cgroup: &str) -> Result<PathBuf, HostError> {
    let what = "its cpu controller";
    let own = cgroup::v1_directory(mounts, cgroup, "cpu").ok_or(HostError::NotMounted { what })?;
    let writable = access(&own, Access::WRITE_OK | Access::EXEC_OK);
    writable.map_err(|errno| HostError::system("access", own.display().to_string(), errno))?;
    Ok(own)
}

/// What the files hold that say these limits.
pub fn files(limits: &CpuLimits) -> Vec<(&'static str, String)> {
    vec![
        ("cpu.shares", limits.shares.to_string()),
        ("cpu.cfs_period_us", limits.period_us.to_string()),
        ("cpu.cfs_quota_us", quota(limits.quota_us)),
    ]
}

fn quota(us: Option<u64>) -> String {
    us.map_or("-1".into(), |us| us.to_string())
}

/// Where a period changes, the group is without a limit for some microseconds: the kernel takes quota and period one
/// after the other and refuses what the two come to in between.
pub fn write_limits(
    directory: &Path,
    before: Option<&CpuLimits>,
    limits: &CpuLimits,
) -> Result<(), HostError> {
    let differs = |of: fn(&CpuLimits) -> u64| before.map(of) != Some(of(limits));
    let set = |file: &str, value: String| write(&directory.join(file), &value);
    if differs(|limits| limits.shares) {
        set("cpu.shares", limits.shares.to_string())?;
    }
    let mut quota_before = before.map(|before| before.quota_us);
    if differs(|limits| limits.period_us) {
        if quota_before != Some(None) {
            set("cpu.cfs_quota_us", quota(None))?;
            quota_before = Some(None);
        }
        set("cpu.cfs_period_us", limits.period_us.to_string())?;
    }
    if quota_before != Some(limits.quota_us) {
        set("cpu.cfs_quota_us", quota(limits.quota_us))?;
    }
    Ok(())
}
