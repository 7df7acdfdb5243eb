//! The kernel's own cpu controller as a back end: a directory a group, below one of our own.
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
//! Here is what is the same in both versions of cgroups; their files are in [`v1`] and [`v2`].

mod files;
mod v1;
mod v2;
mod version;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use container_core::{CpuGroup, CpuLimits, CpuStat, Tid};
use rustix::fs::{CWD, FlockOperation, flock};
use rustix::io::Errno;

use crate::{HostError, Thread, procfs};
use files::{failed, read, write};
pub use version::CgroupVersion;

/// The controller, and which groups stand in it.
#[derive(Debug)]
pub struct CpuController {
    version: CgroupVersion,
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
    /// Not yet where it could not be made whole, and not any more where somebody has removed it or its files.
    is_there: bool,
    /// What was last written; None where that is not known.
    in_force: Option<CpuLimits>,
}

impl CpuController {
    /// The one that this process may write to: of version 1 if that is mounted with it, else of version 2.
    ///
    /// # Errors
    /// [`HostError::NoCpuController`], with what is missing in either.
    pub fn find() -> Result<CpuController, HostError> {
        let mounts = read(Path::new("/proc/self/mountinfo"))?;
        let cgroup = read(Path::new("/proc/self/cgroup"))?;
        let (version, own) = match v1::own(&mounts, &cgroup) {
            Ok(own) => (CgroupVersion::One, own),
            Err(one) => match v2::own(&mounts, &cgroup) {
                Ok(own) => (CgroupVersion::Two, own),
                Err(two) => return Err(HostError::no_cpu_controller(one, two)),
            },
        };
        let name = format!("{PREFIX}{}", std::process::id());
        Ok(CpuController::below(version, own, name))
    }

    /// In this cgroup, in a directory of this name.
    pub fn below(version: CgroupVersion, own: PathBuf, name: String) -> CpuController {
        CpuController {
            version,
            own,
            name,
            directories: BTreeMap::new(),
            lock: None,
        }
    }

    /// Which interface it is used by.
    pub fn version(&self) -> CgroupVersion {
        self.version
    }

    /// The cgroup that the root group is or would be.
    pub fn root(&self) -> PathBuf {
        self.own.join(&self.name)
    }

    /// Make a group, limit it otherwise, or with None remove it. Ten microseconds a file that changes, fifty for a group.
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
        let directory = self.directories.get(&group);
        if !directory.is_some_and(|directory| directory.is_there) {
            self.make(group, parent)?;
        }
        let directory = self.directories.get_mut(&group);
        let directory = directory.expect("it was there or has just been made");
        let before = directory.in_force.take();
        if before.is_none() && group != CpuGroup::ROOT {
            // A group that somebody has made idle takes no shares. Kernels before 5.15 have no such file.
            let _ = write(&directory.path.join("cpu.idle"), "0");
        }
        if group != CpuGroup::ROOT {
            let (path, before) = (&directory.path, before.as_ref());
            match self.version {
                CgroupVersion::One => v1::write_limits(path, before, limits)?,
                CgroupVersion::Two => v2::write_limits(path, before, limits)?,
            }
        }
        directory.in_force = Some(*limits);
        Ok(())
    }

    /// Whether a group is still as it was left; if not, what was found. The root's limits are the host's, and anything.
    /// What has strayed is put right by the next [`limit`](CpuController::limit) of the group, which writes all of it.
    ///
    /// Reads three files of version 1 and two of version 2, seven to ten microseconds each.
    pub fn strayed(&mut self, group: CpuGroup) -> Option<String> {
        let directory = self.directories.get_mut(&group)?;
        let limits = directory.in_force?;
        let mut found = Vec::new();
        for (file, wanted) in self.version.limit_files(&limits) {
            let path = format!("{}/{file}", directory.path.display());
            match procfs::read_at::<LINE>(CWD, &path) {
                Ok(text) if group == CpuGroup::ROOT || text.trim_end() == wanted => {}
                Ok(text) => found.push(format!(
                    "{file} was {} instead of {wanted}",
                    text.trim_end()
                )),
                // ENODEV: since it was opened.
                Err(Errno::NOENT | Errno::NODEV) => {
                    directory.is_there = false;
                    found.push(format!("{path} was gone"));
                    break;
                }
                Err(errno) => found.push(format!("{file} could not be read ({errno})")),
            }
        }
        if found.is_empty() {
            return None;
        }
        directory.in_force = None;
        Some(found.join(", "))
    }

    /// Have a thread count in a group; with None in none of ours.
    ///
    /// The kernel takes a thread by number here: it is looked up in its own directory before and after, with what is
    /// said at [`Thread::pin`].
    ///
    /// Takes some 12 us among others, but the first after a pause waits until the kernel has seen all CPUs (an RCU
    /// grace period), several milliseconds, if the hierarchy is not mounted with `favordynmods` (Linux 6.0).
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
        let number = tid.0.to_string();
        let put = || write(&path.join(self.version.threads_file()), &number);
        let outcome = match put() {
            // Somebody has taken its process to another domain.
            Err(error) if error.errno() == Some(Errno::OPNOTSUPP) => match group {
                Some(_) => v2::bring_in(&self.own, &number).and_then(|()| put()),
                None => Ok(()),
            },
            outcome => outcome,
        };
        outcome.map_err(|error| match error.errno() {
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
        let path = &self.directory(group)?.path;
        let text = read(&path.join(self.version.threads_file()))?;
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
        self.version.stat(&text).ok_or_else(|| {
            let expected = "nr_periods, nr_throttled and the time throttled";
            HostError::malformed(path.display().to_string(), &text, expected)
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
                // One that we had on a directory that is gone.
                self.lock = None;
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
        let directory = Directory {
            path: path.clone(),
            is_there: false,
            in_force: is_new.then_some(CpuLimits::DEFAULT),
        };
        // Known before it is whole, so that it is removed whatever comes.
        let directory = self.directories.entry(group).insert_entry(directory);
        match (self.version, parent) {
            (CgroupVersion::One, _) => {}
            (CgroupVersion::Two, None) => v2::prepare_root(&self.own, &path)?,
            (CgroupVersion::Two, Some(_)) => v2::prepare(&path)?,
        }
        directory.into_mut().is_there = true;
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
            self.leave();
        }
        Ok(())
    }

    /// The root group's directory is gone.
    fn leave(&mut self) {
        self.lock = None;
        if self.version == CgroupVersion::Two {
            v2::switch_off(&self.own);
        }
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
            self.leave();
        }
    }
}

/// How the directories of supervisors' root groups begin; their number follows.
const PREFIX: &str = "pinfold-";

/// Longer than what a file of limits holds.
const LINE: usize = 64;

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
