//! What Prometheus reads: everything of one moment, written anew for each scrape.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use container_core::Framework;
use management::api::Command;
use management::{Report, Task};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;

use super::ask::App;
use super::problem::ErrnoOf;

type Labels = Vec<(&'static str, String)>;
type Counts = Family<Labels, Counter>;
type Seconds = Family<Labels, Counter<f64, AtomicU64>>;

/// The content type of the text (OpenMetrics 1.0).
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the API itself has been asked.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    by_route: Counts,
    refusals: Counts,
    refused_commands: Counts,
}

impl Requests {
    /// Count a command that was refused.
    pub fn count_refused(&self, operation: Operation, errno: &str) {
        let labels = vec![
            ("operation", operation.name.to_owned()),
            ("file", operation.file.unwrap_or_default().to_owned()),
            ("errno", errno.to_owned()),
        ];
        self.refused_commands.get_or_create(&labels).inc();
    }
}

/// What a command does, in words that are not the client's: there are so many operations, and so many control files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    name: &'static str,
    /// Which is written; `other` for one that there is not.
    file: Option<&'static str>,
}

impl Operation {
    /// Moving a task into a group.
    pub const ATTACH: Operation = Operation::named("attach");

    const fn named(name: &'static str) -> Self {
        Operation { name, file: None }
    }

    /// Writing a control file.
    pub fn set(file: &str) -> Self {
        Operation {
            file: Some(Framework::known_file(file).unwrap_or("other")),
            ..Operation::named("set")
        }
    }

    /// What a command of a plan does.
    pub fn of(command: &Command) -> Self {
        match command {
            Command::Mount { .. } => Operation::named("mount"),
            Command::Umount { .. } => Operation::named("umount"),
            Command::Remount { .. } => Operation::named("remount"),
            Command::Mkdir { .. } => Operation::named("mkdir"),
            Command::Rmdir { .. } => Operation::named("rmdir"),
            Command::Rename { .. } => Operation::named("rename"),
            Command::Chown { .. } => Operation::named("chown"),
            Command::Set { file, .. } => Operation::set(file),
            Command::Attach { .. } => Operation::ATTACH,
            Command::Clone { .. } => Operation::named("clone"),
        }
    }
}

/// Count a request by its route and status; by the route's pattern, since paths are without number.
pub async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("unknown", |route| route.as_str()).to_owned();
    let method = match request.method().as_str() {
        known @ ("GET" | "PUT" | "POST" | "DELETE" | "HEAD") => known.to_owned(),
        _ => "other".to_owned(),
    };
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    let labels = vec![("method", method), ("route", route), ("status", status)];
    app.requests.by_route.get_or_create(&labels).inc();
    if let Some(ErrnoOf(errno)) = response.extensions().get() {
        let labels = vec![("errno", errno.clone())];
        app.requests.refusals.get_or_create(&labels).inc();
    }
    response
}

/// The text of a scrape.
pub fn text(report: &Report, events: &BTreeMap<String, u64>, requests: &Requests) -> String {
    let mut registry = Registry::with_prefix("pinfold");
    tasks(&mut registry, report);
    exits(&mut registry, report);
    groups(&mut registry, report);
    let machines = Family::<Labels, Gauge>::default();
    for state in ["starting", "running", "paused", "ended"] {
        machines.get_or_create(&label("state", state)).set(0);
    }
    for machine in &report.machines {
        machines
            .get_or_create(&label("state", &machine.state))
            .inc();
    }
    registry.register("machines", "Machines by state", machines);
    let by_kind = Counts::default();
    for (kind, count) in events {
        by_kind.get_or_create(&label("kind", kind)).inc_by(*count);
    }
    registry.register(
        "events",
        "Events by kind, as far as the API kept up",
        by_kind,
    );
    let drift = Counts::default();
    for repaired in ["true", "false"] {
        drift.get_or_create(&label("repaired", repaired)).inc_by(0);
    }
    for one in &report.drift {
        let repaired = label("repaired", &one.repaired.to_string());
        drift.get_or_create(&repaired).inc();
    }
    registry.register("drift", "Affinities changed from outside", drift);
    registry.register(
        "refusals",
        "Requests refused, by errno",
        requests.refusals.clone(),
    );
    registry.register(
        "refused_commands",
        "Commands on groups and tasks that were refused, by operation, control file and errno",
        requests.refused_commands.clone(),
    );
    let by_route = requests.by_route.clone();
    registry.register("api_requests", "Requests by route and status", by_route);
    let mut out = String::new();
    match encode(&mut out, &registry) {
        Ok(()) => out,
        // A String takes everything.
        Err(std::fmt::Error) => String::new(),
    }
}

fn tasks(registry: &mut Registry, report: &Report) {
    let (usage, wait, cycles) = (Seconds::default(), Seconds::default(), Counts::default());
    for task in &report.tasks {
        let labels = labels(task);
        usage.get_or_create(&labels).inc_by(seconds(task.usage_ns));
        wait.get_or_create(&labels).inc_by(seconds(task.wait_ns));
        cycles.get_or_create(&labels).inc_by(task.cycles);
    }
    registry.register("task_usage_seconds", "CPU time of a task", usage);
    registry.register(
        "task_wait_seconds",
        "Time a task was runnable and waited for a CPU: a guest's steal",
        wait,
    );
    registry.register("task_cycles", "Cycles of a task", cycles);
}

/// What KVM counts of vCPUs, by their machines' word.
fn exits(registry: &mut Registry, report: &Report) {
    let (by_task, by_machine) = (Counts::default(), Counts::default());
    for (task, exits) in counted(report, |task| task.exits) {
        by_task.get_or_create(&labels(task)).inc_by(exits);
        let machine = label("machine", &task.machine);
        by_machine.get_or_create(&machine).inc_by(exits);
    }
    let help = "Exits from the guest, as the machine says";
    registry.register("task_exits", help, by_task);
    registry.register("machine_exits", help, by_machine);
    halt_poll(registry, report, "success", |task| {
        task.halt_poll_success_ns
    });
    halt_poll(registry, report, "fail", |task| task.halt_poll_fail_ns);
}

fn halt_poll(registry: &mut Registry, report: &Report, end: &str, of: fn(&Task) -> Option<u64>) {
    let (by_task, by_machine) = (Seconds::default(), Seconds::default());
    for (task, ns) in counted(report, of) {
        by_task.get_or_create(&labels(task)).inc_by(seconds(ns));
        let machine = label("machine", &task.machine);
        by_machine.get_or_create(&machine).inc_by(seconds(ns));
    }
    let help = format!("Time of polling before halts with {end}, as the machine says");
    let name = format!("halt_poll_{end}_seconds");
    registry.register(format!("task_{name}"), help.clone(), by_task);
    registry.register(format!("machine_{name}"), help, by_machine);
}

/// The tasks that there is a count of.
fn counted(report: &Report, of: fn(&Task) -> Option<u64>) -> impl Iterator<Item = (&Task, u64)> {
    let tasks = report.tasks.iter();
    tasks.filter_map(move |task| Some((task, of(task)?)))
}

fn groups(registry: &mut Registry, report: &Report) {
    let (own, removed) = (Seconds::default(), Seconds::default());
    let members = Family::<Labels, Gauge>::default();
    for group in &report.groups {
        let labels = label("group", &group.group);
        if let Some(ns) = group.own_usage_ns {
            own.get_or_create(&labels).inc_by(seconds(ns));
        }
        if let Some(ns) = group.removed_usage_ns {
            removed.get_or_create(&labels).inc_by(seconds(ns));
        }
        members.get_or_create(&labels).set(group.tasks.len() as i64);
    }
    registry.register(
        "group_usage_seconds",
        "CPU time used in this very group, never reset",
        own,
    );
    registry.register(
        "group_removed_usage_seconds",
        "CPU time of its children that were removed",
        removed,
    );
    registry.register("group_tasks", "Living tasks in this very group", members);
}

fn labels(task: &Task) -> Labels {
    vec![
        ("task", task.name.clone()),
        ("machine", task.machine.clone()),
        ("kind", task.kind.clone()),
        ("tid", task.tid.to_string()),
    ]
}

fn label(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
