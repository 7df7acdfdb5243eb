//! A machine process on real KVM, against a supervisor played by the test.
//!
//! Run with `machine IMAGE PATH` the program is a machine process: it listens at PATH, and its console
//! is its standard output. Run as cargo does it is the tests, one after the other, each with machine
//! processes of its own. Guests are a few instructions assembled in place (`guest`), or, for what
//! machine and firmware must agree on, the built-in one (`tiny`).

// All of this is test code, but none of it stands under `#[test]`, where clippy would see that.
#![allow(clippy::unwrap_used)]

type Test = (&'static str, fn());

/// The tests of a module, by the names of their functions.
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        pub const TESTS: &[crate::Test] = &[$((stringify!($test), $test)),*];
    };
}

mod figures;
mod guest;
mod orders;
mod output;
mod pauses;
mod supervisor;
mod tiny;
mod violations;
mod vsock;

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use link::Listener;
use machine::{Inheritance, TinyImage};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [role, image, path] if role == "machine" => {
            let tiny = if image == "tiny" {
                tiny::image()
            } else {
                guest::image()
            };
            ExitCode::from(be_machine(tiny, Path::new(path)))
        }
        _ => run_tests(&arguments),
    }
}

fn be_machine(tiny: TinyImage, path: &Path) -> u8 {
    let console = std::io::stdout().as_fd().try_clone_to_owned().unwrap();
    let kvm = File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .unwrap();
    machine::run(Inheritance {
        listener: Listener::bind(path).unwrap(),
        kvm: kvm.into(),
        console,
        tiny,
    })
}

/// The part of libtest's manners that people use: names as filters, `--list`, a status.
fn run_tests(arguments: &[String]) -> ExitCode {
    let filters: Vec<_> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let chosen = |name: &str| filters.is_empty() || filters.iter().any(|f| name.contains(*f));
    let tests: Vec<Test> = [
        orders::TESTS,
        pauses::TESTS,
        violations::TESTS,
        output::TESTS,
        tiny::TESTS,
        vsock::TESTS,
        vsock::transfer::TESTS,
        vsock::agents::TESTS,
        figures::TESTS,
    ]
    .concat();
    if arguments.iter().any(|a| a == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if !Path::new("/dev/kvm").exists() {
        eprintln!("SKIPPED: all tests of a machine process, since /dev/kvm is absent");
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, test) in tests.into_iter().filter(|(name, _)| chosen(name)) {
        let outcome = std::panic::catch_unwind(test);
        println!(
            "test {name} ... {}",
            if outcome.is_ok() { "ok" } else { "FAILED" }
        );
        failed += u8::from(outcome.is_err());
    }
    ExitCode::from(failed)
}
