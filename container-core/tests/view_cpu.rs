//! A guest's paths lead to the groups whose CPU time is limited, as far as its view goes.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

#[path = "support/guest.rs"]
mod guest;
mod support;

use container_core::*;
use guest::*;
use support::*;

#[test]
fn a_guest_reads_what_was_counted_of_the_group_that_it_names_so() {
    let mut bench = Bench::new();
    bench.run(&[
        mount("c", &["cpu"]),
        mkdir("c:/gold"),
        mkdir("c:/gold/web"),
        mkdir("c:/gold/web/hot"),
        mkdir("c:/hot"),
        mkdir("p:/web"),
    ]);
    let roots = ["c:/gold/web", "p:/web"].map(group);
    let machine = "web".parse().unwrap();
    let framework = &mut bench.framework;
    let view = framework
        .open_view(machine, ViewAccess::Read, &roots)
        .unwrap();
    let named = [("c:/", "c:/gold/web"), ("c:/hot", "c:/gold/web/hot")];
    for (nr_periods, (guests, hosts)) in (10..).zip(named) {
        let known = framework.cpu_group(&group(hosts)).unwrap();
        framework.view_note_cpu_stat(view, &path(guests), |asked| {
            assert_eq!(asked, known);
            Some(CpuStat {
                nr_periods,
                ..CpuStat::default()
            })
        });
        let text = framework
            .view_read(view, &path(guests), "cpu.stat")
            .unwrap();
        assert!(
            text.starts_with(&format!("nr_periods {nr_periods}\n")),
            "{text}"
        );
    }
    // A group that is not in the view has no number there, nor one of a hierarchy without limits.
    for none in ["c:/gold", "p:/", "b:/"] {
        let asked = |asked| panic!("{none} is taken for {asked}");
        framework.view_note_cpu_stat(view, &path(none), asked);
    }
    framework.close_view(view);
    let asked = |_| panic!("the view is closed");
    framework.view_note_cpu_stat(view, &path("c:/"), asked);
}
