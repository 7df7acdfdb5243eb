//! What concerns ns: births, clones, and moves that its rule mostly forbids.

use container_core::*;
use proptest::prelude::*;

use crate::{Op, TASKS, places_in};

/// Births, each in a batch of its own or with what follows, clones, and moves that the rule of ns mostly forbids.
pub fn namespace_ops() -> impl Strategy<Value = Op> {
    let places = || places_in("n", &["", "a", "a/a", "a/b", "b"]);
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
