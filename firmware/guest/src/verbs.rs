//! The vsock verbs: each takes the channel, does its part, and gives the channel back.
//!
//! A verb that fails says so, `VERB: WHY`, and ends its vCPU with the failure's code.

mod ask;
mod badqueue;
mod data;
mod hostile;
mod time;
mod watch;

use crate::channel::{Channel, Turn};
use crate::failure::Failure;
use crate::vcpu::Vcpu;
use crate::verb::Verb;

/// Does what a verb says.
pub fn run(verb: Verb<'_>, vcpu: Vcpu) {
    let failure = match Turn::take(vcpu) {
        Err(failure) => failure,
        Ok(mut channel) => match act(verb, &mut channel) {
            Ok(()) => return,
            Err(failure) => {
                // Why the verb failed is what counts, not how the session then ends.
                let _ = channel.abandon();
                failure
            }
        },
    };
    match failure {
        Failure::NoDevice => vcpu.print(format_args!("{failure}")),
        _ => vcpu.print(format_args!("{}: {failure}", verb.name())),
    }
    vcpu.end(failure.code())
}

fn act(verb: Verb<'_>, channel: &mut Channel) -> Result<(), Failure> {
    match verb {
        Verb::Tree(hierarchy) => ask::tree(channel, hierarchy),
        Verb::Roots => ask::roots(channel),
        Verb::Get(operands) => ask::get(channel, operands),
        Verb::Change(line) => ask::change(channel, line),
        Verb::Subscribe => ask::subscribe(channel),
        Verb::Unsubscribe => ask::unsubscribe(channel),
        Verb::Reconnect => ask::reconnect(channel),
        Verb::Disconnect => ask::disconnect(channel),
        Verb::Ping(count) => time::ping(channel, count),
        Verb::Exits(count) => time::exits(channel, count),
        Verb::Rtt { port, rounds } => time::rtt(channel, port, rounds),
        Verb::WaitRelease(group) => watch::wait_release(channel, group),
        Verb::WaitEvent => watch::wait_event(channel),
        Verb::Collect { releases, each } => watch::collect(channel, releases, each),
        Verb::Stamp(count) => watch::stamp(channel, count),
        Verb::Serve => watch::serve(channel),
        Verb::Send { port, bytes } => data::send(channel, port, bytes),
        Verb::Receive { port, bytes } => data::receive(channel, port, bytes),
        Verb::Accept(port) => data::accept(channel, port),
        Verb::Flood(count) => hostile::flood(channel, count),
        Verb::Garbage => hostile::garbage(channel),
        Verb::Huge => hostile::huge(channel),
        Verb::HalfOpen(count) => hostile::half_open(channel, count),
        Verb::Unprivileged => hostile::unprivileged(channel),
        Verb::BadQueue(kind) => badqueue::run(channel, kind),
    }
}
