//! From a `[vm.NAME]` to a machine: what its process builds, and where each of its tasks stands.

use container_core::{GroupPath, MachineName, TaskKind};
use firmware::script::Script;
use host::Namespace;
use link::{Guest, MAX_VCPUS, MachineConfig};
use supervisor::{AgentAccess, Restart};
use toml::Spanned;

use super::channel;
use super::file;
use super::plan::{Tree, parse};
use super::source::Source;
use super::{MachineSpec, Place, SpecError};

const LEAST_MEMORY: u64 = 4 << 20;
const _: () = assert!(firmware::MIN_MEMORY_BYTES <= LEAST_MEMORY);
/// Above it begins the hole that devices live in.
const MOST_MEMORY: u64 = 3 << 30;

/// Give a `[vm.NAME]` its meaning.
pub(super) fn machine(
    source: &Source<'_>,
    tree: &Tree,
    key: &Spanned<String>,
    vm: &file::Machine,
) -> Result<MachineSpec, SpecError> {
    let name: MachineName = parse(source, key)?;
    let line = source.line(key.span());
    let missing = |what: &str| source.refuse_line(line, format!("machine {name} has no `{what}`"));
    let memory = vm.memory.as_ref().ok_or_else(|| missing("memory"))?;
    let vcpus = vm.vcpus.as_ref().ok_or_else(|| missing("vcpus"))?;
    let guest = vm.guest.as_ref().ok_or_else(|| missing("guest"))?;
    let memory_bytes = size(&memory.get_ref().0)
        .map_err(|why| source.refuse(memory.span(), format!("machine {name}: {why}")))?;
    let count = u16::try_from(*vcpus.get_ref()).ok();
    let Some(count) = count.filter(|count| (1..=MAX_VCPUS).contains(count)) else {
        let asked = vcpus.get_ref();
        let message =
            format!("machine {name} asks for {asked} vCPUs; it can have 1 to {MAX_VCPUS}");
        return Err(source.refuse(vcpus.span(), message));
    };
    let Some(lines) = &guest.get_ref().tiny else {
        let message = format!("the guest of machine {name} has no `tiny`");
        return Err(source.refuse(guest.span(), message));
    };
    let config = MachineConfig {
        name: name.to_string(),
        memory_bytes,
        vcpus: count,
        guest: Guest::Tiny {
            script: script(source, &name, lines, count, memory_bytes)?,
        },
        vsock: channel::device(source, &name, vm.vsock.as_ref(), vm.agent.is_some())?,
    };
    let groups = Groups {
        all: listed(source, tree, &vm.groups.all)?,
        vcpu: listed(source, tree, &vm.groups.vcpu)?,
        io: listed(source, tree, &vm.groups.io)?,
        control: listed(source, tree, &vm.groups.control)?,
    };
    let agent = vm.agent.as_ref().map(|agent| {
        let access = channel::access(source, &name, agent)?;
        let roots = channel::roots(&tree.hierarchies, &groups.vcpu, &groups.all);
        Ok(AgentAccess { access, roots })
    });
    let agent = agent.transpose()?;
    let own = |kind: &Spanned<String>| {
        kind.get_ref().parse::<Namespace>().map_err(|why| {
            let message = format!("namespaces of machine {name}: {why}");
            source.refuse(kind.span(), message)
        })
    };
    let namespaces = vm.namespaces.iter().map(own).collect::<Result<_, _>>()?;
    let restart = restart(source, &name, vm.restart.as_ref())?;
    let places = places(source, tree, &name, line, count, &groups, &vm.task)?;
    Ok(MachineSpec {
        name,
        line,
        config,
        agent,
        namespaces,
        restart,
        places,
    })
}

/// The words of `restart`.
fn restart(
    source: &Source<'_>,
    name: &MachineName,
    given: Option<&Spanned<file::Scalar>>,
) -> Result<Restart, SpecError> {
    let Some(given) = given else {
        return Ok(Restart::No);
    };
    match given.get_ref().0.as_str() {
        "no" => Ok(Restart::No),
        "on-failure" => Ok(Restart::OnFailure),
        "always" => Ok(Restart::Always),
        other => {
            let words = "none of \"no\", \"on-failure\" and \"always\"";
            let message = format!("restart {other:?} of machine {name} is {words}");
            Err(source.refuse(given.span(), message))
        }
    }
}

/// A size in bytes: a whole number and K, M or G (powers of 1024).
fn size(text: &str) -> Result<u64, String> {
    let no_size =
        || format!("memory {text:?} is no size; a whole number and K, M or G is one, as 64M");
    let (number, shift) = match text.as_bytes().last() {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        _ => return Err(no_size()),
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit()) || number.is_empty() {
        return Err(no_size());
    }
    // A number too great for u64 is above the most as well.
    let bytes = number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(1 << shift));
    match bytes.unwrap_or(u64::MAX) {
        bytes if bytes < LEAST_MEMORY => Err(format!(
            "memory {text} is below the least a machine can have, 4M"
        )),
        bytes if bytes > MOST_MEMORY => Err(format!(
            "memory {text} is above the most a machine can have, 3G"
        )),
        bytes if bytes % 4096 != 0 => Err(format!(
            "memory {text} is not a whole number of pages of 4K"
        )),
        bytes => Ok(bytes),
    }
}

/// The guest's script, encoded; its errors stand at the line of the file that they are about.
fn script(
    source: &Source<'_>,
    name: &MachineName,
    lines: &[Spanned<String>],
    vcpus: u16,
    memory_bytes: u64,
) -> Result<Vec<u8>, SpecError> {
    let texts: Vec<&str> = lines.iter().map(|line| line.get_ref().as_str()).collect();
    let script = Script::parse(&texts).map_err(|error| {
        // An error is about one of the lines, which count from 1.
        let line = &lines[error.line - 1];
        let (number, text, problem) = (error.line, line.get_ref(), error.problem);
        let message = format!("machine {name}: script line {number}, {text:?}: {problem}");
        source.refuse(line.span(), message)
    })?;
    let touches_more =
        |text: &&str| Script::parse(&[text]).is_ok_and(|one| one.memory_bytes() > memory_bytes);
    if let Some(at) = texts.iter().position(touches_more) {
        let message = format!(
            "machine {name}: script line {}, {:?}: touches up to byte {} of a memory of {memory_bytes}",
            at + 1,
            texts[at],
            script.memory_bytes(),
        );
        return Err(source.refuse(lines[at].span(), message));
    }
    let Some(absent) = script.max_vcpu().filter(|number| *number >= vcpus) else {
        return Ok(script.encode());
    };
    let prefix = format!("vcpu{absent}:");
    let at = texts
        .iter()
        .position(|text| text.trim_start().starts_with(&prefix));
    let at = at.unwrap_or_default();
    let message = format!(
        "machine {name}: script line {}, {:?}, is for vcpu{absent}; its vCPUs are vcpu0 to vcpu{}",
        at + 1,
        texts[at],
        vcpus - 1,
    );
    Err(source.refuse(lines[at].span(), message))
}

/// The groups that a machine's `groups` names, all of them declared.
struct Groups {
    all: Vec<Place>,
    vcpu: Vec<Place>,
    io: Vec<Place>,
    control: Vec<Place>,
}

/// Where each task of a machine stands: a task's own group goes before its kind's, that before the
/// machine's, and where none is named it is the root.
fn places(
    source: &Source<'_>,
    tree: &Tree,
    name: &MachineName,
    line: usize,
    vcpus: u16,
    groups: &Groups,
    tasks: &file::Table<file::Task>,
) -> Result<Vec<(TaskKind, Vec<Place>)>, SpecError> {
    let mut own = Vec::with_capacity(tasks.len());
    for (task, entry) in tasks {
        let kind = task_kind(task.get_ref(), vcpus)
            .map_err(|why| source.refuse(task.span(), format!("machine {name} {why}")))?;
        own.push((kind, listed(source, tree, &entry.groups)?));
    }
    let resolve = |kind: TaskKind| {
        let mine = own.iter().find(|(of, _)| *of == kind);
        let mine = mine.map_or(&[][..], |(_, places)| places);
        let of_kind = match kind {
            TaskKind::Vcpu(_) => &groups.vcpu,
            TaskKind::Io => &groups.io,
            TaskKind::Control | TaskKind::Kvm(_) => &groups.control,
        };
        let lists = [mine, of_kind, &groups.all];
        let places = tree.hierarchies.iter().map(|hierarchy| {
            let mut named = lists.into_iter().flatten();
            let named = named.find(|place| place.group.hierarchy() == hierarchy);
            named.cloned().unwrap_or_else(|| Place {
                group: GroupPath::root(hierarchy),
                line,
            })
        });
        (kind, places.collect())
    };
    let kinds = (0..vcpus).map(TaskKind::Vcpu);
    Ok(kinds
        .chain([TaskKind::Io, TaskKind::Control])
        .map(resolve)
        .collect())
}

/// A list of declared groups, at most one of each hierarchy.
fn listed(
    source: &Source<'_>,
    tree: &Tree,
    list: &[Spanned<String>],
) -> Result<Vec<Place>, SpecError> {
    let mut places: Vec<Place> = Vec::with_capacity(list.len());
    for name in list {
        let refuse = |why: String| source.refuse(name.span(), why);
        let group: GroupPath = tree.declared(name.get_ref()).map_err(refuse)?;
        let mut others = places.iter().map(|place| &place.group);
        if let Some(other) = others.find(|other| other.hierarchy() == group.hierarchy()) {
            return Err(refuse(format!(
                "groups {other} and {group} are of one hierarchy; a task is in one group of each"
            )));
        }
        places.push(Place {
            group,
            line: source.line(name.span()),
        });
    }
    Ok(places)
}

/// The kind that a `[vm.NAME.task.KIND]` names.
fn task_kind(text: &str, vcpus: u16) -> Result<TaskKind, String> {
    let last = vcpus - 1;
    match text.parse() {
        Ok(TaskKind::Vcpu(number)) if number > last => Err(format!(
            "has no task {text}: its vCPUs are vcpu0 to vcpu{last}"
        )),
        Ok(TaskKind::Kvm(_)) => Err(format!(
            "cannot place its task {text} alone: it follows control"
        )),
        Ok(kind) => Ok(kind),
        Err(_) => Err(format!(
            "has no task {text}: its tasks are vcpu0 to vcpu{last}, io and control"
        )),
    }
}
