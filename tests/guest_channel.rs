//! The guest sees its place and manages it: its agent's requests, the host's questions, releases that it hears of.

mod support;

use support::{PINFOLD, Run, Scratch, kvm, task};

use std::process::Command;

const SPEC: &str = r#"
[hierarchy.placement]
subsystems = ["cpuset", "debug"]
[hierarchy.billing]
subsystems = ["cpuacct"]
[group."placement:/gold"]
[group."placement:/gold/web"]
[group."billing:/tenant"]

[vm.web]
memory = "16M"
vcpus = 2
groups = ["placement:/gold/web", "billing:/tenant"]
agent = "delegate"
guest = { tiny = [SCRIPT] }
"#;

/// The spec with these lines as the guest's script.
fn spec(lines: &[&str]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| format!("{line:?}")).collect();
    SPEC.replace("SCRIPT", &lines.join(", "))
}

/// What the guest of `web` printed on vCPU 0, line by line.
fn said(lines: &[String]) -> Vec<&str> {
    lines
        .iter()
        .filter_map(|line| line.strip_prefix("web | vcpu0: "))
        .collect()
}

#[test]
fn a_guest_sees_its_part_of_the_tree_and_nothing_else() {
    if !kvm() {
        return;
    }
    let ended = Run::start(&spec(&[
        "vcpu0: roots",
        "vcpu0: tree",
        "vcpu0: get placement:/ tasks",
        "vcpu0: get placement:/ cpuset.effective_cpus",
        "vcpu0: get billing:/ cpuacct.usage",
        "vcpu0: get placement:/../other tasks",
        "vcpu0: get placement:/gold tasks",
        "vcpu0: get elsewhere:/ tasks",
        "vcpu0: get placement:/ debug.cgroup_css_links",
        "vcpu0: set placement:/ cpuset.cpus 0",
        "vcpu0: ping",
        "barrier",
    ]))
    .end();
    let said = said(&ended.lines);
    assert_eq!(ended.code, Some(0), "{said:#?}\n{}", ended.stderr);
    let has = |text: &str| {
        assert!(
            said.iter().any(|line| line.contains(text)),
            "{text:?}: {said:#?}"
        )
    };
    has("root placement delegate cpuset,debug");
    has("root billing delegate cpuacct");
    has("tree placement:/ cpus ");
    has("own vcpu0,vcpu1,io,control,kvm0");
    has("get placement:/ tasks: vcpu0");
    has("get placement:/ cpuset.effective_cpus: 0");
    has("refused get placement:/../other tasks");
    has("refused get placement:/gold tasks");
    has("refused get elsewhere:/ tasks");
    has("refused get placement:/ debug.cgroup_css_links");
    has("refused set placement:/ cpuset.cpus 0");
    has("pong");
    assert!(
        !said
            .iter()
            .any(|line| line.contains("web/") || line.contains("tenant")),
        "the host's names: {said:#?}"
    );
}

#[test]
fn a_guest_moves_its_own_vcpu_into_a_group_of_its_making_and_hears_of_its_release() {
    if !kvm() {
        return;
    }
    let mut run = Run::start(&spec(&[
        "vcpu0: mkdir placement:/hot ; set placement:/hot cpuset.cpus 0 ; set placement:/hot cpuset.mems 0 ; \
         set placement:/hot notify_on_release 1 ; attach vcpu1 placement:/hot",
        "vcpu0: subscribe",
        "vcpu0: print made",
        "vcpu0: wait release placement:/hot",
        "vcpu0: rmdir placement:/hot",
        "vcpu0: serve",
        "vcpu1: halt",
    ]));
    run.line("web | vcpu0: made");
    let report = run.report();
    let hot = task(&report, "web/vcpu1");
    assert!(
        hot.groups.contains(&"placement:/gold/web/hot".to_owned()),
        "{hot:?}"
    );
    assert_eq!(hot.observed_cpus, "0");
    run.must("group attach placement:/gold/web web/vcpu1");
    let event = run.line("web | vcpu0: event ");
    assert!(event.ends_with("released placement:/hot"), "{event}");
    run.line("web | vcpu0: ok rmdir placement:/hot");
    assert!(run.must("agent ping web").contains("answered in"));
    assert!(run.must("agent info web").contains("2 vCPUs"));
    run.must("agent shutdown web");
    run.line("web | vcpu0: asked to end");
    run.must_refuse("agent ping nobody", "no machine nobody runs");
    run.must("vm stop --force web");
    let released: Vec<_> = run
        .end()
        .report
        .events
        .into_iter()
        .filter(|event| event.kind == "released")
        .collect();
    assert_eq!(released.len(), 1, "{released:?}");
}

#[test]
fn a_change_of_a_guest_is_in_force_whole_or_not_at_all() {
    if !kvm() {
        return;
    }
    let mut run = Run::start(&spec(&[
        "vcpu0: mkdir placement:/a ; mkdir placement:/b ; set placement:/b cpuset.cpus 4095",
        "vcpu0: tree placement",
        "vcpu0: attach vcpu1 placement:/a",
        "vcpu0: print done",
        "halt",
    ]));
    run.line("web | vcpu0: refused mkdir placement:/a ; mkdir");
    run.line("web | vcpu0: refused attach vcpu1 placement:/a");
    run.line("web | vcpu0: done");
    let report = run.report();
    assert!(
        report
            .groups
            .iter()
            .all(|group| group.group != "placement:/gold/web/a")
    );
    run.must("vm stop --force web");
    run.end();
}

#[test]
fn a_pause_stops_the_guest_and_a_resume_finds_its_channel_alive() {
    if !kvm() {
        return;
    }
    let mut run = Run::start(&spec(&["vcpu0: ping", "vcpu0: serve", "vcpu1: halt"]));
    run.line("web | vcpu0: pong");
    for _ in 0..5 {
        run.must("agent ping web");
        run.must("vm pause web");
        run.line("web is out of its guest");
        assert_eq!(run.report().machines[0].state, "paused");
        run.must("vm resume web");
        run.line("web is in its guest again");
        run.must("agent ping web");
    }
    // Asked while it is out, it answers when it is in again.
    run.must("vm pause web");
    run.line("web is out of its guest");
    run.must_refuse("agent ping web", "has not answered for 5 s");
    run.must("vm resume web");
    run.must("agent ping web");
    run.must("vm stop --force web");
    run.end();
}

#[test]
fn the_command_line_asks_the_agent_by_the_socket_of_its_run() {
    if !kvm() {
        return;
    }
    let scratch = Scratch::new();
    let socket = scratch.path().join("p.sock");
    let at = socket.clone();
    let mut run = Run::start_in(
        scratch,
        &spec(&["vcpu0: ping", "vcpu0: serve", "vcpu1: exit"]),
        |command| {
            command.arg("--socket").arg(at);
        },
    );
    run.line("web | vcpu0: pong");
    let ask = |words: &[&str]| {
        let output = Command::new(PINFOLD)
            .arg("agent")
            .args(words)
            .env("PINFOLD_SOCKET", &socket)
            .output()
            .expect("the program starts");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    };
    let (code, said) = ask(&["ping", "web"]);
    assert!(code == Some(0) && said.contains("answered in"), "{said}");
    let (code, said) = ask(&["info", "web"]);
    assert!(code == Some(0) && said.contains("2 vCPUs, up "), "{said}");
    let (code, said) = ask(&["info", "db"]);
    assert!(
        code == Some(2) && said.contains("no machine db runs"),
        "{said}"
    );
    let (code, said) = ask(&["shutdown", "web"]);
    assert!(
        code == Some(0) && said.contains("the guest is ending"),
        "{said}"
    );
    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (code, said) = ask(&["ping", "web"]);
    assert!(code == Some(1) && said.contains("no run listens"), "{said}");
}
