//! Short ways for a guest to ask, and a host with a guest to ask it.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy sees only test functions as tests"
)]

use container_core::*;

use crate::support::*;

pub fn path(text: &str) -> ViewPath {
    text.parse().unwrap()
}

pub fn make(group: &str) -> ViewCommand {
    ViewCommand::Mkdir { group: path(group) }
}

pub fn remove(group: &str) -> ViewCommand {
    ViewCommand::Rmdir { group: path(group) }
}

pub fn set(group: &str, file: &str, value: &str) -> ViewCommand {
    ViewCommand::Write {
        group: path(group),
        file: file.into(),
        value: value.into(),
    }
}

pub fn enter(group: &str, task: &str) -> ViewCommand {
    ViewCommand::Attach {
        group: path(group),
        task: task.parse().unwrap(),
    }
}

/// `p:/gold/web` and `b:/web` are web's, `p:/gold/db` is db's; `x:/` is everybody's.
pub struct House {
    pub bench: Bench,
    pub web: ViewId,
    pub vcpu0: TaskId,
    pub db: TaskId,
}

impl House {
    pub fn new(access: ViewAccess) -> House {
        let mut bench = Bench::new();
        bench.run(&[
            mount("x", &[]),
            mkdir("p:/gold"),
            write("p:/gold", "cpuset.cpus", "0-3"),
            write("p:/gold", "cpuset.mems", "0"),
            write("p:/gold", "cgroup.clone_children", "1"),
            mkdir("p:/gold/db"),
            mkdir("p:/gold/web"),
            write("p:/gold/web", "cpuset.cpus", "0-2"),
            write("p:/gold/web", "cgroup.clone_children", "0"),
            mkdir("p:/gold/web/hot"),
            write("p:/gold/web/hot", "cpuset.cpus", "0-1"),
            write("p:/gold/web/hot", "cpuset.mems", "0"),
            mkdir("b:/web"),
        ]);
        let [vcpu0, db] = ["web/vcpu0", "db/vcpu0"].map(|name| bench.fork(name, None));
        for name in ["web/vcpu1", "web/io"] {
            bench.fork(name, Some(vcpu0));
        }
        for name in ["web/vcpu0", "web/vcpu1", "web/io"] {
            let task = bench
                .framework
                .task_by_name(&name.parse().unwrap())
                .unwrap();
            bench.run(&[attach("p:/gold/web", task), attach("b:/web", task)]);
        }
        bench.run(&[attach("p:/gold/db", db)]);
        let roots = ["p:/gold/web", "b:/web", "x:/"].map(group);
        let machine = "web".parse().unwrap();
        let web = bench.framework.open_view(machine, access, &roots).unwrap();
        House {
            bench,
            web,
            vcpu0,
            db,
        }
    }

    /// Plan and commit; what happened, and what the guest saw of it.
    pub fn ask(&mut self, commands: &[ViewCommand]) -> Result<Vec<ViewEvent>, Refusal> {
        let framework = &mut self.bench.framework;
        let before = framework.snapshot();
        let plan = framework.view_plan(self.web, commands);
        assert_eq!(
            before,
            framework.snapshot(),
            "a plan leaves the state as it was"
        );
        let events = framework
            .commit(plan?)
            .expect("nothing was committed since");
        framework.check_invariants();
        Ok(self.seen(events.len()))
    }

    #[track_caller]
    pub fn refused(&mut self, command: ViewCommand) -> (Errno, String) {
        let refusal = self.ask(std::slice::from_ref(&command));
        let refusal = refusal.expect_err("to be refused");
        (refusal.errno, refusal.rule)
    }

    pub fn host(&mut self, commands: &[Command]) -> Vec<ViewEvent> {
        let (_, events) = self.bench.run(commands);
        self.seen(events.len())
    }

    fn seen(&self, events: usize) -> Vec<ViewEvent> {
        let views = (0..events).flat_map(|event| self.bench.framework.views_of(event));
        let mine = views.filter(|(view, _)| *view == self.web);
        mine.map(|(_, seen)| seen.clone()).collect()
    }

    pub fn read(&self, group: &str, file: &str) -> Result<String, Refusal> {
        self.bench.framework.view_read(self.web, &path(group), file)
    }

    pub fn tree(&self, hierarchy: &str) -> Vec<ViewGroup> {
        let hierarchy = hierarchy.parse().unwrap();
        let page = self
            .bench
            .framework
            .view_tree(self.web, &hierarchy, None, 1000);
        page.unwrap().0
    }

    pub fn access(&self) -> Vec<(String, ViewAccess)> {
        let roots = self.bench.framework.view_roots(self.web).into_iter();
        roots
            .map(|root| (root.hierarchy.to_string(), root.access))
            .collect()
    }
}

/// Each command is refused with this errno and this sentence, and nothing has changed.
#[track_caller]
pub fn assert_refusals(house: &mut House, table: &[(ViewCommand, Errno, &str)]) {
    for (command, errno, rule) in table {
        let refusal = house.refused(command.clone());
        assert_eq!(refusal, (*errno, rule.to_string()), "{command:?}");
    }
}
