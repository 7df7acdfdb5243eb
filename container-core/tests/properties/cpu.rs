//! What concerns the cpu hierarchy: shares and quotas, and what of them the host's controller is told.

use container_core::*;
use proptest::prelude::*;
use proptest::sample::select;

use crate::mirror::Mirror;
use crate::pair::Pair;
use crate::{Op, Place, TASKS, model, places_in};

pub fn cpu_writes() -> impl Strategy<Value = (&'static str, &'static str)> {
    let quotas = vec![
        "-1", "0", "1000", "20000", "50000", "50000", "100000", "200000",
    ];
    let periods = vec!["50000", "100000", "100000", "200000", "1000001"];
    prop_oneof![
        1 => (Just("cpu.shares"), select(vec!["0", "512", "1024", "999999"])),
        3 => (Just("cpu.cfs_quota_us"), select(quotas)),
        2 => (Just("cpu.cfs_period_us"), select(periods)),
    ]
}

/// What concerns the cpu hierarchy alone: groups that come and go, limits that grow and shrink, tasks that move.
pub fn cpu_ops() -> impl Strategy<Value = Op> {
    let places = || places_in("x", &["", "a", "a/a", "a/b", "b", "b/a", "a/a/b"]);
    let names = || select(vec!["a", "b"]);
    prop_oneof![
        1 => Just(Op::Mount("x")),
        1 => Just(Op::Unmount("x")),
        8 => (places(), names()).prop_map(|(place, name)| Op::Mkdir(place, name)),
        5 => places().prop_map(Op::Rmdir),
        1 => (places(), names()).prop_map(|(place, to)| Op::Rename(place, to)),
        12 => (places(), cpu_writes()).prop_map(|(place, (file, value))| Op::Write(place, file, value)),
        8 => (places(), 0..TASKS).prop_map(|(place, task)| Op::Attach(place, task)),
        2 => (0..3u16, proptest::option::of(0..TASKS))
            .prop_map(|(vcpu, parent)| Op::Fork { kind: TaskKind::Vcpu(vcpu), parent }),
        2 => (0..TASKS).prop_map(Op::Exit),
        2 => (0..TASKS).prop_map(|task| Op::Clone(task, "cpu")),
    ]
}

/// All that two groups and their limits may come to in one batch, one above the other.
pub fn cpu_pairs() -> impl Strategy<Value = Op> {
    let places = || {
        let paths = select(vec!["x:/a", "x:/a", "x:/a/a"]);
        paths.prop_map(|path| Place::Named(path.into()))
    };
    let quotas = select(vec!["20000", "50000", "100000"]);
    prop_oneof![
        2 => select(vec!["x:/", "x:/a"]).prop_map(|path| Op::Mkdir(Place::Named(path.into()), "a")),
        2 => places().prop_map(Op::Rmdir),
        6 => (places(), quotas).prop_map(|(place, us)| Op::Write(place, "cpu.cfs_quota_us", us)),
        1 => (places(), 0..TASKS).prop_map(|(place, task)| Op::Attach(place, task)),
        1 => (0..TASKS).prop_map(|task| Op::Clone(task, "cpu")),
        1 => Just(Op::Mount("x")),
    ]
}

impl Pair {
    /// A thread has ended before its exit is planned; the model knows which are to exit.
    pub fn mirror_of_living(&self) -> Mirror {
        let tasks = &self.model.tasks;
        self.mirror
            .without(|task| tasks.get(task).is_some_and(|task| !task.alive))
    }

    /// Carried out, the effects leave the host's controller as the framework says, and no step on the way is one
    /// that the kernel would refuse.
    pub fn check_mirror(&mut self, effects: &[Effect]) {
        self.mirror = self.mirror_of_living();
        for effect in effects {
            self.mirror.carry_out(effect);
        }
        assert_eq!(self.mirror, Mirror::of(&self.framework), "{effects:?}");
    }

    /// The files of cpu.
    pub fn reads_limits(&self, node: model::Node, info: &GroupInfo) {
        let (shares, quota, period) = self.model.groups[&node].cpu;
        let expected = [
            ("cpu.shares", shares.to_string()),
            (
                "cpu.cfs_quota_us",
                quota.map_or("-1".into(), |us| us.to_string()),
            ),
            ("cpu.cfs_period_us", period.to_string()),
        ];
        for (file, expected) in expected {
            let text = self.framework.read(&Credentials::ROOT, &info.path, file);
            assert_eq!(
                text.unwrap().trim_end(),
                expected,
                "{file} of {}",
                info.path
            );
        }
    }
}
