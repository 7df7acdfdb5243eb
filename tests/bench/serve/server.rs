//! A `pinfold serve` of the bench's own, and one kept-alive connection to it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::support::{PATIENCE, PINFOLD, Scratch};

/// A supervisor, told to end when it is dropped.
pub struct Server {
    child: Child,
    pub scratch: Scratch,
}

impl Server {
    /// Start it, and wait until it listens.
    pub fn start() -> Self {
        let scratch = Scratch::new();
        let errors = File::create(scratch.path().join("stderr")).expect("a file for stderr");
        let child = Command::new(PINFOLD)
            .arg("serve")
            .args(["--socket".into(), socket(&scratch)])
            .args(["--state-dir".into(), scratch.path().join("state")])
            .env("XDG_RUNTIME_DIR", scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .expect("the program starts");
        let server = Server { child, scratch };
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(socket(&server.scratch)).is_err() {
            assert!(Instant::now() < deadline, "it does not listen in time");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its resident size in kB, by /proc.
    pub fn resident_kb(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("our own run");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.expect("a VmRSS").parse().expect("a number")
    }

    /// The names of its threads.
    pub fn threads(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("our own run");
        let mut names: Vec<String> = tasks
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
            .map(|name| name.trim().to_owned())
            .collect();
        names.sort();
        names
    }

    pub fn connect(&self) -> Connection {
        let stream = UnixStream::connect(socket(&self.scratch)).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Connection {
            stream,
            buffer: Vec::new(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

fn socket(scratch: &Scratch) -> PathBuf {
    Path::new(scratch.path()).join("pinfold.sock")
}

/// One connection, kept alive.
pub struct Connection {
    stream: UnixStream,
    buffer: Vec<u8>,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub body: String,
    /// CLOCK_MONOTONIC just before the request was written, in one piece.
    pub asked_ns: u64,
    /// And when the answer was there whole.
    pub answered_ns: u64,
}

impl Answer {
    /// Of a request that must succeed.
    pub fn ok(self) -> Self {
        assert!((200..300).contains(&self.status), "{}", self.body);
        self
    }

    pub fn json<T: DeserializeOwned>(self) -> T {
        serde_json::from_str(&self.ok().body).expect("an answer")
    }

    pub fn took(&self) -> Duration {
        Duration::from_nanos(self.answered_ns - self.asked_ns)
    }
}

impl Connection {
    /// Ask, and read the answer. The request goes out in one write.
    pub fn ask(&mut self, method: &str, path: &str, kind: &str, body: &str) -> Answer {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: pinfold\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let asked_ns = host::monotonic_ns();
        self.stream
            .write_all(request.as_bytes())
            .expect("it listens");
        let (head, length) = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]).to_lowercase();
                self.buffer.drain(..end + 4);
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length:"));
                let length: usize = length.map_or(0, |length| length.trim().parse().expect("one"));
                break (head, length);
            }
            self.fill();
        };
        while self.buffer.len() < length {
            self.fill();
        }
        let answered_ns = host::monotonic_ns();
        let body = self.buffer.drain(..length).collect();
        let status = head.split(' ').nth(1).expect("a status");
        Answer {
            status: status.parse().expect("a number"),
            body: String::from_utf8(body).expect("text"),
            asked_ns,
            answered_ns,
        }
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, "text/plain", "")
    }

    pub fn post(&mut self, path: &str, body: &serde_json::Value) -> Answer {
        self.ask("POST", path, "application/json", &body.to_string())
    }

    /// Apply a spec, which must succeed.
    pub fn apply(&mut self, spec: &str) -> Answer {
        self.try_apply(spec).ok()
    }

    pub fn try_apply(&mut self, spec: &str) -> Answer {
        let body = serde_json::json!({ "spec": spec, "file": "/bench.toml" });
        self.post("/v1/apply", &body)
    }

    fn fill(&mut self) {
        let mut chunk = [0; 16 << 10];
        let count = self.stream.read(&mut chunk).expect("an answer in time");
        assert!(count > 0, "the connection was closed");
        self.buffer.extend_from_slice(&chunk[..count]);
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
