//! The host's CPUs as Pinfold's tasks use them: runs of CPUs on which the same tasks may run.
//!
//! What else runs on a CPU is not in a report and is not shown.

use std::collections::BTreeMap;

use container_core::CpuSet;
use management::Report;

use super::rates::{Rate, Rates};

/// Neighbouring CPUs on which the same tasks may run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuRow {
    /// A range list.
    pub cpus: String,
    /// How many they are.
    pub count: u64,
    /// Of each of them, by Pinfold's tasks: one that may run on several is taken to use them evenly.
    pub busy: Option<Rate>,
    /// Tasks that the kernel confines to exactly one CPU, this one.
    pub pinned: Vec<String>,
    /// Tasks that may also run elsewhere.
    pub floating: Vec<String>,
}

/// A row a run of CPUs, of all that the root groups have or a living task may run on.
pub fn cpu_rows(report: &Report, rates: Option<&[Rates]>) -> Vec<CpuRow> {
    let roots = report.groups.iter().filter(|group| group.depth == 0);
    let roots = roots.filter_map(|group| group.effective_cpus.as_deref());
    // Which living tasks may run on each CPU, as indices.
    let mut on: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for cpu in roots.filter_map(parse).flat_map(members) {
        on.entry(cpu).or_default();
    }
    let mut spread = vec![0; report.tasks.len()];
    for (at, task) in report.tasks.iter().enumerate().filter(|(_, t)| t.alive) {
        let cpus = parse(&task.observed_cpus).map(members).unwrap_or_default();
        spread[at] = cpus.len() as u64;
        for cpu in cpus {
            on.entry(cpu).or_default().push(at);
        }
    }
    let on: Vec<(u32, Vec<usize>)> = on.into_iter().collect();
    let same = |a: &(u32, Vec<usize>), b: &(u32, Vec<usize>)| a.0 + 1 == b.0 && a.1 == b.1;
    let row = |run: &[(u32, Vec<usize>)]| {
        let (first, tasks) = &run[0];
        let last = first + run.len() as u32 - 1;
        let names = |pinned: bool| {
            let chosen = tasks.iter().filter(|&&at| (spread[at] == 1) == pinned);
            chosen.map(|&at| report.tasks[at].name.clone()).collect()
        };
        let share = |rates: &[Rates]| {
            let mut busy = Rate::default();
            for &at in tasks {
                busy += Rate(rates[at].usage.0 / spread[at]);
            }
            busy
        };
        CpuRow {
            cpus: match run.len() {
                1 => first.to_string(),
                _ => format!("{first}-{last}"),
            },
            count: run.len() as u64,
            busy: rates.map(share),
            pinned: names(true),
            floating: names(false),
        }
    };
    on.chunk_by(same).map(row).collect()
}

/// A set that cannot be read is taken for none: the supervisor wrote it, and a picture needs no more.
fn parse(cpus: &str) -> Option<CpuSet> {
    cpus.parse().ok()
}

fn members(cpus: CpuSet) -> Vec<u32> {
    cpus.iter().collect()
}
