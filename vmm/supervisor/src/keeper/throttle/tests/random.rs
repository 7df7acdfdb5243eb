//! Whatever happens to groups and tasks: quotas hold, and nobody is held without a reason.

use container_core::{CpuGroupInfo, GroupPath};
use proptest::prelude::*;

use super::*;

/// What may happen to groups and tasks. Groups and tasks are numbers, modulo how many there are.
#[derive(Clone, Debug)]
enum Event {
    Quota(usize, u64, u64),
    NoQuota(usize),
    Shares(usize, u64),
    Move(usize, usize),
    Born(usize, u64),
    Clone(usize),
    Exit(usize),
    Rmdir(usize),
    Wants(usize, u64),
    Pass(u64),
}

fn events() -> impl Strategy<Value = Event> {
    let group = || 0..12usize;
    let task = || 0..8usize;
    prop_oneof![
        2 => (group(), 5..200u64, prop_oneof![Just(50u64), Just(100), Just(200)])
            .prop_map(|(group, percent, ms)| Event::Quota(group, percent, ms)),
        1 => group().prop_map(Event::NoQuota),
        1 => (group(), 2..5000u64).prop_map(|(group, shares)| Event::Shares(group, shares)),
        3 => (task(), group()).prop_map(|(task, group)| Event::Move(task, group)),
        3 => (group(), 0..11u64).prop_map(|(group, wants)| Event::Born(group, wants)),
        2 => task().prop_map(Event::Clone),
        1 => task().prop_map(Event::Exit),
        1 => group().prop_map(Event::Rmdir),
        2 => (task(), 0..11u64).prop_map(|(task, wants)| Event::Wants(task, wants)),
        6 => (1..400u64).prop_map(Event::Pass),
    ]
}

impl World {
    fn groups(&self) -> Vec<CpuGroupInfo> {
        self.framework.cpu_groups().collect()
    }

    fn happens(&mut self, event: Event) {
        let groups = self.groups();
        let group = |number: usize| groups[number % groups.len()].path.clone();
        let tasks: Vec<TaskId> = self.threads.keys().copied().collect();
        let task = |number: usize| tasks.get(number % tasks.len().max(1)).copied();
        let write = |group: usize, file: &str, value: String| Command::Write {
            group: groups[group % groups.len()].path.clone(),
            file: file.into(),
            value,
        };
        match event {
            Event::Quota(group, percent, ms) => {
                let period = ms * 1_000;
                let quota = period * percent / 100;
                self.try_run(&[
                    write(group, PERIOD, period.to_string()),
                    write(group, QUOTA, quota.to_string()),
                ]);
            }
            Event::NoQuota(group) => self.try_run(&[write(group, QUOTA, "-1".into())]),
            Event::Shares(group, shares) => {
                self.try_run(&[write(group, SHARES, shares.to_string())]);
            }
            Event::Rmdir(number) => self.try_run(&[Command::Rmdir {
                group: group(number),
            }]),
            Event::Born(number, wants) => {
                self.vcpu(&group(number).to_string(), "0-1", wants);
            }
            Event::Move(number, to) => {
                if let Some(task) = task(number) {
                    self.attach(task, &group(to).to_string());
                }
            }
            Event::Clone(number) => {
                if let Some(task) = task(number) {
                    let subsystem = "cpu".into();
                    self.try_run(&[Command::Clone { task, subsystem }]);
                }
            }
            Event::Exit(number) => {
                if let Some(task) = task(number) {
                    self.exit(task);
                }
            }
            Event::Wants(number, wants) => {
                if let Some(task) = task(number) {
                    self.threads.get_mut(&task).unwrap().wants = wants;
                }
            }
            Event::Pass(milliseconds) => drop(self.pass(milliseconds)),
        }
    }

    /// A change that may be refused: a quota of more than one above has, one of a root, a group that is not empty.
    fn try_run(&mut self, commands: &[Command]) {
        if self.framework.plan(&Credentials::ROOT, commands).is_ok() {
            self.run(commands);
        }
    }
}

/// Whether a group is this one or below it.
fn is_below(path: &GroupPath, above: &GroupPath) -> bool {
    let (path, above) = (path.path(), above.path().trim_end_matches('/'));
    path == above
        || path
            .strip_prefix(above)
            .is_some_and(|it| it.starts_with('/'))
}

/// Whether a group, or one above it, has a quota or divides what it gets between several.
fn may_be_held(groups: &[CpuGroupInfo], path: &GroupPath) -> bool {
    groups
        .iter()
        .filter(|it| is_below(path, &it.path))
        .any(|above| {
            let has_tasks = |it: &&CpuGroupInfo| {
                groups
                    .iter()
                    .any(|below| is_below(&below.path, &it.path) && !below.tasks.is_empty())
            };
            let children = groups.iter().filter(|it| it.parent == Some(above.group));
            let heirs = children.filter(has_tasks).count() + usize::from(!above.tasks.is_empty());
            above.limits.quota_us.is_some() || heirs > 1
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    /// Whatever has happened before: no group uses more than its quota in the long run, tasks that are not in a
    /// limited group or beside others are not held, and only living tasks are.
    #[test]
    fn quotas_hold_through_moves_exits_births_and_clones(
        events in proptest::collection::vec(events(), 1..40),
    ) {
        let mut world = World::new(2);
        for path in ["c:/a", "c:/a/x", "c:/b"] {
            world.mkdir(path, &[]);
        }
        for event in events {
            world.happens(event);
        }
        // Old debts are paid off first.
        world.pass(5_000);
        let before = world.threads.clone();
        world.pass(10_000);
        let groups = world.groups();
        for task in world.throttle.held() {
            let group = groups.iter().find(|it| it.tasks.contains(task));
            let may_be_held = group.is_some_and(|group| may_be_held(&groups, &group.path));
            prop_assert!(may_be_held, "{task} in {group:?}");
        }
        for info in &groups {
            let Some(ratio) = info.limits.ratio() else {
                continue;
            };
            let inside = groups.iter().filter(|it| is_below(&it.path, &info.path));
            let used = |task: &TaskId| world.threads[task].used - before[task].used;
            let used: u64 = inside.flat_map(|it| it.tasks.iter().map(used)).sum();
            let most = (ratio as f64 / f64::from(1 << 20)) * 10_000.0;
            let used = used as f64 / MS as f64;
            // A period more at either end, and what comes late.
            prop_assert!(used <= most * 1.05 + 20.0, "{} used {used} of {most}", info.path);
        }
    }
}
