//! The guest channel: round trips between a guest's agent and the supervisor, releases until a guest and the
//! host know of them, bytes over vsock, and what one guest's noise costs another.
//!
//! Times inside a guest are the guest's own, by its time-stamp counter.

mod kernel_agent;
mod neighbour;
mod releases;
mod round_trips;
mod throughput;

use std::time::Duration;

use crate::support::Run;

/// By name: `cargo bench -- channel` is all of them.
pub const PARTS: [(&str, fn()); 4] = [
    ("channel: round trips", round_trips::bench),
    ("channel: releases", releases::bench),
    ("channel: bytes", throughput::bench),
    ("channel: neighbour", neighbour::bench),
];

/// What a guest prints of many times that it has taken: `WHAT N: p50 X ns p99 Y ns`.
#[derive(Clone, Copy)]
struct Figures {
    p50: Duration,
    p99: Duration,
}

impl Figures {
    /// Wait for the next figures of a kind, of vCPU 0 of a machine.
    fn of(run: &mut Run, machine: &str, what: &str) -> Figures {
        let line = run.line(&format!("{machine} | vcpu0: {what} "));
        let after = |word| Duration::from_nanos(number_after(&line, word));
        let (p50, p99) = (after("p50"), after("p99"));
        Figures { p50, p99 }
    }
}

/// The number that follows a word of a line.
fn number_after(line: &str, word: &str) -> u64 {
    let mut words = line.split_whitespace();
    let number = words
        .find(|found| *found == word)
        .and_then(|_| words.next()?.trim_end_matches(',').parse().ok());
    number.unwrap_or_else(|| panic!("no number after {word:?}: {line:?}"))
}

/// Figures of several rounds.
struct Rounds(Vec<Figures>);

impl Rounds {
    fn p50(&self) -> Duration {
        median(self.0.iter().map(|round| round.p50))
    }

    fn p99(&self) -> Duration {
        median(self.0.iter().map(|round| round.p99))
    }

    fn row(&self, name: &str, each: usize) {
        let worst = self.0.iter().map(|round| round.p99).max();
        println!(
            "  {name:<44} p50 {:>9.2?}  p99 {:>9.2?}  (medians of {} rounds of {each}; worst p99 {:.2?})",
            self.p50(),
            self.p99(),
            self.0.len(),
            worst.unwrap_or_default(),
        );
    }
}

fn median<T: Ord + Copy>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values[(values.len() - 1) / 2]
}

/// A script, a line of the spec: each line in quotes.
fn script<L: AsRef<str>>(lines: impl IntoIterator<Item = L>) -> String {
    let quoted = lines.into_iter().map(|line| format!("{:?}", line.as_ref()));
    quoted.collect::<Vec<_>>().join(", ")
}
