//! What `doctor` looks at of the host, one function a check.

mod spec;
#[cfg(test)]
mod tests;

use std::path::Path;

use host::checks::{self, Cgroups};
use host::topology::{self, Topology};
use hv::Hypervisor;

use super::{Check, State};
use crate::lock::{self, HostLock};

/// Below this hard limit, a few dozen machines of a few vCPUs each use up the descriptors.
const FEW_DESCRIPTORS: u64 = 4096;

/// Everything, in the order in which a start needs it.
pub fn all(spec: Option<&Path>) -> Vec<Check> {
    let mut checks = vec![kvm()];
    let topology = topology::read();
    match &topology {
        Ok(topology) => checks.extend([cpus(topology), cores(topology)]),
        Err(error) => checks.push(Check::new("cpus", State::Refused, error.to_string())),
    }
    checks.extend([cgroups(checks::cgroups()), cpu_controller(), task_clock()]);
    checks.push(cycles());
    checks.extend([descriptors(checks::descriptor_limits()), serve()]);
    if let (Some(path), Ok(topology)) = (spec, &topology) {
        checks.extend(spec::would_run(path, &topology.resources));
    }
    checks
}

fn kvm() -> Check {
    match Hypervisor::open() {
        Ok(_) => Check::new(
            "kvm",
            State::Good,
            "/dev/kvm opens and can do all a machine needs",
        ),
        Err(error) => Check::new("kvm", State::Refused, error.to_string()),
    }
}

fn cpus(topology: &Topology) -> Check {
    let allowed = &topology.resources.allowed_cpus;
    let online = &topology.online;
    if allowed == online {
        let found = format!("{allowed} are online, and we may use all of them");
        return Check::new("cpus", State::Good, found);
    }
    let found = format!("{online} are online, of which we may use {allowed}");
    Check::new("cpus", State::Warning, found).advise(
        "the affinity or the cpuset that Pinfold was started with is narrower than the host; root groups \
         have what is allowed",
    )
}

fn cores(topology: &Topology) -> Check {
    let nodes = &topology.resources.mems;
    let mut cores: Vec<String> = Vec::new();
    for cpu in topology.cpus.iter().filter(|cpu| cpu.siblings.len() > 1) {
        let core = cpu.siblings.to_string();
        if !cores.contains(&core) {
            cores.push(core);
        }
    }
    let nodes = format!("memory nodes {nodes}");
    if cores.is_empty() {
        let found = format!("each CPU is a core of its own; {nodes}");
        return Check::new("cores", State::Good, found);
    }
    let cores = cores.join(" | ");
    Check::new(
        "cores",
        State::Good,
        format!("CPUs that share a core: {cores}; {nodes}"),
    )
    .advise("give tenants whole cores: what shares one slows, and can spy on, its neighbour")
}

/// Who would limit the CPU time of groups.
fn cpu_controller() -> Check {
    match host::CpuController::find() {
        Ok(controller) => {
            let root = controller.root();
            let own = root.parent().unwrap_or(&root).display();
            let by = controller.version();
            let found = format!("the kernel limits the CPU time of groups ({by}), below {own}");
            Check::new("cpu", State::Good, found)
        }
        Err(error) => {
            let found = format!("Pinfold limits the CPU time of groups itself: {error}");
            Check::new("cpu", State::Good, found).advise(
                "it is off by some milliseconds at any moment, and takes up to a twentieth of a CPU; \
                 a cpu controller of the kernel's that can be written to does without",
            )
        }
    }
}

fn cgroups(found: Result<Cgroups, host::HostError>) -> Check {
    let cgroups = match found {
        Ok(cgroups) => cgroups,
        Err(error) => return Check::new("cgroups", State::Warning, error.to_string()),
    };
    let with = |has| if has { "with" } else { "without" };
    let mut versions = Vec::new();
    if !cgroups.v1.is_empty() {
        let controllers: Vec<_> = cgroups
            .v1
            .iter()
            .flat_map(|(controllers, _)| controllers)
            .collect();
        let cpuset = with(controllers.iter().any(|controller| *controller == "cpuset"));
        versions.push(format!(
            "version 1, {} hierarchies, {cpuset} cpuset",
            cgroups.v1.len()
        ));
    }
    if cgroups.v2.is_some() {
        let mut controllers = cgroups.v2_controllers.iter();
        let cpuset = with(controllers.any(|controller| controller == "cpuset"));
        versions.push(format!("version 2, {cpuset} cpuset"));
    }
    if versions.is_empty() {
        versions.push("none mounted".to_owned());
    }
    let versions = versions.join("; ");
    let own = cgroups
        .own_cpuset
        .map(|own| format!("; our own group is {own}"))
        .unwrap_or_default();
    Check::new("cgroups", State::Good, format!("{versions}{own}"))
}

fn task_clock() -> Check {
    let paranoid = checks::perf_event_paranoid();
    let paranoid = paranoid.map_or("absent".to_owned(), |level| level.to_string());
    match checks::task_clock() {
        Ok(()) => {
            let found =
                format!("task clocks open (kernel.perf_event_paranoid is {paranoid}): exact bills");
            Check::new("accounting", State::Good, found)
        }
        Err(error) => {
            let found =
                format!("no task clock opens (kernel.perf_event_paranoid is {paranoid}): {error}");
            Check::new("accounting", State::Warning, found).advise(
                "bills are sampled from the scheduler's counts; for exact ones run as root or set \
                 kernel.perf_event_paranoid to 2",
            )
        }
    }
}

fn cycles() -> Check {
    // The kernel registers the CPU's counters under this name where it can drive them.
    let pmu = Path::new("/sys/bus/event_source/devices/cpu").exists();
    let pmu = match pmu {
        true => "the hardware counter is not used in this release",
        false => "there is no hardware counter",
    };
    match host::tsc_khz() {
        Some(khz) => {
            let found = format!("counted by the TSC at {} MHz; {pmu}", khz / 1_000);
            Check::new("cycles", State::Good, found)
        }
        None => Check::new(
            "cycles",
            State::Warning,
            "the TSC changes its rate with the CPU's",
        )
        .advise("cpuacct.cycles is CPU time times a rate, and here there is no one rate"),
    }
}

fn descriptors((soft, hard): (Option<u64>, Option<u64>)) -> Check {
    let shown =
        |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    let found = format!(
        "{} open files now, {} after raising the limit",
        shown(soft),
        shown(hard)
    );
    if hard.is_some_and(|hard| hard < FEW_DESCRIPTORS) {
        return Check::new("descriptors", State::Warning, found)
            .advise("many machines need more: raise the hard limit (ulimit -Hn, LimitNOFILE=)");
    }
    Check::new("descriptors", State::Good, found)
}

fn serve() -> Check {
    // Taking the lock would make its file.
    let owned = lock::path().exists().then(HostLock::shared);
    match owned.transpose() {
        Ok(_) => Check::new("owner", State::Good, "no `pinfold serve` owns this host"),
        Err(error) => Check::new("owner", State::Refused, error.to_string()),
    }
}
