//! Memory of a machine process beyond the guest's own.

use std::fs;

use crate::support::Run;

/// Goal: at most this much beyond guest RAM.
const GOAL_KB: u64 = 2_500;

const SPEC: &str = r#"
[vm.m]
memory = "64M"
vcpus = 1
guest = { tiny = ["print up", "halt"] }
"#;

pub fn bench() {
    println!("overhead: a machine process with a halted guest, 64 MiB, 1 vCPU");
    let mut run = Run::start(SPEC);
    run.line("m | vcpu0: up");
    let pid = run.report().machines[0].pid;
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("our own run");
    let smaps = fs::read_to_string(format!("/proc/{pid}/smaps")).expect("our own run");
    let guest = mapping_of(&smaps, 64 * 1024);
    for (name, total, guest) in [
        ("Rss", field(&rollup, "Rss:"), field(&guest, "Rss:")),
        (
            "Pss_Anon",
            field(&rollup, "Pss_Anon:"),
            field(&guest, "Pss:"),
        ),
    ] {
        let overhead = total - guest;
        let verdict = if overhead <= GOAL_KB {
            "reached"
        } else {
            "MISSED"
        };
        println!(
            "  {name:<10} {total:>6} kB, {guest} kB of it guest RAM: {overhead} kB, goal {GOAL_KB} : {verdict}"
        );
    }
    let supervisor =
        fs::read_to_string(format!("/proc/{}/smaps_rollup", run.pid())).expect("our own run");
    println!("  supervisor Rss {} kB", field(&supervisor, "Rss:"));
    run.must("vm stop --force m");
    run.end();
}

/// The lines of the one mapping that is this large.
fn mapping_of(smaps: &str, size_kb: u64) -> String {
    let mut mapping: Vec<&str> = Vec::new();
    for line in smaps.lines() {
        let starts = line
            .split(' ')
            .next()
            .is_some_and(|word| word.contains('-') && !word.contains(':'));
        if starts {
            if mapping
                .iter()
                .any(|line| number(line, "Size:") == Some(size_kb))
            {
                break;
            }
            mapping.clear();
        }
        mapping.push(line);
    }
    mapping.join("\n")
}

fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| number(line, name))
        .unwrap_or_else(|| panic!("no {name} in {text}"))
}

fn number(line: &str, name: &str) -> Option<u64> {
    line.strip_prefix(name)?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}
