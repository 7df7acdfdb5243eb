//! `cargo bench -p container-core`: what the framework costs as it fills, what it weighs, and what
//! the kernel takes for the same.
//!
//! The machine these are run on is shared and noisy: what is compared takes turns in many short rounds,
//! and both the median of the rounds and the least of them are told. The least is held against the
//! goals, since a neighbour can only add. Nothing here fails for being slow; what is over its goal says
//! so in its own line.

#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot be set up has nothing to measure"
)]

#[path = "../../../tests/support/cage.rs"]
#[allow(dead_code, reason = "the black-box tests use the rest of it")]
mod cage;
mod floor;
mod kernel;
mod memory;
mod operations;
mod village;

fn main() {
    // libtest's flags (`cargo bench -- memory` filters, `--bench` is always there).
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    // Memory first, while the allocator has nothing to hand out again.
    for (name, bench) in [
        ("memory", memory::bench as fn()),
        ("operations", operations::bench),
        ("listing", operations::listing),
        ("kernel", kernel::bench),
    ] {
        if filter.as_deref().is_none_or(|filter| name.contains(filter)) {
            bench();
        }
    }
}

/// What a row says of its goal.
fn verdict(is: f64, at_most: f64) -> String {
    let verdict = if is <= at_most { "reached" } else { "MISSED" };
    format!("goal at most {at_most} : {verdict}")
}

/// What all rounds of one thing took, in ns an operation.
#[derive(Default)]
struct Sample(Vec<f64>);

impl Sample {
    /// The middle round.
    fn median(&self) -> f64 {
        let mut rounds = self.0.clone();
        rounds.sort_unstable_by(f64::total_cmp);
        rounds[rounds.len() / 2]
    }

    /// The round that was disturbed least.
    fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }
}
