//! The kernel's own cpu controller, version 1, as a back end: a directory a group, below one of our own.
//!
//! ```text
//!   OUR CGROUP/pinfold-PID/        the root of the groups
//!     └── 1/                       a group, by its number: a rename changes nothing here
//!          ├── 4/
//!          └── 7/
//! ```
//!
//! Nothing is there before the root group is, and all of it goes when the controller is dropped. A supervisor that
//! was killed leaves its directory behind; the next one removes it. As long as it lives it has a lock on it.
//!
//! Version 2 is not used: its `cpu` takes single threads only in a threaded subtree, which somebody has to have
//! delegated to us.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use container_core::{CpuGroup, CpuLimits, CpuStat, Nanoseconds, Tid};
use rustix::fs::{Access, FlockOperation, access, flock};
use rustix::io::Errno;

use crate::{HostError, Thread, cgroup};

/// The controller, and which groups stand in it.
#[derive(Debug)]
pub struct CpuController {
    /// The cgroup that we are in: where tasks go back to.
    own: PathBuf,
    /// What the directory of the root group is called.
    name: String,
    directories: BTreeMap<CpuGroup, Directory>,
    /// Held while the root group's directory stands.
    lock: Option<File>,
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    /// What was last written; None where that is not known.
    in_force: Option<CpuLimits>,
}

impl CpuController {
    /// The one that this process may write to.
    ///
    /// # Errors
    /// ENOENT where there is none of version 1; EACCES, EROFS and others where our cgroup in it cannot be written to.
    pub fn find() -> Result<CpuController, HostError> {
        let text = |path: &str| {
            fs::read_to_string(path).map_err(|error| failed("open", Path::new(path), &error))
        };
        let (mounts, cgroup) = (text("/proc/self/mountinfo")?, text("/proc/self/cgroup")?);
        let own = cgroup::own_directory(&mounts, &cgroup, "cpu").ok_or_else(|| {
            let what = "a mount of the cgroup-v1 cpu controller";
            HostError::system("open", what, Errno::NOENT)
        })?;
        let writable = access(&own, Access::WRITE_OK | Access::EXEC_OK);
        writable.map_err(|errno| HostError::system("access", own.display().to_string(), errno))?;
        let name = format!("{PREFIX}{}", std::process::id());
        Ok(CpuController::below(own, name))
    }

    /// In this cgroup, in a directory of this name.
    pub fn below(own: PathBuf, name: String) -> CpuController {
        CpuController {
            own,
            name,
            directories: BTreeMap::new(),
            lock: None,
        }
    }

    /// The cgroup that the root group is or would be.
    pub fn root(&self) -> PathBuf {
        self.own.join(&self.name)
    }

    /// Make a group, limit it otherwise, or with None remove it. Ten microseconds a file that changes, fifty for a group.
    ///
    /// Where a period changes, the group is without a limit for some microseconds: the kernel takes quota and period
    /// one after the other and refuses what the two come to in between.
    ///
    /// # Errors
    /// What mkdir(2), write(2) and rmdir(2) return. What is in force then is not known; another call settles it.
    pub fn limit(
        &mut self,
        group: CpuGroup,
        parent: Option<CpuGroup>,
        limits: Option<&CpuLimits>,
    ) -> Result<(), HostError> {
        let Some(limits) = limits else {
            return self.remove(group);
        };
        if !self.directories.contains_key(&group) {
            self.make(group, parent)?;
        }
        let directory = self.directories.get_mut(&group);
        let directory = directory.expect("it was there or has just been made");
        let before = directory.in_force.take();
        if group != CpuGroup::ROOT {
            write_limits(&directory.path, before.as_ref(), limits)?;
        }
        directory.in_force = Some(*limits);
        Ok(())
    }

    /// Have a thread count in a group; with None in none of ours.
    ///
    /// The kernel takes a thread by number here: it is looked up in its own directory before and after, with what is
    /// said at [`Thread::pin`].
    ///
    /// # Errors
    /// [`HostError::Ended`] where the thread has ended; ENOENT for a group that was not made; what write(2) returns.
    pub fn enroll(&self, thread: &Thread, group: Option<CpuGroup>) -> Result<(), HostError> {
        let tid = thread.tid();
        let ended = |errno| HostError::of_thread("pread", tid, errno);
        let path = match group {
            Some(group) => &self.directory(group)?.path,
            None => &self.own,
        };
        thread.must_exist().map_err(ended)?;
        write(&path.join("tasks"), &tid.0.to_string()).map_err(|error| match error.errno() {
            Some(Errno::SRCH) => ended(Errno::SRCH),
            _ => error,
        })?;
        thread.must_exist().map_err(ended)
    }

    /// The threads in a group now, as the kernel lists them.
    ///
    /// # Errors
    /// ENOENT for a group that was not made or that somebody has removed.
    pub fn tids(&self, group: CpuGroup) -> Result<Vec<Tid>, HostError> {
        let text = read(&self.directory(group)?.path.join("tasks"))?;
        let tids = text.lines().filter_map(|line| line.parse().ok());
        Ok(tids.map(Tid).collect())
    }

    /// What the kernel has counted of a group.
    ///
    /// # Errors
    /// ENOENT for a group that was not made, [`HostError::Malformed`].
    pub fn stat(&self, group: CpuGroup) -> Result<CpuStat, HostError> {
        let path = self.directory(group)?.path.join("cpu.stat");
        let text = read(&path)?;
        let number = |key: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(' '));
            let value = lines.find(|(name, _)| *name == key);
            let value = value.and_then(|(_, value)| value.parse().ok());
            value.ok_or_else(|| {
                let file = path.display().to_string();
                HostError::malformed(file, &text, "nr_periods, nr_throttled and throttled_time")
            })
        };
        Ok(CpuStat {
            nr_periods: number("nr_periods")?,
            nr_throttled: number("nr_throttled")?,
            throttled: Nanoseconds(number("throttled_time")?),
        })
    }

    fn directory(&self, group: CpuGroup) -> Result<&Directory, HostError> {
        let directory = self.directories.get(&group);
        directory.ok_or_else(|| {
            let object = format!("{}/…/{group}", self.root().display());
            HostError::system("open", object, Errno::NOENT)
        })
    }

    fn make(&mut self, group: CpuGroup, parent: Option<CpuGroup>) -> Result<(), HostError> {
        let path = match parent {
            None => {
                self.remove_stale();
                self.root()
            }
            Some(parent) => self.directory(parent)?.path.join(group.to_string()),
        };
        let made = fs::create_dir(&path);
        let is_new = made.is_ok();
        match made {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed("mkdir", &path, &error));
            }
            _ => {}
        }
        if parent.is_none() {
            // Another's where numbers of processes are not seen by all of them.
            let lock = locked(&path).map_err(|error| failed("flock", &path, &error))?;
            self.lock = Some(lock);
            // What an earlier process of our number has left.
            remove_below(&path);
        }
        let in_force = is_new.then_some(CpuLimits::DEFAULT);
        self.directories.insert(group, Directory { path, in_force });
        Ok(())
    }

    fn remove(&mut self, group: CpuGroup) -> Result<(), HostError> {
        let Some(directory) = self.directories.get(&group) else {
            return Ok(());
        };
        match fs::remove_dir(&directory.path) {
            // Somebody has been tidying up: it is gone, which is what was asked for.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("rmdir", &directory.path, &error));
            }
            _ => {}
        }
        self.directories.remove(&group);
        if group == CpuGroup::ROOT {
            self.lock = None;
        }
        Ok(())
    }

    /// Remove what supervisors that live no more have left. Whatever cannot be removed stays: somebody is in it.
    fn remove_stale(&self) {
        for entry in fs::read_dir(&self.own).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            let pid = name.strip_prefix(PREFIX).and_then(|pid| pid.parse().ok());
            let is_dead = |pid: u32| !Path::new(&format!("/proc/{pid}")).exists();
            if name == self.name || !pid.is_some_and(is_dead) {
                continue;
            }
            // Its owner may have a number that is not seen from here.
            let lock = locked(&entry.path());
            if lock.is_ok() {
                remove_below(&entry.path());
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

/// Whoever is still in it goes on, and so does the directory.
impl Drop for CpuController {
    fn drop(&mut self) {
        if self.directories.contains_key(&CpuGroup::ROOT) {
            remove_below(&self.root());
            let _ = fs::remove_dir(self.root());
        }
    }
}

/// How the directories of supervisors' root groups begin; their number follows.
const PREFIX: &str = "pinfold-";

fn write_limits(
    directory: &Path,
    before: Option<&CpuLimits>,
    limits: &CpuLimits,
) -> Result<(), HostError> {
    let differs = |of: fn(&CpuLimits) -> u64| before.map(of) != Some(of(limits));
    let quota = |us: Option<u64>| us.map_or("-1".into(), |us| us.to_string());
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

/// A directory that nobody else has, as long as this is held.
fn locked(directory: &Path) -> io::Result<File> {
    let directory = File::open(directory)?;
    flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
    Ok(directory)
}

/// Children before parents, as far as the kernel lets them go. The files in them are no entries of a directory's own.
fn remove_below(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path());
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn write(path: &Path, value: &str) -> Result<(), HostError> {
    let file = OpenOptions::new().write(true).open(path);
    let mut file = file.map_err(|error| failed("open", path, &error))?;
    let written = file.write_all(value.as_bytes());
    written.map_err(|error| {
        let object = format!("{} of {value}", path.display());
        failed("write", Path::new(&object), &error)
    })
}

fn read(path: &Path) -> Result<String, HostError> {
    fs::read_to_string(path).map_err(|error| failed("read", path, &error))
}

fn failed(call: &'static str, path: &Path, error: &io::Error) -> HostError {
    let errno = error
        .raw_os_error()
        .map_or(Errno::IO, Errno::from_raw_os_error);
    HostError::system(call, path.display().to_string(), errno)
}
