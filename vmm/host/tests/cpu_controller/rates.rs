//! What limits come to, by the kernel's clock of threads that want all they can get.

use container_core::CpuLimits;

use crate::busy::{self, Busy};
use crate::scratch::{Scratch, groups, limits, siblings};

#[test]
fn a_quota_of_half_a_cpu_is_kept_and_what_it_held_is_counted() {
    let Some(mut scratch) = Scratch::new("quota") else {
        return;
    };
    let [root, a, _] = groups();
    scratch.limit(root, None, &CpuLimits::DEFAULT);
    scratch.limit(a, Some(root), &limits(1024, Some(50_000), 100_000));
    scratch.come_first();
    let busy = [Busy::start()];
    scratch
        .controller()
        .enroll(busy[0].thread(), Some(a))
        .unwrap();
    let ([used], wall) = busy::run(&busy, 2_000_000_000);
    let stat = scratch.controller().stat(a).unwrap();
    let share = used as f64 / wall as f64;
    println!("half a CPU: {used} of {wall} ns, {share:.3}; {stat:?}");
    // A busy host may give less, and nobody more: but for a period at either end.
    assert!(share < 0.55, "{share:.3} of a CPU");
    assert!(stat.nr_throttled > 0, "{stat:?}");
    assert!(stat.nr_throttled <= stat.nr_periods, "{stat:?}");
    scratch.controller().enroll(busy[0].thread(), None).unwrap();
}

#[test]
fn groups_with_shares_of_one_to_three_divide_a_cpu_so() {
    let Some(mut scratch) = Scratch::new("shares") else {
        return;
    };
    let [root, a, b] = siblings();
    scratch.limit(root, None, &CpuLimits::DEFAULT);
    scratch.limit(a, Some(root), &limits(1024, None, 100_000));
    scratch.limit(b, Some(root), &limits(3072, None, 100_000));
    scratch.come_first();
    let busy = [Busy::start(), Busy::start()];
    for (busy, group) in busy.iter().zip([a, b]) {
        scratch
            .controller()
            .enroll(busy.thread(), Some(group))
            .unwrap();
    }
    let ([few, many], _) = busy::run(&busy, 3_000_000_000);
    let ratio = many as f64 / few.max(1) as f64;
    println!("1:3 asked for: {few} to {many} ns is 1:{ratio:.2}");
    // On one CPU, whatever else runs there; left to itself the kernel makes it 1:1.
    assert!((1.8..5.0).contains(&ratio), "1:{ratio:.2}");
    for busy in &busy {
        scratch.controller().enroll(busy.thread(), None).unwrap();
    }
}
