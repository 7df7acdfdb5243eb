//! What concerns memory: what machines hold and may need, and the limits on it.

use container_core::*;
use proptest::prelude::*;
use proptest::sample::select;

use crate::pair::Pair;
use crate::{Op, TASKS, model, places_in};

/// What concerns memory alone, most of it on the groups that the prelude makes.
pub fn memory_ops() -> impl Strategy<Value = Op> {
    let places = || places_in("m", &["", "a", "a/a", "a/b", "b"]);
    let limits = select(vec![
        "0", "4096", "8192", "8192", "16384", "16384", "32768", "-1",
    ]);
    let values = prop_oneof![
        8 => (Just("memory.limit_in_bytes"), limits),
        1 => (Just("memory.failcnt"), Just("0")),
        1 => (Just("memory.max_usage_in_bytes"), Just("0")),
    ];
    let sizes = select(vec![0, 1, 4096, 5000, 8192, 16384]);
    let names = select(vec!["a", "b"]);
    prop_oneof![
        6 => (places(), values).prop_map(|(place, (file, value))| Op::Write(place, file, value)),
        6 => (0..TASKS, sizes).prop_map(|(task, size)| Op::Reserve(task, size)),
        8 => (places(), 0..TASKS).prop_map(|(place, task)| Op::Attach(place, task)),
        3 => (0..TASKS).prop_map(|task| Op::Fork { kind: TaskKind::Control, parent: Some(task) }),
        2 => (0..TASKS).prop_map(Op::Exit),
        2 => (0..TASKS).prop_map(|task| Op::Clone(task, "memory")),
        1 => (places(), names).prop_map(|(place, name)| Op::Mkdir(place, name)),
        1 => places().prop_map(Op::Rmdir),
        1 => select(vec![Op::Unmount("m"), Op::Mount("m"), Op::Mount("m")]),
    ]
}

impl Pair {
    /// What a machine holds is noted; of the dead and the unborn it is refused.
    pub fn resident(&mut self, task: TaskId, bytes: u64) {
        let noted = self.framework.charge_memory(task, Bytes(bytes));
        let lives = self.model.tasks.get(&task).is_some_and(|task| task.alive);
        assert_eq!(
            noted.map_err(|refusal| refusal.errno),
            lives.then_some(()).ok_or(Errno::ESRCH)
        );
        if lives {
            self.model.set_resident(task, bytes);
        }
    }

    /// The files of memory.
    pub fn reads_memory(&self, node: model::Node, info: &GroupInfo) {
        let group = &self.model.groups[&node];
        let read = |file: &str| {
            let file = format!("memory.{file}");
            let text = self.framework.read(&Credentials::ROOT, &info.path, &file);
            text.unwrap().trim_end().parse::<u64>().unwrap()
        };
        let shown = [
            "usage_in_bytes",
            "max_usage_in_bytes",
            "limit_in_bytes",
            "failcnt",
        ]
        .map(read);
        let limit = group.limit.unwrap_or(9_223_372_036_854_771_712);
        let usage = self.model.resident(node);
        assert_eq!(
            shown,
            [usage, group.max_usage, limit, group.failcnt],
            "{}",
            info.path
        );
        assert_eq!(
            read("committed_bytes"),
            self.model.committed(node),
            "{}",
            info.path
        );
    }
}
