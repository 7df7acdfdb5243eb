//! Whether a spec would be let run, and who is on the CPUs that it wants for itself.

use std::path::Path;

use container_core::{Command, CpuSet, Framework, HostResources};
use host::checks::{self, Outsiders};

use crate::doctor::{Check, State};
use crate::spec::{self, Spec};

/// Threads of the host that are looked at for outsiders, some 10 µs each.
const SCAN_BOUND: usize = 20_000;

/// Outsiders that are named.
const NAMED_OUTSIDERS: usize = 3;

/// Would the spec be let run, and who else is on the CPUs that it wants for itself?
pub(super) fn would_run(path: &Path, host: &HostResources) -> Vec<Check> {
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
pub(super) fn namespaces(spec: &Spec, allowed: bool) -> Option<Check> {
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

pub(super) fn outsiders(cpus: &CpuSet, found: &Outsiders) -> Check {
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
