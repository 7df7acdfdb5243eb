//! From spawn to the first guest serial byte: `pinfold run`, its two processes and the placement included,
//! beside a bare KVM program that does nothing else. Of `pinfold run` two moments are shown: when the byte
//! has left the serial port, and when the line it begins has been read from standard output.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Sample;
use crate::support::{PINFOLD, Scratch};

const RUNS: usize = 60;

const SPEC: &str = r#"
[hierarchy.placement]
subsystems = ["cpuset"]
[hierarchy.billing]
subsystems = ["cpuacct"]
[group."placement:/pen"]
[group."billing:/tenant"]
[vm.m]
memory = "64M"
vcpus = 1
guest = { tiny = ["print x", "exit"] }
groups = ["placement:/pen", "billing:/tenant"]
"#;

pub fn bench() {
    println!("start: spawn to first guest byte, 64 MiB, 1 vCPU");
    let scratch = Scratch::new();
    let Some(floor) = build_floor(&scratch) else {
        return;
    };
    let spec = scratch.file("spec.toml", SPEC);
    let floor = || first_byte(&mut Command::new(&floor), &scratch, b"").0;
    let report = scratch.path().join("report.json");
    let pinfold = || {
        let mut command = Command::new(PINFOLD);
        command.arg("run").arg(&spec).arg("--report").arg(&report);
        let (seen, began_ns) = first_byte(&mut command, &scratch, b"m | ");
        let report = std::fs::read_to_string(&report).expect("a report");
        let report: management::Report = serde_json::from_str(&report).expect("a report");
        let machine = &report.machines[0];
        let out_ns = machine.spawned_ns + machine.first_output_after_ns.expect("it has spoken");
        (Duration::from_nanos(out_ns - began_ns), seen)
    };
    let (out, _) = pinfold();
    println!(
        "  {:<44} {out:.2?} (the first of this run)",
        "pinfold run, first"
    );
    floor();
    let (mut floors, mut outs, mut seens) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        floors.push(floor());
        let (out, seen) = pinfold();
        outs.push(out);
        seens.push(seen);
    }
    let (floors, outs, seens) = (Sample::new(floors), Sample::new(outs), Sample::new(seens));
    floors.row("bare KVM floor");
    outs.row("pinfold run: byte leaves the serial port");
    seens.row("pinfold run: its line is read from stdout");
    outs.against("pinfold run / floor", &floors, 2.0);
}

/// The floor program is C, so that nothing of ours slows it: static, optimised.
pub(crate) fn build_floor(scratch: &Scratch) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/bench/floor.c");
    let program = scratch.path().join("floor");
    let built = Command::new("cc")
        .args(["-O2", "-static", "-o"])
        .arg(&program)
        .arg(source)
        .status();
    match built {
        Ok(status) if status.success() => Some(program),
        outcome => {
            println!("  SKIPPED: the floor program could not be built: {outcome:?}");
            None
        }
    }
}

/// Time until `mark` and one byte more have come out of the program, and when it was started on the clock of
/// `host::monotonic_ns`; then it is let end.
pub(crate) fn first_byte(command: &mut Command, scratch: &Scratch, mark: &[u8]) -> (Duration, u64) {
    command
        .env("XDG_RUNTIME_DIR", scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let (began, began_ns) = (Instant::now(), host::monotonic_ns());
    let mut child = command.spawn().expect("the program starts");
    let mut output = child.stdout.take().expect("piped");
    let (mut seen, mut chunk) = (Vec::new(), [0; 4096]);
    let time = loop {
        let count = output.read(&mut chunk).expect("output");
        assert!(
            count > 0,
            "the program ended without a guest byte: {}",
            String::from_utf8_lossy(&seen)
        );
        seen.extend_from_slice(&chunk[..count]);
        let found =
            (0..seen.len()).any(|at| seen[at..].starts_with(mark) && seen.len() > at + mark.len());
        if found {
            break began.elapsed();
        }
    };
    let _ = output.read_to_end(&mut seen);
    child.wait().expect("our child");
    (time, began_ns)
}
