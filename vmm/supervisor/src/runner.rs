//! The runner: the one supervisor thread that may block.
//!
//! It runs release agents, at most [`AGENTS_AT_ONCE`] of them and each for at most [`AGENT_LIMIT`]; starts the
//! processes of machines that are created while the supervisor runs ([`Nursery`]); and opens the exact counters of
//! new tasks, off the path to their `Go`: the first counter of a host takes the kernel 8 ms. It decides nothing;
//! what came of a job goes to the keeper as news.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use actor::{Address, Mailbox};
use container_core::{GroupPath, TaskId, Tid};
use host::{ExactCounter, PerfKeepAlive};

use crate::NewMachine;
use crate::keeper::{self, News};
use crate::nursery::Nursery;

/// Release agents that run at the same time.
const AGENTS_AT_ONCE: usize = 4;
/// Releases that wait for an agent; past this they are refused with an event.
const AGENTS_WAITING: usize = 4096;
/// A release agent that runs longer is killed with its process group.
const AGENT_LIMIT: Duration = Duration::from_secs(10);
/// How often a running agent is looked at.
const AGENT_POLL: Duration = Duration::from_millis(5);
/// After a machine that came by itself the next process is started this much later. A process
/// takes a millisecond of CPU until it waits, which the new machine needs. Machines that follow each other closer find
/// theirs started at once.
const REFILL_AFTER: Duration = Duration::from_millis(10);
/// The user an agent of a root supervisor runs as (`nobody`).
const UNPRIVILEGED: u32 = 65_534;

/// What the runner is asked to do.
#[derive(Debug)]
pub enum Job {
    /// Run a release agent for a group.
    ReleaseAgent {
        /// The program.
        program: String,
        /// The released group.
        group: GroupPath,
    },
    /// Open exact counters for these threads.
    OpenCounters(Vec<(TaskId, Tid)>),
    /// Start a machine's process, and tell it what to build.
    Launch(Box<NewMachine>),
    /// Kill what runs and end.
    End,
}

/// A release agent that runs.
struct Agent {
    group: GroupPath,
    child: Child,
    deadline: Instant,
}

/// The actor.
pub struct Runner {
    mailbox: Mailbox<Job>,
    keeper: Address<keeper::Request>,
    waiting: VecDeque<(String, GroupPath)>,
    queued: HashSet<GroupPath>,
    running: Vec<Agent>,
    /// Held so that the kernel's perf machinery stays switched on between machines.
    perf: Option<PerfKeepAlive>,
    tsc_khz: Option<u32>,
    nursery: Nursery,
    /// When the last machine was given its process.
    launched: Option<Instant>,
    /// When the nursery is to have another.
    refill_at: Option<Instant>,
}

impl Runner {
    /// A runner that tells its news to the keeper.
    pub fn new(mailbox: Mailbox<Job>, keeper: Address<keeper::Request>, nursery: Nursery) -> Self {
        Runner {
            mailbox,
            keeper,
            waiting: VecDeque::new(),
            queued: HashSet::new(),
            running: Vec::new(),
            perf: None,
            tsc_khz: None,
            nursery,
            launched: None,
            refill_at: None,
        }
    }

    /// Serve until told to end.
    pub fn run(mut self) {
        self.nursery.refill();
        while let Some(job) = self.next_job() {
            match job {
                Some(Job::ReleaseAgent { program, group }) => self.on_release(program, group),
                Some(Job::OpenCounters(tasks)) => self.on_open_counters(&tasks),
                Some(Job::Launch(machine)) => self.on_launch(*machine),
                Some(Job::End) => break,
                None => {}
            }
            self.look_at_agents();
            self.refill_when_due();
        }
        for mut agent in self.running.drain(..) {
            kill_group(&mut agent.child);
        }
    }

    /// The next job, `Some(None)` when it is time to look at the agents or the nursery, None at the end.
    fn next_job(&self) -> Option<Option<Job>> {
        let agents = (!self.running.is_empty()).then(|| Instant::now() + AGENT_POLL);
        match agents.into_iter().chain(self.refill_at).min() {
            None => self.mailbox.recv().map(Some),
            Some(deadline) => self.mailbox.recv_until(deadline).ok(),
        }
    }

    /// A group that already waits for its agent is not queued again.
    fn on_release(&mut self, program: String, group: GroupPath) {
        if self.waiting.len() >= AGENTS_WAITING {
            let outcome = format!("not run: {AGENTS_WAITING} releases already wait");
            self.tell(News::ReleaseAgentEnded { group, outcome });
        } else if self.queued.insert(group.clone()) {
            self.waiting.push_back((program, group));
        } else {
            let outcome = "not run again, one already waits for this group".to_owned();
            self.tell(News::ReleaseAgentEnded { group, outcome });
        }
    }

    fn look_at_agents(&mut self) {
        let mut ended = Vec::new();
        self.running.retain_mut(|agent| match agent.outcome() {
            Some(outcome) => {
                ended.push(News::ReleaseAgentEnded {
                    group: agent.group.clone(),
                    outcome,
                });
                false
            }
            None => true,
        });
        while self.running.len() < AGENTS_AT_ONCE
            && let Some((program, group)) = self.waiting.pop_front()
        {
            self.queued.remove(&group);
            match start_agent(&program, &group) {
                Ok(child) => {
                    let deadline = Instant::now() + AGENT_LIMIT;
                    self.running.push(Agent {
                        group,
                        child,
                        deadline,
                    });
                }
                Err(error) => {
                    ended.push(News::ReleaseAgentEnded {
                        group,
                        outcome: format!("{program}: {error}"),
                    });
                }
            }
        }
        for news in ended {
            self.tell(news);
        }
    }

    fn on_open_counters(&mut self, tasks: &[(TaskId, Tid)]) {
        if self.perf.is_none() {
            self.perf = PerfKeepAlive::open().ok();
        }
        if self.tsc_khz.is_none() {
            self.tsc_khz = host::tsc_khz();
        }
        // A thread that has ended meanwhile, or a kernel that gives no counter, is not an error: the
        // task stays on its sampled count and says so.
        let counters = tasks
            .iter()
            .filter_map(|(task, tid)| Some((*task, ExactCounter::open(*tid).ok()?)))
            .collect();
        self.tell(News::Counters {
            counters,
            tsc_khz: self.tsc_khz,
        });
    }

    fn on_launch(&mut self, machine: NewMachine) {
        let name = machine.name.clone();
        let launch = self.nursery.launch(machine).map(Box::new);
        self.tell(News::Launched {
            machine: name,
            launch,
        });
        let now = Instant::now();
        let alone = self
            .launched
            .replace(now)
            .is_none_or(|last| now.duration_since(last) > REFILL_AFTER);
        self.refill_at = Some(if alone { now + REFILL_AFTER } else { now });
    }

    fn refill_when_due(&mut self) {
        if self.refill_at.is_some_and(|at| Instant::now() >= at) {
            self.refill_at = None;
            self.nursery.refill();
        }
    }

    fn tell(&self, news: News) {
        let _ = self.keeper.send(keeper::Request::News(news));
    }
}

impl Agent {
    /// What became of it; None while it runs.
    fn outcome(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(Some(status)) => Some(status.to_string()),
            Ok(None) if Instant::now() >= self.deadline => {
                kill_group(&mut self.child);
                Some(format!("killed after {} s", AGENT_LIMIT.as_secs()))
            }
            Ok(None) => None,
            Err(error) => Some(error.to_string()),
        }
    }
}

/// Start `program PATH` with the environment of a kernel release agent and nothing else of ours.
///
/// The program is opened with the supervisor's rights and run through that descriptor, so that a
/// program below a directory closed to the unprivileged user still runs; the program itself has to be
/// readable and executable by all.
fn start_agent(program: &str, group: &GroupPath) -> io::Result<Child> {
    let privileged = rustix::process::geteuid().is_root();
    let file = File::options()
        .read(true)
        .custom_flags(O_PATH)
        .open(program)?;
    let inherited = rustix::io::dup(&file)?; // without CLOEXEC: the interpreter of a script reopens it
    let mut command = Command::new(format!("/proc/self/fd/{}", inherited.as_raw_fd()));
    command
        .arg0(program)
        .arg(group.path())
        .env_clear()
        .env("HOME", "/")
        .env("PATH", "/sbin:/bin:/usr/sbin:/usr/bin")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    if privileged {
        command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    }
    command.spawn()
}

/// O_PATH of open(2) on x86-64.
const O_PATH: i32 = 0o10_000_000;

/// Kill an agent and what it started, and take its status so that no zombie stays.
fn kill_group(child: &mut Child) {
    if let Some(pid) = rustix::process::Pid::from_raw(child.id() as i32) {
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
}
