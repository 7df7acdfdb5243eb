//! Verbs of a guest that means no good.

use alloc::string::String;
use alloc::vec::Vec;

use agent_protocol::{Call, FromAgent, PORT, PRIVILEGED_PORTS, encode};

use crate::channel::Channel;
use crate::connection::{Flow, Phase};
use crate::failure::Failure;
use crate::session::PATIENCE_SECONDS;

/// How long `flood` waits for room.
const STALL_MICROSECONDS: u64 = 5_000_000;

/// Connections of `half-open` at the same time: there are 1023 privileged ports, and the session has one.
const PORTS_AT_ONCE: u64 = 1000;

/// How long a connection of `half-open` that was accepted has to stay.
const SETTLE_MICROSECONDS: u64 = 200_000;

/// A source port that any process of a guest could have.
const UNPRIVILEGED_PORT: u32 = 2000;

/// Asks without reading an answer.
pub fn flood(channel: &mut Channel, count: u64) -> Result<(), Failure> {
    let vcpu = channel.vcpu();
    let (session, net, _) = channel.session()?;
    let roots = session.welcome.roots.first();
    let hierarchy: String = roots.map_or("none", |root| &root.hierarchy).into();
    let flow = session.flow;
    let mut sent = 0;
    let how = loop {
        if sent == count {
            break "sent";
        }
        let request = FromAgent::Request {
            // Far from those that the session has used.
            id: u32::MAX - sent as u32,
            call: Call::Tree {
                hierarchy: hierarchy.clone(),
                after: None,
            },
        };
        let frame = encode(&request).map_err(|_| Failure::wrong("a message too long to send"))?;
        match net.send(flow, &frame, STALL_MICROSECONDS) {
            Ok(true) if net.phase(flow) == Phase::Open => sent += 1,
            Ok(_) => break "cut off after",
            Err(Failure::TimedOut) => break "stalled after",
            Err(failure) => return Err(failure),
        }
    };
    channel.abandon()?;
    vcpu.print(format_args!("flood: {how} {sent}"));
    Ok(())
}

/// A frame of junk.
pub fn garbage(channel: &mut Channel) -> Result<(), Failure> {
    let mut frame = [0xff; 36];
    frame[..4].copy_from_slice(&32_u32.to_le_bytes());
    break_session(channel, "garbage", &frame)
}

/// The length of a frame that nobody could hold.
pub fn huge(channel: &mut Channel) -> Result<(), Failure> {
    break_session(channel, "huge", &[0xff; 68])
}

/// Sends what breaks the session and prints how it ends.
fn break_session(channel: &mut Channel, what: &str, bytes: &[u8]) -> Result<(), Failure> {
    channel.send_raw(bytes)?;
    let vcpu = channel.vcpu();
    let deadline = vcpu.clock.deadline(PATIENCE_SECONDS * 1_000_000);
    match channel.wait_for(deadline, |_| None::<()>) {
        Err(Failure::Ended(why)) => vcpu.print(format_args!("{what}: ended: {why}")),
        Err(failure) => return Err(failure),
        Ok(()) => {}
    }
    channel.abandon()
}

/// Connections to the agent's port, from privileged ports, that say nothing: as many at once as there are
/// ports, then as many again. The last of them stay until `disconnect`, the next `half-open`, or a reset.
pub fn half_open(channel: &mut Channel, count: u64) -> Result<(), Failure> {
    let (mut left, mut tally) = (count, Tally::default());
    while left > 0 {
        let at_once = left.min(PORTS_AT_ONCE);
        open_at_once(channel, at_once, &mut tally)?;
        left -= at_once;
    }
    let Tally {
        accepted,
        refused,
        unanswered,
    } = tally;
    channel.vcpu().print(format_args!(
        "half-open {count}: {accepted} accepted {refused} refused {unanswered} unanswered"
    ));
    Ok(())
}

/// What became of connections.
#[derive(Default)]
struct Tally {
    accepted: u64,
    refused: u64,
    unanswered: u64,
}

fn open_at_once(channel: &mut Channel, count: u64, tally: &mut Tally) -> Result<(), Failure> {
    let vcpu = channel.vcpu();
    channel.forget_half_open()?;
    let session_port = channel.session_port();
    let ports = (1..PRIVILEGED_PORTS).filter(|&port| Some(port) != session_port);
    let remote = PORT;
    let flows: Vec<Flow> = ports
        .take(count as usize)
        .map(|local| Flow { local, remote })
        .collect();
    channel.half_open.clone_from(&flows);
    let net = channel.net()?;
    for &flow in &flows {
        net.connect(flow)?;
        net.poll_all()?;
    }
    let all_decided = net.wait(net.seconds(PATIENCE_SECONDS), |net| {
        let decided = flows.iter().all(|&flow| net.is_decided(flow));
        Ok(decided.then_some(()))
    });
    // One that is accepted and closed at once was refused, in another way.
    let settled = vcpu.clock.deadline(SETTLE_MICROSECONDS);
    for result in [all_decided, net.wait(settled, |_| Ok(None))] {
        match result {
            Ok(()) | Err(Failure::TimedOut) => {}
            Err(failure) => return Err(failure),
        }
    }
    for &flow in &flows {
        *match net.phase(flow) {
            Phase::Open => &mut tally.accepted,
            Phase::Asked => &mut tally.unanswered,
            Phase::HalfClosed | Phase::Gone => &mut tally.refused,
        } += 1;
    }
    Ok(())
}

/// A connection to the agent's port from a port that is not privileged.
pub fn unprivileged(channel: &mut Channel) -> Result<(), Failure> {
    let vcpu = channel.vcpu();
    let net = channel.net()?;
    let flow = Flow {
        local: UNPRIVILEGED_PORT,
        remote: PORT,
    };
    let outcome = match net.open(flow, net.seconds(PATIENCE_SECONDS))? {
        true => "accepted",
        false => "refused",
    };
    net.forget(flow)?;
    vcpu.print(format_args!("unprivileged: {outcome}"));
    Ok(())
}
