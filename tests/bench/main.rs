//! `cargo bench`: what Pinfold costs, each figure beside a floor or a peer of the same run.
//!
//! The machine these are run on is shared and noisy: quote medians and ratios. Nothing here fails for
//! being slow; what is over its goal says so in its own line.

#[path = "../support/mod.rs"]
mod support;

mod channel;
mod cpu;
mod moves;
mod overhead;
mod serve;
mod start;

use std::time::Duration;

fn main() {
    // libtest's flags (`cargo bench -- start` filters, `--bench` is always there).
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| filter.as_deref().is_none_or(|filter| name.contains(filter));
    if !support::kvm() {
        return;
    }
    if wanted("start") {
        start::bench();
    }
    if wanted("overhead") {
        overhead::bench();
    }
    if wanted("moves") {
        moves::bench();
    }
    if wanted("cpu") {
        cpu::bench();
    }
    for (name, bench) in channel::PARTS.into_iter().chain(serve::PARTS) {
        if wanted(name) {
            bench();
        }
    }
}

/// A sample of times, sorted.
struct Sample(Vec<Duration>);

impl Sample {
    fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Sample(times)
    }

    fn quantile(&self, of_a_hundred: usize) -> Duration {
        self.0[(self.0.len() - 1) * of_a_hundred / 100]
    }

    fn median(&self) -> Duration {
        self.quantile(50)
    }

    fn row(&self, name: &str) {
        println!(
            "  {name:<44} min {:>9.2?}  median {:>9.2?}  p90 {:>9.2?}  p99 {:>9.2?}  n {}",
            self.0[0],
            self.median(),
            self.quantile(90),
            self.quantile(99),
            self.0.len()
        );
    }

    /// This median as a multiple of another's, beside what was to be reached.
    fn against(&self, name: &str, other: &Sample, goal: f64) {
        let ratio = self.median().as_secs_f64() / other.median().as_secs_f64();
        let verdict = if ratio <= goal { "reached" } else { "MISSED" };
        println!("  {name:<44} ratio of medians {ratio:.2}, goal at most {goal} : {verdict}");
    }

    /// The median and the 99th of a hundred, beside what was to be reached.
    fn within(&self, name: &str, p50: Duration, p99: Duration) {
        let verdict = |is: Duration, goal| if is < goal { "reached" } else { "MISSED" };
        println!(
            "  {name:<44} p50 under {p50:.2?} : {}, p99 under {p99:.2?} : {}",
            verdict(self.median(), p50),
            verdict(self.quantile(99), p99)
        );
    }
}
