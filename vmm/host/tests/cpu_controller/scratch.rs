//! A scratch cgroup with a controller in it, and groups to be made there.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use container_core::{Command, CpuGroup, CpuLimits, Credentials, Framework, HostResources};
use host::{CgroupVersion, CpuController};

/// A controller below a scratch cgroup of its own; what is left of it goes with this.
pub struct Scratch {
    pub directory: PathBuf,
    pub controller: Option<CpuController>,
    /// Whose root group the scratch cgroup is, so that it is made as version 2 wants it.
    outer: CpuController,
}

impl Scratch {
    pub fn new(name: &str) -> Option<Scratch> {
        let found = match CpuController::find() {
            Ok(found) => found,
            Err(why) => {
                println!("SKIPPED: {why}");
                return None;
            }
        };
        let (version, root) = (found.version(), found.root());
        println!("with {version} below {}", root.display());
        let name = format!("pinfold-test-{}-{name}", std::process::id());
        let own = root.parent().expect("our cgroup").to_owned();
        let mut outer = CpuController::below(version, own, name);
        let none = CpuLimits::DEFAULT;
        outer
            .limit(CpuGroup::ROOT, None, Some(&none))
            .expect("a scratch cgroup");
        let directory = outer.root();
        let inner = CpuController::below(version, directory.clone(), "pinfold-1".into());
        Some(Scratch {
            directory,
            controller: Some(inner),
            outer,
        })
    }

    pub fn version(&self) -> CgroupVersion {
        self.outer.version()
    }

    pub fn controller(&mut self) -> &mut CpuController {
        self.controller.as_mut().expect("it was not dropped")
    }

    /// Have a group be there with these limits.
    pub fn limit(&mut self, group: CpuGroup, parent: Option<CpuGroup>, limits: &CpuLimits) {
        let done = self.controller().limit(group, parent, Some(limits));
        done.expect("the kernel takes them");
    }

    pub fn read(&self, path: &str) -> String {
        let text = fs::read_to_string(self.directory.join(path)).expect("a control file");
        text.trim_end().to_owned()
    }

    pub fn has(&self, path: &str) -> bool {
        self.directory.join(path).exists()
    }

    /// Have our threads come before whoever else wants their CPU, so that it is the limit that is measured.
    pub fn come_first(&self) {
        let (file, most) = match self.version() {
            CgroupVersion::One => ("cpu.shares", "262144"),
            CgroupVersion::Two => ("cpu.weight", "10000"),
        };
        fs::write(self.directory.join(file), most).expect("our own group");
    }

    /// By each version's own names and words, which are not the code's that is tested.
    pub fn assert_limits(&self, path: &str, limits: &CpuLimits) {
        let read = |file: &str| self.read(&format!("{path}/{file}"));
        match self.version() {
            CgroupVersion::One => {
                assert_eq!(read("cpu.shares"), limits.shares.to_string());
                assert_eq!(read("cpu.cfs_period_us"), limits.period_us.to_string());
                let quota = limits.quota_us.map_or("-1".into(), |us| us.to_string());
                assert_eq!(read("cpu.cfs_quota_us"), quota);
            }
            CgroupVersion::Two => {
                let weight = (limits.shares as f64 * 100.0 / 1024.0).round().max(1.0);
                assert_eq!(read("cpu.weight"), weight.to_string());
                let quota = limits.quota_us.map_or("max".into(), |us| us.to_string());
                assert_eq!(read("cpu.max"), format!("{quota} {}", limits.period_us));
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.controller = None;
        // The threads of the test have gone back to the scratch cgroup and ended; the kernel may yet be at it.
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.outer.limit(CpuGroup::ROOT, None, None).is_err() && Instant::now() < deadline {
            sleep(Duration::from_millis(1));
        }
    }
}

/// Root, a group and one below it.
pub fn groups() -> [CpuGroup; 3] {
    made(["c:/a", "c:/a/in"])
}

/// Root and two groups.
pub fn siblings() -> [CpuGroup; 3] {
    made(["c:/a", "c:/b"])
}

fn made(paths: [&str; 2]) -> [CpuGroup; 3] {
    let mut framework = Framework::new(HostResources {
        allowed_cpus: "0".parse().expect("a list"),
        present_cpus: "0".parse().expect("a list"),
        possible_cpus: 1,
        mems: "0".parse().expect("a list"),
    });
    let mkdir = |path: &str| Command::Mkdir {
        group: path.parse().expect("a path"),
    };
    let mount = Command::Mount {
        hierarchy: "c".parse().expect("a name"),
        subsystems: vec!["cpu".into()],
    };
    let commands = [mount, mkdir(paths[0]), mkdir(paths[1])];
    let plan = framework
        .plan(&Credentials::ROOT, &commands)
        .expect("a plan");
    framework.commit(plan).expect("the same generation");
    let groups: Vec<CpuGroup> = framework.cpu_groups().map(|info| info.group).collect();
    groups.try_into().expect("three")
}

pub fn limits(shares: u64, quota_us: Option<u64>, period_us: u64) -> CpuLimits {
    CpuLimits {
        shares,
        quota_us,
        period_us,
    }
}
