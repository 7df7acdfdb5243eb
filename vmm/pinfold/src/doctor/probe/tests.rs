use std::path::Path;

use container_core::{CpuSet, HostResources, NodeSet, Tid};
use host::checks::{Outsider, Outsiders};
use host::topology::Cpu;

use super::spec::{namespaces, outsiders};
use super::*;

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
        let text =
            format!("[vm.web]\nmemory = '4M'\nvcpus = 1\nguest = {{ tiny = ['exit'] }}\n{more}");
        let host = topology(&[0], &[&[0]]).resources;
        crate::spec::understand(Path::new("s.toml"), &text, &host).unwrap()
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
