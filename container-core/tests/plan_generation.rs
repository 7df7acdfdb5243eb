//! A plan says which generation it is good for.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

mod support;

use container_core::*;
use support::*;

#[test]
fn a_plan_is_of_the_generation_that_it_was_made_in_and_good_for_no_other() {
    let mut bench = Bench::new();
    let made = |bench: &mut Bench| {
        let (root, command) = (Credentials::ROOT, [mkdir("p:/a")]);
        [
            bench.framework.plan(&root, &command).unwrap(),
            bench.framework.plan_host_change(host()),
        ]
    };
    let now = bench.framework.generation();
    for path in ["p:/one", "p:/two"] {
        let plans = made(&mut bench);
        let generation = bench.framework.generation();
        assert_eq!(
            plans.each_ref().map(Plan::generation),
            [generation, generation]
        );
        bench.run(&[mkdir(path)]);
        for plan in plans {
            assert_eq!(plan.generation(), generation, "as it was made");
            let stale = bench.framework.commit(plan).unwrap_err();
            assert_eq!(stale.errno, Errno::ESTALE, "{stale}");
        }
    }
    assert_eq!(bench.framework.generation(), Generation(now.0 + 2));
}
