//! A `pinfold serve` of the test's own, asked by the command line: scratch runtime directory, lock and socket, and a
//! bound on every wait. It is ended by SIGTERM, or killed when it is dropped.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use management::Report;
use management::client::Client;
use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, PINFOLD, Scratch};

/// What a program that has ended did: exit code, standard output, standard error.
pub type Done = (Option<i32>, String, String);

/// A supervisor that serves.
pub struct Serve {
    child: Child,
    pub scratch: Scratch,
}

impl Serve {
    /// Start one, and wait until it listens.
    pub fn start() -> Serve {
        let scratch = Scratch::new();
        let errors = fs::File::create(scratch.path().join("stderr")).expect("a file for stderr");
        Self::start_with(scratch, errors.into())
    }

    /// The same, whose log goes to `stderr`.
    pub fn start_logging_to(stderr: Stdio) -> Serve {
        Self::start_with(Scratch::new(), stderr)
    }

    fn start_with(scratch: Scratch, stderr: Stdio) -> Serve {
        let child = Command::new(PINFOLD)
            .args(["serve", "--state-dir"])
            .arg(scratch.path().join("state"))
            .env("XDG_RUNTIME_DIR", scratch.path())
            .env_remove("PINFOLD_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("the program starts");
        let mut serve = Serve { child, scratch };
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(serve.socket()).is_err() {
            let ended = serve.child.try_wait().expect("our child");
            assert!(ended.is_none(), "ended {ended:?}: {}", serve.stderr());
            assert!(Instant::now() < deadline, "no socket: {}", serve.stderr());
            thread::sleep(Duration::from_millis(5));
        }
        serve
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn socket(&self) -> PathBuf {
        self.scratch.path().join("pinfold.sock")
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(self.scratch.path().join("stderr")).unwrap_or_default()
    }

    /// `pinfold ARGS` of this supervisor's host, not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PINFOLD);
        command.args(args);
        self.surround(&mut command);
        command
    }

    /// Have a command find this supervisor, and nothing to read.
    pub fn surround(&self, command: &mut Command) {
        command
            .env("XDG_RUNTIME_DIR", self.scratch.path())
            .env_remove("PINFOLD_SOCKET")
            .current_dir(self.scratch.path())
            .stdin(Stdio::null());
    }

    /// `pinfold ARGS`, to its end.
    pub fn cli(&self, args: &[&str]) -> Done {
        to_end(self.command(args))
    }

    /// The same, which must do what it says; its standard output.
    pub fn must(&self, args: &[&str]) -> String {
        let (code, out, err) = self.cli(args);
        assert_eq!((code, &*err), (Some(0), ""), "{args:?}: {out}");
        out
    }

    /// The same, whose output is JSON.
    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        let out = self.must(args);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}"))
    }

    /// The same, which must be refused: one line with the rule, exit code 2.
    pub fn must_refuse(&self, args: &[&str], rule: &str) {
        assert_refused(&self.cli(args), args, rule);
    }

    /// `pinfold ARGS`, left running and read line by line.
    pub fn follow(&self, args: &[&str]) -> Follower {
        let mut command = self.command(args);
        command.stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Follower {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Write a file for a command to name.
    pub fn file(&self, name: &str, text: &str) -> String {
        self.scratch.file(name, text).display().to_string()
    }

    /// The API beneath the command line.
    pub fn client(&self) -> Client {
        Client::new(self.socket())
            .expect("a client")
            .with_answer_limit(PATIENCE)
    }

    pub fn report(&self) -> Report {
        let answer = self.client().get("/v1/report").expect("a report");
        answer.json().expect("a report")
    }

    /// Wait until the report has a property.
    pub fn report_where(&self, what: &str, is: impl Fn(&Report) -> bool) -> Report {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let report = self.report();
            if is(&report) {
                return report;
            }
            assert!(
                Instant::now() < deadline,
                "not in time: {what}: {report:#?}"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Wait until a machine is in a state.
    pub fn machine_is(&self, name: &str, state: &str) -> Report {
        self.report_where(&format!("{name} is {state}"), |report| {
            let mut machines = report.machines.iter();
            machines.any(|machine| machine.name == name && machine.state == state)
        })
    }

    /// Wait until an event of this kind is there, and return how many there are.
    pub fn hears(&self, kind: &str) -> usize {
        let of_kind = |report: &Report| {
            let events = report.events.iter();
            events.filter(|event| event.kind == kind).count()
        };
        of_kind(&self.report_where(kind, |report| of_kind(report) > 0))
    }

    /// End it by SIGTERM; its exit code and standard error. The scratch directory lives on.
    pub fn end(&mut self) -> (Option<i32>, String) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        let pid = Pid::from_raw(pid).expect("not 0");
        kill_process(pid, Signal::TERM).expect("our child");
        let code = bounded(&mut self.child);
        (code, self.stderr())
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `pinfold` that goes on; killed when it is dropped.
pub struct Follower {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Follower {
    /// Wait for a line that contains `text`.
    pub fn line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line with {text:?}: {:#?}", self.seen);
            };
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// All lines so far.
    pub fn seen(&self) -> &[String] {
        &self.seen
    }

    /// Wait until it ends by itself; its exit code.
    pub fn code(&mut self) -> Option<i32> {
        bounded(&mut self.child)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Run a command to its end, which must come in time.
pub fn to_end(mut command: Command) -> Done {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let out = read_all(child.stdout.take().expect("piped"));
    let err = read_all(child.stderr.take().expect("piped"));
    let code = bounded(&mut child);
    let text = |thread: thread::JoinHandle<String>| thread.join().expect("a reader");
    (code, text(out), text(err))
}

/// A refusal is one line with the rule, and exit code 2.
pub fn assert_refused(done: &Done, args: &[&str], rule: &str) {
    let (code, out, err) = done;
    assert_eq!((*code, &**out), (Some(2), ""), "{args:?}: {err}");
    assert_eq!(err.lines().count(), 1, "{args:?}: {err}");
    assert!(err.contains(rule), "{args:?}: {rule:?} expected: {err}");
}

fn read_all(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Wait for the end of a child, and kill it where it does not come.
fn bounded(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("our child") {
            return status.code();
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("a program of the test does not end");
        }
        thread::sleep(Duration::from_millis(3));
    }
}
