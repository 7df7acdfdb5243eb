//! What a guest's noise costs another's agent: round trips of a machine `good` on one CPU beside a machine
//! `bad` on the other, which computes, or attacks the channel.

use super::{Figures, Rounds, script};
use crate::support::{Run, two_cpus};

/// Of each kind of neighbour, one after the other, so that the host's noise meets all of them.
const ROUNDS: usize = 6;
/// Round trips in a row, as many as the session's limit allows, and how often in a round.
const EACH: usize = 200;
const BURSTS: usize = 8;
/// After which the session may send as many again.
const REFILL: &str = "sleep 70ms";
/// Bytes of a neighbour's script: it is to last as long as a round, and 64 KiB are the most.
const SCRIPT_BYTES: usize = 60_000;
/// What a step takes beside its text.
const STEP_BYTES: usize = 24;

const GOAL: f64 = 1.2;

/// Neighbours, the harmless one first: what each does over and over.
const NEIGHBOURS: [(&str, &[&str]); 7] = [
    ("computes", &["forever"]),
    (
        "prints",
        &["print the quick brown fox jumps over the lazy dog, and the lazy dog does not mind"],
    ),
    ("asks", &["ping 1000"]),
    ("floods", &["flood 1000"]),
    ("half-opens", &["half-open 1000", "disconnect"]),
    (
        "breaks its queues",
        &["badqueue loop", "badqueue outside", "badqueue jump"],
    ),
    ("does all of it", &ALL_OF_IT),
];

/// After `garbage` no session is opened for a second, which is spent on something else.
const ALL_OF_IT: [&str; 18] = {
    let mut lines = ["unprivileged"; 18];
    (lines[0], lines[1]) = ("flood 500", "garbage");
    let mut at = 2;
    while at < 17 {
        lines[at] = "half-open 1000";
        lines[at + 1] = "disconnect";
        lines[at + 2] = "badqueue jump";
        at += 3;
    }
    lines
};

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
            beside[index].extend(figures);
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
fn round((first, second): (u32, u32), bad: &[&str]) -> (Vec<Figures>, bool) {
    let burst = [REFILL.into(), format!("ping {EACH}")];
    let good = std::iter::repeat_n(burst, BURSTS).flatten();
    let mut room = SCRIPT_BYTES;
    let bad = bad.iter().copied().cycle().take_while(|line| {
        let fits = room >= STEP_BYTES + line.len();
        room -= fits as usize * (STEP_BYTES + line.len());
        fits
    });
    let bad = std::iter::once("print up").chain(bad);
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
        script(good.chain(["print measured".into(), "halt".into()])),
        script(bad)
    );
    let mut run = Run::start(&spec);
    run.line("bad | vcpu0: up");
    let figures = (0..BURSTS).map(|_| Figures::of(&mut run, "good", "ping"));
    let figures = figures.collect();
    let report = run.report();
    let bad = report.machines.iter().find(|machine| machine.name == "bad");
    let at_work = bad.is_some_and(|bad| bad.state == "running");
    if at_work {
        run.must("vm stop --force bad");
    }
    run.must("vm stop --force good");
    run.end();
    (figures, at_work)
}
