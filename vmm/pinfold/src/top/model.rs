//! What is shown, without how: reports become rows; folds, order, focus and selection are kept over them.
//!
//! Pure: no terminal, no clock. Rows are made anew only when something has changed, and every row stands for
//! a group or a task by name, so that the selection stays with it when rows come, go and change places.

use std::collections::{BTreeSet, HashSet};

use management::Report;

use super::cpus::{CpuRow, cpu_rows};
use super::rates::{self, Rates};
use super::rows::{self, Row};

/// A report and when it was made.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// The report.
    pub report: Report,
    /// Nanoseconds of a clock that does not go back.
    pub at_ns: u64,
}

/// By what siblings are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By name, ascending.
    #[default]
    Name,
    /// By usage rate, the highest first.
    Usage,
    /// By wait rate, the highest first.
    Wait,
}

impl Sort {
    fn next(self) -> Sort {
        match self {
            Sort::Name => Sort::Usage,
            Sort::Usage => Sort::Wait,
            Sort::Wait => Sort::Name,
        }
    }
}

/// Where the keys go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    /// The tree of one hierarchy, by its place in [`Model::hierarchies`].
    Tree(usize),
    /// The host's CPUs.
    Cpus,
    /// The machines.
    Machines,
}

/// A step of the selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many rows down, or up if below zero.
    By(isize),
    /// To the first row.
    First,
    /// To the last row.
    Last,
}

/// All that a frame shows.
#[derive(Debug)]
pub struct Model {
    /// The newest report.
    pub report: Report,
    /// Names of the hierarchies, in the report's order.
    pub hierarchies: Vec<String>,
    /// Rows of the tree that is shown.
    pub rows: Vec<Row>,
    /// Rows of the map of CPUs.
    pub cpus: Vec<CpuRow>,
    /// Of all tasks together, once two reports are there.
    pub total: Option<Rates>,
    /// Of the tasks of each machine, in the report's order.
    pub machine_rates: Option<Vec<Rates>>,
    /// How siblings are ordered.
    pub sort: Sort,
    /// Where the keys go.
    pub pane: Pane,
    at_ns: u64,
    task_rates: Option<Vec<Rates>>,
    /// Names of groups whose children are hidden.
    folded: BTreeSet<String>,
    /// Whether tasks have rows of their own.
    show_tasks: bool,
    /// The place in [`Model::hierarchies`] of the tree that is shown.
    tree: usize,
    /// The selected row in the tree, by its name and, should that be gone, by its place.
    selected: (String, usize),
    /// Selected rows of the other panes.
    cpu: usize,
    machine: usize,
}

impl Model {
    /// Begin with one report: nothing is known yet of rates.
    pub fn new(sample: Sample) -> Self {
        let mut model = Model {
            report: Report::default(),
            hierarchies: Vec::new(),
            rows: Vec::new(),
            cpus: Vec::new(),
            total: None,
            machine_rates: None,
            sort: Sort::default(),
            pane: Pane::Tree(0),
            at_ns: sample.at_ns,
            task_rates: None,
            folded: BTreeSet::new(),
            show_tasks: false,
            tree: 0,
            selected: (String::new(), 0),
            cpu: 0,
            machine: 0,
        };
        model.update(sample);
        model
    }

    /// Take in a newer report.
    pub fn update(&mut self, sample: Sample) {
        let interval = sample.at_ns.saturating_sub(self.at_ns);
        // Two reports of one moment say nothing of rates: the last ones stand where they still fit.
        if interval > 0 {
            self.task_rates = rates::of_tasks(&self.report, &sample.report, interval);
        } else if self.report.tasks.len() != sample.report.tasks.len() {
            self.task_rates = None;
        }
        self.report = sample.report;
        self.at_ns = sample.at_ns;
        let shown = self.hierarchies.get(self.tree).cloned();
        self.hierarchies = rows::hierarchies(&self.report);
        let kept = self
            .hierarchies
            .iter()
            .position(|name| Some(name) == shown.as_ref());
        self.tree = kept.unwrap_or(0);
        if let Pane::Tree(_) = self.pane {
            self.pane = Pane::Tree(self.tree);
        }
        let rates = self.task_rates.as_deref();
        self.total = rates.map(rates::sum);
        self.machine_rates = rates.map(|rates| rates::of_machines(&self.report, rates));
        self.cpus = cpu_rows(&self.report, self.task_rates.as_deref());
        let names: HashSet<&str> = self
            .report
            .groups
            .iter()
            .map(|g| g.group.as_str())
            .collect();
        self.folded.retain(|folded| names.contains(folded.as_str()));
        self.arrange();
    }

    /// Make the tree's rows anew, and find the selected one again.
    fn arrange(&mut self) {
        let shape = rows::Shape {
            hierarchy: self.hierarchies.get(self.tree).map_or("", String::as_str),
            folded: &self.folded,
            sort: self.sort,
            show_tasks: self.show_tasks,
        };
        self.rows = rows::rows(&self.report, self.task_rates.as_deref(), &shape);
        let (name, place) = &self.selected;
        let found = self.rows.iter().position(|row| row.name == *name);
        self.select(found.unwrap_or(*place));
    }

    fn select(&mut self, place: usize) {
        let place = place.min(self.rows.len().saturating_sub(1));
        let name = self.rows.get(place).map(|row| row.name.clone());
        self.selected = (name.unwrap_or_default(), place);
    }

    /// The name of the hierarchy that is shown.
    pub fn hierarchy(&self) -> &str {
        self.hierarchies.get(self.tree).map_or("", String::as_str)
    }

    /// The place of the tree's selected row.
    pub fn tree_cursor(&self) -> usize {
        self.selected.1
    }

    /// The place of the selected row in the map of CPUs.
    pub fn cpu_cursor(&self) -> usize {
        self.cpu.min(self.cpus.len().saturating_sub(1))
    }

    /// The place of the selected machine.
    pub fn machine_cursor(&self) -> usize {
        self.machine
            .min(self.report.machines.len().saturating_sub(1))
    }

    /// The group on which the selection stands, if the keys go to the tree: its name and its `cpuset.cpus`.
    pub fn selected_group(&self) -> Option<(&str, Option<&str>)> {
        let row = self.rows.get(self.selected.1)?;
        let shown = matches!(self.pane, Pane::Tree(_)) && !row.is_task;
        let mut groups = self.report.groups.iter();
        let group = groups.find(|group| shown && group.group == row.name)?;
        Some((&group.group, group.requested_cpus.as_deref()))
    }

    /// Move the selection of the pane that has the keys.
    pub fn step(&mut self, step: Step) {
        let (at, count) = match self.pane {
            Pane::Tree(_) => (self.tree_cursor(), self.rows.len()),
            Pane::Cpus => (self.cpu_cursor(), self.cpus.len()),
            Pane::Machines => (self.machine_cursor(), self.report.machines.len()),
        };
        let last = count.saturating_sub(1);
        let to = match step {
            Step::By(rows) => at.saturating_add_signed(rows).min(last),
            Step::First => 0,
            Step::Last => last,
        };
        match self.pane {
            Pane::Tree(_) => self.select(to),
            Pane::Cpus => self.cpu = to,
            Pane::Machines => self.machine = to,
        }
    }

    /// Hide what is below the selected group, or show it again.
    pub fn fold(&mut self) {
        let row = self.rows.get(self.selected.1);
        let Some(row) = row.filter(|row| row.has_below && matches!(self.pane, Pane::Tree(_)))
        else {
            return;
        };
        if !self.folded.remove(&row.name) {
            self.folded.insert(row.name.clone());
        }
        self.arrange();
    }

    /// Give tasks rows of their own, or take those away.
    pub fn toggle_tasks(&mut self) {
        self.show_tasks = !self.show_tasks;
        self.arrange();
    }

    /// Order siblings by the next thing.
    pub fn next_sort(&mut self) {
        self.sort = self.sort.next();
        self.arrange();
    }

    /// Give the keys to the next pane, or to the one before: the hierarchies, the CPUs, the machines.
    pub fn next_pane(&mut self, back: bool) {
        let trees = self.hierarchies.len();
        let count = trees + 2;
        let at = match self.pane {
            Pane::Tree(tree) => tree,
            Pane::Cpus => trees,
            Pane::Machines => trees + 1,
        };
        let to = (at + if back { count - 1 } else { 1 }) % count;
        self.pane = match to {
            tree if tree < trees => Pane::Tree(tree),
            at if at == trees => Pane::Cpus,
            _ => Pane::Machines,
        };
        if let Pane::Tree(tree) = self.pane
            && tree != self.tree
        {
            self.tree = tree;
            self.selected = (String::new(), 0);
            self.arrange();
        }
    }
}

#[cfg(test)]
mod tests;
