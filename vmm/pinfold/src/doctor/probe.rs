//! What `doctor` looks at, one function a check.

use std::path::Path;

use container_core::{Command, CpuSet, Framework, HostResources};
use host::checks::{self, Cgroups, Outsiders};
use host::topology::{self, Topology};
use hv::Hypervisor;

use super::{Check, State};
use crate::lock::{self, HostLock};
use crate::spec::{self, Spec};

/// Below this hard limit, a few dozen machines of a few vCPUs each use up the descriptors.
const FEW_DESCRIPTORS: u64 = 4096;
/// Threads of the host that are looked at for outsiders, some 10 µs each.
const SCAN_BOUND: usize = 20_000;
/// Outsiders that are named.
const NAMED_OUTSIDERS: usize = 3;

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
        checks.extend(would_run(path, &topology.resources));
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
    let mut versions = Vec::new();
    if !cgroups.v1.is_empty() {
        let controllers: Vec<_> = cgroups
            .v1
            .iter()
            .flat_map(|(controllers, _)| controllers)
            .collect();
        let has = controllers.iter().any(|controller| *controller == "cpuset");
        let cpuset = if has { "with" } else { "without" };
        versions.push(format!(
            "version 1, {} hierarchies, {cpuset} cpuset",
            cgroups.v1.len()
        ));
    }
    if cgroups.v2.is_some() {
        let has = cgroups
            .v2_controllers
            .iter()
            .any(|controller| controller == "cpuset");
        let cpuset = if has { "with" } else { "without" };
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
    let path = lock::path();
    // Taking the lock would make its file.
    if !path.exists() {
        return Check::new("owner", State::Good, "no `pinfold serve` owns this host");
    }
    match HostLock::shared() {
        Ok(_) => Check::new("owner", State::Good, "no `pinfold serve` owns this host"),
        Err(error) => Check::new("owner", State::Refused, error.to_string()),
    }
}

/// Would the spec be let run, and who else is on the CPUs that it wants for itself?
fn would_run(path: &Path, host: &HostResources) -> Vec<Check> {
    let mut framework = Framework::new(host.clone());
    let loaded = spec::load(path, host);
    let checked = loaded.and_then(|spec| spec.check(&mut framework).map(|_| spec));
    let spec = match checked {
        Ok(spec) => spec,
        Err(error) => return vec![Check::new("spec", State::Refused, error.to_string())],
    };
    let vcpus: usize = spec
        .machines
        .iter()
        .map(|machine| usize::from(machine.config.vcpus))
        .sum();
    let found = format!(
        "{} would be let run: {} machines, {vcpus} vCPUs",
        path.display(),
        spec.machines.len()
    );
    let mut checks = vec![Check::new("spec", State::Good, found)];
    checks.extend(namespaces(&spec, checks::namespaces_allowed()));
    let exclusive = exclusive_cpus(&spec, &framework);
    if !exclusive.is_empty() {
        checks.push(match checks::outsiders(&exclusive, &[], SCAN_BOUND) {
            Ok(found) => outsiders(&exclusive, &found),
            Err(error) => Check::new("outsiders", State::Warning, error.to_string()),
        });
    }
    checks
}

/// The machines of a spec that are to have namespaces of their own, if any are.
fn namespaces(spec: &Spec, allowed: bool) -> Option<Check> {
    let mut machines = spec.machines.iter();
    let first = machines.find(|machine| !machine.namespaces.is_empty())?;
    let found = format!(
        "machine {} is to have its own {}",
        first.name, first.namespaces
    );
    Some(match allowed {
        true => Check::new("namespaces", State::Good, format!("{found}, and can")),
        false => Check::new(
            "namespaces",
            State::Refused,
            format!("{found}, which takes CAP_SYS_ADMIN"),
        )
        .advise("run as root, or leave `namespaces` out"),
    })
}

/// The CPUs of the groups that a spec makes exclusive.
fn exclusive_cpus(spec: &Spec, framework: &Framework) -> CpuSet {
    let mut cpus = CpuSet::default();
    for change in &spec.changes {
        if let Command::Write { group, file, value } = &change.command
            && file == "cpuset.cpu_exclusive"
            && value.trim() == "1"
            && let Some(effective) = framework
                .group(group)
                .ok()
                .and_then(|group| group.effective_cpus)
        {
            cpus = cpus | effective;
        }
    }
    cpus
}

fn outsiders(cpus: &CpuSet, found: &Outsiders) -> Check {
    if found.threads.is_empty() {
        let part = if found.is_cut_short {
            " among the first threads of the host"
        } else {
            ""
        };
        let text = format!("no other process is confined to the exclusive CPUs {cpus}{part}");
        return Check::new("outsiders", State::Good, text);
    }
    let named = found.threads.iter().take(NAMED_OUTSIDERS);
    let named: Vec<_> = named
        .map(|thread| format!("{} (thread {})", thread.comm, thread.tid))
        .collect();
    let more = found.threads.len() - named.len();
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let text = format!(
        "confined to the exclusive CPUs {cpus}: {}{more}",
        named.join(", ")
    );
    Check::new("outsiders", State::Warning, text).advise(
        "exclusive means among Pinfold's groups; move them away with taskset or their cpuset",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use container_core::{NodeSet, Tid};
    use host::checks::Outsider;
    use host::topology::Cpu;

    fn topology(allowed: &[u32], siblings: &[&[u32]]) -> Topology {
        let cpus = siblings.iter().enumerate().map(|(number, siblings)| Cpu {
            number: number as u32,
            core: 0,
            package: 0,
            siblings: siblings.iter().copied().collect(),
            node: Some(0),
            max_mhz: None,
        });
        let all: CpuSet = (0..siblings.len() as u32).collect();
        Topology {
            resources: HostResources {
                allowed_cpus: allowed.iter().copied().collect(),
                present_cpus: all,
                possible_cpus: 8,
                mems: NodeSet::from_iter([0]),
            },
            online: all,
            possible: all,
            cpus: cpus.collect(),
        }
    }

    #[test]
    fn a_narrower_cpuset_is_a_warning_and_shared_cores_are_named_once() {
        let topology = topology(&[0, 1], &[&[0, 2], &[1, 3], &[0, 2], &[1, 3]]);
        let cpus = cpus(&topology);
        assert_eq!(cpus.state, State::Warning);
        assert_eq!(cpus.found, "0-3 are online, of which we may use 0-1");
        assert_eq!(
            cores(&topology).found,
            "CPUs that share a core: 0,2 | 1,3; memory nodes 0"
        );
    }

    #[test]
    fn a_whole_host_without_shared_cores_is_good() {
        let topology = topology(&[0, 1], &[&[0], &[1]]);
        assert_eq!(
            cpus(&topology).found,
            "0-1 are online, and we may use all of them"
        );
        assert_eq!(
            cores(&topology).found,
            "each CPU is a core of its own; memory nodes 0"
        );
        assert_eq!(cores(&topology).advice, None);
    }

    #[test]
    fn a_low_hard_limit_is_a_warning() {
        assert_eq!(descriptors((Some(1024), Some(1024))).state, State::Warning);
        assert_eq!(descriptors((Some(1024), None)).state, State::Good);
        assert_eq!(
            descriptors((Some(1024), Some(524_288))).found,
            "1024 open files now, 524288 after raising the limit"
        );
    }

    #[test]
    fn namespaces_that_could_not_be_entered_stand_in_the_way() {
        let spec = |more: &str| {
            let text = format!(
                "[vm.web]\nmemory = '4M'\nvcpus = 1\nguest = {{ tiny = ['exit'] }}\n{more}"
            );
            let host = topology(&[0], &[&[0]]).resources;
            spec::understand(Path::new("s.toml"), &text, &host).unwrap()
        };
        assert_eq!(namespaces(&spec(""), false), None);
        let own = spec("namespaces = ['net', 'uts']");
        let refused = namespaces(&own, false).unwrap();
        assert_eq!(refused.state, State::Refused);
        let found = "machine web is to have its own uts, net, which takes CAP_SYS_ADMIN";
        assert_eq!(refused.found, found);
        assert_eq!(namespaces(&own, true).unwrap().state, State::Good);
    }

    #[test]
    fn outsiders_are_named_up_to_a_bound() {
        let cpus = CpuSet::from_iter([1]);
        let thread = |tid| Outsider {
            pid: tid,
            tid: Tid(tid),
            comm: "irqbalance".into(),
            cpus,
        };
        let found = Outsiders {
            threads: (1..6).map(thread).collect(),
            ..Outsiders::default()
        };
        assert_eq!(
            outsiders(&cpus, &found).found,
            "confined to the exclusive CPUs 1: irqbalance (thread 1), irqbalance (thread 2), \
             irqbalance (thread 3) and 2 more"
        );
        assert_eq!(outsiders(&cpus, &Outsiders::default()).state, State::Good);
    }
}
