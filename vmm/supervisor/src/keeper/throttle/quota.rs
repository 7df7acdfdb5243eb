//! A quota, kept to.
//!
//! ```text
//!   left:  quota ──used──▶ 0 or less: held ──period ends──▶ left + quota, at most quota
//! ```
//!
//! What a group has overrun its quota by, because it was looked at late or left its guests late, is taken off the next
//! periods. What it has not used is gone with its period, as in the kernel where there is no burst.

use container_core::{CpuLimits, CpuStat, Nanoseconds};

const NS_PER_US: u64 = 1_000;

/// What a group with a quota has left, and what has come of it.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// When the present period ends; 0 before the first.
    period_ends: u64,
    /// What it may still use in this period, nanoseconds; below zero, what it owes.
    left: i64,
    held_since: Option<u64>,
    /// It has used something in this period, or was held in it.
    ran: bool,
    throttled: bool,
    stat: CpuStat,
}

impl Account {
    /// The limit is another: begin anew, without debt.
    pub fn restart(&mut self) {
        (self.period_ends, self.held_since, self.throttled) = (0, None, false);
    }

    /// What is to stand in cpu.stat.
    pub fn stat(&self) -> CpuStat {
        self.stat
    }

    /// So much more was used until now. Returns whether the group is to be held.
    pub fn pass(&mut self, now: u64, used: u64, limits: &CpuLimits) -> bool {
        let period = limits.period_us * NS_PER_US;
        let quota = limits
            .quota_us
            .map_or(u64::MAX, |us| us.saturating_mul(NS_PER_US));
        let quota = i64::try_from(quota).unwrap_or(i64::MAX);
        if self.period_ends == 0 {
            (self.period_ends, self.left) = (now + period, quota);
        }
        self.left = self.left.saturating_sub_unsigned(used);
        self.ran |= used > 0;
        while now >= self.period_ends {
            self.close_period();
            self.left = self.left.saturating_add(quota).min(quota);
            self.period_ends += period;
            if self.left == quota && now >= self.period_ends {
                // Nothing is known of the periods in between but that it was not held in them.
                self.period_ends = now + period - (now - self.period_ends) % period;
            }
            // It stays held in a period that is wholly paid to its debt.
            self.throttled = self.left <= 0 && self.held_since.is_some();
        }
        let is_held = self.left <= 0;
        match (is_held, self.held_since) {
            (true, None) => {
                self.held_since = Some(now);
                self.throttled = true;
            }
            (true, Some(since)) => {
                self.add_throttled(now - since);
                self.held_since = Some(now);
            }
            (false, Some(since)) => {
                self.add_throttled(now - since);
                self.held_since = None;
            }
            (false, None) => {}
        }
        is_held
    }

    /// When to look again, if so many of its tasks may run at once.
    pub fn next(&self, now: u64, may_run: u64) -> u64 {
        match u64::try_from(self.left) {
            Ok(left) if left > 0 => now.saturating_add(left / may_run.max(1)),
            _ => self.period_ends,
        }
    }

    fn close_period(&mut self) {
        self.stat.nr_periods += u64::from(self.ran || self.throttled);
        self.stat.nr_throttled += u64::from(self.throttled);
        self.ran = false;
    }

    fn add_throttled(&mut self, ns: u64) {
        self.stat.throttled = Nanoseconds(self.stat.throttled.0 + ns);
    }
}
