//! Shares, kept to.
//!
//! The heirs of a group are its children, and the tasks that stand in it, which count as 1024 shares each as in the
//! kernel. Each has a *virtual time*: what it has used, divided by its shares. Of those that want the same CPUs the one
//! whose virtual time is ahead of another's by more than a slack is held until the other has caught up.
//!
//! The host's scheduler goes on beside this and divides CPUs evenly by thread. So two things are to be told from each
//! other: a sibling that is behind because it is kept from running, and one that is behind because it wants no more.
//!
//! - Nobody is held for a sibling that does not wait for a CPU.
//! - Nobody is held on for a sibling that does not want most of the time it is given: then what it was
//!   behind is forgiven, and the next hold for its sake comes after a while that doubles each time.
//! - Who is held leaves as many vCPUs running as there are CPUs that the others do not want.
//! - Who comes back after a rest is not behind for it, and neither is who leaves a part of what is kept free for it: that
//!   counts as if it had been used. So whoever wants all it can get has its due at least.
//!
//! The price is that an heir that wants less than three quarters of a CPU gets what the host's scheduler gives it: as much
//! as any other thread, and no more. There a hold begins to cost more than it gives: beside one other thread, who wants
//! the part d of a CPU gains at most d - 1/2 of a hold's time by it and leaves 1 - d idle. To lose less, a sibling would
//! have to be held only while the other is awake. The kernel does that, who is there at each wake-up; here the readings
//! are a tick behind, a look comes each 10 ms, and a hold takes a moment to arrive.

use std::collections::BTreeMap;

use container_core::{CpuGroup, CpuSet};

/// A task wants a CPU if it used or waited for it this part of the time.
pub(super) const WANTS: u64 = 4;
/// Behind for want of a CPU is who waited this part of the time.
const WAITS: u64 = 10;
/// How far an heir may be ahead of its due, in its own time, before it is held.
const SLACK_NS: u64 = 8_000_000;
/// Nothing further ahead than this is remembered.
const MOST_AHEAD_NS: u64 = 400_000_000;
/// An heir is in the race until it has not wanted a CPU for this long.
const MEMORY_NS: u64 = 60_000_000;
/// A hold is judged after this long: on a crowded CPU a wait is written down only once it is over.
const FOR_NOTHING_NS: u64 = 40_000_000;
/// From a hold that was for nothing to the next, at first and at most.
const BACKOFF_NS: [u64; 2] = [25_000_000, 800_000_000];
/// What is declined of the time that is kept free for an heir is judged by so much of it: readings are a tick behind.
const OFFERED_NS: u64 = 1_000_000_000;
/// Shares that make virtual time real.
const UNIT: u64 = 1024;

/// Who has a part in what a group gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Heir {
    /// The tasks that stand in it.
    Own,
    /// A child, with all below it.
    Child(CpuGroup),
}

/// What an heir has done since the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Conduct {
    pub weight: u64,
    pub used: u64,
    pub waited: u64,
    /// Its vCPUs, and its tasks of any kind that want a CPU and are not held.
    pub vcpus: u32,
    pub wanting: u32,
    /// Some of it was held for the sake of shares, on this level or another.
    pub waits_held: bool,
    /// CPUs of those that want one.
    pub cpus: CpuSet,
}

/// How the heirs of one group stand to each other.
#[derive(Debug, Default)]
pub(super) struct Level {
    heirs: BTreeMap<Heir, Standing>,
}

#[derive(Clone, Debug, Default)]
struct Standing {
    virtual_ns: u64,
    /// When it last wanted a CPU; None for one that is not in the race.
    wanted_at: Option<u64>,
    held: Option<Held>,
    /// Not held again before.
    not_before: u64,
    backoff: u64,
    offered: Offered,
}

/// What an heir could have had while others were held for its sake, and what it wanted of that, nanoseconds; of the last
/// second of such time, the older half of it for less.
#[derive(Clone, Copy, Debug, Default)]
struct Offered {
    could: u64,
    wanted: u64,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    since: u64,
    /// vCPUs that run on.
    leave: u32,
    /// What the others have wanted since, and what those of them that wanted a CPU could have had.
    wanted: u64,
    could: u64,
}

impl Level {
    /// The heir is no more.
    pub fn forget(&mut self, heir: Heir) {
        self.heirs.remove(&heir);
    }

    /// Who is held, and how many vCPUs of it run on.
    pub fn held(&self) -> impl Iterator<Item = (Heir, u32)> + '_ {
        let heirs = self.heirs.iter();
        heirs.filter_map(|(heir, standing)| Some((*heir, standing.held?.leave)))
    }

    /// Decide anew. Returns whether two of them want the same CPUs.
    pub fn look(&mut self, now: u64, elapsed: u64, heirs: &[(Heir, Conduct)]) -> bool {
        self.heirs
            .retain(|heir, _| heirs.iter().any(|(there, _)| there == heir));
        self.enter_and_leave(now, heirs);
        let mut kept_free = CpuSet::EMPTY;
        for (heir, conduct) in heirs {
            if self.heirs.get(heir).is_some_and(|it| it.held.is_some()) {
                kept_free = kept_free | conduct.cpus;
            }
        }
        for (heir, conduct) in heirs {
            let standing = self.heirs.entry(*heir).or_default();
            let used = match standing.held.is_none() && kept_free.intersects(&conduct.cpus) {
                true => standing.offered.taken(elapsed, conduct),
                false => conduct.used,
            };
            standing.virtual_ns += used.saturating_mul(UNIT) / conduct.weight.max(1);
        }
        let racing = heirs.iter().filter_map(|(heir, conduct)| {
            let standing = &self.heirs[heir];
            standing.wanted_at?;
            let runs = conduct.wanting > 0 && standing.held.is_none();
            Some((*heir, conduct, standing.virtual_ns, runs))
        });
        let racing: Vec<(Heir, &Conduct, u64, bool)> = racing.collect();
        let (mut taken, mut is_contended) = (CpuSet::EMPTY, false);
        for (_, conduct, ..) in &racing {
            is_contended |= taken.intersects(&conduct.cpus);
            taken = taken | conduct.cpus;
        }
        let is_anyone_held = self.held().next().is_some();
        for (heir, conduct, ..) in racing.iter().filter(|_| is_contended || is_anyone_held) {
            let others: Vec<(u64, &Conduct)> = racing
                .iter()
                .filter(|(other, it, _, runs)| {
                    *runs && other != heir && it.cpus.intersects(&conduct.cpus)
                })
                .map(|(_, it, virtual_ns, _)| (*virtual_ns, *it))
                .collect();
            if let Some(standing) = self.heirs.get_mut(heir) {
                standing.decide(now, elapsed, conduct, &others);
            }
        }
        for standing in self.heirs.values_mut().filter(|it| it.wanted_at.is_none()) {
            standing.held = None;
        }
        is_contended
    }

    /// Who wants a CPU is in the race, and who has not for a while is not. A newcomer has no claim from its rest.
    fn enter_and_leave(&mut self, now: u64, heirs: &[(Heir, Conduct)]) {
        let racing = |level: &Level, than: &Heir| {
            let others = level.heirs.iter().filter(|(heir, _)| *heir != than);
            let racing = others.filter(|(_, standing)| standing.wanted_at.is_some());
            racing.map(|(_, standing)| standing.virtual_ns).min()
        };
        for (heir, conduct) in heirs {
            let least = racing(self, heir);
            let standing = self.heirs.entry(*heir).or_default();
            if conduct.wanting > 0 || conduct.waits_held {
                if standing.wanted_at.is_none() {
                    standing.virtual_ns = standing.virtual_ns.max(least.unwrap_or(0));
                }
                standing.wanted_at = Some(now);
            } else if standing.wanted_at.is_some_and(|at| now - at > MEMORY_NS) {
                standing.wanted_at = None;
                standing.offered = Offered::default();
            }
        }
    }
}

impl Offered {
    /// What is to count as used of the time since the last look, in which others were held: what was declined as well.
    fn taken(&mut self, elapsed: u64, conduct: &Conduct) -> u64 {
        self.could += elapsed * u64::from(conduct.wanting);
        self.wanted += conduct.used + conduct.waited;
        if self.could > OFFERED_NS {
            (self.could, self.wanted) = (self.could / 2, self.wanted / 2);
        }
        let microseconds = |ns: u64| (ns / 1_000).max(1);
        conduct.used.saturating_mul(microseconds(self.could)) / microseconds(self.wanted)
    }
}

impl Standing {
    /// Held or not, beside others in the race that want the same CPUs and run.
    fn decide(&mut self, now: u64, elapsed: u64, own: &Conduct, others: &[(u64, &Conduct)]) {
        let least = |of: &mut dyn Iterator<Item = &(u64, &Conduct)>| of.map(|(at, _)| *at).min();
        let Some(behind) = least(&mut others.iter()) else {
            // Nobody is there that could catch up, or ever was.
            if let Some(held) = self.held.take()
                && held.wanted < (now - held.since) / 4 * 3
            {
                self.hold_off(now);
            }
            return;
        };
        let weighted = |ns: u64| ns.saturating_mul(UNIT) / own.weight.max(1);
        let most = behind.saturating_add(weighted(MOST_AHEAD_NS));
        self.virtual_ns = self.virtual_ns.min(most);
        let wanting: u32 = others.iter().map(|(_, it)| it.wanting).sum();
        let leave = (own.cpus.len() as u32).saturating_sub(wanting);
        let Some(mut held) = self.held else {
            let waits = |(_, it): &&(u64, &Conduct)| it.waited >= elapsed / WAITS;
            let waiting = least(&mut others.iter().filter(waits));
            let ahead = waiting.map(|at| self.virtual_ns.saturating_sub(at));
            let too_far = ahead.is_some_and(|ahead| ahead > weighted(SLACK_NS));
            if too_far && now >= self.not_before && leave < own.vcpus {
                self.held = Some(Held {
                    since: now,
                    leave,
                    wanted: 0,
                    could: 0,
                });
            }
            return;
        };
        held.leave = leave;
        held.wanted += others
            .iter()
            .map(|(_, it)| it.used + it.waited)
            .sum::<u64>();
        held.could += elapsed * u64::from(wanting);
        let is_for_nothing = now - held.since >= FOR_NOTHING_NS && held.wanted < held.could / 4 * 3;
        if is_for_nothing {
            self.virtual_ns = behind;
            self.hold_off(now);
            self.held = None;
        } else if self.virtual_ns <= behind {
            self.backoff = 0;
            self.held = None;
        } else {
            self.held = Some(held);
        }
    }

    /// It was held for nothing: not again so soon.
    fn hold_off(&mut self, now: u64) {
        self.backoff = (self.backoff * 2).clamp(BACKOFF_NS[0], BACKOFF_NS[1]);
        self.not_before = now + self.backoff;
    }
}
