//! What a batch asks of the host, how long its plan is good, and what its commit counts as.

mod support;

use container_core::*;
use support::*;

#[test]
fn a_birth_and_its_placement_are_one_pin_and_no_sample() {
    let mut bench = Bench::new();
    bench.run(&[mkcpuset("p:/gold", "0-1"), mkcpuset("p:/gold/web", "1")].concat());
    bench.run(&[mkdir("b:/tenant")]);
    let (control, fork_control) = bench.fork_command("web/control", None);
    let (vcpu, fork_vcpu) = bench.fork_command("web/vcpu0", Some(control));
    let batch = [
        fork_control,
        attach("p:/gold", control),
        attach("b:/tenant", control),
        fork_vcpu,
        attach("p:/gold/web", vcpu),
    ];
    let (effects, events) = bench.run(&batch);
    assert_eq!(effects, [pin(control, "0-1", None), pin(vcpu, "1", None)]);
    let kinds: Vec<bool> = events
        .iter()
        .map(|event| matches!(event, Event::TaskBorn { .. }))
        .collect();
    assert_eq!(kinds, [true, false, false, true, false]);
    let info = bench.framework.task(vcpu).unwrap();
    assert_eq!(info.groups, [group("p:/gold/web"), group("b:/tenant")]);
    assert_eq!(info.cpus, Some(cpus("1")));
}

#[test]
fn effects_are_coalesced_to_what_changes_in_the_end() {
    let mut bench = Bench::new();
    bench.run(
        &[
            mkcpuset("p:/a", "0"),
            mkcpuset("p:/b", "1"),
            mkcpuset("p:/c", "1"),
        ]
        .concat(),
    );
    bench.run(&[mkdir("b:/x"), mkdir("b:/y")]);
    let task = bench.fork("web/control", None);
    let (effects, _) = bench.run(&[attach("p:/a", task), attach("p:/b", task)]);
    assert_eq!(effects, [pin(task, "1", Some("0-3"))]);
    let (effects, events) = bench.run(&[attach("p:/c", task)]);
    assert_eq!(
        (effects.len(), events.len()),
        (0, 1),
        "the same CPUs in another group"
    );
    let (effects, _) = bench.run(&[attach("p:/a", task), attach("p:/c", task)]);
    assert_eq!(effects, []);
    let (effects, _) = bench.run(&[attach("b:/x", task), attach("b:/y", task)]);
    assert_eq!(effects, [sample(task)]);
    let (effects, _) = bench.run(&[attach("b:/x", task), attach("b:/y", task)]);
    assert_eq!(effects, [], "billed where it was");
    let reset = write("b:/y", "cpuacct.usage", "0");
    let (effects, _) = bench.run(&[attach("b:/x", task), attach("b:/y", task), reset]);
    assert_eq!(effects, [sample(task)], "moved and reset is one reading");
}

#[test]
fn a_plan_is_good_for_one_generation() {
    let mut bench = Bench::new();
    let stale = bench
        .framework
        .plan(&Credentials::ROOT, &[mkdir("b:/x")])
        .unwrap();
    let task = bench.fork("web/vcpu0", None);
    let refusal = bench.framework.commit(stale).unwrap_err();
    assert_eq!(refusal.errno, Errno::ESTALE);
    assert_eq!(
        refusal.rule,
        "the plan is of generation 1 and the framework of 2"
    );
    let plan = bench
        .framework
        .plan(&Credentials::ROOT, &[mkdir("b:/x")])
        .unwrap();
    bench.charge(task, 5);
    bench
        .framework
        .commit(plan)
        .expect("a charge is not a commit");
}

#[test]
fn births_and_ends_are_no_change_of_the_groups_and_moves_are() {
    let mut bench = Bench::new();
    bench.run(&mkcpuset("p:/gold", "0"));
    let changes = |bench: &mut Bench, commands: &[Command]| {
        let count = |framework: &Framework| {
            let commits = framework.generation().0;
            (commits, framework.groups_generation().0)
        };
        let before = count(&bench.framework);
        bench.run(commands);
        let after = count(&bench.framework);
        (after.0 - before.0, after.1 - before.1)
    };
    let (task, fork) = bench.fork_command("web/vcpu0", None);
    let birth = [fork, attach("p:/gold", task), reserve(task, 4096)];
    assert_eq!(changes(&mut bench, &birth), (1, 0));
    for change in [
        attach("p:/", task),
        write("p:/gold", "notify_on_release", "1"),
        reserve(task, 8192),
        rename("p:/gold", "gilt"),
        mkdir("p:/new"),
        rmdir("p:/new"),
        clone(task, "cpuset"),
    ] {
        let counted = changes(&mut bench, std::slice::from_ref(&change));
        assert_eq!(counted, (1, 1), "{change:?}");
    }
    assert_eq!(changes(&mut bench, &[exit(task)]), (1, 0));
}
