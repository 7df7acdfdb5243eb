//! A guest's agent asks the supervisor, and is asked, beside the least that a round trip could cost: an exit to
//! ask and one to be answered.

use std::time::Duration;

use super::{Figures, Rounds, number_after, script};
use crate::Sample;
use crate::support::{Run, two_cpus};

const ROUNDS: usize = 20;
/// Fewer than a session may send in a row (`BURST` in the supervisor's `agent/rate.rs`): more would measure its
/// limit, one round trip in 64 held up for the rest of 16 ms.
const EACH: usize = 200;
/// After which a session may send as many again.
const REFILL: &str = "sleep 100ms";
/// Questions of the host's.
const ASKS: usize = 500;

pub fn bench() {
    println!("channel: round trips between a guest's agent and the supervisor");
    let Some((first, second)) = two_cpus() else {
        return;
    };
    round_trips("any CPU", &format!("{first},{second}"));
    round_trips("machine on one CPU", &first.to_string());
}

fn round_trips(name: &str, cpus: &str) {
    let measure = [
        format!("exits {EACH}"),
        REFILL.into(),
        format!("ping {EACH}"),
    ];
    let lines = std::iter::repeat_n(measure, ROUNDS).flatten();
    let lines = lines.chain(["print measured".into(), "serve".into()]);
    let spec = format!(
        r#"
[hierarchy.placement]
subsystems = ["cpuset"]
[group."placement:/pen"]
files = {{ "cpuset.cpus" = "{cpus}" }}
[vm.m]
memory = "16M"
vcpus = 1
groups = ["placement:/pen"]
agent = "delegate"
guest = {{ tiny = [{}] }}
"#,
        script(lines)
    );
    let mut run = Run::start(&spec);
    let (mut exits, mut pings) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let exit = Figures::of(&mut run, "m", "exits");
        // Two of them, each of the pair as slow as the quantile says.
        exits.push(Figures {
            p50: exit.p50 * 2,
            p99: exit.p99 * 2,
        });
        pings.push(Figures::of(&mut run, "m", "ping"));
    }
    let (exits, pings) = (Rounds(exits), Rounds(pings));
    run.line("m | vcpu0: measured");
    let asks = (0..ASKS).map(|_| {
        let answer = run.must("agent ping m");
        let answered = Duration::from_micros(number_after(&answer, "in"));
        // Long enough that the guest halts, as it would between questions.
        std::thread::sleep(Duration::from_micros(500));
        answered
    });
    let asks = Sample::new(asks.collect());
    exits.row(&format!("{name}: two bare exits"), EACH);
    pings.row(&format!("{name}: the guest asks"), EACH);
    let ratio = |of: Duration, to: Duration| of.as_secs_f64() / to.as_secs_f64();
    println!(
        "  {:<44} p50 {:.2}  p99 {:.2}",
        format!("{name}: the guest asks / two exits"),
        ratio(pings.p50(), exits.p50()),
        ratio(pings.p99(), exits.p99())
    );
    asks.row(&format!("{name}: the host asks"));
    run.must("vm stop --force m");
    run.end();
}
