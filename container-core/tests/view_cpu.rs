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
fn a_group_that_a_guest_names_is_limited_under_the_number_that_the_host_knows() {
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
    for (guests, hosts) in [("c:/", "c:/gold/web"), ("c:/hot", "c:/gold/web/hot")] {
        let known = framework.cpu_group(&group(hosts));
        assert!(known.is_some());
        assert_eq!(framework.view_cpu_group(view, &path(guests)), known);
    }
    // A group that is not in the view has no number there, nor one of a hierarchy without limits.
    for none in ["c:/gold", "p:/", "b:/"] {
        assert_eq!(framework.view_cpu_group(view, &path(none)), None, "{none}");
    }
    framework.close_view(view);
    assert_eq!(framework.view_cpu_group(view, &path("c:/")), None);
}
