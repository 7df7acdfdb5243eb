//! The check that all other tests rely on: it sees each of these states that contradict themselves.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::Framework;
use crate::css_set::{CssSetId, INIT_CSS_SET};
use crate::group::{DUMMY_ROOT, GroupId, HierarchyId};
use crate::slab::{Id, List};
use crate::subsystem::{CPU, CPUACCT, CPUSET, FREEZER, MEMORY};
use crate::table::TaskSlot;
use crate::{
    Bytes, Command, Credentials, Cycles, HostResources, Nanoseconds, Reading, TaskId, Tid, Usage,
};

/// Two groups, one below the other, in a hierarchy with every subsystem that keeps a state; a task in each
/// of them and one in the root, and one that is dead. One machine has reserved memory.
fn sound() -> Framework {
    let host = HostResources {
        allowed_cpus: "0-3".parse().unwrap(),
        present_cpus: "0-3".parse().unwrap(),
        possible_cpus: 4,
        mems: "0".parse().unwrap(),
    };
    let mut framework = Framework::new(host);
    let subsystems = ["cpuset", "cpuacct", "cpu", "freezer", "memory"].map(String::from);
    let mut commands = vec![Command::Mount {
        hierarchy: "h".parse().unwrap(),
        subsystems: subsystems.into(),
    }];
    for path in ["h:/a", "h:/a/b"] {
        let group = path.parse().unwrap();
        commands.push(Command::Mkdir { group });
        for (file, value) in [("cpuset.cpus", "0-3"), ("cpuset.mems", "0")] {
            commands.push(Command::Write {
                group: path.parse().unwrap(),
                file: file.into(),
                value: value.into(),
            });
        }
    }
    let names = ["m/control", "m/vcpu0", "m/vcpu1", "m/vcpu2"];
    for (name, path) in names.into_iter().zip(["h:/a", "h:/a/b", "h:/", "h:/"]) {
        let task = framework.allocate_task();
        commands.push(Command::Fork {
            task,
            name: name.parse().unwrap(),
            tid: Tid(100 + task.0 as u32),
            parent: None,
        });
        let group = path.parse().unwrap();
        commands.push(Command::Attach { group, task });
    }
    let (task, bytes) = (TaskId(1), Bytes(4096));
    commands.push(Command::Reserve { task, bytes });
    commit(&mut framework, &commands);
    let used = Reading {
        usage: Nanoseconds(1000),
        cycles: Cycles(3000),
    };
    for task in 1..5 {
        framework.charge(TaskId(task), used).unwrap();
    }
    commit(&mut framework, &[Command::Exit { task: TaskId(4) }]);
    framework.check_invariants();
    framework
}

fn commit(framework: &mut Framework, commands: &[Command]) {
    let plan = framework.plan(&Credentials::ROOT, commands).unwrap();
    framework.commit(plan).unwrap();
}

fn hierarchy(framework: &Framework) -> HierarchyId {
    framework.hierarchy(&"h".parse().unwrap()).unwrap()
}

fn group(framework: &Framework, path: &str) -> GroupId {
    framework.resolve(&path.parse().unwrap()).unwrap()
}

fn task(framework: &Framework, id: u64) -> TaskSlot {
    framework.core.tasks.get(TaskId(id)).unwrap()
}

fn set_of(framework: &Framework, id: u64) -> CssSetId {
    framework.core.tasks.slots[task(framework, id)].css_set
}

/// The check fails, with these words, on the sound state so changed.
#[track_caller]
fn seen(words: &str, corrupt: impl FnOnce(&mut Framework)) {
    let mut framework = sound();
    corrupt(&mut framework);
    let check = AssertUnwindSafe(|| framework.check_invariants());
    let panic = catch_unwind(check).expect_err("the check is to fail");
    let said = panic.downcast_ref::<String>().cloned();
    let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| said.to_string()));
    let said = said.unwrap();
    assert!(said.contains(words), "{said:?} does not say {words:?}");
}

#[test]
fn what_is_wrong_with_a_css_set_is_seen() {
    seen("has the groups of another css_set", |it| {
        let key = it.core.css.sets[INIT_CSS_SET].key.clone();
        let other = set_of(it, 1);
        it.core.css.sets[other].key = key;
    });
    seen("is in the hash", |it| {
        let (set, slot) = (set_of(it, 1), hierarchy(it).index());
        let key = &it.core.css.sets[set].key;
        let groups = key.iter().enumerate();
        let without = groups.map(|(at, group)| group.filter(|_| at != slot));
        it.core.css.sets[set].key = without.collect();
    });
    seen("has tasks", |it| {
        let set = set_of(it, 1);
        it.core.css.sets[set].tasks.clear();
    });
    seen("every link is a css_set's", |it| {
        let link = it.core.css.links_of(INIT_CSS_SET).next().unwrap();
        let stray = it.core.css.links[link].clone();
        it.core.css.links.insert(stray);
    });
    seen("links go both ways", |it| {
        let (one, other) = (set_of(it, 1), set_of(it, 2));
        let link = it.core.css.links_of(one).next().unwrap();
        it.core.css.links[link].set = other;
    });
}

#[test]
fn what_is_wrong_with_a_group_is_seen() {
    seen("h:/a is in its tree", |it| {
        let group = group(it, "h:/a");
        it.core.groups[group].offline = true;
    });
    seen("h:/a/b", |it| {
        let group = group(it, "h:/a/b");
        it.core.groups[group].tasks += 1;
    });
    seen("left: 2\n right: 3", |it| {
        let group = group(it, "h:/a");
        it.core.groups[group].descendants += 1;
    });
    seen("left: Some(#", |it| {
        let [below, root] = ["h:/a/b", "h:/"].map(|path| group(it, path));
        it.core.groups[below].parent = Some(root);
    });
    seen("right: h:/a/b", |it| {
        let group = group(it, "h:/a/b");
        it.core.groups[group].path = "h:/a/c".parse().unwrap();
    });
    seen("left: None", |it| {
        let group = group(it, "h:/a/b");
        it.core.unlist_path(group);
    });
    seen("h stands", |it| {
        let hierarchy = hierarchy(it);
        it.core.hierarchies[hierarchy].state.active = false;
    });
    seen("left: 3\n right: 4", |it| {
        let hierarchy = hierarchy(it);
        it.core.hierarchies[hierarchy].groups += 1;
    });
    seen("every group is in a tree", |it| {
        let stray = it.core.groups[DUMMY_ROOT].clone();
        let stray = it.core.groups.insert(stray);
        let group = &mut it.core.groups[stray];
        (group.tasks, group.css_sets) = (0, List::new());
    });
    seen("no other has a path", |it| it.core.list_path(DUMMY_ROOT));
}

#[test]
fn what_is_wrong_with_a_task_is_seen() {
    seen("left: 4\n right: 3", |it| {
        let one = it.core.tasks.slots[task(it, 1)].clone();
        it.core.tasks.slots.insert(one);
    });
    seen("is in its set", |it| {
        let slot = task(it, 1);
        it.core.tasks.slots[slot].css_set = INIT_CSS_SET;
    });
    seen("m/vcpu0 lives", |it| {
        let slot = task(it, 2);
        it.core.tasks.slots[slot].machine = None;
    });
    seen("left: None", |it| {
        let slot = task(it, 2);
        it.core.tasks.slots[slot].name = "m/vcpu7".parse().unwrap();
    });
}

#[test]
fn what_is_wrong_with_a_subsystems_state_is_seen() {
    let with_state = [
        (CPUSET, "cpuset"),
        (CPUACCT, "cpuacct"),
        (CPU, "cpu"),
        (FREEZER, "freezer"),
        (MEMORY, "memory"),
    ];
    for (id, name) in with_state {
        seen(&format!("groups that {name} has a state of"), |it| {
            let group = group(it, "h:/a/b");
            it.subsystems.get_mut(id).css_free(group);
        });
    }
    seen("vCPUs that run in h:/", |it| {
        let slot = task(it, 2);
        it.core.tasks.slots[slot].is_held = true;
    });
    seen("the ledger is balanced", |it| {
        it.core.tasks.retired += Usage {
            usage: Nanoseconds(1),
            cycles: Cycles(0),
        };
    });
    seen("committed in h:/", |it| {
        let slot = task(it, 1);
        it.core.leave(slot);
        it.core.join(slot, INIT_CSS_SET);
        it.core.sweep_css_sets();
    });
}

#[test]
fn a_snapshot_is_another_where_the_state_is() {
    let before = sound().snapshot();
    assert_eq!(before, sound().snapshot());
    let others: [fn(&mut Framework); 12] = [
        |it| it.generation.0 += 1,
        |it| it.core.host.possible_cpus += 1,
        |it| it.core.bindings[CPUSET.0] = Id::FIRST,
        |it| {
            let hierarchy = hierarchy(it);
            it.core.hierarchies[hierarchy].state.release_agent = "/sbin/agent".into();
        },
        |it| {
            let group = group(it, "h:/a");
            it.core.groups[group].attributes.notify_on_release = true;
        },
        |it| {
            let set = set_of(it, 1);
            it.core.css.sets[set].key = it.core.css.sets[INIT_CSS_SET].key.clone();
        },
        |it| {
            let set = set_of(it, 1);
            it.core.css.sets[set].tasks.insert(Tid(7));
        },
        |it| {
            let slot = task(it, 1);
            it.core.tasks.slots[slot].usage = Usage::ZERO;
        },
        |it| {
            let slot = task(it, 2);
            it.core.tasks.slots[slot].is_held = true;
        },
        |it| it.core.tasks.exhume(),
        |it| it.core.tasks.next += 1,
        |it| it.core.tasks.retire(0),
    ];
    for (at, change) in others.into_iter().enumerate() {
        let mut framework = sound();
        change(&mut framework);
        assert_ne!(before, framework.snapshot(), "change {at}");
    }
    for id in [CPUSET, CPUACCT, CPU, FREEZER, MEMORY] {
        let mut framework = sound();
        let group = group(&framework, "h:/a");
        framework.subsystems.get_mut(id).css_free(group);
        assert_ne!(before, framework.snapshot(), "{id:?}");
    }
}
