//! Plain facts about the host, for whoever has to say why it does not serve. They judge nothing.

use std::fs;
use std::path::PathBuf;

use container_core::{CpuSet, Tid};
use rustix::process::{Resource, getrlimit};
use rustix::thread::CapabilitySet;

use crate::{ExactCounter, HostError, affinity, procfs};

/// kernel.perf_event_paranoid: above 2, the unprivileged count nothing. None without perf.
pub fn perf_event_paranoid() -> Option<i32> {
    procfs::read("/proc/sys/kernel/perf_event_paranoid")
        .ok()?
        .parse()
        .ok()
}

/// Whether a task clock opens, tried on the calling thread. The first of a host takes 10 ms.
///
/// # Errors
/// As [`ExactCounter::open`].
pub fn task_clock() -> Result<(), HostError> {
    let own = rustix::thread::gettid().as_raw_nonzero().get();
    ExactCounter::open(Tid(own.unsigned_abs())).map(drop)
}

/// Whether a process that we start may have namespaces of its own.
pub fn namespaces_allowed() -> bool {
    let sets = rustix::thread::capabilities(None);
    sets.is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// Open descriptors allowed to this process: now, and at most; None is no limit.
pub fn descriptor_limits() -> (Option<u64>, Option<u64>) {
    let limits = getrlimit(Resource::Nofile);
    (limits.current, limits.maximum)
}

/// How the host's control groups are mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroups {
    /// Version 1: each mounted hierarchy's controllers and where it is mounted.
    pub v1: Vec<(Vec<String>, PathBuf)>,
    /// Version 2: where it is mounted.
    pub v2: Option<PathBuf>,
    /// Controllers available in version 2.
    pub v2_controllers: Vec<String>,
    /// Our own group in the hierarchy that has cpuset, from its root.
    pub own_cpuset: Option<String>,
}

/// Look at the mounts and at our own place in them.
///
/// # Errors
/// [`HostError::System`] where /proc is not mounted.
pub fn cgroups() -> Result<Cgroups, HostError> {
    let read = |path: &str| {
        fs::read_to_string(path).map_err(|error| {
            let errno = rustix::io::Errno::from_io_error(&error);
            HostError::system("open", path, errno.unwrap_or(rustix::io::Errno::IO))
        })
    };
    let mut cgroups = cgroups_from(&read("/proc/self/mounts")?, &read("/proc/self/cgroup")?);
    if let Some(mount) = &cgroups.v2 {
        let controllers = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
        cgroups.v2_controllers = controllers.split_whitespace().map(str::to_owned).collect();
    }
    Ok(cgroups)
}

fn cgroups_from(mounts: &str, own: &str) -> Cgroups {
    /// What a version 1 mount has among its options besides controllers.
    const NOT_CONTROLLERS: [&str; 9] = [
        "rw",
        "ro",
        "relatime",
        "noatime",
        "nosuid",
        "nodev",
        "noexec",
        "xattr",
        "clone_children",
    ];
    let mut cgroups = Cgroups::default();
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [_, mount, kind, options, ..] = fields[..] else {
            continue;
        };
        match kind {
            "cgroup2" => cgroups.v2 = Some(mount.into()),
            "cgroup" => {
                let controllers = options.split(',').filter(|word| {
                    !NOT_CONTROLLERS.contains(word) && !word.starts_with("release_agent=")
                });
                cgroups
                    .v1
                    .push((controllers.map(str::to_owned).collect(), mount.into()));
            }
            _ => {}
        }
    }
    // `ID:CONTROLLERS:PATH`; version 2 is the line without controllers (cgroups(7)).
    let path_of = |is_wanted: &dyn Fn(&str) -> bool| {
        own.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            is_wanted(controllers).then(|| path.to_owned())
        })
    };
    cgroups.own_cpuset = path_of(&|controllers| controllers.split(',').any(|one| one == "cpuset"))
        .or_else(|| path_of(&str::is_empty));
    cgroups
}

/// A thread of another process that is confined to CPUs we were asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outsider {
    /// Its process.
    pub pid: u32,
    /// The thread.
    pub tid: Tid,
    /// The thread's name.
    pub comm: String,
    /// What it is confined to.
    pub cpus: CpuSet,
}

/// What a scan for outsiders found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outsiders {
    /// The threads found.
    pub threads: Vec<Outsider>,
    /// Threads looked at.
    pub scanned: usize,
    /// Whether the scan stopped at its bound with some threads not looked at.
    pub is_cut_short: bool,
}

/// Find threads of other processes that may run on these CPUs and on no others, `ours` (by process id)
/// left out.
///
/// Kernel threads are left out: every CPU has its own. A thread that may run anywhere is no outsider;
/// the scheduler can take it elsewhere. Looks at `bound` threads at most, some 10 µs each.
///
/// # Errors
/// [`HostError::System`] where /proc is not mounted.
pub fn outsiders(cpus: &CpuSet, ours: &[u32], bound: usize) -> Result<Outsiders, HostError> {
    let mut found = Outsiders::default();
    let own = std::process::id();
    for pid in numbers("/proc")? {
        if pid == own || ours.contains(&pid) || is_kernel_thread(pid) {
            continue;
        }
        // A process that has ended meanwhile has no threads.
        for tid in numbers(&format!("/proc/{pid}/task")).unwrap_or_default() {
            if found.scanned == bound {
                found.is_cut_short = true;
                return Ok(found);
            }
            found.scanned += 1;
            let Ok(confined_to) = affinity::get(Tid(tid)) else {
                continue;
            };
            if !confined_to.is_empty() && confined_to.is_subset_of(cpus) {
                let comm = procfs::read(&format!("/proc/{pid}/task/{tid}/comm"));
                let comm = comm.unwrap_or_default();
                found.threads.push(Outsider {
                    pid,
                    tid: Tid(tid),
                    comm,
                    cpus: confined_to,
                });
            }
        }
    }
    Ok(found)
}

/// By `PF_KTHREAD` among the flags, the seventh field after the name (proc_pid_stat(5)).
fn is_kernel_thread(pid: u32) -> bool {
    const PF_KTHREAD: u32 = 0x0020_0000;
    let stat = procfs::read(&format!("/proc/{pid}/stat")).unwrap_or_default();
    let flags = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.split(' ').nth(6)?.parse().ok());
    flags.is_some_and(|flags: u32| flags & PF_KTHREAD != 0)
}

fn numbers(directory: &str) -> Result<Vec<u32>, HostError> {
    let entries = fs::read_dir(directory).map_err(|error| {
        let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO);
        HostError::system("open", directory, errno)
    })?;
    let numbers = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(numbers.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_one_and_two_are_told_apart() {
        let mounts = "cgroup /sys/fs/cgroup/cpuset cgroup rw,relatime,cpuset 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu,cpuacct 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n\
                      proc /proc proc rw 0 0\n";
        let cgroups = cgroups_from(mounts, "3:cpuset:/pods/a\n1:cpu,cpuacct:/b\n0::/c\n");
        assert_eq!(cgroups.v1.len(), 2);
        assert_eq!(cgroups.v1[0].0, ["cpuset"]);
        assert_eq!(cgroups.v1[1].0, ["cpu", "cpuacct"]);
        assert_eq!(cgroups.v2, Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(cgroups.own_cpuset.as_deref(), Some("/pods/a"));
        let unified = cgroups_from(
            "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
            "0::/user.slice\n",
        );
        assert_eq!(unified.own_cpuset.as_deref(), Some("/user.slice"));
    }

    #[test]
    fn this_host_can_be_looked_at() {
        println!("perf_event_paranoid: {:?}", perf_event_paranoid());
        println!("task clock: {:?}", task_clock());
        println!("descriptors: {:?}", descriptor_limits());
        println!("cgroups: {:?}", cgroups().expect("proc is mounted"));
    }

    #[test]
    fn a_scan_stops_at_its_bound() {
        let nowhere = CpuSet::from_iter([1023]);
        let found = outsiders(&nowhere, &[], 1).expect("proc is mounted");
        assert!(found.threads.is_empty());
        assert!(found.scanned <= 1);
    }
}
