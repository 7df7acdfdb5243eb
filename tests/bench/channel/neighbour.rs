//! What a guest's noise costs another's agent: round trips of a machine `good` on one CPU beside a machine
//! `bad` on the other, which computes, or attacks the channel.

use super::{Figures, Rounds, script};
use crate::support::{Run, two_cpus};

/// Of each kind of neighbour, one after the other, so that the host's noise meets all of them.
const ROUNDS: usize = 10;
const EACH: usize = 500;
/// Lines of a neighbour's script: enough to last as long as a round, as a script's bytes allow.
const LINES: usize = 1_200;

const GOAL: f64 = 1.2;

/// Neighbours, the harmless one first: what each does over and over.
const NEIGHBOURS: [(&str, &[&str]); 6] = [
    ("computes", &["forever"]),
    ("asks", &["ping 1000"]),
    ("floods", &["flood 1000"]),
    ("half-opens", &["half-open 500", "disconnect"]),
    ("sends garbage", &["garbage", "huge"]),
    (
        "does all of it",
        &[
            "flood 200",
            "half-open 100",
            "disconnect",
            "unprivileged",
            "garbage",
            "badqueue loop",
            "badqueue outside",
        ],
    ),
];

pub fn bench() {
    println!("channel: an agent's round trips beside another guest, each on a CPU of its own");
    let Some(cpus) = two_cpus() else {
        return;
    };
    let mut beside: [Vec<Figures>; NEIGHBOURS.len()] = Default::default();
    let mut lasted = [true; NEIGHBOURS.len()];
    for _ in 0..ROUNDS {
        for (index, (_, lines)) in NEIGHBOURS.iter().enumerate() {
            let (figures, to_the_end) = round(cpus, lines);
            beside[index].push(figures);
            lasted[index] &= to_the_end;
        }
    }
    let beside = beside.map(Rounds);
    let [harmless, ..] = &beside;
    for (((name, _), rounds), lasted) in NEIGHBOURS.iter().zip(&beside).zip(lasted) {
        rounds.row(&format!("beside one that {name}"), EACH);
        let ratio = rounds.p99().as_secs_f64() / harmless.p99().as_secs_f64();
        let verdict = if ratio <= GOAL { "reached" } else { "MISSED" };
        println!(
            "  {:<44} ratio of p99 {ratio:.2}, goal at most {GOAL} : {verdict}",
            ""
        );
        if !lasted {
            println!("  {:<44} in some rounds it ended before the other", "");
        }
    }
}

/// One round of `good`'s, and whether `bad` was at work until its end.
fn round((first, second): (u32, u32), bad: &[&str]) -> (Figures, bool) {
    let good = [
        "print up".into(),
        "sleep 50ms".into(),
        format!("ping {EACH}"),
    ];
    let bad = std::iter::once("print up").chain(bad.iter().copied().cycle().take(LINES));
    let spec = format!(
        r#"
[hierarchy.placement]
subsystems = ["cpuset"]
[group."placement:/good"]
files = {{ "cpuset.cpus" = "{first}" }}
[group."placement:/bad"]
files = {{ "cpuset.cpus" = "{second}" }}
[vm.good]
memory = "16M"
vcpus = 1
groups = ["placement:/good"]
agent = "delegate"
guest = {{ tiny = [{}] }}
[vm.bad]
memory = "16M"
vcpus = 1
groups = ["placement:/bad"]
agent = "delegate"
guest = {{ tiny = [{}] }}
"#,
        script(good),
        script(bad)
    );
    let mut run = Run::start(&spec);
    run.line("bad | vcpu0: up");
    let figures = Figures::of(&mut run, "good", "ping");
    let report = run.report();
    let bad = report.machines.iter().find(|machine| machine.name == "bad");
    let at_work = bad.is_some_and(|bad| bad.state == "running");
    if at_work {
        run.must("vm stop --force bad");
    }
    run.end();
    (figures, at_work)
}
