//! A client that makes groups without end: it is stopped, the supervisor does not grow by it, and the others are answered.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use management::api::{Command, PlanRequest, Problem};
use management::client::{Client, ClientError};
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;

use crate::support::kvm;
use crate::support::serve::Serve;

const NOBODY: u32 = 65534;
/// What the client tries to make.
const GROUPS: usize = 100_000;
const A_BATCH: usize = 1000;
/// The most below a group that was handed over and has no limit of its own,
const HANDED_OVER: usize = 4096;
/// in a hierarchy when a user makes one more,
const OF_USERS: usize = OF_ALL / 8 * 7;
/// and in a hierarchy.
const OF_ALL: usize = 65_536;
/// Those that the client has not made: the root, `theirs`, `others` and `ours`.
const OTHERS: usize = 4;
/// Resident bytes that all of that may cost the supervisor, debug builds included.
const GROWTH_KB: u64 = 100 << 10;

fn resident_kb(serve: &Serve) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", serve.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|kb| kb.parse().ok()).expect("VmRSS")
}

fn make(client: &Client, numbers: std::ops::Range<usize>) -> Result<(), Problem> {
    let commands = numbers.map(|number| Command::Mkdir {
        group: format!("p:/theirs/{number}"),
    });
    let request = PlanRequest {
        commands: commands.collect(),
        generation: None,
    };
    match client.post("/v1/plan", &request) {
        Ok(_) => Ok(()),
        Err(ClientError::Refused(problem)) => Err(problem),
        Err(other) => panic!("{other}"),
    }
}

/// Make all of them, a batch at a time, and of a batch that is refused what came before; how many there are, and the
/// first refusal.
fn make_all(client: &Client) -> (usize, Problem) {
    let (mut made, mut first) = (0, None);
    for batch in (0..GROUPS).step_by(A_BATCH) {
        let Err(problem) = make(client, batch..batch + A_BATCH) else {
            made += A_BATCH;
            continue;
        };
        assert_eq!((problem.status, &*problem.errno), (503, "EAGAIN"));
        let fit = problem.command.expect("it names the command");
        make(client, batch..batch + fit).expect("what came before the refused one");
        made += fit;
        first.get_or_insert(problem);
    }
    (made, first.expect("it is stopped"))
}

/// Make those from this one on, a batch at a time, until one is refused; how many there are then, and the refusal.
fn make_on(client: &Client, from: usize) -> (usize, Problem) {
    let mut made = from;
    loop {
        match make(client, made..made + A_BATCH) {
            Ok(()) => made += A_BATCH,
            Err(problem) => {
                let fit = problem.command.expect("it names the command");
                make(client, made..made + fit).expect("what came before the refused one");
                return (made + fit, problem);
            }
        }
    }
}

/// A thread that is another user to whom it connects to: the group of users stays, to which the socket is open.
fn as_nobody<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::spawn(move || {
        let nobody = Uid::from_raw(NOBODY);
        set_thread_res_uid(nobody, nobody, nobody).expect("root may");
        ask()
    })
}

/// Asks and writes until it is told to end; how many times.
fn neighbour(client: Client, group: &'static str, end: Arc<AtomicBool>) -> usize {
    let file = format!("/v1/files/p/{group}/notify_on_release");
    let mut answered = 0;
    while !end.load(Ordering::Relaxed) {
        client.put_text(&file, "1").expect("an answer");
        let read = client.get(&file).expect("an answer");
        assert_eq!(read.text(), "1\n");
        answered += 1;
    }
    answered
}

#[test]
fn a_client_that_makes_a_hundred_thousand_groups_is_stopped_and_the_others_are_answered() {
    if !kvm() {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: only root can ask as another user");
        return;
    }
    let serve = Serve::start();
    serve.must(&["hierarchy", "mount", "p", "cpuset"]);
    for group in ["p:/theirs", "p:/others", "p:/ours"] {
        serve.must(&["group", "mkdir", group]);
    }
    for group in ["p:/theirs", "p:/others"] {
        serve.must(&["group", "chown", group, "65534:65534", "755"]);
    }
    let before = resident_kb(&serve);
    let end = Arc::new(AtomicBool::new(false));
    let neighbours = {
        let (ours, others) = (serve.client(), serve.client());
        let (end_ours, end_others) = (end.clone(), end.clone());
        [
            thread::spawn(move || neighbour(ours, "ours", end_ours)),
            as_nobody(move || neighbour(others, "others", end_others)),
        ]
    };
    let run = |serve: &Serve| {
        let client = serve.client();
        let made = as_nobody(move || make_all(&client)).join();
        made.expect("the client's asking")
    };

    let (made, refusal) = run(&serve);
    println!("stopped at {made}: {}", refusal.detail);
    assert_eq!(made, HANDED_OVER);
    assert!(refusal.detail.contains("4096"), "{refusal:?}");
    assert!(refusal.detail.contains("p:/theirs"), "{refusal:?}");
    println!("{} KiB more are resident", resident_kb(&serve) - before);

    // Root's word counts, up to what root keeps for itself, which has an end too.
    let limit = GROUPS.to_string();
    serve.must(&[
        "group",
        "set",
        "p:/theirs",
        "cgroup.max.descendants",
        &limit,
    ]);
    let client = serve.client();
    let rest = as_nobody(move || make_on(&client, HANDED_OVER)).join();
    let (made, refusal) = rest.expect("the client's asking");
    println!("stopped at {made}: {}", refusal.detail);
    assert_eq!((&*refusal.errno, made), ("EAGAIN", OF_USERS - OTHERS));
    let (made, refusal) = make_on(&serve.client(), made);
    println!("root is stopped at {made}: {}", refusal.detail);
    assert_eq!((&*refusal.errno, made), ("EAGAIN", OF_ALL - OTHERS));

    end.store(true, Ordering::Relaxed);
    let answered = neighbours.map(|thread| thread.join().expect("its questions are answered"));
    let grown = resident_kb(&serve).saturating_sub(before);
    println!("{grown} KiB more are resident; the others were answered {answered:?} times");
    assert!(answered.iter().all(|times| *times > 10), "{answered:?}");
    assert!(grown < GROWTH_KB, "{grown} KiB");
}
