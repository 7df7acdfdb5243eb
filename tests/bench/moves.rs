//! A vCPU's move to another group: pin and exact sample included, timed inside the keeper, beside the
//! kernel's own move of the same thread by a write to a cgroup-v1 `tasks` file.

use std::time::{Duration, Instant};

use crate::Sample;
use crate::support::cage::Cage;
use crate::support::{Run, task, two_cpus};

const ROUNDS: usize = 6;
const MOVES_A_ROUND: usize = 60;

pub fn bench() {
    let Some((first, second)) = two_cpus() else {
        return;
    };
    let (one, other, both) = (
        first.to_string(),
        second.to_string(),
        format!("{first},{second}"),
    );
    println!("moves: a vCPU between two groups, by Pinfold and by the kernel's cgroup v1");
    compare("halted", "halt", [&one, &both], 0.6);
    compare("halted, other CPU", "halt", [&one, &other], 0.6);
    compare("burning", "forever", [&one, &both], 2.0);
    compare("burning, other CPU", "forever", [&one, &other], 2.0);
}

fn compare(name: &str, verb: &str, cpus: [&str; 2], goal: f64) {
    let spec = format!(
        r#"
[hierarchy.placement]
subsystems = ["cpuset", "cpuacct"]
[group."placement:/a"]
files = {{ "cpuset.cpus" = "{}" }}
[group."placement:/b"]
files = {{ "cpuset.cpus" = "{}" }}
[vm.m]
memory = "16M"
vcpus = 1
guest = {{ tiny = ["print up", "{verb}"] }}
groups = ["placement:/a"]
"#,
        cpus[0], cpus[1]
    );
    let (Some(cage_a), Some(cage_b)) = (Cage::with_cpus(cpus[0]), Cage::with_cpus(cpus[1])) else {
        return;
    };
    let mut run = Run::start(&spec);
    run.line("m | vcpu0: up");
    let report = run.report_where("the counter is open", |report| {
        task(report, "m/vcpu0").accuracy == "exact"
    });
    let tid = task(&report, "m/vcpu0").tid;
    let (mut ours, mut kernels) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for step in 0..MOVES_A_ROUND {
            let answer = run.must(&format!(
                "group attach placement:/{} m/vcpu0",
                ["b", "a"][step % 2]
            ));
            ours.push(took(&answer));
            // Back to where it rests or burns undisturbed.
            std::thread::sleep(Duration::from_micros(500));
        }
        for step in 0..MOVES_A_ROUND {
            let cage = [&cage_b, &cage_a][step % 2];
            let began = Instant::now();
            cage.put_thread(tid);
            kernels.push(began.elapsed());
            std::thread::sleep(Duration::from_micros(500));
        }
        cage_a.free_thread(tid);
    }
    let (ours, kernels) = (Sample::new(ours), Sample::new(kernels));
    kernels.row(&format!("{name}: cgroup-v1 tasks write"));
    ours.row(&format!("{name}: pinfold"));
    ours.against(&format!("{name}: pinfold / cgroup v1"), &kernels, goal);
    run.must("vm stop --force m");
    run.end();
}

/// `ok …: N effects in T ns`
fn took(answer: &str) -> Duration {
    let mut words = answer.split_whitespace().rev();
    let number = words.nth(1).and_then(|number| number.parse().ok());
    Duration::from_nanos(number.unwrap_or_else(|| panic!("no time in {answer:?}")))
}
