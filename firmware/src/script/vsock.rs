//! The verbs that use the vsock device, and what they print.
//!
//! A verb opens the session with the supervisor if it needs one and none is open; the session stays
//! open. While a verb waits for anything, the supervisor's own requests are answered. One vCPU at a time
//! is the agent: another's verb waits for its turn. All lines begin with `vcpuN: `.
//!
//! ```text
//! The view
//!   tree [HIERARCHY]       tree GROUP cpus CPUS tasks N own vcpu0,vcpu1   one a group; `-` for none
//!   roots                  root HIERARCHY read|delegate SUBSYSTEM,…       one a hierarchy
//!   get GROUP FILE         get GROUP FILE: TEXT                           one a line of the file
//!   mkdir GROUP            ok LINE: N effects                             or, as of all requests:
//!   rmdir GROUP            …                                              refused LINE: RULE (ERRNO)
//!   set GROUP FILE VALUE
//!   attach vcpuN GROUP     several of these four joined by ` ; ` are one change: all or nothing
//!
//! Events
//!   subscribe              subscribed after SEQ
//!   unsubscribe            unsubscribed
//!   wait release GROUP     event SEQ released GROUP
//!   wait event             event SEQ released|created|removed|frozen|thawed GROUP
//!                          event SEQ renamed GROUP to GROUP
//!                          event SEQ moved vcpuN from GROUP to GROUP      `outside` where it cannot see
//!                          event SEQ written GROUP FILE VALUE
//!                          gap lost N                                     `?` where nobody knows
//!   collect N [K]          released SEQ GROUP                             N of them, and gaps, then:
//!                          collected N                                    a new session after every K
//!   stamp N                stamp SEQ TSC                                  when each of N releases was read
//!   reconnect              reconnected                                    a new session, resuming
//!   disconnect             disconnected
//!   serve                  asked to end                                   once the supervisor asks
//!
//! Measurements
//!   ping [N]               pong, or ping N: p50 T ns p99 T ns
//!   exits N                exits N: p50 T ns p99 T ns                     reads of a device register
//!   rtt PORT N             rtt N: p50 T ns p99 T ns                       64 bytes, echoed by the host
//!   send PORT BYTES        sent BYTES in T ns, K kicks
//!   receive PORT BYTES     received BYTES in T ns, N kicks
//!   accept PORT            echoed N bytes
//!
//! Ill will
//!   flood N                flood: sent N | cut off after K | stalled after K
//!   garbage, huge          garbage: ended: SENTENCE                       `no goodbye` without one
//!   half-open N            half-open N: A accepted R refused U unanswered
//!   unprivileged           unprivileged: refused|accepted
//!   badqueue loop|outside|empty|jump
//!                          badqueue KIND: status 0xNN
//! ```
//!
//! A verb that fails prints `VERB: WHY` and ends its vCPU: with code 3 after `VERB: timed out` (10 s for
//! an answer; 60 s for the next event, a request to end, a connection to accept), with code 1 after `no
//! vsock device`, with code 2 otherwise (`VERB: session ended: SENTENCE`, `send: port 5000 refused the
//! connection`, …). A refusal is an answer, not a failure.

use super::parse_number;
use crate::change::{changes, word};
use crate::verb::{BadQueue, Verb};

/// Most samples and events that the guest's heap has room for.
const MAX_COUNT: u64 = 10_000;

/// Most requests of a flood.
const MAX_FLOOD: u64 = 1_000_000;

/// Most bytes of a stream.
const MAX_BYTES: u64 = 1 << 40;

const COUNT: &str = "a number of 1 to 10000";
const PORT: &str = "a port of 1 to 4294967294";
const PORT_AND_BYTES: &str = "a port and a number of bytes, at most 1099511627776";

/// The verb of `line` with what was expected instead of its operand, or nothing if it is another kind
/// of verb.
pub(super) fn parse<'a>(
    line: &'a str,
    verb: &str,
    operand: &'a str,
) -> Option<Result<Verb<'a>, &'static str>> {
    let alone = |parsed| match operand {
        "" => Ok(parsed),
        _ => Err("nothing more on the line"),
    };
    let count = || number(operand, 1, MAX_COUNT).ok_or(COUNT);
    Some(match verb {
        "tree" => match word(operand) {
            (hierarchy, "") => Ok(Verb::Tree(hierarchy)),
            _ => Err("a hierarchy, or nothing"),
        },
        "roots" => alone(Verb::Roots),
        "get" => match word(operand) {
            (_, file) if word(file).1.is_empty() && !file.is_empty() => Ok(Verb::Get(operand)),
            _ => Err("GROUP FILE"),
        },
        "set" | "mkdir" | "rmdir" | "attach" => changes(line)
            .find_map(Result::err)
            .map_or(Ok(Verb::Change(line)), Err),
        "ping" if operand.is_empty() => Ok(Verb::Ping(1)),
        "ping" => count().map(Verb::Ping),
        "exits" => count().map(Verb::Exits),
        "subscribe" => alone(Verb::Subscribe),
        "unsubscribe" => alone(Verb::Unsubscribe),
        "wait" => wait(operand),
        "collect" => collect(operand),
        "stamp" => count().map(Verb::Stamp),
        "reconnect" => alone(Verb::Reconnect),
        "disconnect" => alone(Verb::Disconnect),
        "serve" => alone(Verb::Serve),
        "send" => port_and(operand, 0, MAX_BYTES)
            .map(|(port, bytes)| Verb::Send { port, bytes })
            .ok_or(PORT_AND_BYTES),
        "receive" => port_and(operand, 0, MAX_BYTES)
            .map(|(port, bytes)| Verb::Receive { port, bytes })
            .ok_or(PORT_AND_BYTES),
        "accept" => port(operand).map(Verb::Accept).ok_or(PORT),
        "rtt" => port_and(operand, 1, MAX_COUNT)
            .map(|(port, rounds)| Verb::Rtt { port, rounds })
            .ok_or("a port and a number of 1 to 10000"),
        "flood" => number(operand, 1, MAX_FLOOD)
            .map(Verb::Flood)
            .ok_or("a number of 1 to 1000000"),
        "garbage" => alone(Verb::Garbage),
        "huge" => alone(Verb::Huge),
        "half-open" => number(operand, 1, MAX_COUNT)
            .map(Verb::HalfOpen)
            .ok_or("a number of 1 to 10000"),
        "unprivileged" => alone(Verb::Unprivileged),
        "badqueue" => BadQueue::ALL
            .into_iter()
            .find(|kind| kind.name() == operand)
            .map(Verb::BadQueue)
            .ok_or("loop, outside, empty or jump"),
        _ => return None,
    })
}

fn wait(operand: &str) -> Result<Verb<'_>, &'static str> {
    let (kind, group) = word(operand);
    match (kind, word(group)) {
        ("event", ("", "")) => Ok(Verb::WaitEvent),
        ("release", (group, "")) if !group.is_empty() => Ok(Verb::WaitRelease(group)),
        _ => Err("event, or release GROUP"),
    }
}

fn collect(operand: &str) -> Result<Verb<'_>, &'static str> {
    let (releases, each) = word(operand);
    let each = match each {
        "" => Some(0),
        each => number(each, 1, MAX_COUNT),
    };
    number(releases, 1, MAX_COUNT)
        .zip(each)
        .map(|(releases, each)| Verb::Collect { releases, each })
        .ok_or("a number of 1 to 10000, perhaps another one")
}

fn port_and(operand: &str, least: u64, most: u64) -> Option<(u32, u64)> {
    let (first, second) = word(operand);
    port(first).zip(number(second, least, most))
}

/// A vsock port: all but 0 and VMADDR_PORT_ANY.
fn port(text: &str) -> Option<u32> {
    number(text, 1, u64::from(u32::MAX) - 1).map(|port| port as u32)
}

fn number(text: &str, least: u64, most: u64) -> Option<u64> {
    parse_number(text).filter(|number| (least..=most).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Script;
    use crate::step::Step;

    fn verb(line: &str) -> Verb<'_> {
        let (verb, operand) = line.split_once(' ').unwrap_or((line, ""));
        parse(line, verb, operand).unwrap().unwrap()
    }

    const LINES: &[(&str, Verb<'static>)] = &[
        ("tree", Verb::Tree("")),
        ("tree placement", Verb::Tree("placement")),
        ("roots", Verb::Roots),
        ("get p:/a cpuset.cpus", Verb::Get("p:/a cpuset.cpus")),
        (
            "set p:/a cpuset.cpus 0 1",
            Verb::Change("set p:/a cpuset.cpus 0 1"),
        ),
        (
            "mkdir p:/a ; attach vcpu1 p:/a",
            Verb::Change("mkdir p:/a ; attach vcpu1 p:/a"),
        ),
        ("rmdir p:/a", Verb::Change("rmdir p:/a")),
        ("attach vcpu0 p:/", Verb::Change("attach vcpu0 p:/")),
        ("ping", Verb::Ping(1)),
        ("ping 1000", Verb::Ping(1000)),
        ("exits 10", Verb::Exits(10)),
        ("subscribe", Verb::Subscribe),
        ("unsubscribe", Verb::Unsubscribe),
        ("wait release p:/hot", Verb::WaitRelease("p:/hot")),
        ("wait event", Verb::WaitEvent),
        (
            "collect 50",
            Verb::Collect {
                releases: 50,
                each: 0,
            },
        ),
        (
            "collect 50 7",
            Verb::Collect {
                releases: 50,
                each: 7,
            },
        ),
        ("stamp 5", Verb::Stamp(5)),
        ("reconnect", Verb::Reconnect),
        ("disconnect", Verb::Disconnect),
        ("serve", Verb::Serve),
        (
            "send 5000 1048576",
            Verb::Send {
                port: 5000,
                bytes: 1 << 20,
            },
        ),
        (
            "receive 4294967294 0",
            Verb::Receive {
                port: u32::MAX - 1,
                bytes: 0,
            },
        ),
        ("accept 7", Verb::Accept(7)),
        (
            "rtt 5000 100",
            Verb::Rtt {
                port: 5000,
                rounds: 100,
            },
        ),
        ("flood 1000000", Verb::Flood(1_000_000)),
        ("garbage", Verb::Garbage),
        ("huge", Verb::Huge),
        ("half-open 1000", Verb::HalfOpen(1000)),
        ("unprivileged", Verb::Unprivileged),
        ("badqueue loop", Verb::BadQueue(BadQueue::Loop)),
        ("badqueue outside", Verb::BadQueue(BadQueue::Outside)),
        ("badqueue empty", Verb::BadQueue(BadQueue::Empty)),
        ("badqueue jump", Verb::BadQueue(BadQueue::Jump)),
    ];

    #[test]
    fn every_vsock_verb_reaches_the_guest_as_it_was_written() {
        let lines: Vec<String> = LINES
            .iter()
            .map(|(line, _)| format!("vcpu3: {line} "))
            .collect();
        let bytes = Script::parse(&lines).unwrap().encode();
        let mut rest = &bytes[..];
        for (line, expected) in LINES {
            let (target, step, after) = Step::decode(rest).unwrap();
            assert_eq!((target, step), (Some(3), Step::Vsock(*expected)), "{line}");
            rest = after;
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn a_message_about_a_verb_begins_with_its_name() {
        for (line, _) in LINES {
            let name = verb(line).name();
            assert_eq!(line.split_whitespace().next(), Some(name));
        }
    }

    #[test]
    fn an_operand_that_is_none_is_refused_with_what_was_expected() {
        for (line, expected) in [
            ("tree a b", "a hierarchy, or nothing"),
            ("roots all", "nothing more"),
            ("get p:/a", "GROUP FILE"),
            ("get p:/a cpuset.cpus 0", "GROUP FILE"),
            ("set p:/a cpuset.cpus", "GROUP FILE VALUE"),
            ("mkdir p:/a ; burn 1s", "mkdir, rmdir, set or attach"),
            ("attach 1 p:/a", "vcpuN GROUP"),
            ("ping 0", "1 to 10000"),
            ("exits", "1 to 10000"),
            ("exits 10001", "1 to 10000"),
            ("wait", "event, or release GROUP"),
            ("wait release", "event, or release GROUP"),
            ("wait event p:/a", "event, or release GROUP"),
            ("collect 5 0", "perhaps another"),
            ("send 0 5", "a port"),
            ("send 4294967295 5", "a port"),
            ("send 5", "a number of bytes"),
            ("accept", "a port"),
            ("rtt 5 0", "1 to 10000"),
            ("flood 1000001", "1 to 1000000"),
            ("half-open 10001", "1 to 10000"),
            ("badqueue short", "loop, outside, empty or jump"),
        ] {
            let message = Script::parse(&[line]).unwrap_err().to_string();
            assert!(message.contains(expected), "{line:?} gave {message:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_verb_decode_to_nothing() {
        let mut whole = Vec::new();
        Verb::Get("p:/ö f").encode(|bytes| whole.extend_from_slice(bytes));
        for length in 0..whole.len() {
            assert_eq!(Verb::decode(&whole[..length]), None, "{length} bytes");
        }
        for (at, byte) in [(0, 0), (0, 26), (19, 0xff)] {
            let mut changed = whole.clone();
            changed[at] = byte;
            assert_eq!(Verb::decode(&changed), None, "{byte} at {at}");
        }
        let mut kind = Vec::new();
        Verb::BadQueue(BadQueue::Jump).encode(|bytes| kind.extend_from_slice(bytes));
        kind[1] = 4;
        assert_eq!(Verb::decode(&kind), None);
    }
}
