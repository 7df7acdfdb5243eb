//! Law 6: a guest is an adversary. Whatever it sends is bounded, refused or cut off, with the rule and one event,
//! and its neighbour is served meanwhile.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use management::Report;
use support::{Run, Scratch, kvm};

const SPEC: &str = r#"
[hierarchy.placement]
subsystems = ["cpuset"]
[hierarchy.billing]
subsystems = ["cpuacct"]
[group."placement:/bad"]
[group."placement:/good"]
[group."billing:/bad"]
[group."billing:/good"]

[vm.bad]
memory = "16M"
vcpus = 1
groups = ["placement:/bad", "billing:/bad"]
agent = "delegate"
guest = { tiny = [SCRIPT] }

[vm.good]
memory = "16M"
vcpus = 1
groups = ["placement:/good", "billing:/good"]
agent = "delegate"
guest = { tiny = ["ping", "serve"] }
"#;

/// What a supervisor may grow by, whatever one guest does, in kB: its sessions' buffers, its log, and pages that
/// come and go.
const GROWTH_KB: u64 = 8 * 1024;

fn spec(lines: &[impl AsRef<str>]) -> String {
    let lines: Vec<String> = lines
        .iter()
        .map(|line| format!("{:?}", line.as_ref()))
        .collect();
    SPEC.replace("SCRIPT", &lines.join(", "))
}

/// Resident memory of the supervisor.
fn resident_kb(run: &Run) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", run.pid())).expect("our own run");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|kb| kb.parse().ok()).expect("VmRSS")
}

fn cut_off(report: &Report) -> Vec<&str> {
    let events = report.events.iter();
    let of_bad = events.filter(|event| event.kind == "agent_cut_off");
    of_bad.map(|event| event.text.as_str()).collect()
}

fn assert_said(said: &[String], text: &str) {
    let heard = said.iter().any(|line| line.contains(text));
    assert!(heard, "{text}: {said:?}");
}

/// Run `lines` on `bad` while `good` is asked all the time; returns what the run looked like at the end.
fn beside_a_neighbour(lines: &[impl AsRef<str>]) -> (Report, Vec<String>) {
    let mut run = Run::start(&spec(lines));
    run.line("good has its agent ready");
    run.must("agent ping good");
    let before = resident_kb(&run);
    let mut asked = 0;
    while !run.hears("bad has ended", Duration::from_millis(5)) {
        run.must("agent ping good");
        asked += 1;
        assert!(asked < 20_000, "bad does not end");
    }
    let grown = resident_kb(&run).saturating_sub(before);
    assert!(grown <= GROWTH_KB, "the supervisor has grown by {grown} kB");
    run.must("agent shutdown good");
    let ended = run.end();
    println!("the neighbour was asked {asked} times, the supervisor grew by {grown} kB");
    let said = ended
        .lines
        .iter()
        .filter_map(|line| line.strip_prefix("bad | vcpu0: "))
        .map(str::to_owned)
        .collect();
    (ended.report, said)
}

#[test]
fn ten_thousand_unread_requests_are_held_back_or_cut_off() {
    if !kvm() {
        return;
    }
    let (report, said) = beside_a_neighbour(&["flood 10000", "flood 100000", "exit"]);
    assert!(
        said.iter().any(|line| line.starts_with("flood: ")),
        "{said:?}"
    );
    assert!(cut_off(&report).len() <= 1, "{:?}", cut_off(&report));
}

#[test]
fn garbage_and_a_length_of_four_gibibytes_end_their_session_with_the_rule_and_one_event() {
    if !kvm() {
        return;
    }
    let lines = [
        "garbage",
        "sleep 1200ms",
        "huge",
        "sleep 1200ms",
        "ping",
        "exit",
    ];
    let (report, said) = beside_a_neighbour(&lines);
    assert_said(&said, "garbage: ended: ");
    assert_said(&said, "huge: ended: ");
    assert_said(&said, "pong");
    let events = cut_off(&report);
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(events[1].contains("4294967295"), "{events:?}");
}

#[test]
fn ten_thousand_connections_and_unprivileged_ports_are_refused() {
    if !kvm() {
        return;
    }
    let lines = [
        // First, while there is room for an agent: it is refused for its port.
        "unprivileged",
        "half-open 10000",
        "sleep 6s",
        "ping",
        "exit",
    ];
    let (report, said) = beside_a_neighbour(&lines);
    assert_said(&said, "half-open");
    assert_said(&said, "unprivileged: refused");
    assert_said(&said, "pong");
    // One that says nothing is cut off after 5 s; at most four are open at once.
    assert!(cut_off(&report).len() <= 8, "{:?}", cut_off(&report));
}

#[test]
fn queues_with_loops_and_addresses_outside_of_memory_need_a_reset_and_then_work_again() {
    if !kvm() {
        return;
    }
    let lines = [
        "badqueue loop",
        "badqueue outside",
        "badqueue empty",
        "badqueue jump",
        "ping",
        "exit",
    ];
    let (_, said) = beside_a_neighbour(&lines);
    for kind in ["loop", "outside", "empty", "jump"] {
        let line = format!("badqueue {kind}: status 0x");
        assert!(
            said.iter().any(|said| said.starts_with(&line)),
            "{kind}: {said:?}"
        );
    }
    assert!(said.iter().any(|line| line == "pong"), "{said:?}");
}

#[test]
fn groups_without_end_meet_the_limit_of_the_view() {
    if !kvm() {
        return;
    }
    let mut lines: Vec<String> = (0..300).map(|n| format!("mkdir placement:/g{n}")).collect();
    lines.push("exit".into());
    let (report, said) = beside_a_neighbour(&lines);
    let of = |word: &str| said.iter().filter(|line| line.starts_with(word)).count();
    assert_eq!((of("ok mkdir"), of("refused mkdir")), (256, 44), "{said:?}");
    let refused = said.iter().find(|line| line.starts_with("refused"));
    assert!(
        refused.is_some_and(|line| line.contains("EAGAIN")),
        "{refused:?}"
    );
    let made = report
        .groups
        .iter()
        .filter(|group| group.group.starts_with("placement:/bad/"));
    assert_eq!(made.count(), 256);
}

/// Two guests side by side: what one does changes nothing that the other reads.
#[test]
fn a_neighbours_activity_changes_nothing_that_a_guest_can_read() {
    if !kvm() {
        return;
    }
    let look = [
        "roots",
        "tree placement",
        "get placement:/ tasks",
        "get placement:/ cpuset.cpus",
        "get placement:/ cpuset.effective_cpus",
        "get placement:/ cgroup.events",
        "get placement:/../good tasks",
        "get placement:/good tasks",
        "mkdir placement:/../good/x",
        "rmdir placement:/",
    ];
    let mut lines: Vec<&str> = vec!["print first"];
    lines.extend(look);
    lines.extend(["print between", "sleep 1s", "print second"]);
    lines.extend(look);
    lines.extend(["print end", "exit"]);
    let mut run = Run::start(&spec(&lines));
    run.line("bad | vcpu0: between");
    for n in 0..20 {
        run.must(&format!("group mkdir placement:/good/n{n}"));
        run.must(&format!("group set placement:/good/n{n} cpuset.cpus 0 ; group set placement:/good/n{n} cpuset.mems 0"));
        run.must(&format!("group attach placement:/good/n{n} good/vcpu0"));
    }
    run.line("bad | vcpu0: end");
    run.must("agent shutdown good");
    let ended = run.end();
    let said: Vec<&str> = ended
        .lines
        .iter()
        .filter_map(|line| line.strip_prefix("bad | vcpu0: "))
        .collect();
    let part = |from: &str, to: &str| {
        let at = |mark: &str| said.iter().position(|line| *line == mark).expect("printed");
        said[at(from) + 1..at(to)].to_vec()
    };
    let (first, second) = (part("first", "between"), part("second", "end"));
    assert!(first.len() > look.len(), "{first:?}");
    assert_eq!(first, second);
}

/// Clients on the host: one that closes before its newline, ones that say nothing, and one that stops reading,
/// cost a slot for a bounded time; another is served meanwhile.
#[test]
fn bad_clients_on_the_host_leave_the_others_served() {
    if !kvm() {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.path().join("v.sock");
    let text = SPEC
        .replace(
            "SCRIPT",
            r#""ping", "print up", "accept 700", "accept 701", "exit""#,
        )
        .replacen(
            "agent = \"delegate\"",
            &format!("agent = \"delegate\"\nvsock = {{ path = {path:?} }}"),
            1,
        );
    let mut run = Run::start_in(scratch, &text, |_| {});
    run.line("bad | vcpu0: up");
    for _ in 0..200 {
        let mut client = UnixStream::connect(&path).expect("the machine listens");
        client.write_all(b"CONNECT 70").expect("taken");
    }
    let silent: Vec<UnixStream> = (0..40)
        .filter_map(|_| UnixStream::connect(&path).ok())
        .collect();
    let garbage = UnixStream::connect(&path).and_then(|mut client| client.write_all(b"HELLO\n"));
    drop(garbage);
    for port in [700, 701] {
        let mut client = UnixStream::connect(&path).expect("the machine listens");
        let patience = Some(Duration::from_secs(20));
        client.set_read_timeout(patience).expect("a socket");
        client
            .write_all(format!("CONNECT {port}\n").as_bytes())
            .expect("taken");
        let mut ok = [0; 3];
        client.read_exact(&mut ok).expect("an answer");
        assert_eq!(&ok, b"OK ");
        let mut byte = [0];
        while byte != [b'\n'] {
            client.read_exact(&mut byte).expect("a port");
        }
        client.write_all(b"hello").expect("taken");
        let mut echo = [0; 5];
        client.read_exact(&mut echo).expect("an echo");
        assert_eq!(&echo, b"hello");
        client
            .shutdown(std::net::Shutdown::Write)
            .expect("a socket");
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).expect("the end");
        assert!(rest.is_empty());
        run.line("bad | vcpu0: echoed 5 bytes");
    }
    drop(silent);
    run.line("good has its agent ready");
    run.must("agent ping good");
    run.must("agent shutdown good");
    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!path.exists(), "the socket is left behind");
}
