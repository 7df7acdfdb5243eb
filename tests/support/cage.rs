//! A scratch cpuset of the kernel's (cgroup v1), to be refused by.
//!
//! Only decimal ids of threads that a test's own run has started are written into it, and it is removed
//! however the test ends: what still stands in it is moved back to where the test itself stands.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const MOUNT: &str = "/sys/fs/cgroup/cpuset";

/// Far longer than another test's cpuset is exclusive.
const EXCLUSIVE: Duration = Duration::from_secs(5);

/// A cpuset below the one that the test stands in.
pub struct Cage {
    path: PathBuf,
    home: PathBuf,
}

impl Cage {
    /// A cage with one CPU; None, with the reason printed, where the host has no writable v1 cpuset.
    pub fn new(cpu: u32) -> Option<Cage> {
        Cage::with_cpus(&cpu.to_string())
    }

    /// A cage with a list of CPUs.
    pub fn with_cpus(cpus: &str) -> Option<Cage> {
        if !Path::new(MOUNT).join("cpuset.cpus").exists() {
            println!("SKIPPED: no cgroup-v1 cpuset is mounted at {MOUNT}");
            return None;
        }
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let line = own
            .lines()
            .find(|line| line.split(':').nth(1) == Some("cpuset"))?;
        let home = Path::new(MOUNT).join(line.splitn(3, ':').nth(2)?.trim_start_matches('/'));
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = home.join(format!("pinfold-test-{}-{number}", std::process::id()));
        if let Err(error) = fs::create_dir(&path) {
            println!("SKIPPED: no scratch cpuset can be made: {error}");
            return None;
        }
        let cage = Cage { path, home };
        let mems = fs::read_to_string(cage.home.join("cpuset.mems")).ok()?;
        cage.write("cpuset.mems", mems.trim());
        cage.set_cpus(cpus);
        Some(cage)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn set_cpus(&self, cpus: &str) {
        self.write("cpuset.cpus", cpus);
    }

    /// Put one thread of the test's own run in.
    pub fn put_thread(&self, tid: u32) {
        self.write("tasks", &tid.to_string());
    }

    /// Put all threads of a process of the test's own run in.
    pub fn put_process(&self, pid: u32) {
        self.write("cgroup.procs", &pid.to_string());
    }

    /// Let one thread out.
    pub fn free_thread(&self, tid: u32) {
        fs::write(self.home.join("tasks"), tid.to_string()).expect("a thread goes home");
    }

    /// A test of the framework beside this one may have an exclusive cpuset for some milliseconds, and
    /// no other may overlap it meanwhile.
    fn write(&self, file: &str, value: &str) {
        let begun = Instant::now();
        loop {
            match fs::write(self.path.join(file), value) {
                Ok(()) => return,
                Err(error)
                    if error.kind() == ErrorKind::InvalidInput && begun.elapsed() < EXCLUSIVE =>
                {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("{file} = {value}: {error}"),
            }
        }
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        for tid in fs::read_to_string(self.path.join("tasks"))
            .unwrap_or_default()
            .lines()
        {
            let _ = fs::write(self.home.join("tasks"), tid);
        }
        for _ in 0..500 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        println!("a scratch cpuset is left at {}", self.path.display());
    }
}
