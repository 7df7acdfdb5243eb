//! From the text of a spec to commands: hierarchies, then groups with their control files.
//!
//! Order matters and is fixed: all mounts; then the groups, parents first, each with its `Mkdir`,
//! `cpuset.cpus`, `cpuset.mems`, its other files as the file has them (so that exclusive flags meet the
//! final CPUs), `notify_on_release`, and last its owner. Through files a cpuset starts empty, as in the
//! kernel; in a spec, `cpuset.cpus` and `cpuset.mems` left out are copied from the parent.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use container_core::{Command, Framework, GroupPath, HierarchyName, HostResources};
use toml::Spanned;

use super::channel;
use super::file::{File, Group, Hierarchy, Table};
use super::machine;
use super::source::Source;
use super::{Change, Spec, SpecError};

/// Give a file its meaning.
pub(super) fn plan(
    source: &Source<'_>,
    file: File,
    host: &HostResources,
) -> Result<Spec, SpecError> {
    let mut planner = Planner {
        source,
        tree: Tree::default(),
        changes: Vec::new(),
    };
    planner.hierarchies(file.hierarchy, host)?;
    planner.groups(file.group)?;
    let machines = in_order(file.vm)
        .into_iter()
        .map(|(name, vm)| machine::machine(source, &planner.tree, &name, &vm))
        .collect::<Result<Vec<_>, _>>()?;
    channel::each_its_own_socket(source, &machines)?;
    Ok(Spec {
        file: source.path.to_owned(),
        changes: planner.changes,
        machines,
    })
}

/// The entries of a table in the order of the file.
pub(super) fn in_order<T>(table: Table<T>) -> Vec<(Spanned<String>, T)> {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

/// What is declared: hierarchies in the order of the file, and groups.
#[derive(Default)]
pub(super) struct Tree {
    pub hierarchies: Vec<HierarchyName>,
    groups: BTreeMap<GroupPath, Declared>,
    /// What is declared is what a running supervisor has, and no file could declare more.
    running: bool,
}

/// What children inherit of a declared group.
#[derive(Clone, Default)]
struct Declared {
    /// `cpuset.cpus` and `cpuset.mems`; None where the hierarchy has no cpuset.
    cpuset: Option<[String; 2]>,
    uid: u32,
    gid: u32,
    mode: u16,
}

/// Written before the quota that counts in it.
const PERIOD: &str = "cpu.cfs_period_us";
const CPUSET: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

impl Tree {
    /// The mounted hierarchies of a framework and all groups in them.
    pub fn of(framework: &Framework) -> Tree {
        let mut tree = Tree {
            running: true,
            ..Tree::default()
        };
        for hierarchy in framework.hierarchies() {
            if let (true, Ok(groups)) = (hierarchy.mounted, framework.walk(&hierarchy.name)) {
                let paths = groups.into_iter().map(|group| group.path);
                tree.groups
                    .extend(paths.map(|path| (path, Declared::default())));
                tree.hierarchies.push(hierarchy.name);
            }
        }
        tree
    }

    /// The group of that name, if it is declared; the sentence that says what is missing, if not.
    pub fn declared(&self, name: &str) -> Result<GroupPath, String> {
        let group = self.path(name)?;
        match self.groups.contains_key(&group) {
            true => Ok(group),
            false if self.running => Err(format!("there is no group {group}")),
            false => Err(format!(
                "group {group} is not declared; declare it with [group.\"{group}\"]"
            )),
        }
    }

    /// The path of that name, in a declared hierarchy.
    fn path(&self, name: &str) -> Result<GroupPath, String> {
        let group: GroupPath = name.parse().map_err(|refusal| format!("{refusal}"))?;
        if self.hierarchies.contains(group.hierarchy()) {
            return Ok(group);
        }
        let hierarchy = group.hierarchy();
        if self.running {
            return Err(format!(
                "group {group} is in hierarchy {hierarchy}, which is not mounted"
            ));
        }
        Err(format!(
            "group {group} is in hierarchy {hierarchy}, which is not declared; declare it with \
             [hierarchy.{hierarchy}]"
        ))
    }
}

struct Planner<'a> {
    source: &'a Source<'a>,
    tree: Tree,
    changes: Vec<Change>,
}

impl Planner<'_> {
    fn push(&mut self, line: usize, command: Command) {
        self.changes.push(Change {
            command,
            line,
            inherited: false,
        });
    }

    fn hierarchies(
        &mut self,
        table: Table<Hierarchy>,
        host: &HostResources,
    ) -> Result<(), SpecError> {
        let source = self.source;
        let mut bound: BTreeMap<String, (HierarchyName, usize)> = BTreeMap::new();
        let mut agents = Vec::new();
        for (name, hierarchy) in in_order(table) {
            // What can be wrong with a mount is its subsystems.
            let place = hierarchy
                .subsystems
                .first()
                .map_or(name.span(), Spanned::span);
            let line = source.line(place);
            let name: HierarchyName = parse(source, &name)?;
            for subsystem in &hierarchy.subsystems {
                let at = (name.clone(), source.line(subsystem.span()));
                if let Some((other, first)) = bound.insert(subsystem.get_ref().clone(), at) {
                    let message = format!(
                        "subsystem {} of hierarchy {name} is already bound to hierarchy {other} \
                         on line {first}",
                        subsystem.get_ref(),
                    );
                    return Err(source.refuse(subsystem.span(), message));
                }
            }
            let root = GroupPath::root(&name);
            let has = |subsystem| {
                hierarchy
                    .subsystems
                    .iter()
                    .any(|s| s.get_ref() == subsystem)
            };
            let declared = Declared {
                cpuset: has("cpuset")
                    .then(|| [host.allowed_cpus.to_string(), host.mems.to_string()]),
                uid: 0,
                gid: 0,
                mode: 0o755,
            };
            if let Some(agent) = &hierarchy.release_agent {
                agents.push(self.release_agent(root.clone(), agent)?);
            }
            self.tree.groups.insert(root, declared);
            self.tree.hierarchies.push(name.clone());
            let subsystems = hierarchy.subsystems.into_iter().map(Spanned::into_inner);
            let command = Command::Mount {
                hierarchy: name,
                subsystems: subsystems.collect(),
            };
            self.push(line, command);
        }
        self.changes.append(&mut agents);
        Ok(())
    }

    /// The program is checked now: a release that nobody hears is found out too late.
    fn release_agent(&self, root: GroupPath, agent: &Spanned<String>) -> Result<Change, SpecError> {
        let beside = self.source.path.parent().unwrap_or(Path::new(""));
        let refuse = |why: String| self.source.refuse(agent.span(), why);
        let program = std::path::absolute(beside.join(agent.get_ref()))
            .map_err(|error| refuse(format!("release_agent {}: {error}", agent.get_ref())))?;
        let shown = program.display();
        let about = std::fs::metadata(&program)
            .map_err(|error| refuse(format!("release_agent {shown} cannot be run: {error}")))?;
        if !about.is_file() || about.permissions().mode() & 0o111 == 0 {
            let message = format!("release_agent {shown} cannot be run: it is no executable file");
            return Err(refuse(message));
        }
        let Some(value) = program.to_str() else {
            return Err(refuse(format!("release_agent {shown} is not UTF-8")));
        };
        Ok(Change {
            line: self.source.line(agent.span()),
            inherited: false,
            command: Command::Write {
                group: root,
                file: "release_agent".to_owned(),
                value: value.to_owned(),
            },
        })
    }

    fn groups(&mut self, table: Table<Group>) -> Result<(), SpecError> {
        let source = self.source;
        let mut groups = Vec::with_capacity(table.len());
        for (name, group) in in_order(table) {
            let line = source.line(name.span());
            let path = self.tree.path(name.get_ref());
            let path = path.map_err(|why| source.refuse_line(line, why))?;
            groups.push((path, line, group));
        }
        // Stable: groups of one depth stay in the order of the file.
        groups.sort_by_key(|(path, ..)| path.depth());
        for (path, line, group) in groups {
            self.group(path, line, group)?;
        }
        Ok(())
    }

    fn group(&mut self, path: GroupPath, line: usize, group: Group) -> Result<(), SpecError> {
        let source = self.source;
        let mut declared = match path.parent() {
            None => self.tree.groups[&path].clone(),
            Some(parent) => {
                let Some(above) = self.tree.groups.get(&parent) else {
                    let message = format!(
                        "group {path} stands under {parent}, which is not declared; declare it with \
                         [group.\"{parent}\"]"
                    );
                    return Err(source.refuse_line(line, message));
                };
                let above = above.clone();
                let group = path.clone();
                self.push(line, Command::Mkdir { group });
                above
            }
        };
        self.files(&path, line, group.files, &mut declared)?;
        if let Some(notify) = group.notify_on_release {
            let value = u8::from(*notify.get_ref()).to_string();
            let command = write(&path, "notify_on_release", value);
            self.push(source.line(notify.span()), command);
        }
        let owner = [
            group.uid.as_ref().map(Spanned::span),
            group.gid.as_ref().map(Spanned::span),
            group.mode.as_ref().map(Spanned::span),
        ];
        if let Some(place) = owner.into_iter().flatten().next() {
            declared.uid = group.uid.map_or(declared.uid, Spanned::into_inner);
            declared.gid = group.gid.map_or(declared.gid, Spanned::into_inner);
            declared.mode = group.mode.map_or(declared.mode, Spanned::into_inner);
            if declared.mode > 0o777 {
                let message = format!("mode {:#o} of {path} has bits above 0o777", declared.mode);
                return Err(source.refuse(place, message));
            }
            let command = Command::Chown {
                group: path.clone(),
                uid: declared.uid,
                gid: declared.gid,
                mode: declared.mode,
            };
            self.push(source.line(place), command);
        }
        self.tree.groups.insert(path, declared);
        Ok(())
    }

    fn files(
        &mut self,
        path: &GroupPath,
        line: usize,
        files: Table<Spanned<super::file::Scalar>>,
        declared: &mut Declared,
    ) -> Result<(), SpecError> {
        let source = self.source;
        let mut files = in_order(files);
        for (at, name) in CPUSET.into_iter().enumerate() {
            let given = files.iter().position(|(file, _)| file.get_ref() == name);
            if let Some(given) = given {
                let (_, value) = files.remove(given);
                let place = value.span();
                let value = value.into_inner().0;
                if let Some(cpuset) = &mut declared.cpuset {
                    cpuset[at].clone_from(&value);
                }
                self.push(source.line(place), write(path, name, value));
            } else if let (Some(cpuset), true) = (&declared.cpuset, !path.is_root()) {
                self.changes.push(Change {
                    command: write(path, name, cpuset[at].clone()),
                    line,
                    inherited: true,
                });
            }
        }
        // With the period that a new group has, a quota can come to more than the group above has.
        if let Some(period) = files.iter().position(|(file, _)| file.get_ref() == PERIOD) {
            let period = files.remove(period);
            files.insert(0, period);
        }
        for (name, value) in files {
            let elsewhere = match name.get_ref().as_str() {
                "release_agent" => "is a key of [hierarchy.NAME], not a file of a group",
                "tasks" => "cannot be written in a spec: machines place their tasks with `groups`",
                _ => {
                    let command = write(path, name.get_ref(), value.get_ref().0.clone());
                    self.push(source.line(value.span()), command);
                    continue;
                }
            };
            let message = format!("{} of {path} {elsewhere}", name.get_ref());
            return Err(source.refuse(name.span(), message));
        }
        Ok(())
    }
}

fn write(group: &GroupPath, file: &str, value: String) -> Command {
    Command::Write {
        group: group.clone(),
        file: file.to_owned(),
        value,
    }
}

/// A name, checked by its type.
pub(super) fn parse<T: std::str::FromStr<Err = container_core::Refusal>>(
    source: &Source<'_>,
    name: &Spanned<String>,
) -> Result<T, SpecError> {
    let parsed = name.get_ref().parse::<T>();
    parsed.map_err(|refusal| source.refuse(name.span(), refusal.to_string()))
}
