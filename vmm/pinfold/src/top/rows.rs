//! The tree of one hierarchy as rows, in order and without what is folded away.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use management::{Group, Report};

use super::model::Sort;
use super::rates::{self, Rates};

/// One row: a group, or a task in the group above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `HIERARCHY:/path`, or `MACHINE/vcpu0`.
    pub name: String,
    /// Whether it is a task.
    pub is_task: bool,
    /// For each level above it but the root's whether another row follows there, and last for its own; empty
    /// for the root.
    pub follows: Vec<bool>,
    /// Whether there is something to fold.
    pub has_below: bool,
    /// Whether that is folded away.
    pub folded: bool,
    /// `cpuset.cpus` and what is in force, where a cpuset is bound; of a task what it should have and has.
    pub cpus: Option<(String, String)>,
    /// Children included, once two reports are there.
    pub rates: Option<Rates>,
    /// `cpuacct.usage`, where cpuacct is bound; of a task its CPU time.
    pub usage_ns: Option<u64>,
    /// Living tasks in this very group, unless they have rows below it.
    pub tasks: Vec<String>,
    /// How many these are, and those of the groups below.
    pub task_count: usize,
}

/// What decides which rows there are, and their order.
pub struct Shape<'a> {
    /// The hierarchy's name.
    pub hierarchy: &'a str,
    /// Names of groups whose children are hidden.
    pub folded: &'a BTreeSet<String>,
    /// How siblings are ordered.
    pub sort: Sort,
    /// Whether tasks have rows.
    pub show_tasks: bool,
}

/// The hierarchies of a report, in its order.
pub fn hierarchies(report: &Report) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for group in &report.groups {
        let name = hierarchy(group);
        if names.last().is_none_or(|last| last != name) && !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    names
}

fn hierarchy(group: &Group) -> &str {
    group.group.split(':').next().unwrap_or_default()
}

/// The rows of one hierarchy. `task_rates` has the report's tasks in their order.
///
/// Depth costs no stack: a guest with a delegated group decides on it, within the supervisor's limits.
pub fn rows(report: &Report, task_rates: Option<&[Rates]>, shape: &Shape<'_>) -> Vec<Row> {
    let tree = Tree::new(report, task_rates, shape);
    let mut rows = Vec::new();
    // What is still to be shown, the next one last, with the `follows` of its row.
    let roots = tree.sorted(tree.roots.iter().map(|&at| Node::Group(at)).collect());
    let mut open: Vec<_> = roots
        .into_iter()
        .rev()
        .map(|root| (root, Vec::new()))
        .collect();
    while let Some((node, follows)) = open.pop() {
        let at = match node {
            Node::Task(name) => {
                rows.push(tree.task_row(name, follows));
                continue;
            }
            Node::Group(at) => at,
        };
        let below = tree.below(at);
        let folded = !below.is_empty() && shape.folded.contains(&report.groups[at].group);
        if !folded {
            for (from_last, &child) in tree.sorted(below.clone()).iter().rev().enumerate() {
                let mut follows = follows.clone();
                follows.push(from_last > 0);
                open.push((child, follows));
            }
        }
        rows.push(tree.group_row(at, follows, !below.is_empty(), folded));
    }
    rows
}

/// A row to be: a group by its place in the report, a task by its name.
#[derive(Clone, Copy)]
enum Node<'a> {
    Group(usize),
    Task(&'a str),
}

/// Orders siblings: tasks before groups, as they stand in the group itself; then by rate; then tasks by birth,
/// so that vcpu10 stands after vcpu9; then by name.
type Key = (bool, Reverse<u64>, usize, String);

/// The groups of one hierarchy, by their places in the report.
struct Tree<'a> {
    report: &'a Report,
    shape: &'a Shape<'a>,
    roots: Vec<usize>,
    /// Of every group of the report.
    children: Vec<Vec<usize>>,
    /// Of every group, children included.
    task_counts: Vec<usize>,
    /// Of every group, children included.
    group_rates: Option<Vec<Rates>>,
    task_rates: Option<&'a [Rates]>,
    /// The places of tasks by their names.
    tasks: HashMap<&'a str, usize>,
}

impl<'a> Tree<'a> {
    fn new(report: &'a Report, task_rates: Option<&'a [Rates]>, shape: &'a Shape<'a>) -> Self {
        // Of two tasks of one name the later one lives.
        let places = report.tasks.iter().enumerate();
        let tasks = places.map(|(at, task)| (task.name.as_str(), at)).collect();
        let mut tree = Tree {
            report,
            shape,
            roots: Vec::new(),
            children: vec![Vec::new(); report.groups.len()],
            task_counts: report
                .groups
                .iter()
                .map(|group| group.tasks.len())
                .collect(),
            group_rates: task_rates.map(|tasks| rates::of_groups(report, tasks)),
            task_rates,
            tasks,
        };
        let parents = rates::parents(report);
        for (at, group) in report.groups.iter().enumerate() {
            match parents[at] {
                Some(parent) => tree.children[parent].push(at),
                None if hierarchy(group) == shape.hierarchy => tree.roots.push(at),
                None => {}
            }
        }
        for at in (0..report.groups.len()).rev() {
            if let Some(parent) = parents[at] {
                tree.task_counts[parent] += tree.task_counts[at];
            }
        }
        tree
    }

    fn below(&self, group: usize) -> Vec<Node<'a>> {
        let tasks = self.report.groups[group].tasks.iter();
        let tasks = tasks
            .filter(|_| self.shape.show_tasks)
            .map(|name| Node::Task(name));
        let groups = self.children[group].iter().map(|&child| Node::Group(child));
        tasks.chain(groups).collect()
    }

    fn sorted(&self, mut siblings: Vec<Node<'a>>) -> Vec<Node<'a>> {
        siblings.sort_by_cached_key(|&node| self.key(node));
        siblings
    }

    fn key(&self, node: Node<'_>) -> Key {
        let (is_group, place, rates, name) = match node {
            Node::Group(at) => (true, 0, self.group_rate(at), &*self.report.groups[at].group),
            Node::Task(name) => {
                let place = self.tasks.get(name).copied().unwrap_or(usize::MAX);
                (false, place, self.task_rate(name), name)
            }
        };
        let rates = rates.unwrap_or_default();
        let rate = match self.shape.sort {
            Sort::Name => 0,
            Sort::Usage => rates.usage.0,
            Sort::Wait => rates.wait.0,
        };
        (is_group, Reverse(rate), place, name.to_owned())
    }

    fn group_rate(&self, at: usize) -> Option<Rates> {
        self.group_rates.as_ref().map(|rates| rates[at])
    }

    fn task_rate(&self, name: &str) -> Option<Rates> {
        let at = *self.tasks.get(name)?;
        self.task_rates.map(|rates| rates[at])
    }

    fn group_row(&self, at: usize, follows: Vec<bool>, has_below: bool, folded: bool) -> Row {
        let group = &self.report.groups[at];
        Row {
            name: group.group.clone(),
            is_task: false,
            follows,
            has_below,
            folded,
            cpus: group
                .requested_cpus
                .clone()
                .zip(group.effective_cpus.clone()),
            rates: self.group_rate(at),
            usage_ns: group.usage_ns,
            tasks: if self.shape.show_tasks {
                Vec::new()
            } else {
                group.tasks.clone()
            },
            task_count: self.task_counts[at],
        }
    }

    fn task_row(&self, name: &str, follows: Vec<bool>) -> Row {
        let task = self.tasks.get(name).map(|&at| &self.report.tasks[at]);
        Row {
            name: name.to_owned(),
            is_task: true,
            follows,
            has_below: false,
            folded: false,
            cpus: task.map(|task| (task.requested_cpus.clone(), task.observed_cpus.clone())),
            rates: self.task_rate(name),
            usage_ns: task.map(|task| task.usage_ns),
            tasks: Vec::new(),
            task_count: 1,
        }
    }
}
