//! Version 2: one hierarchy for all controllers, in which whole processes stand in groups, and single threads only
//! where a group is *threaded*.
//!
//! ```text
//!   OUR CGROUP                 threads of processes; becomes "domain threaded", the root of the threads below it
//!     └── pinfold-PID/         "threaded", as all below it
//!          └── 1/
//! ```
//!
//! What that takes, and the kernel's rule (kernel/cgroup/cgroup.c, cgroup-v2.rst "Threads"):
//! - `threaded` in the `cgroup.type` of each group that is made, while it is empty.
//! - `+cpu` in the `cgroup.subtree_control` of each group that gets children, ours first. Processes may stand in it
//!   as long as nothing but threaded controllers is on there and none of its children is a domain with processes. The
//!   root of the hierarchy may have anything.
//! - A thread goes from group to group of one domain only (else EOPNOTSUPP). Machine processes are children of
//!   the supervisor and so in our cgroup; one that was moved out is brought back whole, by `cgroup.procs`.
//! - Who is not root has to be able to write to `cgroup.procs` of the closest group above both ends: ours.
//!
//! `cpu.max` takes quota and period at once, and `cpu.weight` is the shares by another measure, 1 to 10,000 instead of 2
//! to 262,144: 1024 shares are 100. That is exact for multiples of 256; elsewhere a weight is off by half of one at the
//! most, which at 512 shares is one in a hundred, and shares below 16 are all 1.

use std::fs;
use std::path::{Path, PathBuf};

use container_core::CpuLimits;
use rustix::fs::{Access, XattrFlags, access, getxattr, removexattr, setxattr};
use rustix::io::Errno;

use super::files::{read, write};
use crate::{HostError, cgroup};

/// The threads of a group; one is put in by writing its id.
pub const THREADS: &str = "cgroup.threads";
/// How long a group was held, in `cpu.stat`, and its unit in nanoseconds.
pub const THROTTLED: (&str, u64) = ("throttled_usec", 1_000);

const PROCESSES: &str = "cgroup.procs";
const SUBTREE_CONTROL: &str = "cgroup.subtree_control";
/// Controllers that may be on in the root of a threaded subtree.
const THREADED: [&str; 4] = ["cpu", "cpuset", "perf_event", "pids"];
/// On our cgroup where a supervisor has switched the controller on, so that the last to leave switches it off.
/// Linux 5.7; where it cannot be set, the controller stays on.
const MARK: &str = "user.pinfold.cpu";

const DELEGATE: &str = "have it delegated (`Delegate=cpu` in the systemd unit)";
const OWN_GROUP: &str = "start the supervisor in a group of its own";

/// Our cgroup, if it can be the root of threaded groups of ours.
///
/// # Errors
/// [`HostError::Unfit`]: what is missing, and what to do.
pub fn own(mounts: &str, cgroup: &str) -> Result<PathBuf, HostError> {
    let found = cgroup::v2_directory(mounts, cgroup);
    let (point, own) = found.ok_or_else(|| {
        let what = "no cgroup2 is mounted".to_owned();
        HostError::unfit(what, "mount -t cgroup2 none /sys/fs/cgroup")
    })?;
    let own = own.ok_or_else(|| {
        let what = format!(
            "our cgroup is not in what is mounted at {}",
            point.display()
        );
        HostError::unfit(what, "mount the whole hierarchy")
    })?;
    must_fit(&own)?;
    Ok(own)
}

fn must_fit(own: &Path) -> Result<(), HostError> {
    let name = own.display();
    // The root of the hierarchy has no type.
    let kind = read(&own.join("cgroup.type")).ok();
    let controllers = read(&own.join("cgroup.controllers"))?;
    if !has(&controllers, "cpu") {
        let listed = controllers.trim_end();
        let what = format!("{name} has no cpu controller (cgroup.controllers: {listed:?})");
        return Err(HostError::unfit(
            what,
            match kind {
                Some(_) => DELEGATE,
                None => "it is off, or mounted as version 1",
            },
        ));
    }
    if let Some(kind) = &kind {
        may_be_thread_root(own, kind.trim_end())?;
    }
    let files = [THREADS, PROCESSES, SUBTREE_CONTROL];
    let files = files.map(|file| (own.join(file), Access::WRITE_OK));
    let directory = (own.to_owned(), Access::WRITE_OK | Access::EXEC_OK);
    for (path, rights) in [directory].into_iter().chain(files) {
        access(&path, rights).map_err(|errno| {
            let what = format!("{} cannot be written to ({errno})", path.display());
            let remedy =
                "run as root, or have the group delegated to the user (`Delegate=cpu` and `User=`)";
            HostError::unfit(what, remedy)
        })?;
    }
    Ok(())
}

/// As the kernel's cgroup_can_be_thread_root().
fn may_be_thread_root(own: &Path, kind: &str) -> Result<(), HostError> {
    let name = own.display();
    if kind == "domain invalid" {
        let what = format!("{name} is \"domain invalid\", below a threaded group");
        return Err(HostError::unfit(what, OWN_GROUP));
    }
    if kind == "threaded" {
        return Ok(());
    }
    let enabled = read(&own.join(SUBTREE_CONTROL))?;
    let others: Vec<&str> = enabled
        .split_whitespace()
        .filter(|controller| !THREADED.contains(controller))
        .collect();
    if !others.is_empty() {
        let others = others.join(" ");
        let what = format!("{name} has {others} on for groups of processes below it");
        return Err(HostError::unfit(what, OWN_GROUP));
    }
    let is_domain = |path: &Path| {
        let kind = read(&path.join("cgroup.type")).unwrap_or_default();
        let events = read(&path.join("cgroup.events")).unwrap_or_default();
        kind.trim_end() == "domain" && events.lines().any(|line| line == "populated 1")
    };
    match children(own).find(|path| is_domain(path)) {
        None => Ok(()),
        Some(child) => {
            let what = format!("{} has processes of its own", child.display());
            Err(HostError::unfit(what, OWN_GROUP))
        }
    }
}

/// What the files hold that say these limits.
pub fn files(limits: &CpuLimits) -> Vec<(&'static str, String)> {
    let quota = limits.quota_us.map_or("max".into(), |us| us.to_string());
    vec![
        ("cpu.weight", weight(limits.shares).to_string()),
        ("cpu.max", format!("{quota} {}", limits.period_us)),
    ]
}

/// 100 for 1024 shares.
fn weight(shares: u64) -> u64 {
    ((shares * 100 + 512) / 1024).clamp(1, 10_000)
}

/// One write a file that changes, and no moment without a limit.
pub fn write_limits(
    directory: &Path,
    before: Option<&CpuLimits>,
    limits: &CpuLimits,
) -> Result<(), HostError> {
    let before = before.map(files).unwrap_or_default();
    for (file, value) in files(limits) {
        if !before.contains(&(file, value.clone())) {
            write(&directory.join(file), &value)?;
        }
    }
    Ok(())
}

/// Have a new group hold threads, and limit groups below it.
pub fn prepare(directory: &Path) -> Result<(), HostError> {
    write(&directory.join("cgroup.type"), "threaded")?;
    write(&directory.join(SUBTREE_CONTROL), "+cpu")
}

/// The same for the group that stands in our cgroup, in which the controller has to be on.
pub fn prepare_root(own: &Path, directory: &Path) -> Result<(), HostError> {
    /// Whoever leaves our cgroup meanwhile may still switch the controller off, but sees our directory the next time.
    const TRIES: usize = 3;
    let mut tried = 1;
    loop {
        switch_on(own)?;
        match prepare(directory) {
            Err(error) if error.errno() == Some(Errno::NOENT) && tried < TRIES => tried += 1,
            done => return done,
        }
    }
}

fn switch_on(own: &Path) -> Result<(), HostError> {
    let control = own.join(SUBTREE_CONTROL);
    if has(&read(&control)?, "cpu") {
        return Ok(());
    }
    write(&control, "+cpu")?;
    let _ = setxattr(own, MARK, b"on", XattrFlags::empty());
    Ok(())
}

/// Switch the controller off in our cgroup, if it was a supervisor who switched it on and nobody has a group there.
pub fn switch_off(own: &Path) {
    let is_ours = getxattr(own, MARK, &mut [0u8; 0][..]).is_ok();
    if is_ours
        && children(own).next().is_none()
        && write(&own.join(SUBTREE_CONTROL), "-cpu").is_ok()
    {
        let _ = removexattr(own, MARK);
    }
}

/// Bring the process of a thread into our cgroup, all of its threads.
pub fn bring_in(own: &Path, tid: &str) -> Result<(), HostError> {
    write(&own.join(PROCESSES), tid)
}

fn children(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
}

fn has(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|one| one == word)
}

#[cfg(test)]
mod tests;
