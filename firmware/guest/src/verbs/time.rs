//! Verbs that measure: round trips and exits.

use agent_protocol::{Call, Reply};

use crate::channel::Channel;
use crate::connection::Flow;
use crate::cpu;
use crate::failure::Failure;
use crate::net::Net;
use crate::registers;
use crate::samples::Samples;
use crate::session::{PATIENCE_MICROSECONDS, PATIENCE_SECONDS};
use crate::vcpu::Vcpu;

/// Size of the messages of `rtt`.
const MESSAGE_BYTES: usize = 64;

fn print(vcpu: Vcpu, what: &str, count: u64, samples: Samples) {
    let (p50, p99) = samples.p50_p99();
    let (p50, p99) = (vcpu.clock.nanoseconds(p50), vcpu.clock.nanoseconds(p99));
    vcpu.print(format_args!("{what} {count}: p50 {p50} ns p99 {p99} ns"));
}

/// Round trips with the supervisor.
pub fn ping(channel: &mut Channel, count: u64) -> Result<(), Failure> {
    let mut samples = Samples::of(count);
    for _ in 0..count {
        let start = cpu::timestamp();
        let outcome = channel.call(Call::Ping)?;
        samples.push(cpu::timestamp() - start);
        if outcome != Ok(Reply::Pong) {
            return Err(Failure::wrong("something else than a pong"));
        }
    }
    let vcpu = channel.vcpu();
    if count == 1 {
        vcpu.print(format_args!("pong"));
    } else {
        print(vcpu, "ping", count, samples);
    }
    Ok(())
}

/// Reads of a register that never changes.
pub fn exits(channel: &mut Channel, count: u64) -> Result<(), Failure> {
    if !registers::is_there() {
        return Err(Failure::NoDevice);
    }
    let mut samples = Samples::of(count);
    for _ in 0..count {
        let start = cpu::timestamp();
        registers::read(registers::MAGIC);
        samples.push(cpu::timestamp() - start);
    }
    print(channel.vcpu(), "exits", count, samples);
    Ok(())
}

/// Small messages to a port that echoes.
pub fn rtt(channel: &mut Channel, port: u32, rounds: u64) -> Result<(), Failure> {
    let vcpu = channel.vcpu();
    let flow = channel.connect(port)?;
    let net = channel.net()?;
    let mut samples = Samples::of(rounds);
    for round in 0..rounds {
        let message = [round as u8; MESSAGE_BYTES];
        let start = cpu::timestamp();
        if !net.send(flow, &message, PATIENCE_MICROSECONDS)? {
            return Err(Failure::wrong("the connection was reset"));
        }
        let echo = receive_message(net, flow)?;
        samples.push(cpu::timestamp() - start);
        if echo != message {
            return Err(Failure::wrong("the echo is another message"));
        }
    }
    net.close(flow, net.seconds(PATIENCE_SECONDS))?;
    print(vcpu, "rtt", rounds, samples);
    Ok(())
}

fn receive_message(net: &mut Net, flow: Flow) -> Result<[u8; MESSAGE_BYTES], Failure> {
    let mut message = [0; MESSAGE_BYTES];
    let mut length = 0;
    net.wait(net.seconds(PATIENCE_SECONDS), |net| {
        length += net.take(flow, |bytes| {
            let taken = bytes.len().min(MESSAGE_BYTES - length);
            message[length..length + taken].copy_from_slice(&bytes[..taken]);
            taken
        })?;
        if length < MESSAGE_BYTES && net.is_drained(flow) {
            return Err(Failure::wrong("the connection ended"));
        }
        Ok((length == MESSAGE_BYTES).then_some(()))
    })?;
    Ok(message)
}
