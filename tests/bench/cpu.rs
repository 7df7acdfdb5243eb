//! CPU limits by the kernel's clock: what busy guests get of what they may have, by each of the two that limit.
//!
//! A busy neighbour of the host's would take what a guest may have; so that the figures are of the limit and not of the
//! host, the runs stand in a scratch cgroup with all the shares that there are, where there is one to be had.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::kernel::cpu_time;
use crate::support::{Run, kernel, task};

/// Measured for this long.
const WINDOW: Duration = Duration::from_secs(10);
/// Runs of each.
const ROUNDS: usize = 3;
/// What a quota may be off by, of one CPU; and shares, of their ratio.
const GOALS: [f64; 2] = [0.05, 0.10];

pub fn bench() {
    let favour = Favour::new();
    println!(
        "cpu: what busy guests on one CPU use in {WINDOW:?}, by schedstat{}",
        if favour.is_some() {
            ""
        } else {
            "; among whatever else runs here"
        }
    );
    for controller in ["kernel", "own"] {
        if controller == "kernel" && host::CpuController::find().is_err() {
            println!("  kernel: no cpu controller of the kernel's can be written to here");
            continue;
        }
        for _ in 0..ROUNDS {
            quota(controller);
        }
        for _ in 0..ROUNDS {
            shares(controller);
        }
    }
}

fn verdict(is: bool) -> &'static str {
    if is { "reached" } else { "MISSED" }
}

fn quota(controller: &str) {
    let mut busy = Busy::start(controller, &[r#""cpu.cfs_quota_us" = "50000""#]);
    let window = busy.measure();
    let rate = window.rates[0];
    let off = (rate - 0.5).abs();
    println!(
        "  {controller:<7} quota of 50 % of a CPU: {:.2} %, {:.1} % waited; goal 50 ± 5 : {}; supervisor {:.2} % of a CPU",
        rate * 100.0,
        window.waits[0] * 100.0,
        verdict(off <= GOALS[0]),
        window.supervisor * 100.0
    );
    println!(
        "          cpu.stat {}",
        busy.run.file("limits:/g0", "cpu.stat")
    );
    busy.end();
}

fn shares(controller: &str) {
    let groups = [r#""cpu.shares" = "1024""#, r#""cpu.shares" = "3072""#];
    let mut busy = Busy::start(controller, &groups);
    let window = busy.measure();
    let ratio = window.rates[1] / window.rates[0];
    let together: f64 = window.rates.iter().sum();
    let off = (ratio / 3.0 - 1.0).abs();
    println!(
        "  {controller:<7} shares of 1:3 of a CPU: 1:{ratio:.2}, together {:.1} % of it; goal 1:3 ± 10 % : {}; supervisor {:.2} % of a CPU",
        together * 100.0,
        verdict(off <= GOALS[1]),
        window.supervisor * 100.0
    );
    busy.end();
}

/// Busy guests on one CPU, a group each.
struct Busy {
    run: Run,
    vcpus: Vec<(u32, u32)>,
}

/// What came of it, each as a part of one CPU.
struct Window {
    rates: Vec<f64>,
    waits: Vec<f64>,
    supervisor: f64,
}

impl Busy {
    fn start(controller: &str, groups: &[&str]) -> Busy {
        let cpus = host::topology::resources()
            .expect("the host tells")
            .allowed_cpus;
        let cpu = cpus.iter().last().expect("a CPU");
        let mut spec = format!(
            r#"
[hierarchy.limits]
subsystems = ["cpu"]
[hierarchy.placement]
subsystems = ["cpuset"]
[group."placement:/one"]
files = {{ "cpuset.cpus" = "{cpu}" }}
"#
        );
        for (index, files) in groups.iter().enumerate() {
            spec += &format!(
                r#"
[group."limits:/g{index}"]
files = {{ {files} }}
[vm.m{index}]
memory = "16M"
vcpus = 1
guest = {{ tiny = ["print up", "burn 100s"] }}
groups.vcpu = ["limits:/g{index}", "placement:/one"]
groups.io = ["limits:/g{index}"]
groups.control = ["limits:/g{index}"]
"#
            );
        }
        let mut run = Run::start_with(&spec, &["--cpu-controller", controller]);
        for index in 0..groups.len() {
            run.line(&format!("m{index} | vcpu0: up"));
        }
        let report = run.report();
        let of = |index: usize| {
            let name = format!("m{index}");
            let machine = report.machines.iter().find(|machine| machine.name == name);
            let tid = task(&report, &format!("{name}/vcpu0")).tid;
            (machine.expect("it runs").pid, tid)
        };
        let vcpus = (0..groups.len()).map(of).collect();
        // The first period is no whole one.
        std::thread::sleep(Duration::from_millis(500));
        Busy { run, vcpus }
    }

    fn measure(&mut self) -> Window {
        let read = |vcpus: &[(u32, u32)]| -> Vec<(u64, u64)> {
            let both =
                |(pid, tid): &(u32, u32)| (cpu_time(*pid, *tid), kernel::wait_time(*pid, *tid));
            vcpus.iter().map(both).collect()
        };
        let supervisor = self.run.pid();
        let own = || -> u64 {
            let tids = kernel::threads(supervisor);
            tids.into_iter().map(|tid| cpu_time(supervisor, tid)).sum()
        };
        let (before, own_before, at) = (read(&self.vcpus), own(), Instant::now());
        std::thread::sleep(WINDOW);
        let (after, own_after) = (read(&self.vcpus), own());
        let wall = at.elapsed().as_nanos() as f64;
        let part = |more: u64| more as f64 / wall;
        let both = || after.iter().zip(&before);
        Window {
            rates: both()
                .map(|(after, before)| part(after.0 - before.0))
                .collect(),
            waits: both()
                .map(|(after, before)| part(after.1 - before.1))
                .collect(),
            supervisor: part(own_after - own_before),
        }
    }

    fn end(mut self) {
        for index in 0..self.vcpus.len() {
            self.run.must(&format!("vm stop --force m{index}"));
        }
        self.run.end();
    }
}

/// A scratch cgroup with all the shares that there are, and this process in it.
struct Favour {
    directory: PathBuf,
    home: PathBuf,
}

impl Favour {
    fn new() -> Option<Favour> {
        let root = host::CpuController::find().ok()?.root();
        let home = root.parent()?.to_owned();
        let pid = std::process::id();
        let directory = home.join(format!("pinfold-bench-{pid}"));
        fs::create_dir(&directory).ok()?;
        let favour = Favour { directory, home };
        fs::write(favour.directory.join("cpu.shares"), "262144").ok()?;
        fs::write(favour.directory.join("cgroup.procs"), pid.to_string()).ok()?;
        Some(favour)
    }
}

impl Drop for Favour {
    fn drop(&mut self) {
        let pid = std::process::id().to_string();
        let _ = fs::write(self.home.join("cgroup.procs"), pid);
        let _ = fs::remove_dir(&self.directory);
    }
}
