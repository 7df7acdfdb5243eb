//! A served supervisor, and a client of a few lines.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use container_core::{Command, Credentials, Framework, GroupPath, TaskKind, TaskName, Tid};
use http_body_util::BodyExt;
use link::{Guest, MachineConfig};
use management::api::{ApplyRequest, Problem};
use serde_json::Value;
use tokio::sync::oneshot;
use tower_service::Service;

use crate::api::extract::Peer;
use crate::api::{Known, Specs, Wanted, feed, serve};
use crate::{Config, NewMachine, Onlooker, Placement, Restart, Supervisor};

/// No answer takes longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Served {
    pub supervisor: Option<Supervisor>,
    /// The API's thread, and what tells it to end.
    api: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    pub path: PathBuf,
}

/// A language of specs: `mkdir GROUP` and `vm NAME`, a line each, and what the way back is to be; a machine needs `memory`.
pub struct Lines;

impl Specs for Lines {
    fn machine(&self, name: &str, body: &Value, known: &Known) -> Result<NewMachine, Problem> {
        assert_eq!(known.framework.hierarchies().len(), 2);
        if body.get("memory").is_none() {
            return Err(Problem {
                status: 422,
                errno: "EINVAL".into(),
                detail: "missing field `memory`".into(),
                ..Problem::default()
            });
        }
        Ok(new_machine(name))
    }

    fn apply(&self, request: &ApplyRequest, _: &Known) -> Result<Wanted, Problem> {
        let groups = request
            .spec
            .lines()
            .filter_map(|line| line.strip_prefix("mkdir "));
        let groups: Vec<GroupPath> = groups.map(|group| group.parse().unwrap()).collect();
        let removals = groups.iter().rev().cloned();
        let back: Vec<Command> = removals.map(|group| Command::Rmdir { group }).collect();
        let commands = groups.into_iter().map(|group| Command::Mkdir { group });
        let start = request
            .spec
            .lines()
            .filter_map(|line| line.strip_prefix("vm "));
        let says = |what: &str| request.spec.lines().any(|line| line == what);
        Ok(Wanted {
            commands: commands.collect(),
            back: match (says("no way back"), says("a way back to nowhere")) {
                (true, _) => None,
                (_, true) => Some([&back[..], &back[..]].concat()),
                _ => Some(back),
            },
            start: start.map(new_machine).collect(),
            ..Wanted::default()
        })
    }
}

fn new_machine(name: &str) -> NewMachine {
    NewMachine {
        name: name.parse().unwrap(),
        config: MachineConfig {
            name: name.into(),
            memory_bytes: 4 << 20,
            vcpus: 1,
            guest: Guest::Tiny { script: Vec::new() },
            vsock: None,
        },
        placement: Placement::default(),
        agent: None,
        namespaces: host::Namespaces::NONE,
        restart: Restart::No,
    }
}

fn framework() -> (Framework, Vec<container_core::Event>) {
    let mut framework = Framework::new(host::topology::resources().unwrap());
    let task = framework.allocate_task();
    let commands = [
        Command::Mount {
            hierarchy: "placement".parse().unwrap(),
            subsystems: vec!["cpuset".into(), "debug".into()],
        },
        Command::Mount {
            hierarchy: "billing".parse().unwrap(),
            subsystems: vec!["cpuacct".into()],
        },
        Command::Mkdir {
            group: "billing:/tenant".parse().unwrap(),
        },
        Command::Mkdir {
            group: "billing:/tenant/a b".parse().unwrap(),
        },
        Command::Fork {
            task,
            name: "web/vcpu0".parse().unwrap(),
            tid: Tid(999_999_999),
            parent: None,
        },
    ];
    let plan = framework.plan(&Credentials::ROOT, &commands).unwrap();
    let history = framework.commit(plan).unwrap();
    (framework, history)
}

/// The same with so many tasks in `plain:/crowd`, a hierarchy without subsystems.
fn crowded(tasks: u16) -> (Framework, Vec<container_core::Event>) {
    let (mut framework, history) = framework();
    let crowd: GroupPath = "plain:/crowd".parse().unwrap();
    let mut commands = vec![
        Command::Mount {
            hierarchy: "plain".parse().unwrap(),
            subsystems: Vec::new(),
        },
        Command::Mkdir {
            group: crowd.clone(),
        },
    ];
    for vcpu in 0..tasks {
        let (task, machine) = (framework.allocate_task(), "crowd".parse().unwrap());
        let kind = TaskKind::Vcpu(vcpu);
        let name = TaskName { machine, kind };
        let tid = Tid(100_000_000 + u32::from(vcpu));
        let parent = None;
        commands.push(Command::Fork {
            task,
            name,
            tid,
            parent,
        });
        let group = crowd.clone();
        commands.push(Command::Attach { group, task });
    }
    let plan = framework.plan(&Credentials::ROOT, &commands).unwrap();
    framework.commit(plan).unwrap();
    (framework, history)
}

/// A supervisor with two hierarchies.
pub fn supervisor(onlooker: Onlooker) -> Supervisor {
    supervisor_of(framework(), onlooker)
}

fn supervisor_of(
    (framework, history): (Framework, Vec<container_core::Event>),
    onlooker: Onlooker,
) -> Supervisor {
    Supervisor::start(Config {
        framework,
        history,
        onlooker: Some(onlooker),
        spent_before: host::own_cpu_time(),
        withhold_go: Duration::ZERO,
        cpu_controller: crate::CpuController::Own,
        machine_program: None,
    })
    .unwrap()
}

/// Call the router as somebody, without a socket.
pub async fn ask(
    router: &Router,
    by: Option<Credentials>,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, String) {
    let kind = match path.starts_with("/v1/files") {
        true => "text/plain",
        false => "application/json",
    };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", kind)
        .body(Body::from(body.to_owned()))
        .unwrap();
    if let Some(by) = by {
        request.extensions_mut().insert(Peer(by));
    }
    let response = router.clone().call(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

impl Served {
    pub fn start() -> Self {
        Self::start_with(framework())
    }

    /// With so many tasks in `plain:/crowd`.
    pub fn crowded(tasks: u16) -> Self {
        Self::start_with(crowded(tasks))
    }

    fn start_with(state: (Framework, Vec<container_core::Event>)) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pinfold-api-{}-{number}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&path).unwrap();
        let (onlooker, feed) = feed();
        let supervisor = supervisor_of(state, onlooker);
        let owner = rustix::process::geteuid().as_raw();
        let keeper = supervisor.keeper().clone();
        let (tell, told) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .build()
                .unwrap();
            let served = serve(listener, keeper, feed, Arc::new(Lines), owner, told);
            let _ = runtime.block_on(served).unwrap();
        });
        Served {
            supervisor: Some(supervisor),
            api: Some((tell, thread)),
            path,
        }
    }

    pub fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Send a request with this head, without its last empty line, and body.
    pub fn ask(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = self.connect();
        let length = body.len();
        let head =
            format!("{head}\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // A body that is refused need not be read.
        let _ = stream.write_all(body);
        Answer::read(stream)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1"), b"")
    }

    pub fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let head = format!("{method} {path} HTTP/1.1\r\ncontent-type: application/json");
        self.ask(&head, body.to_string().as_bytes())
    }

    pub fn put_text(&self, path: &str, text: &str) -> Answer {
        let head = format!("PUT {path} HTTP/1.1\r\ncontent-type: text/plain");
        self.ask(&head, text.as_bytes())
    }

    /// Make a group.
    pub fn mkdir(&self, group: &str) {
        let command = serde_json::json!({"commands": [{"op": "mkdir", "group": group}]});
        let answer = self.send("POST", "/v1/plan", &command);
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    /// Follow the events; lines as they come.
    pub fn follow(&self, last: Option<&str>) -> BufReader<UnixStream> {
        let mut stream = self.connect();
        let last = last.map_or(String::new(), |last| format!("last-event-id: {last}\r\n"));
        let head = format!(
            "GET /v1/events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n{last}\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while !line.starts_with("retry:") {
            line.clear();
            assert_ne!(reader.read_line(&mut line).unwrap(), 0, "no stream");
        }
        reader
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some((tell, thread)) = self.api.take() {
            drop(tell);
            let _ = thread.join();
        }
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.end();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The next event of a stream: id, kind and data.
pub fn next_event(reader: &mut impl BufRead) -> (String, String, Value) {
    let (mut id, mut kind) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the stream ended");
        if let Some(text) = line.strip_prefix("id: ") {
            id = text.trim().into();
        } else if let Some(text) = line.strip_prefix("event: ") {
            kind = text.trim().into();
        } else if let Some(text) = line.strip_prefix("data: ") {
            return (id, kind, serde_json::from_str(text).unwrap());
        }
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub text: String,
}

impl Answer {
    pub fn read(mut stream: UnixStream) -> Self {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        let all = String::from_utf8_lossy(&all);
        let (head, text) = all.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head: head.to_ascii_lowercase(),
            text: text.into(),
        }
    }

    pub fn json(&self) -> Value {
        assert!(self.status < 300, "{}", self.text);
        assert!(self.head.contains("content-type: application/json"));
        serde_json::from_str(&self.text).unwrap()
    }

    /// A refusal with this status and errno.
    #[track_caller]
    pub fn refused(&self, status: u16, errno: &str) -> Problem {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.head.contains("content-type: application/problem+json"));
        let problem: Problem = serde_json::from_str(&self.text).unwrap();
        assert_eq!((problem.status, problem.errno.as_str()), (status, errno));
        assert!(!problem.detail.is_empty());
        problem
    }
}
