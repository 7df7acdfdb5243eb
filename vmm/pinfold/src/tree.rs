//! A report as a picture: machines, then the tree of groups of each hierarchy.
//!
//! A pure function of the report; what the terminal can show comes in as a [`Style`].

mod bill;

use std::fmt::Write;

use management::{Event, Group, Machine, Report};

use crate::screen::Style;
use crate::units::{cycles, time};

pub use bill::bill;

/// Machines, the trees of all hierarchies, and what has drifted.
///
/// ```text
/// web  running  pid 4711  first output after 2.1 ms
///
/// placement:/          cpus 0-1
/// └─ gold              cpus 0
///    ├─ web            cpus 0         web/vcpu0,io,control
///    └─ hot            cpus 0-1 → 0   web/vcpu1
/// ```
pub fn tree(report: &Report, style: Style) -> String {
    let mut out = String::new();
    for row in columns(report.machines.iter().map(machine).collect()) {
        line(&mut out, &row, style);
    }
    let hierarchies = report.groups.chunk_by(|a, b| hierarchy(a) == hierarchy(b));
    for groups in hierarchies {
        out.push('\n');
        for row in columns(rows(report, groups, style)) {
            line(&mut out, &row, style);
        }
    }
    if !report.drift.is_empty() {
        out.push('\n');
    }
    for drift in &report.drift {
        let repaired = if drift.repaired {
            "repaired"
        } else {
            "not repaired"
        };
        let row = format!(
            "drift: {} was found on CPUs {} instead of {}, {repaired}",
            drift.task, drift.observed_cpus, drift.requested_cpus
        );
        line(&mut out, &row, style);
    }
    out
}

/// An event as a line that stays.
pub fn event(event: &Event) -> String {
    format!("{:>5}  {}", number(event), event.text)
}

/// `#7` of `EPOCH.7`: all that is shown here is of one epoch.
fn number(event: &Event) -> String {
    let number = event.id.rsplit('.').next().unwrap_or_default();
    format!("#{number}")
}

fn hierarchy(group: &Group) -> &str {
    group.group.split(':').next().unwrap_or_default()
}

fn machine(machine: &Machine) -> Vec<String> {
    let state = match (&machine.end, machine.ended_after_ns) {
        (Some(end), Some(after)) => format!("{end} after {}", time(after)),
        (Some(end), None) => end.clone(),
        _ => machine.state.clone(),
    };
    let output = machine.first_output_after_ns;
    let output = output.map(|after| format!("first output after {}", time(after)));
    vec![
        machine.name.clone(),
        state,
        format!("pid {}", machine.pid),
        output.unwrap_or_default(),
    ]
}

/// One row a group: its place in the tree, CPUs, CPU time, cycles, tasks.
fn rows(report: &Report, groups: &[Group], style: Style) -> Vec<Vec<String>> {
    let mut last_above = Vec::new();
    let rows = groups
        .iter()
        .zip(last_siblings(groups))
        .map(|(group, last)| {
            last_above.truncate(group.depth.saturating_sub(1));
            let label = label(group, &last_above, last, style);
            if group.depth > 0 {
                last_above.push(last);
            }
            vec![
                label,
                cpus(group, style),
                group.usage_ns.map(time).unwrap_or_default(),
                group.cycles.map(cycles).unwrap_or_default(),
                occupants(report, group),
            ]
        });
    rows.collect()
}

/// For each group whether it is the last child of its parent, in one pass from the end.
fn last_siblings(groups: &[Group]) -> Vec<bool> {
    // Depths at which a later sibling was seen.
    let mut later: Vec<bool> = Vec::new();
    let mut last: Vec<bool> = groups
        .iter()
        .rev()
        .map(|group| {
            later.resize(group.depth + 1, false);
            !std::mem::replace(&mut later[group.depth], true)
        })
        .collect();
    last.reverse();
    last
}

fn label(group: &Group, last_above: &[bool], last: bool, style: Style) -> String {
    if group.depth == 0 {
        return group.group.clone();
    }
    let (tee, corner, bar) = match style.utf8 {
        true => ("├─ ", "└─ ", "│  "),
        false => ("|- ", "`- ", "|  "),
    };
    let mut label = String::new();
    for &above in last_above {
        label.push_str(if above { "   " } else { bar });
    }
    label.push_str(if last { corner } else { tee });
    label.push_str(group.group.rsplit('/').next().unwrap_or_default());
    label
}

fn cpus(group: &Group, style: Style) -> String {
    let shown = |cpus: &str| if cpus.is_empty() { "none" } else { cpus }.to_owned();
    match (&group.requested_cpus, &group.effective_cpus) {
        (Some(requested), Some(effective)) if requested != effective => {
            let arrow = if style.utf8 { "→" } else { "->" };
            format!("cpus {} {arrow} {}", shown(requested), shown(effective))
        }
        (Some(cpus), _) | (None, Some(cpus)) => format!("cpus {}", shown(cpus)),
        (None, None) => String::new(),
    }
}

/// The tasks in the group; of an empty one, its last release.
fn occupants(report: &Report, group: &Group) -> String {
    if !group.tasks.is_empty() {
        return tasks(&group.tasks);
    }
    let mut events = report.events.iter().rev();
    let released = events.find(|event| {
        event.kind == "released" && event.group.as_deref() == Some(group.group.as_str())
    });
    released.map_or_else(String::new, |event| format!("released ({})", number(event)))
}

/// Task names, shortened: `web/vcpu0-1,io,control db/vcpu0`.
pub fn tasks(names: &[String]) -> String {
    let split = |name: &'_ String| -> (String, String, Option<u32>) {
        let (machine, task) = name.split_once('/').unwrap_or(("", name));
        let number = task
            .strip_prefix("vcpu")
            .and_then(|number| number.parse().ok());
        (machine.to_owned(), task.to_owned(), number)
    };
    let mut tasks: Vec<_> = names.iter().map(split).collect();
    // Machines together, vCPUs first and by number; else as they came.
    tasks.sort_by_key(|(machine, _, number)| (machine.clone(), number.is_none(), *number));
    let mut out = String::new();
    let mut at = 0;
    while at < tasks.len() {
        let (machine, task, number) = &tasks[at];
        let new_machine = at == 0 || tasks[at - 1].0 != *machine;
        if new_machine {
            let space = if at == 0 { "" } else { " " };
            let _ = write!(out, "{space}{machine}/");
        } else {
            out.push(',');
        }
        out.push_str(task);
        let run = match number {
            Some(first) => tasks[at..]
                .iter()
                .zip(*first..)
                .take_while(|((of, _, number), expected)| {
                    of == machine && *number == Some(*expected)
                })
                .count(),
            None => 1,
        };
        if let (Some(first), 2..) = (number, run) {
            let _ = write!(out, "-{}", first + run as u32 - 1);
        }
        at += run;
    }
    out
}

/// Rows with their cells aligned, two spaces between; columns that are empty throughout fall out.
pub fn columns(rows: Vec<Vec<String>>) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![0; count];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let align = |row: &Vec<String>| {
        let mut out = String::new();
        for (cell, &width) in row.iter().zip(&widths).filter(|&(_, &width)| width > 0) {
            let _ = write!(out, "{cell:<width$}  ");
        }
        out.truncate(out.trim_end().len());
        out
    };
    rows.iter().map(align).collect()
}

/// A line, cut to the width, without what could steer a terminal: a group's name may hold any byte.
pub fn line(out: &mut String, row: &str, style: Style) {
    let fits = row.chars().count() <= style.width;
    let kept = if fits {
        style.width
    } else {
        style.width.saturating_sub(1)
    };
    out.extend(
        row.chars()
            .take(kept)
            .map(|c| if c.is_control() { '?' } else { c }),
    );
    if !fits {
        out.push(if style.utf8 { '…' } else { '~' });
    }
    out.push('\n');
}

#[cfg(test)]
mod tests;
