//! How much a guest can say and make, and how much it is answered at once.

#[path = "support/guest.rs"]
mod guest;
mod support;

use container_core::Errno::*;
use container_core::ViewAccess::Delegate;
use container_core::*;
use guest::*;

#[test]
fn sizes_that_a_guest_can_cause_are_bounded() {
    let mut house = House::new(Delegate);
    let long = "1".repeat(MAX_VIEW_VALUE + 1);
    assert_refusals(
        &mut house,
        &[
            (
                set("p:/hot", "cpuset.cpus", &long),
                E2BIG,
                "a value of 4097 bytes is past 4096",
            ),
            (
                set("p:/hot", "tasks", &long),
                E2BIG,
                "a value of 4097 bytes is past 4096",
            ),
        ],
    );
    // The longest echo there is still fits a frame of the agent's channel, which is 64 KiB.
    let garbage = "\u{1}".repeat(MAX_VIEW_VALUE);
    for file in [
        "cpuset.cpus",
        "cpuset.placement",
        "notify_on_release",
        "cgroup.max.depth",
        "tasks",
    ] {
        let (errno, rule) = house.refused(set("p:/hot", file, &garbage));
        assert_eq!((errno, rule.len() < 48 * 1024), (EINVAL, true), "{file}");
    }
    let many = vec![set("p:/hot", "notify_on_release", "1"); MAX_VIEW_COMMANDS + 1];
    let refusal = house.ask(&many).unwrap_err();
    assert_eq!((refusal.errno, refusal.command), (E2BIG, MAX_VIEW_COMMANDS));
    house.ask(&many[1..]).unwrap();
    let mut deep = String::from("p:");
    for _ in 0..MAX_VIEW_DEPTH {
        deep += "/d";
        house.ask(&[make(&deep)]).unwrap();
    }
    let past = "is past the limits of a view: 256 groups and 8 levels below its root";
    let deeper = deep + "/d";
    assert_refusals(
        &mut house,
        &[(make(&deeper), EAGAIN, &format!("{deeper} {past}"))],
    );
}

#[test]
fn a_guest_that_makes_groups_without_end_comes_to_an_end() {
    let mut house = House::new(Delegate);
    let mut made = 0;
    for round in 0..20 {
        let batch: Vec<ViewCommand> = (0..MAX_VIEW_COMMANDS)
            .map(|number| make(&format!("p:/{round}-{number}")))
            .collect();
        match house.ask(&batch) {
            Ok(_) => made += MAX_VIEW_COMMANDS,
            Err(refusal) => {
                // `hot` counts too.
                assert_eq!(refusal.errno, EAGAIN);
                let left = MAX_VIEW_GROUPS as usize - 1 - made;
                assert_eq!(refusal.command, left.min(MAX_VIEW_COMMANDS));
                house.ask(&batch[..left]).unwrap();
                made += left;
            }
        }
    }
    assert_eq!(
        house
            .bench
            .framework
            .walk(&"p".parse().unwrap())
            .unwrap()
            .len(),
        3 + 1 + 256
    );
    house.ask(&[remove("p:/0-0"), make("p:/again")]).unwrap();
    // Reading a full view takes several pages, each bounded whatever is asked for.
    let hierarchy = "p".parse().unwrap();
    let page = house
        .bench
        .framework
        .view_tree(house.web, &hierarchy, None, usize::MAX);
    let (page, more) = page.unwrap();
    assert_eq!((page.len(), more), (MAX_VIEW_PAGE, true));
}
