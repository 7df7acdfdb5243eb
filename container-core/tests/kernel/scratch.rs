//! A scratch cpuset of the kernel's, and the promise that nothing of it is left behind.
//!
//! One a sequence: a directory below the mount, removed when it is dropped, on a panic too, with all below
//! it, deepest first, the threads in it moved back to the root. A run that was killed leaves its
//! directories; the next run finds them by the dead process's id in their names and removes them.
//!
//! Nothing else of the mount is changed, with one exception that the kernel's rules force: a group can be
//! exclusive only where all above it are, so a sequence about exclusiveness makes its scratch cpuset so,
//! for the milliseconds that it takes and only while no other cpuset stands beside it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use container_core::{CpuSet, Errno, HostResources};
use rustix::fs::{FlockOperation, flock};

use crate::operation::FLAGS;
use crate::threads;

/// Where a cgroup-v1 cpuset hierarchy is mounted, if it is.
pub const MOUNT: &str = "/sys/fs/cgroup/cpuset";

const PREFIX: &str = "pinfold-diff-";

/// Longest wait for another cpuset to go away, and for what the kernel does in its own time.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Longest wait for another run of this test, whose sequence may itself be waiting.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// What both sides say to a change.
pub type Answer = Result<(), Errno>;

/// The mount and what the host behind it has.
pub struct Mount {
    /// Held for each sequence, so that two runs do not refuse each other's exclusive cpusets.
    directory: File,
    pub host: HostResources,
    /// Longest list that this kernel takes for `cpuset.cpus`; its build says how many CPUs there can be.
    pub most_list_bytes: usize,
    made: u32,
}

impl Mount {
    /// # Errors
    /// Why nothing can be compared on this host.
    pub fn find() -> Result<Mount, String> {
        let root = Path::new(MOUNT);
        if !root.join("cgroup.sane_behavior").exists() || !root.join("cpuset.cpus").exists() {
            return Err(format!(
                "no cgroup-v1 cpuset hierarchy is mounted at {MOUNT}"
            ));
        }
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        if !own.lines().any(|line| line.ends_with(":cpuset:/")) {
            return Err(
                "this test does not stand in the root of a hierarchy of cpuset alone".into(),
            );
        }
        if !read(&root.join("release_agent"))?.trim().is_empty() {
            return Err("the cpuset hierarchy has a release agent, which must not run".into());
        }
        let host = HostResources {
            allowed_cpus: parse(&read(&root.join("cpuset.effective_cpus"))?)?,
            present_cpus: parse(&read(&root.join("cpuset.cpus"))?)?,
            possible_cpus: last_of("/sys/devices/system/cpu/possible")? + 1,
            mems: read(&root.join("cpuset.mems"))?
                .parse()
                .map_err(|error| format!("the root's cpuset.mems: {error}"))?,
        };
        if !host.allowed_cpus.contains(0) || !host.allowed_cpus.contains(1) {
            return Err(format!(
                "CPUs 0 and 1 are needed, and there are {:?}",
                host.allowed_cpus
            ));
        }
        let mask = threads::affinity(threads::own_tid())
            .map_err(|errno| format!("sched_getaffinity: {errno:?}"))?;
        if mask != host.allowed_cpus {
            let all = host.allowed_cpus;
            return Err(format!("this test may run on CPUs {mask} only, of {all}"));
        }
        let directory = File::open(root).map_err(|error| error.to_string())?;
        let most_list_bytes =
            100 + 6 * (last_of("/sys/devices/system/cpu/kernel_max")? as usize + 1);
        let mut mount = Mount {
            directory,
            host,
            most_list_bytes,
            made: 0,
        };
        remove_stale();
        let lock = mount.lock();
        let trial = mount.scratch();
        drop(lock);
        trial
            .map(|_| mount)
            .map_err(|error| format!("no scratch cpuset can be made: {error}"))
    }

    /// Keep other runs of this test from having a scratch cpuset.
    ///
    /// # Panics
    /// Where another run keeps it for longer than its sequences take.
    pub fn lock(&self) -> Lock {
        let directory = self
            .directory
            .try_clone()
            .expect("a descriptor is duplicated");
        let tried = patiently(LOCK_PATIENCE, || {
            flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok()
        });
        assert!(tried, "another run of this test holds {MOUNT}");
        Lock { directory }
    }

    /// A new scratch cpuset with all CPUs and nodes.
    pub fn scratch(&mut self) -> io::Result<Scratch> {
        self.made += 1;
        let name = format!("{PREFIX}{}-{}", std::process::id(), self.made);
        let path = Path::new(MOUNT).join(name);
        fs::create_dir(&path)?;
        let scratch = Scratch { path };
        for (file, value) in [
            ("cpuset.cpus", self.host.allowed_cpus.to_string()),
            ("cpuset.mems", self.host.mems.to_string()),
            ("notify_on_release", "0".into()),
            ("cgroup.clone_children", "0".into()),
        ] {
            write_all(&scratch.path.join(file), value.as_bytes())?;
        }
        Ok(scratch)
    }
}

/// The right to have a scratch cpuset, given back when it is dropped.
pub struct Lock {
    directory: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = flock(&self.directory, FlockOperation::Unlock);
        // Whoever waits for it looks every millisecond, and this run would take it again at once.
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// One scratch cpuset.
pub struct Scratch {
    pub path: PathBuf,
}

impl Scratch {
    /// Make it exclusive, so that groups below may be. False where another cpuset stands beside it,
    /// which would be kept from its CPUs, and stays.
    pub fn make_exclusive(&self) -> bool {
        let set = |value: &[u8]| {
            let written = FLAGS.map(|file| write(&self.path.join(file), value));
            written.iter().all(Result::is_ok)
        };
        patiently(PATIENCE, || {
            let beside = subdirectories(Path::new(MOUNT));
            if beside.iter().any(|path| *path != self.path) {
                return false;
            }
            let is_set = set(b"1");
            if !is_set {
                // One of the two may be.
                set(b"0");
            }
            is_set
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !patiently(PATIENCE, || remove(&self.path)) {
            println!("a scratch cpuset is left at {}", self.path.display());
        }
    }
}

/// Remove a cpuset and all below it; threads of this process in them go to the root.
fn remove(path: &Path) -> bool {
    for below in subdirectories(path) {
        remove(&below);
    }
    for tid in fs::read_to_string(path.join("tasks"))
        .unwrap_or_default()
        .lines()
    {
        if Path::new("/proc/self/task").join(tid).exists() {
            let _ = write(&Path::new(MOUNT).join("tasks"), tid.as_bytes());
        }
    }
    match fs::remove_dir(path) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Scratch cpusets of runs that were killed: those whose process is dead.
fn remove_stale() {
    for path in subdirectories(Path::new(MOUNT)) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let run = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if run.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            let removed = if remove(&path) { "removed" } else { "left" };
            println!("{removed}: {}, of a run that was killed", path.display());
        }
    }
}

/// The groups right below a group.
pub fn subdirectories(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.path()).collect()
}

/// One write(2) to a control file that is there.
pub fn write(path: &Path, value: &[u8]) -> Answer {
    write_all(path, value).map_err(|error| errno(&error))
}

fn write_all(path: &Path, value: &[u8]) -> io::Result<()> {
    let written = OpenOptions::new().write(true).open(path)?.write(value)?;
    assert_eq!(
        written,
        value.len(),
        "{} takes a write whole",
        path.display()
    );
    Ok(())
}

/// The errno of a system call.
///
/// # Panics
/// For one that no operation of the framework has.
pub fn errno(error: &io::Error) -> Errno {
    use rustix::io::Errno as Raw;
    match Raw::from_io_error(error) {
        Some(Raw::PERM) => Errno::EPERM,
        Some(Raw::NOENT) => Errno::ENOENT,
        Some(Raw::SRCH) => Errno::ESRCH,
        Some(Raw::TOOBIG) => Errno::E2BIG,
        Some(Raw::AGAIN) => Errno::EAGAIN,
        Some(Raw::ACCESS) => Errno::EACCES,
        Some(Raw::BUSY) => Errno::EBUSY,
        Some(Raw::EXIST) => Errno::EEXIST,
        Some(Raw::NODEV) => Errno::ENODEV,
        Some(Raw::NOTDIR) => Errno::ENOTDIR,
        Some(Raw::ISDIR) => Errno::EISDIR,
        Some(Raw::INVAL) => Errno::EINVAL,
        Some(Raw::NOSPC) => Errno::ENOSPC,
        Some(Raw::IO) => Errno::EIO,
        Some(Raw::RANGE) => Errno::ERANGE,
        Some(Raw::NAMETOOLONG) => Errno::ENAMETOOLONG,
        Some(Raw::OVERFLOW) => Errno::EOVERFLOW,
        _ => panic!("no operation is known to give {error}"),
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn parse(list: &str) -> Result<CpuSet, String> {
    list.parse().map_err(|error| format!("{list:?}: {error}"))
}

/// The highest number of a list in sysfs.
fn last_of(path: &str) -> Result<u32, String> {
    let text = read(Path::new(path))?;
    let last = text.trim().rsplit([',', '-']).next().unwrap_or_default();
    last.parse().map_err(|error| format!("{path}: {error}"))
}

/// Try until it is done; false where it is not in time.
pub fn patiently(patience: Duration, mut attempt: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !attempt() {
        if begun.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}
