//! The framework: plan, commit, and everything that they change.
//!
//! ```text
//!             commands                    effects carried out
//!   at rest ───────────► trial: apply all ──────────┐
//!      ▲                   │ list effects           │ by the owner, on the host
//!      │                   ▼                        ▼
//!      ├──────────── undo everything            commit: apply all again,
//!      │                                        generation + 1, events
//!      └────────────────────────────────────────────┘
//! ```
//!
//! A trial changes the live state and takes it all back: every change leaves its inverse in the
//! transaction's log (the core's) or in the subsystem's own. So a plan costs what its commands cost,
//! however large the state. What leaves the state (groups, css_sets, tasks) is freed only when the
//! batch is settled, so that an undo finds it in its place, and a commit of the same generation does
//! exactly what the trial did.
//!
//! A batch that asks nothing of the host needs no second application: an attempt keeps what it has applied.
//!
//! Effects are not carried out here, and the events are not numbered here.

mod attach;
mod check;
mod cpu;
mod files;
mod freezing;
mod groups;
mod info;
mod ledger;
mod listing;
mod mount;
mod proc;
mod resolve;
mod tasks;
mod undo;

use undo::Leaving;

pub(crate) use files::Whose;
pub(crate) use resolve::check_root;

pub use cpu::CpuGroupInfo;
pub use info::{GroupInfo, HierarchyInfo, Owner, TaskInfo};
pub use ledger::Ledger;
pub use listing::{MAX_TASK_PAGE, TaskCursor, TaskPage};

use crate::command::changes_groups;
use crate::core::Core;
use crate::group::DUMMY_ROOT;
use crate::subsystem::{CPUACCT, Context, Subsystem, Subsystems};
use crate::transaction::{Bill, Transaction, Undo};
use crate::view::Views;
use crate::{
    Attempt, Command, CpuSet, Credentials, Effect, Errno, Event, NodeSet, Plan, Refusal, TaskId,
};

/// Most hierarchies at once: each costs every css_set a link.
const MAX_HIERARCHIES: usize = 32;

/// Most groups in one hierarchy, whatever cgroup.max.descendants says.
const MAX_GROUPS: usize = 65_536;

/// Of these so many may be made by users other than 0: root is not locked out by those it hands groups to.
const MAX_GROUPS_OF_USERS: usize = MAX_GROUPS / 8 * 7;

/// Most groups that a user makes below a group that was handed over without a cgroup.max.descendants of its
/// own, so that none takes a hierarchy from the others.
const MAX_GROUPS_HANDED_OVER: u32 = 4096;

/// Deepest group, whatever cgroup.max.depth says.
const MAX_DEPTH: u32 = 32;

/// Most living tasks: about 4,000 machines of 256 vCPUs.
const MAX_TASKS: usize = 1 << 20;

/// Most dead tasks remembered one by one; older ones are retired into a sum.
const MAX_DEAD: usize = 65_536;

/// Counts commits; a plan made against an older one is stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// Counts the commits that changed groups, their files or where a living task stands. Births and ends of tasks, which
/// come in groups as they are, do not count: whoever looked at the groups has seen what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupsGeneration(pub u64);

/// What the host's kernel allows the owner of the framework.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostResources {
    /// CPUs the kernel allows us (affinity and cpuset of the supervisor), the root's effective CPUs.
    pub allowed_cpus: CpuSet,
    /// CPUs present on the host.
    pub present_cpus: CpuSet,
    /// Highest possible CPU number plus one: at or above it ERANGE, below it but absent EINVAL.
    pub possible_cpus: u32,
    /// Memory nodes of the host.
    pub mems: NodeSet,
}

/// Hierarchies, groups and tasks, and what they mean to each other.
///
/// A clone is a copy to try things on: it has the generation of the original, so what it refuses the
/// original would refuse until its next commit. It costs what the state is large.
#[derive(Clone)]
pub struct Framework {
    pub(crate) core: Core,
    pub(crate) subsystems: Subsystems,
    pub(crate) views: Views,
    generation: Generation,
    groups_generation: GroupsGeneration,
    leaving: Leaving,
}

impl Framework {
    /// No hierarchy, no task.
    pub fn new(host: HostResources) -> Framework {
        Framework::with_subsystems(host, Vec::new())
    }

    /// The same, with subsystems beside those that the framework comes with.
    ///
    /// # Panics
    /// For more than nine of them, and for one whose name or a file's is taken.
    pub fn with_subsystems(host: HostResources, others: Vec<Box<dyn Subsystem>>) -> Framework {
        let core = Core::new(host);
        let mut framework = Framework {
            core,
            subsystems: Subsystems::new(others),
            views: Views::new(),
            generation: Generation(0),
            groups_generation: GroupsGeneration(0),
            leaving: Leaving::default(),
        };
        let mut transaction = Transaction::trial(Credentials::ROOT);
        for id in framework.subsystems.ids() {
            let (subsystems, mut cx) = framework.context(&mut transaction);
            subsystems.get_mut(id).css_alloc(&mut cx, DUMMY_ROOT, None);
        }
        framework.settle();
        framework
    }

    /// The number of commits so far.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The number of commits so far that changed groups or moved a task.
    pub fn groups_generation(&self) -> GroupsGeneration {
        self.groups_generation
    }

    /// What the framework believes the host to allow.
    pub fn host(&self) -> &HostResources {
        &self.core.host
    }

    /// A task id for a later Fork; never given twice.
    pub fn allocate_task(&mut self) -> TaskId {
        let id = TaskId(self.core.tasks.next);
        self.core.tasks.next += 1;
        id
    }

    /// Check a batch, each command against the state that the ones before it would leave. The state
    /// is as before on return.
    ///
    /// # Errors
    /// What the first refused command breaks; its index is in [`Refusal::command`].
    pub fn plan(&mut self, by: &Credentials, commands: &[Command]) -> Result<Plan, Refusal> {
        self.try_out(*by, |framework, transaction| {
            framework.apply_all(transaction, commands)?;
            Ok(commands.to_vec())
        })
    }

    /// Check a batch as [`plan`](Self::plan) does, and commit it at once where it asks nothing of the host: then there
    /// is nothing between the two that could fail, and the commands are applied once.
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan).
    pub fn attempt(&mut self, by: &Credentials, commands: &[Command]) -> Result<Attempt, Refusal> {
        let mut transaction = Transaction::lasting(*by);
        let outcome = self.apply_all(&mut transaction, commands);
        let outcome = outcome.map(|()| self.effects(&transaction));
        if outcome.as_ref().is_ok_and(Vec::is_empty) {
            let events = self.keep(transaction, changes_groups(commands));
            return Ok(Attempt::Committed(events));
        }
        self.roll_back(transaction);
        Ok(Attempt::Planned(Plan {
            generation: self.generation,
            by: *by,
            commands: commands.to_vec(),
            host: None,
            effects: outcome?,
        }))
    }

    /// Let a batch happen, note what it would do to the host, and take it all back.
    ///
    /// # Errors
    /// Those of `batch`, which says which commands it applied.
    pub(crate) fn try_out(
        &mut self,
        by: Credentials,
        batch: impl FnOnce(&mut Framework, &mut Transaction) -> Result<Vec<Command>, Refusal>,
    ) -> Result<Plan, Refusal> {
        let mut transaction = Transaction::trial(by);
        let outcome = batch(self, &mut transaction);
        let outcome = outcome.map(|commands| (commands, self.effects(&transaction)));
        self.roll_back(transaction);
        let (commands, effects) = outcome?;
        Ok(Plan {
            generation: self.generation,
            by,
            commands,
            host: None,
            effects,
        })
    }

    /// The host's allowed CPUs changed (hotplug, a shrunken host cpuset): the pins that follow from it.
    pub fn plan_host_change(&mut self, host: HostResources) -> Plan {
        let mut transaction = Transaction::trial(Credentials::ROOT);
        self.change_host(&mut transaction, host.clone());
        let effects = self.effects(&transaction);
        self.roll_back(transaction);
        Plan {
            generation: self.generation,
            by: Credentials::ROOT,
            commands: Vec::new(),
            host: Some(Box::new(host)),
            effects,
        }
    }

    /// Make a plan real: its effects are carried out, and nothing was committed since it was made.
    ///
    /// # Errors
    /// ESTALE if anything was committed since; nothing has changed then.
    pub fn commit(&mut self, plan: Plan) -> Result<Vec<Event>, Refusal> {
        if plan.generation != self.generation {
            let (then, now) = (plan.generation.0, self.generation.0);
            let rule = format!("the plan is of generation {then} and the framework of {now}");
            return Err(Refusal::new(Errno::ESTALE, rule));
        }
        let changes_groups = plan.changes_groups();
        let mut transaction = Transaction::lasting(plan.by);
        if let Some(host) = plan.host {
            self.change_host(&mut transaction, *host);
        }
        self.apply_and_keep(transaction, &plan.commands, changes_groups)
    }

    /// Check a batch and commit it, whatever the host would have to do for it: on a copy to try things on, or before there
    /// is anybody on the host whom it could concern.
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan); nothing has changed then.
    pub fn rehearse(
        &mut self,
        by: &Credentials,
        commands: &[Command],
    ) -> Result<Vec<Event>, Refusal> {
        let transaction = Transaction::lasting(*by);
        self.apply_and_keep(transaction, commands, changes_groups(commands))
    }

    fn apply_and_keep(
        &mut self,
        mut transaction: Transaction,
        commands: &[Command],
        changes_groups: bool,
    ) -> Result<Vec<Event>, Refusal> {
        match self.apply_all(&mut transaction, commands) {
            Ok(()) => Ok(self.keep(transaction, changes_groups)),
            Err(refusal) => {
                self.roll_back(transaction);
                Err(refusal)
            }
        }
    }

    /// A batch stays, and is the next generation.
    fn keep(&mut self, mut transaction: Transaction, changes_groups: bool) -> Vec<Event> {
        self.tell_of_freezing(&mut transaction);
        self.generation.0 += 1;
        self.groups_generation.0 += u64::from(changes_groups);
        for group in transaction.changed() {
            self.core.groups[group].changed = self.generation;
        }
        self.settle();
        let (events, sightings) = transaction.into_events();
        self.views.sightings = sightings;
        events
    }

    fn apply_all(
        &mut self,
        transaction: &mut Transaction,
        commands: &[Command],
    ) -> Result<(), Refusal> {
        for (index, command) in commands.iter().enumerate() {
            let outcome = self.apply(transaction, command);
            outcome.map_err(|refusal| Refusal {
                command: index,
                ..refusal
            })?;
        }
        Ok(())
    }

    pub(crate) fn apply(
        &mut self,
        transaction: &mut Transaction,
        command: &Command,
    ) -> Result<(), Refusal> {
        match command {
            Command::Mount {
                hierarchy,
                subsystems,
            } => self.mount(transaction, hierarchy, subsystems),
            Command::Unmount { hierarchy } => self.unmount(transaction, hierarchy),
            Command::Remount {
                hierarchy,
                subsystems,
            } => self.remount(transaction, hierarchy, subsystems),
            Command::Mkdir { group } => self.mkdir(transaction, group),
            Command::Rmdir { group } => self.rmdir(transaction, group),
            Command::Rename { group, to } => self.rename(transaction, group, to),
            Command::Chown {
                group,
                uid,
                gid,
                mode,
            } => self.chown(transaction, group, (*uid, *gid, *mode)),
            Command::Write { group, file, value } => self.write(transaction, group, file, value),
            Command::Attach { group, task } => {
                let group = self.resolve(group)?;
                self.attach(transaction, group, *task)
            }
            Command::Fork {
                task,
                name,
                tid,
                parent,
            } => self.fork(transaction, (*task, name, *tid), *parent),
            Command::Reserve { task, bytes } => self.reserve(transaction, *task, *bytes),
            Command::Exit { task } => self.exit(transaction, *task),
            Command::Clone { task, subsystem } => self.clone_group(transaction, *task, subsystem),
        }
    }

    fn change_host(&mut self, transaction: &mut Transaction, host: HostResources) {
        let before = Box::new(std::mem::replace(&mut self.core.host, host));
        transaction.log.push(Undo::Host { before });
        for id in self.subsystems.ids() {
            let (subsystems, mut cx) = self.context(transaction);
            subsystems.get_mut(id).host_changed(&mut cx);
        }
    }

    /// What is to be done on the host so that the state after the batch is true. Who is frozen leaves its guest
    /// first, and who is thawed enters it last: where it belongs by then, and billed up to there.
    fn effects(&self, transaction: &Transaction) -> Vec<Effect> {
        let touched = &transaction.touched;
        let pins = touched.pins.iter().filter_map(|(task, before)| {
            let slot = self.core.tasks.get(*task)?;
            let cpus = self.subsystems.cpuset.cpus_of(&self.core, slot)?;
            (Some(cpus) != *before).then_some(Effect::Pin {
                task: *task,
                cpus,
                before: *before,
            })
        });
        let samples = touched.bills.iter().filter_map(|bill| {
            let (Bill::Moved(task, _) | Bill::Reset(task)) = *bill;
            let slot = self.core.tasks.get(task)?;
            let is_due = match *bill {
                // Reset as well: once is enough.
                Bill::Moved(_, from) => {
                    self.core.group_for(CPUACCT, slot) != from && !touched.is_reset(task)
                }
                Bill::Reset(_) => true,
            };
            (is_due && !touched.is_born(task)).then_some(Effect::Sample { task })
        });
        let (freezes, thaws) = self.freezes(touched);
        let frozen = freezes.into_iter().map(|task| Effect::Freeze { task });
        let mut effects: Vec<Effect> = frozen.collect();
        effects.extend(self.growing_limits(touched));
        effects.extend(pins.chain(samples));
        effects.extend(self.enrollments(touched));
        effects.extend(self.shrinking_limits(touched));
        effects.extend(thaws.into_iter().map(|task| Effect::Thaw { task }));
        effects
    }

    /// The subsystems, and what their callbacks are given.
    fn context<'a>(
        &'a mut self,
        transaction: &'a mut Transaction,
    ) -> (&'a mut Subsystems, Context<'a>) {
        let cx = Context {
            core: &self.core,
            touched: &mut transaction.touched,
        };
        (&mut self.subsystems, cx)
    }
}
