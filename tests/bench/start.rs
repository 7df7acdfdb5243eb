//! From spawn to the first guest byte that a reader of standard output sees: `pinfold run`, its two
//! processes and the placement included, beside a bare KVM program that does nothing else.

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
    let floor = || first_byte(&mut Command::new(&floor), &scratch, b"");
    let pinfold = || {
        first_byte(
            Command::new(PINFOLD).arg("run").arg(&spec),
            &scratch,
            b"m | ",
        )
    };
    println!(
        "  {:<44} {:.2?} (first of this run; files may be cached)",
        "pinfold run, first",
        pinfold()
    );
    floor();
    let (mut floors, mut pinfolds) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        floors.push(floor());
        pinfolds.push(pinfold());
    }
    let (floors, pinfolds) = (Sample::new(floors), Sample::new(pinfolds));
    floors.row("bare KVM floor");
    pinfolds.row("pinfold run");
    pinfolds.against("pinfold run / floor", &floors, 2.0);
}

/// The floor program is C, so that nothing of ours slows it: static, optimised.
fn build_floor(scratch: &Scratch) -> Option<PathBuf> {
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

/// Time until `mark` and one byte more have come out of the program; then it is let end.
fn first_byte(command: &mut Command, scratch: &Scratch, mark: &[u8]) -> Duration {
    command
        .env("XDG_RUNTIME_DIR", scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let began = Instant::now();
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
    time
}
