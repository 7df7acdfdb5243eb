//! A machine program that does not play by the rules, started in the machine's place by the tests.
//!
//! How it lies is said by the machine's name, up to the first dot: `garbage.1` sends garbage.

use std::io::Write;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::time::Duration;

use link::{Link, Listener, Thread, ThreadKind, ToMachine, ToSupervisor, VERSION};

type Supervisor = Link<ToSupervisor, ToMachine>;

fn main() {
    #[allow(unsafe_code)]
    // SAFETY: the supervisor passes the listener as descriptor 3, and nothing here has taken it.
    let listener = Listener::from_fd(unsafe { OwnedFd::from_raw_fd(3) });
    let link = listener.accept().expect("a supervisor");
    let Ok(Some(ToMachine::Create { machine, .. })) = link.recv() else {
        return;
    };
    let pid = std::process::id();
    match machine.name.split('.').next().unwrap_or_default() {
        "garbage" => raw(&link, &[0xff; 300]),
        "huge" => raw(&link, &vec![7; link::MAX_FRAME + 1]),
        "version" => say(
            &link,
            ToSupervisor::Born {
                version: VERSION + 1,
                threads: vec![],
            },
        ),
        "stranger" => say(&link, born(pid, 1, 2)), // init's and kthreadd's ids
        "parent" => {
            let parent =
                rustix::process::getppid().map_or(1, |pid| pid.as_raw_nonzero().get() as u32);
            say(&link, born(pid, parent, parent));
        }
        "few" => say(
            &link,
            ToSupervisor::Born {
                version: VERSION,
                threads: vec![],
            },
        ),
        "unborn" => say(
            &link,
            ToSupervisor::Ended {
                kind: ThreadKind::Vcpu(0),
            },
        ),
        "undead" => say(
            &link,
            ToSupervisor::Failed {
                why: "no will to live".into(),
            },
        ),
        "mute" => {}
        "exits" => std::process::exit(3),
        "agent" => say_with(&link, ToSupervisor::Agent { source_port: 1023 }),
        "smuggler" => say_with(&link, ToSupervisor::Pong(1)),
        "unheld" => hold(&link, false),
        "runs-on" => hold(&link, true),
        "steals" => say(&link, ToSupervisor::Pong(77)),
        other => eprintln!("no lie is called {other}"),
    }
    let _ = std::io::stdout().flush();
    // It lives until it is found out.
    std::thread::sleep(Duration::from_secs(120));
}

fn born(control: u32, vcpu: u32, io: u32) -> ToSupervisor {
    let thread = |kind, tid| Thread { kind, tid };
    ToSupervisor::Born {
        version: VERSION,
        threads: vec![
            thread(ThreadKind::Control, control),
            thread(ThreadKind::Vcpu(0), vcpu),
            thread(ThreadKind::Io, io),
        ],
    }
}

/// A vCPU that computes without end, in good order but for what it does when it is to be held.
fn hold(link: &Supervisor, says_so: bool) {
    let vcpu = thread(|| {
        loop {
            std::hint::spin_loop();
        }
    });
    let io = thread(|| std::thread::sleep(Duration::from_secs(120)));
    say(link, born(std::process::id(), vcpu, io));
    loop {
        match link.recv() {
            Ok(Some(ToMachine::Hold { number, .. })) if says_so => {
                say(link, ToSupervisor::Held { number });
            }
            Ok(Some(ToMachine::Ping(number))) => say(link, ToSupervisor::Pong(number)),
            Ok(_) => std::thread::sleep(Duration::from_millis(1)),
            Err(_) => return,
        }
    }
}

/// Start a thread; its id.
fn thread(what: impl FnOnce() + Send + 'static) -> u32 {
    let (sender, tid) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let tid = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        sender.send(tid).expect("heard");
        what();
    });
    tid.recv().expect("a thread that starts")
}

fn say(link: &Supervisor, message: ToSupervisor) {
    link.send(&message).expect("heard");
}

/// A message with a descriptor.
fn say_with(link: &Supervisor, message: ToSupervisor) {
    let (_offer, descriptor) = link::AgentOffer::new().expect("a socket pair");
    let sent = link.send_with(&message, descriptor.as_fd());
    sent.expect("heard");
}

fn raw(link: &Supervisor, bytes: &[u8]) {
    rustix::io::write(link, bytes).expect("written");
}
