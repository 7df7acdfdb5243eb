//! Any valid spec can be reached from any other, in one plan.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

const PATHS: [&str; 8] = ["/", "/a", "/a/x", "/a/x/z", "/a/y", "/b", "/b/x", "/c"];
const MACHINES: [(&str, u16); 3] = [("l", 1), ("m", 2), ("n", 3)];

/// What may stand in a group's table.
#[derive(Clone, Debug)]
struct Files {
    path: &'static str,
    cpus: Option<u8>,
    flags: [bool; 4],
    depth: Option<u8>,
    descendants: Option<u8>,
    notify: bool,
    mode: bool,
    /// Quota and period, in milliseconds.
    cpu: Option<(u8, u8)>,
}

fn files() -> impl Strategy<Value = Files> {
    let limit = || prop_oneof![4 => Just(None), 1 => (1u8..4).prop_map(Some)];
    let flags = [0.6, 0.1, 0.3, 0.2].map(proptest::bool::weighted);
    let cpus = prop_oneof![1 => Just(None), 8 => (1u8..64).prop_map(Some), 1 => Just(Some(0))];
    (
        select(&PATHS[..]),
        cpus,
        flags,
        limit(),
        limit(),
        any::<bool>(),
        any::<bool>(),
        proptest::option::of((5u8..200, select(vec![50u8, 100, 200]))),
    )
        .prop_map(
            |(path, cpus, flags, depth, descendants, notify, mode, cpu)| Files {
                path,
                cpus,
                flags,
                depth,
                descendants,
                notify,
                mode,
                cpu,
            },
        )
}

impl Files {
    /// The table, with so many of its parts left out, the most demanding ones first.
    fn table(&self, without: usize) -> String {
        let mut files = Vec::new();
        let is_root = self.path == "/";
        if let Some(cpus) = self.cpus.filter(|_| !is_root && without < 4) {
            let cpus = (0..6).filter(|cpu| cpus >> cpu & 1 == 1);
            let cpus: container_core::CpuSet = cpus.collect();
            files.push(format!("'cpuset.cpus' = \"{cpus}\\n\""));
        }
        let names = ["cpu_exclusive", "mem_exclusive", "placement"];
        for (at, name) in names.into_iter().enumerate() {
            let value = if name == "placement" {
                "'one-to-one'"
            } else {
                "1"
            };
            let is_there = self.flags[at] && without < [3, 1, 2][at];
            if is_there && !(is_root && name == "placement") {
                files.push(format!("'cpuset.{name}' = {value}"));
            }
        }
        if self.flags[3] {
            files.push("'cgroup.clone_children' = 1".into());
        }
        if let Some((quota, period)) = self.cpu.filter(|_| !is_root && without < 1) {
            files.push(format!("'cpu.cfs_quota_us' = {quota}000"));
            files.push(format!("'cpu.cfs_period_us' = {period}000"));
        }
        for (name, limit) in [("depth", self.depth), ("descendants", self.descendants)] {
            if let Some(limit) = limit {
                files.push(format!("'cgroup.max.{name}' = {limit}"));
            }
        }
        let mode = if self.mode { "mode = 0o700\n" } else { "" };
        format!(
            "[group.'p:{}']\nfiles = {{ {} }}\nnotify_on_release = {}\n{mode}",
            self.path,
            files.join(", "),
            self.notify
        )
    }
}

/// Where a machine is, if it is.
#[derive(Clone, Debug)]
struct Vm {
    machine: usize,
    groups: [Index; 4],
}

fn vm() -> impl Strategy<Value = Vm> {
    let groups = [
        any::<Index>(),
        any::<Index>(),
        any::<Index>(),
        any::<Index>(),
    ];
    (0..MACHINES.len(), groups).prop_map(|(machine, groups)| Vm { machine, groups })
}

/// Of no machine of 64M, of one, of two, or none.
fn limit() -> impl Strategy<Value = &'static str> {
    select(vec!["0", "72M", "72M", "144M", "-1"])
}

fn is_valid(text: &str) -> bool {
    let spec = understand(std::path::Path::new("s.toml"), text, &host());
    spec.is_ok_and(|spec| spec.check(&mut Framework::new(host())).is_ok())
}

/// A spec of what of these is allowed together: each is added as it is, or with less, or not at all.
fn valid(files: &[Files], billing: &[(&str, &str)], vms: &[Vm]) -> String {
    let mut text = "[hierarchy.p]\nsubsystems = ['cpuset', 'cpu']\n".to_owned();
    if !billing.is_empty() {
        text.push_str("[hierarchy.b]\nsubsystems = ['cpuacct', 'memory']\n");
    }
    for (group, limit) in billing {
        let files = format!("files = {{ 'memory.limit_in_bytes' = '{limit}' }}");
        let more = format!("{text}[group.'b:/{group}']\n{files}\n");
        text = if is_valid(&more) { more } else { text };
    }
    let mut groups = vec!["/"];
    for files in files {
        let mut tables = (0..5).map(|without| format!("{text}{}", files.table(without)));
        if let Some(more) = tables.find(|more| is_valid(more)) {
            text = more;
            groups.push(files.path);
        }
    }
    for Vm {
        machine,
        groups: at,
    } in vms
    {
        let (name, vcpus) = MACHINES[*machine];
        let [vcpu, io, one] = [0, 1, 2].map(|which| at[which].get(&groups));
        let bill = billing.get(at[3].index(3));
        let bill = bill.map_or_else(String::new, |(group, _)| format!("'b:/{group}'"));
        let more = format!(
            "{text}[vm.{name}]\nmemory = '64M'\nvcpus = {vcpus}\nguest = {{ tiny = ['forever'] }}\n\
             [vm.{name}.groups]\nall = [{bill}]\nvcpu = ['p:{vcpu}']\nio = ['p:{io}']\n\
             [vm.{name}.task.vcpu0]\ngroups = ['p:{one}']\n"
        );
        text = if is_valid(&more) { more } else { text };
    }
    text
}

prop_compose! {
    fn specs()(
        files in proptest::collection::vec(files(), 0..12),
        billing in proptest::sample::subsequence(vec!["s", "t"], 0..=2),
        limits in [limit(), limit()],
        vms in proptest::collection::vec(vm(), 0..5),
    ) -> String {
        let mut files = files;
        files.sort_by_key(|files| files.path);
        let billing: Vec<(&str, &str)> = billing.into_iter().zip(limits).collect();
        valid(&files, &billing, &vms)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_valid_spec_is_reached_from_any_other_in_one_plan(from in specs(), to in specs()) {
        goes_by_one_plan(&from, &to);
    }
}

fn goes_by_one_plan(from: &str, to: &str) {
    let (from, to) = (spec(from), spec(to));
    let mut now = started(&from);
    let left_alone = |to: &Spec| {
        let named = |name: &str| {
            to.changes.iter().any(|change| match &change.command {
                Command::Mount { hierarchy, .. } => hierarchy.as_str() == name,
                _ => false,
            })
        };
        !named("b")
    };
    let wanted = difference(&to, &now).unwrap();
    let taken = lines(&now, &wanted);
    carried_out(&mut now, &wanted);
    let fresh = started(&to);
    let seen = |framework: &Framework| {
        let mut seen = state(framework);
        seen.retain(|line| !left_alone(&to) || !line.starts_with('b'));
        seen
    };
    assert_eq!(seen(&now.framework), seen(&fresh.framework), "{taken:#?}");
    let again = difference(&to, &now).unwrap();
    assert!(is_nothing(&again), "{again:#?}");
}
