//! What concerns ns: births, clones, and moves that its rule mostly forbids.

use container_core::*;
use proptest::prelude::*;
use proptest::sample::select;

use crate::{Op, Place, TASKS};

/// Births, each in a batch of its own or with what follows, clones, and moves that the rule of ns mostly forbids.
pub fn namespace_ops() -> impl Strategy<Value = Op> {
    let places = || {
        let paths = vec!["n:/", "n:/a", "n:/a/a", "n:/a/b", "n:/b"];
        prop_oneof![
            2 => select(paths).prop_map(|path| Place::Named(path.into())),
            1 => (0..60usize).prop_map(Place::Leaf),
        ]
    };
    prop_oneof![
        6 => (places(), 0..TASKS).prop_map(|(place, task)| Op::Attach(place, task)),
        6 => (places(), Just(0)).prop_map(|(place, task)| Op::Attach(place, task)),
        4 => Just(Op::Fork { kind: TaskKind::Control, parent: None }),
        2 => (0..TASKS).prop_map(|task| Op::Fork { kind: TaskKind::Io, parent: Some(task) }),
        6 => (0..TASKS).prop_map(|task| Op::Clone(task, "ns")),
        4 => (0..TASKS).prop_map(Op::Exit),
        4 => places().prop_map(Op::Rmdir),
    ]
}
