//! freezer: whether the vCPUs of a group run at all.
//!
//! ```text
//!            FROZEN written here or above        the last vCPU of the subtree is out
//!   THAWED ───────────────────────────▶ FREEZING ───────────────────────────────────▶ FROZEN
//!     ▲                                    │  ▲                                          │
//!     │                                    │  └───────── one that is not out enters ─────┤
//!     └──── THAWED written, and nothing above is frozen ─────────────────────────────────┘
//! ```
//!
//! What was asked for is one flag a group; a group is freezing where its own or one above is set. Whether a vCPU
//! is out of its guest is no matter of asking: it is a fact, told from outside of any batch
//! ([`note_held`](crate::Framework::note_held)), as a charge is. A group that is freezing is FROZEN once every
//! vCPU in it and below is out, and an empty one at once.
//!
//! Tasks of other kinds are never frozen: `control` has to hear the orders that thaw, and `io` has nothing to do
//! without a guest that asks. That, and that a root has no files, is all there is beside the kernel's
//! legacy_freezer.c. A root cannot be frozen, there and here, so nothing changes for a task when the subsystem is
//! bound to a hierarchy or leaves one.

use crate::core::Core;
use crate::group::GroupId;
use crate::subsystem::{Context, ControlFile, CssTable, FREEZER, States, Subsystem};
use crate::table::TaskSlot;
use crate::{Credentials, Errno, Refusal};

/// One group's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    /// FROZEN was the last word written here.
    asked: bool,
    /// vCPUs here and below that are not out of their guest.
    running: u32,
}

/// What `freezer.state` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FreezerState {
    Thawed,
    Freezing,
    Frozen,
}

impl FreezerState {
    fn word(self) -> &'static str {
        match self {
            FreezerState::Thawed => "THAWED",
            FreezerState::Freezing => "FREEZING",
            FreezerState::Frozen => "FROZEN",
        }
    }
}

static FILES: &[ControlFile] = &[
    ControlFile::writable("freezer.state")
        .shown_to_guests()
        .not_in_root(),
    ControlFile::read_only("freezer.self_freezing")
        .shown_to_guests()
        .not_in_root(),
    ControlFile::read_only("freezer.parent_freezing")
        .shown_to_guests()
        .not_in_root(),
];

#[derive(Clone)]
pub(crate) struct Freezer {
    states: CssTable<State>,
}

impl Freezer {
    pub fn new() -> Freezer {
        Freezer {
            states: CssTable::new(),
        }
    }

    /// Where a group stands.
    pub fn state(&self, core: &Core, group: GroupId) -> FreezerState {
        match (self.is_freezing(core, group), self.running(group)) {
            (false, _) => FreezerState::Thawed,
            (true, 0) => FreezerState::Frozen,
            (true, _) => FreezerState::Freezing,
        }
    }

    /// vCPUs here and below that are not out of their guest.
    pub fn running(&self, group: GroupId) -> u32 {
        self.states.get(group).running
    }

    /// Whether the task is to be out of its guest.
    pub fn freezes(&self, core: &Core, task: TaskSlot) -> bool {
        core.tasks.slots[task].name.kind.is_vcpu()
            && self.is_freezing(core, core.group_for(FREEZER, task))
    }

    /// A vCPU is out of its guest, or is not any more. Outside any batch: a fact is never undone with one.
    pub fn note(&mut self, core: &Core, group: GroupId, is_held: bool) {
        for above in core.lineage(group) {
            let running = &mut self.states.get_mut(above).running;
            *running = match is_held {
                true => *running - 1,
                false => *running + 1,
            };
        }
    }

    fn is_freezing(&self, core: &Core, group: GroupId) -> bool {
        core.lineage(group)
            .any(|group| self.states.get(group).asked)
    }

    /// A vCPU that is not held comes to a group, or leaves it.
    fn count(&mut self, cx: &mut Context<'_>, task: TaskSlot, group: GroupId, comes: bool) {
        let task = &cx.core.tasks.slots[task];
        if !task.name.kind.is_vcpu() || task.is_held {
            return;
        }
        for above in cx.core.lineage(group) {
            cx.touched.freezing(above, || self.state(cx.core, above));
            let running = &mut self.states.edit(above).running;
            *running = match comes {
                true => *running + 1,
                false => *running - 1,
            };
        }
    }

    /// All of a group's vCPUs, and where it stands, may be others by what is done next; below a group that is
    /// frozen by its own flag nothing changes.
    fn touch(&self, cx: &mut Context<'_>, top: GroupId) {
        let mut pending = vec![top];
        while let Some(group) = pending.pop() {
            cx.touched.freezing(group, || self.state(cx.core, group));
            for task in cx.core.tasks_in(group) {
                self.touch_task(cx, task);
            }
            let children = cx.core.groups[group].children.values();
            pending.extend(children.filter(|child| !self.states.get(**child).asked));
        }
    }

    fn touch_task(&self, cx: &mut Context<'_>, task: TaskSlot) {
        let Context { core, touched } = cx;
        touched.freeze(core.tasks.slots[task].id, || self.freezes(core, task));
    }
}

impl Subsystem for Freezer {
    fn name(&self) -> &'static str {
        "freezer"
    }

    fn files(&self) -> &'static [ControlFile] {
        FILES
    }

    fn states(&self) -> Option<&dyn States> {
        Some(&self.states)
    }

    fn states_mut(&mut self) -> Option<&mut dyn States> {
        Some(&mut self.states)
    }

    fn css_alloc(&mut self, _cx: &mut Context<'_>, group: GroupId, _parent: Option<GroupId>) {
        self.states.insert(group, State::default());
    }

    /// No group refuses a task for being frozen, and none keeps it: entering freezes, leaving thaws.
    fn can_attach(
        &mut self,
        cx: &mut Context<'_>,
        task: TaskSlot,
        _to: GroupId,
    ) -> Result<(), Refusal> {
        self.touch_task(cx, task);
        Ok(())
    }

    fn attach(&mut self, cx: &mut Context<'_>, task: TaskSlot, from: GroupId, to: GroupId) {
        self.count(cx, task, from, false);
        self.count(cx, task, to, true);
    }

    fn fork(
        &mut self,
        cx: &mut Context<'_>,
        task: TaskSlot,
        group: GroupId,
    ) -> Result<(), Refusal> {
        cx.touched.freeze(cx.core.tasks.slots[task].id, || false);
        self.count(cx, task, group, true);
        Ok(())
    }

    fn exit(&mut self, cx: &mut Context<'_>, task: TaskSlot, group: GroupId) {
        self.count(cx, task, group, false);
    }

    fn read(&self, core: &Core, _by: &Credentials, group: GroupId, file: &str) -> String {
        let above = core.groups[group].parent;
        match file {
            "freezer.state" => self.state(core, group).word().into(),
            "freezer.self_freezing" => u8::from(self.states.get(group).asked).to_string(),
            _ => u8::from(above.is_some_and(|above| self.is_freezing(core, above))).to_string(),
        }
    }

    /// # Errors
    /// EINVAL for anything but FROZEN and THAWED, blanks around them aside.
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        group: GroupId,
        file: &str,
        value: &str,
    ) -> Result<(), Refusal> {
        let asked = match value.trim_ascii() {
            "FROZEN" => true,
            "THAWED" => false,
            other => {
                let rule = format!("{file} takes FROZEN or THAWED, not {other:?}");
                return Err(Refusal::plain(Errno::EINVAL, rule));
            }
        };
        if self.states.get(group).asked != asked {
            self.touch(cx, group);
            self.states.edit(group).asked = asked;
        }
        Ok(())
    }
}
