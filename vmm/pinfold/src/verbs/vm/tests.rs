//! Recorded answers, as they are shown.

use super::*;

const MACHINES: &str = r#"[
    {"name":"web","pid":4711,"state":"running","spawned_ns":1,"born_after_ns":1200000,"go_after_ns":2000000,
     "first_output_after_ns":2143000,"ended_after_ns":null,"end":null,"witness_ns":null,"residual_ns":null,
     "peak_resident_bytes":null,"committed_bytes":25165824,"resident_bytes":1572864,"witnessed":true},
    {"name":"db","pid":4712,"state":"ended","spawned_ns":1,"born_after_ns":1200000,"go_after_ns":2000000,
     "first_output_after_ns":null,"ended_after_ns":412345678,"end":"exit 0","witness_ns":676600000,"residual_ns":5,
     "peak_resident_bytes":2831155,"witnessed":true}
]"#;

#[test]
fn machines_are_listed_with_their_ends() {
    let expected = "\
machine  state    pid   end     after
web      running  4711
db       ended    4712  exit 0  412.3 ms
";
    assert_eq!(list(serde_json::from_str(MACHINES).unwrap()), expected);
}

#[test]
fn a_machine_is_shown_with_its_own_tasks() {
    let machines: Vec<Machine> = serde_json::from_str(MACHINES).unwrap();
    let task = |name: &str, machine: &str| Task {
        name: name.into(),
        machine: machine.into(),
        tid: 4713,
        alive: true,
        ..Task::default()
    };
    let tasks = vec![task("web/vcpu0", "web"), task("db/vcpu0", "db")];
    let expected = "\
machine                  db
state                    ended
pid                      4712
threads announced after  1.200 ms
let run after            2.000 ms
ended after              412.3 ms
end                      exit 0
process clock            676.6 ms
peak memory              2.6 MiB

task      tid   used  waited
db/vcpu0  4713  0     0
";
    assert_eq!(portrait(&machines[1], tasks), expected);
}

#[test]
fn a_machine_that_lives_is_shown_with_what_it_holds_of_what_it_may() {
    let machines: Vec<Machine> = serde_json::from_str(MACHINES).unwrap();
    let shown = portrait(&machines[0], Vec::new());
    let line = "memory                   1.5 MiB of 24.0 MiB\n";
    assert!(shown.contains(line), "{shown}");
}

#[test]
fn a_character_that_comes_in_parts_is_shown_whole() {
    let text = "aü\r\n\u{1f980}";
    for cut in 0..text.len() {
        let (left, right) = text.as_bytes().split_at(cut);
        let mut part = left.to_vec();
        let mut out = whole_characters(&mut part);
        part.extend_from_slice(right);
        out += &whole_characters(&mut part);
        assert_eq!((&*out, part.len()), ("aü\n\u{1f980}", 0), "cut at {cut}");
    }
    let mut bytes = b"\xff\xfeok".to_vec();
    assert_eq!(whole_characters(&mut bytes), "\u{fffd}\u{fffd}ok");
}
