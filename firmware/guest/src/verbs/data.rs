//! Verbs that move bytes over other ports.
//!
//! The byte at offset N of a stream is N modulo [`PATTERN_PERIOD`], a prime, so that a piece that is
//! lost, doubled or out of place shows.

use alloc::vec::Vec;

use crate::channel::Channel;
use crate::connection::{Flow, Phase};
use crate::cpu;
use crate::failure::Failure;
use crate::layout::PATTERN_PERIOD;
use crate::net::Net;
use crate::registers;
use crate::session::{PATIENCE_MICROSECONDS, PATIENCE_SECONDS};

/// Bytes sent or echoed at a time: a packet's worth.
const PIECE_BYTES: usize = 64 * 1024;

/// How long `accept` waits for its connection.
const ACCEPT_SECONDS: u64 = 60;

const RESET: Failure = Failure::wrong("the connection was reset");

/// The pattern, long enough for a piece at any place of its period.
fn pattern() -> Vec<u8> {
    let period = PATTERN_PERIOD as usize;
    let mut bytes = Vec::with_capacity(PIECE_BYTES + period);
    bytes.extend((0..PATTERN_PERIOD).map(|byte| byte as u8));
    while bytes.len() < PIECE_BYTES + period {
        let length = period.min(PIECE_BYTES + period - bytes.len());
        bytes.extend_from_within(..length);
    }
    bytes
}

/// The part of the pattern that stands at `offset` of a stream.
fn piece(pattern: &[u8], offset: u64, length: u64) -> &[u8] {
    let start = (offset % PATTERN_PERIOD) as usize;
    &pattern[start..start + length.min(PIECE_BYTES as u64) as usize]
}

/// Sends so many bytes, shuts down, and waits for the host to close.
pub fn send(channel: &mut Channel, port: u32, bytes: u64) -> Result<(), Failure> {
    let vcpu = channel.vcpu();
    let pattern = pattern();
    let flow = channel.connect(port)?;
    let net = channel.net()?;
    let (start, kicks) = (cpu::timestamp(), registers::kicks());
    let mut sent = 0;
    while sent < bytes {
        let piece = piece(&pattern, sent, bytes - sent);
        if !net.send(flow, piece, PATIENCE_MICROSECONDS)? {
            return Err(RESET);
        }
        sent += piece.len() as u64;
    }
    if !net.close(flow, net.seconds(PATIENCE_SECONDS))? {
        return Err(Failure::TimedOut);
    }
    let elapsed = vcpu.clock.nanoseconds(cpu::timestamp() - start);
    let kicks = registers::kicks() - kicks;
    vcpu.print(format_args!("sent {bytes} in {elapsed} ns, {kicks} kicks"));
    Ok(())
}

/// Receives bytes until the host sends no more, and checks them.
pub fn receive(channel: &mut Channel, port: u32, bytes: u64) -> Result<(), Failure> {
    let vcpu = channel.vcpu();
    let pattern = pattern();
    let flow = channel.connect(port)?;
    let net = channel.net()?;
    let (start, kicks) = (cpu::timestamp(), registers::kicks());
    let mut received = 0;
    loop {
        let mut wrong = false;
        let taken = take_some(net, flow, |come| {
            let come = &come[..come.len().min(PIECE_BYTES)];
            wrong = come != piece(&pattern, received, come.len() as u64);
            come.len()
        })?;
        if wrong {
            let what = alloc::format!("a wrong byte after {received}");
            return Err(Failure::Wrong(what.into()));
        }
        if taken == 0 {
            break;
        }
        received += taken as u64;
    }
    let elapsed = vcpu.clock.nanoseconds(cpu::timestamp() - start);
    let kicks = registers::kicks() - kicks;
    net.forget(flow)?;
    if received != bytes {
        let what = alloc::format!("{received} bytes came, not {bytes}");
        return Err(Failure::Wrong(what.into()));
    }
    vcpu.print(format_args!(
        "received {bytes} in {elapsed} ns, {kicks} kicks"
    ));
    Ok(())
}

/// Accepts one connection and echoes what comes until the host sends no more.
pub fn accept(channel: &mut Channel, port: u32) -> Result<(), Failure> {
    let vcpu = channel.vcpu();
    let net = channel.net()?;
    let flow = net.accept(port, net.seconds(ACCEPT_SECONDS))?;
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    let mut echoed: u64 = 0;
    loop {
        piece.clear();
        let taken = take_some(net, flow, |come| {
            let come = &come[..come.len().min(PIECE_BYTES)];
            piece.extend_from_slice(come);
            come.len()
        })?;
        if taken == 0 {
            break;
        }
        if !net.send(flow, &piece, PATIENCE_MICROSECONDS)? {
            return Err(RESET);
        }
        echoed += taken as u64;
    }
    // The host has shut down its side only, and may still be reading: so by agreement.
    net.close(flow, net.seconds(PATIENCE_SECONDS))?;
    vcpu.print(format_args!("echoed {echoed} bytes"));
    Ok(())
}

/// Waits until bytes have come and hands them to `take`; 0 at the end of the stream. A reset is an end
/// too: a host that closes may do it by one.
fn take_some(
    net: &mut Net,
    flow: Flow,
    mut take: impl FnMut(&[u8]) -> usize,
) -> Result<usize, Failure> {
    net.wait(net.seconds(PATIENCE_SECONDS), |net| {
        let taken = net.take(flow, |bytes| if bytes.is_empty() { 0 } else { take(bytes) })?;
        let over = matches!(net.phase(flow), Phase::Gone | Phase::HalfClosed);
        Ok((taken > 0 || over).then_some(taken))
    })
}
