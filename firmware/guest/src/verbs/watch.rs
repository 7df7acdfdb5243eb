//! Verbs that wait for what the supervisor says by itself.

use alloc::string::String;
use alloc::vec::Vec;

use crate::channel::Channel;
use crate::failure::Failure;
use crate::kept::{Item, Kept};

/// How long each of these waits for the next thing.
const PATIENCE_MICROSECONDS: u64 = 60_000_000;

fn deadline(channel: &Channel) -> u64 {
    channel.vcpu().clock.deadline(PATIENCE_MICROSECONDS)
}

fn need_subscription(channel: &Channel) -> Result<(), Failure> {
    if channel.memory.subscribed {
        Ok(())
    } else {
        Err(Failure::wrong("not subscribed"))
    }
}

/// Waits for the release of a group.
pub fn wait_release(channel: &mut Channel, group: &str) -> Result<(), Failure> {
    need_subscription(channel)?;
    let item = channel.wait_for_item(deadline(channel), |kept| kept.pop_release(group))?;
    channel.vcpu().print(format_args!("{item}"));
    Ok(())
}

/// Waits for the next event of any kind.
pub fn wait_event(channel: &mut Channel) -> Result<(), Failure> {
    need_subscription(channel)?;
    let item = channel.wait_for_item(deadline(channel), Kept::pop)?;
    channel.vcpu().print(format_args!("{item}"));
    Ok(())
}

/// Answers the supervisor until it asks the guest to end.
pub fn serve(channel: &mut Channel) -> Result<(), Failure> {
    channel.session()?;
    channel.wait_for(deadline(channel), |memory| {
        core::mem::take(&mut memory.asked_to_end).then_some(())
    })?;
    channel.vcpu().print(format_args!("asked to end"));
    Ok(())
}

/// A release or a gap, kept small: there may be many, of few groups.
enum Seen {
    Release { seq: u64, group: usize, ticks: u64 },
    Gap(Option<u64>),
}

/// What has been seen, in order.
struct Log {
    seen: Vec<Seen>,
    groups: Vec<String>,
    releases: u64,
}

impl Log {
    fn of(releases: u64) -> Self {
        Self {
            seen: Vec::with_capacity(usize::try_from(releases).unwrap_or(usize::MAX)),
            groups: Vec::new(),
            releases: 0,
        }
    }

    /// Notes an item, unless it is an event of another kind. Whether it was a release.
    fn note(&mut self, item: &Item) -> bool {
        match (item, item.released()) {
            (Item::Gap(lost), _) => self.seen.push(Seen::Gap(*lost)),
            (Item::Event { id, ticks, .. }, Some(name)) => {
                let known = self.groups.iter().position(|group| group == name);
                let group = known.unwrap_or_else(|| {
                    self.groups.push(name.into());
                    self.groups.len() - 1
                });
                self.releases += 1;
                self.seen.push(Seen::Release {
                    seq: id.seq,
                    group,
                    ticks: *ticks,
                });
                return true;
            }
            (Item::Event { .. }, None) => {}
        }
        false
    }

    /// Waits for the next item and notes it. Whether it was a release.
    fn wait(&mut self, channel: &mut Channel) -> Result<bool, Failure> {
        let item = channel.wait_for_item(deadline(channel), Kept::pop)?;
        Ok(self.note(&item))
    }
}

/// Waits for so many releases, on a connection of its own for each `each` of them.
pub fn collect(channel: &mut Channel, releases: u64, each: u64) -> Result<(), Failure> {
    need_subscription(channel)?;
    let mut log = Log::of(releases);
    while log.releases < releases {
        let is_release = log.wait(channel)?;
        if is_release && each > 0 && log.releases.is_multiple_of(each) && log.releases < releases {
            channel.close()?;
            channel.session()?;
        }
    }
    let vcpu = channel.vcpu();
    for seen in &log.seen {
        match seen {
            Seen::Release { seq, group, .. } => {
                let group = &log.groups[*group];
                vcpu.print(format_args!("released {seq} {group}"));
            }
            Seen::Gap(lost) => vcpu.print(format_args!("{}", Item::Gap(*lost))),
        }
    }
    vcpu.print(format_args!("collected {}", log.releases));
    Ok(())
}

/// Waits for so many releases, and prints when each was read.
pub fn stamp(channel: &mut Channel, releases: u64) -> Result<(), Failure> {
    need_subscription(channel)?;
    let mut log = Log::of(releases);
    while log.releases < releases {
        log.wait(channel)?;
    }
    let vcpu = channel.vcpu();
    for seen in &log.seen {
        match seen {
            Seen::Release { seq, ticks, .. } => vcpu.print(format_args!("stamp {seq} {ticks}")),
            Seen::Gap(lost) => vcpu.print(format_args!("{}", Item::Gap(*lost))),
        }
    }
    Ok(())
}
