//! The framework held against the kernel that it is modelled on: random sequences done to both, to a
//! scratch cpuset of cgroup v1 and real threads, and every errno, file and affinity compared after each
//! step.
//!
//! `PINFOLD_DIFF_CASES` is the number of random sequences and `PINFOLD_DIFF_SEED` the seed of the first;
//! that of each next one is one more. A sequence that fails is shrunk, and printed with its seed.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

#[path = "kernel/asked.rs"]
mod asked;
#[path = "kernel/differences.rs"]
mod differences;
#[path = "kernel/directed.rs"]
mod directed;
#[path = "kernel/operation.rs"]
mod operation;
#[path = "kernel/pair.rs"]
mod pair;
#[path = "kernel/rows.rs"]
mod rows;
#[path = "kernel/scratch.rs"]
mod scratch;
#[path = "kernel/threads.rs"]
mod threads;

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use differences::DIFFERENCES;
use operation::{Sequence, sequences};
use pair::{Mismatch, Rig};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use scratch::Mount;

/// Random sequences of a run that is not told otherwise: seconds.
const CASES: u64 = 300;

#[test]
fn the_framework_does_what_the_kernel_does() {
    let mount = match Mount::find() {
        Ok(mount) => mount,
        Err(why) => return println!("SKIPPED: {why}"),
    };
    let (directed, random) = (directed::sequences(&mount), sequences(&mount));
    let (cases, seed) = (
        number("PINFOLD_DIFF_CASES").unwrap_or(CASES),
        number("PINFOLD_DIFF_SEED").unwrap_or_else(some_seed),
    );
    println!("PINFOLD_DIFF_CASES={cases} PINFOLD_DIFF_SEED={seed}");
    let rig = RefCell::new(Rig::new(mount));
    for sequence in &directed {
        if let Err(Mismatch(why)) = rig.borrow_mut().run(sequence) {
            panic!(
                "{why}\nin this sequence, written by hand:\n{}",
                listed(sequence)
            );
        }
    }
    for case in 0..cases {
        run_random(&rig, &random, seed.wrapping_add(case));
    }
    let rig = rig.into_inner();
    println!("{} and {cases} sequences\n{}", directed.len(), rig.coverage);
    for (difference, hits) in DIFFERENCES.iter().zip(&rig.differences) {
        println!("{hits:>9}  deliberately different: {}", difference.what);
    }
    assert_eq!(
        rig.coverage.missing(),
        [""; 0],
        "every row of the table is met"
    );
    assert!(
        !rig.differences.contains(&0),
        "every deliberate difference is met"
    );
}

/// One sequence from a seed; one that fails is shrunk to the least that does.
fn run_random(
    rig: &RefCell<Rig>,
    random: &impl proptest::strategy::Strategy<Value = Sequence>,
    seed: u64,
) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config {
        cases: 1,
        failure_persistence: None,
        max_shrink_iters: 4096,
        ..Config::default()
    };
    let outcome = TestRunner::new_with_rng(config, rng).run(random, |sequence| {
        let outcome = rig.borrow_mut().run(&sequence);
        outcome.map_err(|Mismatch(why)| TestCaseError::fail(why))
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, sequence)) => panic!(
            "{why}\nin this sequence, the least that fails:\n{}\n\
             to see it again: PINFOLD_DIFF_CASES=1 PINFOLD_DIFF_SEED={seed}",
            listed(&sequence)
        ),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

/// An operation a line.
fn listed(sequence: &Sequence) -> String {
    let ops = sequence.ops.iter().map(|op| format!("  {op:?}\n"));
    format!(
        "  exclusive: {}\n{}",
        sequence.exclusive,
        ops.collect::<String>()
    )
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")),
    )
}

fn some_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_micros()).unwrap()
}

#[test]
fn every_deliberate_difference_is_in_the_docs() {
    // Line breaks fall anywhere in a paragraph.
    let page = include_str!("../../docs/semantics.md")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    for difference in DIFFERENCES {
        let told = page.contains(difference.told);
        assert!(
            told,
            "docs/semantics.md does not tell of {}: {}",
            difference.what, difference.told
        );
    }
}
