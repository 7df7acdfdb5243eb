//! What the black-box tests share: a `pinfold run` with a bounded wait at every turn, and what the
//! kernel says of its threads.
//!
//! Each run has a scratch directory of its own, which is its runtime directory too, so that tests run in
//! parallel; both go when the run is dropped, however the test ends.

#![allow(dead_code)] // each test binary uses its part

pub mod cage;
pub mod kernel;
pub mod random;
pub mod serve;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use management::{Report, Task};

/// No wait in a test is longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whether this host can run machines. Where /dev/kvm is absent the reason is printed and the test ends
/// early; where it is there but does not serve, the test fails: a skipped test is no passed one.
pub fn kvm() -> bool {
    if !Path::new("/dev/kvm").exists() {
        println!("SKIPPED: this host has no /dev/kvm, so no machine can be run");
        return false;
    }
    fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .expect("/dev/kvm is there: a test without it proves nothing");
    true
}

/// A directory that goes with its owner.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("pinfold-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a scratch directory");
        Scratch(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a scratch file");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program under test.
pub const PINFOLD: &str = env!("CARGO_BIN_EXE_pinfold");

struct Line {
    text: String,
    read_at_ns: u64,
}

/// A `pinfold run` under way.
pub struct Run {
    child: Option<Child>,
    stdin: Option<ChildStdin>,
    lines: Receiver<Line>,
    /// All lines of standard output so far.
    pub seen: Vec<String>,
    /// When each of them was read, by `host::monotonic_ns` on the thread that reads.
    pub read_at_ns: Vec<u64>,
    /// Those of them that no wait has been for.
    unclaimed: Vec<String>,
    pub scratch: Scratch,
}

/// A `pinfold run` that has ended.
pub struct Ended {
    pub code: Option<i32>,
    pub report: Report,
    pub lines: Vec<String>,
    pub stderr: String,
    /// User and system time by rusage of wait4(2), of the program and all it has waited for.
    pub rusage_ns: u64,
}

impl Run {
    /// Start `pinfold run --commands --report` on this spec.
    pub fn start(spec: &str) -> Run {
        Run::start_with(spec, &[])
    }

    /// The same with further arguments.
    pub fn start_with(spec: &str, arguments: &[&str]) -> Run {
        Run::start_in(Scratch::new(), spec, |command| {
            command.args(arguments);
        })
    }

    /// The same in a given scratch directory, the command finished by `finish`.
    pub fn start_in(scratch: Scratch, spec: &str, finish: impl FnOnce(&mut Command)) -> Run {
        let file = scratch.file("spec.toml", spec);
        let errors = fs::File::create(scratch.path().join("stderr")).expect("a file for stderr");
        let mut command = Command::new(PINFOLD);
        command.arg("run").arg(file).arg("--commands");
        command
            .arg("--report")
            .arg(scratch.path().join("report.json"));
        command.env("XDG_RUNTIME_DIR", scratch.path());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors);
        finish(&mut command);
        let mut child = command.spawn().expect("the program starts");
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            for text in output.lines().map_while(Result::ok) {
                let read_at_ns = host::monotonic_ns();
                if sender.send(Line { text, read_at_ns }).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take();
        Run {
            child: Some(child),
            stdin,
            lines,
            seen: Vec::new(),
            read_at_ns: Vec::new(),
            unclaimed: Vec::new(),
            scratch,
        }
    }

    /// Process id of the supervisor.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("runs").id()
    }

    /// Wait for a line of output that contains `text`.
    pub fn line(&mut self, text: &str) -> String {
        self.line_where(text, |line| line.contains(text))
    }

    /// Wait for a line of output with a property, that no earlier wait was for.
    pub fn line_where(&mut self, what: &str, is: impl Fn(&str) -> bool) -> String {
        if let Some(at) = self.unclaimed.iter().position(|line| is(line)) {
            return self.unclaimed.remove(at);
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    let line = self.note(line);
                    if is(&line) {
                        return line;
                    }
                    self.unclaimed.push(line);
                }
                Err(error) => panic!("no line with {what:?}: {error}; {}", self.so_far()),
            }
        }
    }

    /// Take lines for a while; true if one contained `text`, or one did that no wait has been for.
    pub fn hears(&mut self, text: &str, during: Duration) -> bool {
        let heard = self.unclaimed.iter().position(|line| line.contains(text));
        if let Some(at) = heard {
            self.unclaimed.remove(at);
            return true;
        }
        let deadline = Instant::now() + during;
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    let line = self.note(line);
                    if line.contains(text) {
                        return true;
                    }
                    self.unclaimed.push(line);
                }
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Give a command and return its answer, `ok …`, `refused …` or `report …`.
    pub fn ask(&mut self, command: &str) -> String {
        let stdin = self.stdin.as_mut().expect("commands are open");
        writeln!(stdin, "{command}").unwrap_or_else(|error| panic!("{command}: {error}"));
        let report = command == "report";
        self.line_where(command, |line| match report {
            true => line.starts_with("report "),
            false => {
                line.starts_with(&format!("ok {command}"))
                    || line.starts_with(&format!("refused {command}"))
            }
        })
    }

    /// Give a command that must be carried out.
    pub fn must(&mut self, command: &str) -> String {
        let answer = self.ask(command);
        assert!(answer.starts_with("ok "), "{answer}");
        answer
    }

    /// Give a command that must be refused.
    pub fn must_refuse(&mut self, command: &str, rule: &str) {
        let answer = self.ask(command);
        assert!(
            answer.starts_with("refused ") && answer.contains(rule),
            "{rule:?} expected: {answer}"
        );
    }

    /// What a control file says.
    pub fn file(&mut self, group: &str, file: &str) -> String {
        let command = format!("group get {group} {file}");
        let answer = self.must(&command);
        answer[format!("ok {command}:").len()..].trim().to_owned()
    }

    /// The state now.
    pub fn report(&mut self) -> Report {
        let answer = self.ask("report");
        serde_json::from_str(&answer["report ".len()..]).expect("a report")
    }

    /// Wait until the report has a property.
    pub fn report_where(&mut self, what: &str, is: impl Fn(&Report) -> bool) -> Report {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let report = self.report();
            if is(&report) {
                return report;
            }
            assert!(
                Instant::now() < deadline,
                "not in time: {what}; {report:#?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Wait until all machines run.
    pub fn all_running(&mut self) -> Report {
        self.report_where("all machines run", |report| {
            !report.machines.is_empty()
                && report
                    .machines
                    .iter()
                    .all(|machine| machine.state == "running")
        })
    }

    /// Close the commands, wait for the end, and return all there is to see.
    #[allow(
        clippy::zombie_processes,
        reason = "reaped by its pidfd, for the rusage"
    )]
    pub fn end(mut self) -> Ended {
        drop(self.stdin.take());
        let child = self.child.take().expect("runs");
        let process = host::Process::open(child.id()).expect("a pidfd of our child");
        let deadline = Instant::now() + PATIENCE;
        while process
            .wait_without_reaping(true)
            .expect("our child")
            .is_none()
        {
            if Instant::now() >= deadline {
                process.kill().expect("our child can be killed");
                panic!("the run does not end; {}", self.so_far());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let end = process.reap().expect("our child is reaped");
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.note(line);
        }
        let code = match end.exit {
            host::Exit::Code(code) => Some(code),
            host::Exit::Signal(_) => None,
        };
        let report = fs::read_to_string(self.scratch.path().join("report.json"));
        let report = report
            .ok()
            .and_then(|json| serde_json::from_str(&json).ok())
            .unwrap_or_default();
        let stderr = fs::read_to_string(self.scratch.path().join("stderr")).unwrap_or_default();
        let rusage_ns = end.user.0 + end.system.0;
        Ended {
            code,
            report,
            lines: std::mem::take(&mut self.seen),
            stderr,
            rusage_ns,
        }
    }

    fn note(&mut self, line: Line) -> String {
        self.seen.push(line.text.clone());
        self.read_at_ns.push(line.read_at_ns);
        line.text
    }

    fn so_far(&self) -> String {
        let stderr = fs::read_to_string(self.scratch.path().join("stderr")).unwrap_or_default();
        format!(
            "output so far:\n{}\nstderr:\n{stderr}",
            self.seen.join("\n")
        )
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// `pinfold` with these arguments, to its end: exit code, standard output, standard error.
pub fn pinfold(scratch: &Scratch, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(PINFOLD)
        .args(arguments)
        .env("XDG_RUNTIME_DIR", scratch.path())
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// A task of a report.
pub fn task<'a>(report: &'a Report, name: &str) -> &'a Task {
    report
        .tasks
        .iter()
        .find(|task| task.name == name)
        .unwrap_or_else(|| panic!("no task {name}"))
}

/// The host CPUs this test may use, at least two of them; None with the reason printed where it has one.
pub fn two_cpus() -> Option<(u32, u32)> {
    let cpus: Vec<u32> = host::topology::resources()
        .expect("the host tells")
        .allowed_cpus
        .iter()
        .collect();
    if cpus.len() < 2 {
        println!("SKIPPED: needs two host CPUs, has {cpus:?}");
        return None;
    }
    Some((cpus[0], cpus[1]))
}
