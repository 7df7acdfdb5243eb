//! docs/tutorial.md, run as it stands, in one shell, with a real `pinfold serve` on /dev/kvm.
//!
//! The rule:
//!
//! - ```` ```sh ```` blocks are typed into one bash, in order, in a scratch directory.
//! - What a block prints, standard error included, has to be the ```` ```text ```` block that follows it; one that is
//!   followed by another kind of block, or none, has to be silent.
//! - Lines are compared word by word, so that columns may be wider. In a word, `#12`, a number with a point and one of
//!   three digits or more stand for any number; a number and a unit after it (`45.85 ms`) for any quantity. Short
//!   numbers, such as CPUs, are meant. The word `...` stands for the rest of a line, and a line of `...` for any lines.
//!   KVM's helper `kvm0`, which not every kernel has, is left out.
//! - Commands succeed, but for one a line that begins with `pinfold: ` or `FILE.toml:LINE: `: those are refusals.
//! - A block of commands that only look is tried again until it says what it should, since machines take their time;
//!   any other is run once. No wait is longer than `PATIENCE`.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use support::{PATIENCE, PINFOLD, Scratch, kvm};

const PAGE: &str = include_str!("../docs/tutorial.md");

/// How long until a block that only looks is tried again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What only looks.
const LOOKS: [&str; 10] = [
    "vm ls",
    "vm show",
    "vm log",
    "group tree",
    "group ls",
    "group tasks",
    "group get",
    "events",
    "top",
    "agent ping",
];

/// What stands after numbers.
const UNITS: [&str; 12] = [
    "ns", "us", "ms", "s", "min", "h", "cycles", "kcycles", "Mcycles", "Gcycles", "KiB", "MiB",
];

/// Commands, and what they print.
struct Block {
    commands: String,
    output: Vec<String>,
    line: usize,
}

/// The blocks of the page in order.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    // The fence that is open, and whether a `text` now would belong to the last commands.
    let (mut open, mut answers) = (None, false);
    for (at, line) in page.lines().enumerate() {
        match (open, line.strip_prefix("```")) {
            (None, Some(kind)) => {
                open = Some(kind);
                if kind == "sh" {
                    let (commands, output) = (String::new(), Vec::new());
                    let line = at + 1;
                    blocks.push(Block {
                        commands,
                        output,
                        line,
                    });
                }
            }
            (Some(kind), Some(_)) => {
                answers = kind == "sh";
                open = None;
            }
            (Some("sh"), None) => {
                let block = blocks.last_mut().expect("one is open");
                block.commands.push_str(line);
                block.commands.push('\n');
            }
            (Some("text"), None) if answers => {
                let block = blocks.last_mut().expect("commands came before");
                block.output.push(line.to_owned());
            }
            _ => {}
        }
    }
    blocks
}

impl Block {
    fn only_looks(&self) -> bool {
        self.commands.lines().all(|line| {
            let words = line
                .split_whitespace()
                .skip_while(|word| word.contains('='));
            let words: Vec<&str> = words.collect();
            let verb = words
                .strip_prefix(&["pinfold"])
                .unwrap_or_default()
                .join(" ");
            LOOKS.iter().any(|look| verb.starts_with(look))
        })
    }

    fn refusals(&self) -> usize {
        let refusal = |line: &&String| {
            let place = line.split_once(".toml:").map(|(_, rest)| rest);
            line.starts_with("pinfold: ")
                || place.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        self.output.iter().filter(refusal).count()
    }
}

/// A word as what is text in it and the numbers that follow it.
fn parts(word: &str) -> Vec<(&str, &str)> {
    let mut parts = Vec::new();
    let mut rest = word;
    while !rest.is_empty() {
        let text = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (before, number) = rest.split_at(text);
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let (number, after) =
            number.split_at(number.find(|c| !is_number(c)).unwrap_or(number.len()));
        parts.push((before, number));
        rest = after;
    }
    parts
}

fn same_word(expected: &str, found: &str) -> bool {
    let expected = expected.trim_end_matches(",kvm0");
    let (expected, found) = (parts(expected), parts(found.trim_end_matches(",kvm0")));
    let same = |((text, number), (as_text, as_number)): (&(&str, &str), &(&str, &str))| {
        let varies = number.len() > 2 || (text.ends_with('#') && !number.is_empty());
        let both = number.is_empty() == as_number.is_empty();
        text == as_text && if varies { both } else { number == as_number }
    };
    expected.len() == found.len() && expected.iter().zip(&found).all(same)
}

/// How many words at the beginning are a quantity: a number and its unit, or 0 without one.
fn quantity(words: &[&str]) -> Option<usize> {
    let number = words.first()?.parse::<f64>().is_ok();
    match words.get(1) {
        Some(unit) if number && UNITS.contains(&unit.trim_end_matches([',', ';', ':'])) => Some(2),
        _ if words.first() == Some(&"0") => Some(1),
        _ => None,
    }
}

fn same_line(expected: &str, found: &str) -> bool {
    let expected: Vec<&str> = expected.split_whitespace().collect();
    let found: Vec<&str> = found.split_whitespace().collect();
    let (mut expected, mut found) = (&expected[..], &found[..]);
    loop {
        match (expected, found) {
            ([], []) | (["..."], _) => return true,
            ([], _) | (_, []) => return false,
            ([word, ..], [as_word, ..]) => {
                let quantities = (quantity(expected), quantity(found));
                let (taken, as_taken) = match quantities {
                    (Some(2), Some(as_taken)) => (2, as_taken),
                    _ if same_word(word, as_word) => (1, 1),
                    _ => return false,
                };
                (expected, found) = (&expected[taken..], &found[as_taken..]);
            }
        }
    }
}

/// Without the tasks that KVM starts by itself.
fn without_helpers(lines: &[String]) -> Vec<String> {
    let is_helper = |line: &&String| {
        let first = line.split_whitespace().next();
        first.is_some_and(|word| word.ends_with("/kvm0"))
    };
    lines
        .iter()
        .filter(|line| !is_helper(line))
        .cloned()
        .collect()
}

fn same(expected: &[String], found: &[String]) -> bool {
    match (expected.split_first(), found.split_first()) {
        (None, None) => true,
        (Some((any, rest)), _) if any.trim() == "..." => {
            (0..=found.len()).any(|skipped| same(rest, &found[skipped..]))
        }
        (Some((line, rest)), Some((of, found))) => same_line(line, of) && same(rest, found),
        _ => false,
    }
}

/// One bash for the whole page.
struct Shell {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    scratch: Scratch,
}

/// Stands alone on the line after a block's output.
const MARK: &str = "-- the end of the block, failed commands:";

impl Shell {
    fn start() -> Shell {
        let scratch = Scratch::new();
        let bin = scratch.path().join("bin");
        fs::create_dir(&bin).expect("a directory for the program");
        std::os::unix::fs::symlink(PINFOLD, bin.join("pinfold")).expect("a link to it");
        let path = std::env::var("PATH").unwrap_or_default();
        // The page is written for a host of CPUs 0 and 1.
        let mut command = Command::new("taskset");
        command
            .args(["-c", "0,1", "bash"])
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("XDG_RUNTIME_DIR", scratch.path())
            .env_remove("PINFOLD_SOCKET")
            .current_dir(scratch.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut child = command.spawn().expect("taskset and bash are there");
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut stdin = child.stdin.take().expect("piped");
        writeln!(stdin, "exec 2>&1; trap 'failed=$((failed + 1))' ERR").expect("it reads");
        Shell {
            child,
            stdin,
            lines,
            scratch,
        }
    }

    /// What a block prints, and how many of its commands fail.
    fn run(&mut self, block: &Block) -> (Vec<String>, usize) {
        let commands = &block.commands;
        writeln!(self.stdin, "failed=0\n{commands}\necho \"{MARK} $failed\"").expect("it reads");
        let deadline = Instant::now() + PATIENCE;
        let mut output = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|error| {
                panic!("line {}: {error}: {commands}{output:#?}", block.line)
            });
            // What has no newline at its end stands before the mark.
            match line.split_once(MARK) {
                Some((before, failed)) => {
                    if !before.is_empty() {
                        output.push(before.to_owned());
                    }
                    return (output, failed.trim().parse().expect("a number"));
                }
                None => output.push(line),
            }
        }
    }

    /// Run a block until it is as the page says, or fail.
    fn must(&mut self, block: &Block) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (found, failed) = self.run(block);
            let (expected, seen) = (without_helpers(&block.output), without_helpers(&found));
            if same(&expected, &seen) && failed == block.refusals() {
                return;
            }
            if block.only_looks() && Instant::now() < deadline {
                std::thread::sleep(LOOK_AGAIN);
                continue;
            }
            let log = self.scratch.path().join("tutorial/serve.log");
            panic!(
                "docs/tutorial.md:{}: {}failed commands: {failed}, expected:\n{}\nfound:\n{}\nserve.log:\n{}",
                block.line,
                block.commands,
                block.output.join("\n"),
                found.join("\n"),
                fs::read_to_string(log).unwrap_or_default()
            );
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The supervisor too, where the page has not come to its end.
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

#[test]
fn the_tutorial_does_what_it_says() {
    let two = support::two_cpus();
    if !kvm() || two.is_none() {
        return;
    }
    if two != Some((0, 1)) {
        println!("SKIPPED: the tutorial uses CPUs 0 and 1, of which this host allows not both");
        return;
    }
    let blocks = blocks(PAGE);
    assert!(blocks.len() > 20, "only {} blocks are found", blocks.len());
    let mut shell = Shell::start();
    for block in &blocks {
        shell.must(block);
    }
    let left = shell.scratch.path().join("tutorial/pinfold.sock");
    assert!(!left.exists(), "the supervisor is still there");
}

#[test]
fn numbers_and_quantities_vary_and_cpus_do_not() {
    assert!(same_line("  #54  web runs", "#7 web runs"));
    assert!(same_line("web 4711 0-1  45.85 ms", "web 99812  0-1 3 us"));
    assert!(same_line("web 4711", "web 7"), "a small pid");
    assert!(same_line("a  45.85 ms  b", "a 0 b"), "nothing used yet");
    assert!(same_line(
        "p:/a cpus 0 web/vcpu0,io,kvm0",
        "p:/a cpus 0 web/vcpu0,io"
    ));
    assert!(same_line("used ...", "used 3 of 4"));
    assert!(!same_line("web/vcpu0 cpus 0", "web/vcpu0 cpus 1"));
    assert!(!same_line("web/vcpu0", "web/vcpu1"));
    assert!(!same_line("a b", "a") && !same_line("a", "a b"));
    assert!(!same_line("web 4711", "web x") && !same_line("4711 running", "running"));
    let lines = |text: &str| text.lines().map(String::from).collect::<Vec<_>>();
    assert!(same(&lines("a\n...\nd"), &lines("a\nb\nc\nd")));
    assert!(!same(&lines("a\n..."), &lines("b\na")));
}
