//! Bytes and small messages between a guest and unix sockets of the host.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use super::{Figures, Rounds, median, number_after, script};
use crate::Sample;
use crate::support::{Run, Scratch, task};

const BYTES: u64 = 64 << 20;
const ROUNDS: usize = 8;
/// Small messages of a round.
const EACH: usize = 500;

const DRAIN: u32 = 5001;
const FEED: u32 = 5002;
const ECHO: u32 = 5003;

/// Bytes that the host's side reads or writes at a time.
const PIECE: usize = 256 * 1024;

pub fn bench() {
    println!("channel: vsock, {} MiB each way", BYTES >> 20);
    let scratch = Scratch::new();
    serve(&scratch, DRAIN, drain);
    serve(&scratch, FEED, feed);
    serve(&scratch, ECHO, echo);
    // Between the rounds the guest is still, for what the host counts to be read.
    let round = [
        format!("vcpu0: send {DRAIN} {BYTES}"),
        "vcpu0: sleep 20ms".into(),
        format!("vcpu0: receive {FEED} {BYTES}"),
        "vcpu0: sleep 20ms".into(),
        format!("vcpu0: rtt {ECHO} {EACH}"),
    ];
    let lines = std::iter::repeat_n(round, ROUNDS).flatten();
    let spec = format!(
        r#"
[vm.m]
memory = "16M"
vcpus = 1
vsock = {{ path = "v.sock" }}
guest = {{ tiny = [{}] }}
"#,
        script(lines.chain(["halt".into()]))
    );
    let mut run = Run::start_in(scratch, &spec, |_| {});
    let (mut sent, mut received) = (Transfers::default(), Transfers::default());
    let mut rtts = Vec::new();
    let mut threads = Threads::of(&mut run);
    for _ in 0..ROUNDS {
        let line = run.line("m | vcpu0: sent ");
        sent.note(&line, threads.sleeps());
        let line = run.line("m | vcpu0: received ");
        received.note(&line, threads.sleeps());
        rtts.push(Figures::of(&mut run, "m", "rtt"));
        threads.sleeps();
    }
    sent.rows("guest to host");
    received.rows("host to guest");
    Rounds(rtts).row("64 bytes there and back", EACH);
    run.must("vm stop --force m");
    run.end();
}

/// Transfers of one direction.
#[derive(Default)]
struct Transfers {
    times: Vec<Duration>,
    /// Notifications that the guest counted, each an exit.
    kicks: Vec<u64>,
    /// How often the vCPU's thread and io's went to sleep meanwhile.
    sleeps: Vec<[u64; 2]>,
}

impl Transfers {
    fn note(&mut self, line: &str, sleeps: [u64; 2]) {
        self.times
            .push(Duration::from_nanos(number_after(line, "in")));
        self.kicks.push(number_after(line, "ns,"));
        self.sleeps.push(sleeps);
    }

    fn rows(self, name: &str) {
        let times = Sample::new(self.times);
        times.row(name);
        let rate = |time: Duration| BYTES as f64 / 1e6 / time.as_secs_f64();
        let (slow, mid, fast) = (times.quantile(90), times.median(), times.quantile(0));
        println!(
            "  {:<44} median {:.0} MB/s, best {:.0}, 9 of 10 above {:.0}",
            format!("{name}: rate"),
            rate(mid),
            rate(fast),
            rate(slow)
        );
        let kicks = median(self.kicks.iter().copied());
        let each = BYTES / kicks.max(1);
        println!("  {:<44} {kicks} exits to notify, {each} bytes each", "");
        let [vcpu, io] = [0, 1].map(|of| median(self.sleeps.iter().map(|both| both[of])));
        println!("  {:<44} vCPU slept {vcpu} times, io {io} times", "");
    }
}

/// The two threads that move bytes, and their sleeps so far (`voluntary_ctxt_switches`, proc(5)).
struct Threads {
    statuses: [String; 2],
    so_far: [u64; 2],
}

impl Threads {
    fn of(run: &mut Run) -> Threads {
        let report = run.all_running();
        let pid = report.machines[0].pid;
        let status = |name| format!("/proc/{pid}/task/{}/status", task(&report, name).tid);
        let mut threads = Threads {
            statuses: [status("m/vcpu0"), status("m/io")],
            so_far: [0; 2],
        };
        threads.sleeps();
        threads
    }

    /// Since the last time.
    fn sleeps(&mut self) -> [u64; 2] {
        let now = self.statuses.each_ref().map(|path| {
            let status = std::fs::read_to_string(path).expect("a live thread");
            let sleeps = status.lines().find(|line| line.starts_with("voluntary"));
            number_after(sleeps.unwrap_or_default(), "voluntary_ctxt_switches:")
        });
        let before = std::mem::replace(&mut self.so_far, now);
        [0, 1].map(|of| now[of] - before[of])
    }
}

/// Serve the guest's connections to a port, one after the other, on a thread that ends with the bench.
fn serve(scratch: &Scratch, port: u32, with: fn(UnixStream) -> io::Result<()>) {
    let path = scratch.path().join(format!("v.sock_{port}"));
    let listener = UnixListener::bind(path).expect("a socket in a scratch directory");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if let Err(error) = with(stream) {
                println!("  port {port}: {error}");
            }
        }
    });
}

fn drain(mut stream: UnixStream) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    while stream.read(&mut piece)? > 0 {}
    Ok(())
}

/// The bytes that the guest expects: each its offset modulo the pattern's period.
fn feed(mut stream: UnixStream) -> io::Result<()> {
    let period = firmware::PATTERN_PERIOD as usize;
    let pattern: Vec<u8> = (0..PIECE + period).map(|at| (at % period) as u8).collect();
    let mut sent = 0;
    while sent < BYTES {
        let begin = (sent % firmware::PATTERN_PERIOD) as usize;
        let length = PIECE.min((BYTES - sent) as usize);
        stream.write_all(&pattern[begin..begin + length])?;
        sent += length as u64;
    }
    Ok(())
}

fn echo(mut stream: UnixStream) -> io::Result<()> {
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            count => stream.write_all(&piece[..count])?,
        }
    }
}
