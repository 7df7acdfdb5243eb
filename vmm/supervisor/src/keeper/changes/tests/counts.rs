//! What was counted of a cpu group, where its removal is taken back.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use container_core::TaskId;

use super::*;
use crate::keeper::changes::BATCH;
use crate::{Body, Program, Ready};

/// No wait here is longer.
const PATIENCE: Duration = Duration::from_secs(20);

fn attach(path: &str, task: TaskId) -> Command {
    Command::Attach {
        group: group(path),
        task,
    }
}

/// A task of a process that does nothing but use a CPU, for ten seconds of it at most.
fn busy_task(keeper: &mut Keeper) -> TaskId {
    let kvm = File::open("/dev/null").unwrap();
    let burn = ["-c", "ulimit -t 10; while :; do :; done"].map(OsString::from);
    let ready = Ready::start(&Program {
        namespaces: host::Namespaces::NONE,
        kvm: kvm.as_fd(),
        body: Body::Exec(Path::new("/bin/sh"), &burn),
    });
    let process = ready.unwrap().create(new_machine("web")).unwrap().process;
    let (pid, directory) = (process.pid(), TaskDirectory::open(&process).unwrap());
    let mut machine = Machine::new(new_machine("web"), process, 0);
    machine.state = State::Running;
    let id = keeper.machines.add(machine);
    let kind = TaskKind::Control;
    let task = keeper.born_task(id, &directory, kind, Tid(pid)).unwrap();
    let machine = keeper.machines.get(id).unwrap();
    let births = Births::new(&keeper.framework, &machine.asked, Tid(pid)).unwrap();
    let birth = births.of(kind, task, Tid(pid), None);
    plan(keeper, birth, None, false).unwrap();
    task
}

/// `nr_periods` of the group, as a reader is told; but the framework remembers no reader.
fn periods(keeper: &mut Keeper, path: &str) -> u64 {
    let unread = keeper.framework.clone();
    let periods = read(keeper, path);
    keeper.framework = unread;
    periods
}

fn read(keeper: &mut Keeper, path: &str) -> u64 {
    let path = group(path);
    let counted = |group| keeper.cpu.stat(group);
    keeper.framework.note_cpu_stat(&path, counted);
    let text = keeper.framework.read(&Credentials::ROOT, &path, "cpu.stat");
    let text = text.unwrap();
    let line = text.lines().next().unwrap();
    line.strip_prefix("nr_periods ").unwrap().parse().unwrap()
}

/// Let the throttle look until the group has had more periods than these.
fn more_periods(keeper: &mut Keeper, path: &str, than: u64) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        keeper.throttle();
        let now = periods(keeper, path);
        if now > than {
            return now;
        }
        assert!(Instant::now() < deadline, "{now} periods");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_was_counted_of_a_group_outlives_a_removal_that_is_taken_back() {
    let mount = Command::Mount {
        hierarchy: "c".parse().unwrap(),
        subsystems: vec!["cpu".into()],
    };
    let paths: Vec<String> = (0..=BATCH).map(|number| format!("c:/{number}")).collect();
    let groups = paths.iter().map(|path| mkdir(path));
    let commands: Vec<Command> = [mount].into_iter().chain(groups).collect();
    let mut keeper = stage::keeper(stage::framework(&commands)).0;
    // Children are removed before their parents, and so the youngest first.
    let counted = &paths[BATCH];
    let task = busy_task(&mut keeper);
    let entry = || {
        let quota = stage::write(counted, "cpu.cfs_quota_us", "50000");
        let period = stage::write(counted, "cpu.cfs_period_us", "1000");
        vec![quota, period, attach(counted, task)]
    };
    plan(&mut keeper, entry(), None, false).unwrap();
    more_periods(&mut keeper, counted, 2);
    plan(&mut keeper, vec![attach("c:/", task)], None, false).unwrap();
    let before = periods(&mut keeper, counted);

    let (answer, _pending) = reply();
    keeper.on_request(Request::Plan {
        by: Credentials::ROOT,
        commands: paths.iter().map(|path| stage::rmdir(path)).collect(),
        generation: None,
        dry_run: false,
        reply: answer,
    });
    // All but the last of them are done, and read while they are.
    assert_eq!(read(&mut keeper, counted), before);
    let under_way = keeper.under_way.take().unwrap();
    let drifted = under_way.flight.roll_back(&mut keeper.hands());
    assert_eq!(drifted.limits, []);
    assert_eq!(periods(&mut keeper, counted), before);
    plan(&mut keeper, entry(), None, false).unwrap();
    more_periods(&mut keeper, counted, before);
    keeper.bury_all();
}
