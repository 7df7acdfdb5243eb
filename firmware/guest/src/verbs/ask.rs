//! Verbs that ask the supervisor once and print what it says.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use agent_protocol::{Access, Call, Change, Group, Refusal, Reply};

use crate::change::{ChangeText, changes, word};
use crate::channel::Channel;
use crate::failure::Failure;
use crate::vcpu::Vcpu;

const ANOTHER_ANSWER: Failure = Failure::wrong("an answer to another question");

fn refused(vcpu: Vcpu, what: fmt::Arguments<'_>, refusal: &Refusal) {
    let Refusal { errno, rule } = refusal;
    vcpu.print(format_args!("refused {what}: {rule} ({errno})"));
}

/// Prints the groups of a hierarchy, or of all in the view.
pub fn tree(channel: &mut Channel, hierarchy: &str) -> Result<(), Failure> {
    if !hierarchy.is_empty() {
        return tree_of(channel, hierarchy);
    }
    let (session, ..) = channel.session()?;
    let roots = session.welcome.roots.iter();
    let hierarchies: Vec<String> = roots.map(|root| root.hierarchy.clone()).collect();
    for hierarchy in hierarchies {
        tree_of(channel, &hierarchy)?;
    }
    Ok(())
}

fn tree_of(channel: &mut Channel, hierarchy: &str) -> Result<(), Failure> {
    let vcpu = channel.vcpu();
    let mut after = None;
    loop {
        let call = Call::Tree {
            hierarchy: hierarchy.into(),
            after: after.take(),
        };
        let (groups, more) = match channel.call(call)? {
            Ok(Reply::Tree { groups, more }) => (groups, more),
            Ok(_) => return Err(ANOTHER_ANSWER),
            Err(refusal) => {
                refused(vcpu, format_args!("tree {hierarchy}"), &refusal);
                return Ok(());
            }
        };
        for group in &groups {
            print_group(vcpu, group);
        }
        if !more {
            return Ok(());
        }
        match groups.into_iter().next_back() {
            Some(last) => after = Some(last.path),
            None => return Err(Failure::wrong("an empty page with more to follow")),
        }
    }
}

fn print_group(vcpu: Vcpu, group: &Group) {
    let Group { path, tasks, .. } = group;
    let cpus = group.cpus.as_deref().unwrap_or("-");
    let own = list(&group.own);
    vcpu.print(format_args!(
        "tree {path} cpus {cpus} tasks {tasks} own {own}"
    ));
}

/// Names joined by commas; a dash for none.
fn list(names: &[String]) -> String {
    if names.is_empty() {
        "-".into()
    } else {
        names.join(",")
    }
}

/// Prints the roots of the view.
pub fn roots(channel: &mut Channel) -> Result<(), Failure> {
    let vcpu = channel.vcpu();
    let roots = match channel.call(Call::Roots)? {
        Ok(Reply::Roots(roots)) => roots,
        Ok(_) => return Err(ANOTHER_ANSWER),
        Err(refusal) => {
            refused(vcpu, format_args!("roots"), &refusal);
            return Ok(());
        }
    };
    for root in roots {
        let access = match root.access {
            Access::Read => "read",
            Access::Delegate => "delegate",
        };
        let subsystems = list(&root.subsystems);
        vcpu.print(format_args!(
            "root {} {access} {subsystems}",
            root.hierarchy
        ));
    }
    Ok(())
}

/// Prints a file, a line for each of its lines.
pub fn get(channel: &mut Channel, operands: &str) -> Result<(), Failure> {
    let vcpu = channel.vcpu();
    let (group, file) = word(operands);
    let call = Call::Get {
        group: group.into(),
        file: file.into(),
    };
    match channel.call(call)? {
        Ok(Reply::File(text)) => {
            let mut lines = text.lines();
            let first = lines.next().unwrap_or("");
            for line in core::iter::once(first).chain(lines) {
                vcpu.print(format_args!("get {group} {file}: {line}"));
            }
        }
        Ok(_) => return Err(ANOTHER_ANSWER),
        Err(refusal) => refused(vcpu, format_args!("get {group} {file}"), &refusal),
    }
    Ok(())
}

/// Has all changes of a line made, or none.
pub fn change(channel: &mut Channel, line: &str) -> Result<(), Failure> {
    let vcpu = channel.vcpu();
    let mut list = Vec::new();
    for change in changes(line) {
        list.push(match change.map_err(Failure::wrong)? {
            ChangeText::Mkdir(group) => Change::Mkdir {
                group: group.into(),
            },
            ChangeText::Rmdir(group) => Change::Rmdir {
                group: group.into(),
            },
            ChangeText::Set { group, file, value } => Change::Set {
                group: group.into(),
                file: file.into(),
                value: value.into(),
            },
            ChangeText::Attach { task, group } => Change::Attach {
                group: group.into(),
                task: task.into(),
            },
        });
    }
    match channel.call(Call::Change(list))? {
        Ok(Reply::Changed { effects }) => {
            vcpu.print(format_args!("ok {line}: {effects} effects"));
            Ok(())
        }
        Ok(_) => Err(ANOTHER_ANSWER),
        Err(refusal) => {
            refused(vcpu, format_args!("{line}"), &refusal);
            Ok(())
        }
    }
}

/// Has events pushed.
pub fn subscribe(channel: &mut Channel) -> Result<(), Failure> {
    let vcpu = channel.vcpu();
    let (session, net, memory) = channel.session()?;
    match session.subscribe(net, memory)? {
        Ok(last) => vcpu.print(format_args!("subscribed after {}", last.seq)),
        Err(refusal) => refused(vcpu, format_args!("subscribe"), &refusal),
    }
    Ok(())
}

/// Has none pushed any more. What was seen is forgotten: the next subscription begins where it is made.
pub fn unsubscribe(channel: &mut Channel) -> Result<(), Failure> {
    let vcpu = channel.vcpu();
    match channel.call(Call::Unsubscribe)? {
        Ok(Reply::Unsubscribed) => {
            channel.memory.subscribed = false;
            channel.memory.last = None;
            vcpu.print(format_args!("unsubscribed"));
            Ok(())
        }
        Ok(_) => Err(ANOTHER_ANSWER),
        Err(refusal) => {
            refused(vcpu, format_args!("unsubscribe"), &refusal);
            Ok(())
        }
    }
}

/// Closes the session and opens another.
pub fn reconnect(channel: &mut Channel) -> Result<(), Failure> {
    channel.close()?;
    channel.session()?;
    channel.vcpu().print(format_args!("reconnected"));
    Ok(())
}

/// Closes the session, and whatever connections `half-open` has left.
pub fn disconnect(channel: &mut Channel) -> Result<(), Failure> {
    channel.close()?;
    channel.forget_half_open()?;
    channel.vcpu().print(format_args!("disconnected"));
    Ok(())
}
