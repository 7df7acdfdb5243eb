//! Commands and effects in words: a command as the command line that asks for it.

use management::api::{Birth, Command, Effect};

/// `group attach placement:/gold web/vcpu0`, to be read or pasted.
pub fn command(command: &Command) -> String {
    let words: Vec<&str> = match command {
        Command::Mount {
            hierarchy,
            subsystems,
        } => ["hierarchy", "mount", hierarchy]
            .into_iter()
            .chain(subsystems.iter().map(String::as_str))
            .collect(),
        Command::Remount {
            hierarchy,
            subsystems,
        } => ["hierarchy", "remount", hierarchy]
            .into_iter()
            .chain(subsystems.iter().map(String::as_str))
            .collect(),
        Command::Umount { hierarchy } => vec!["hierarchy", "umount", hierarchy],
        Command::Mkdir { group } => vec!["group", "mkdir", group],
        Command::Rmdir { group } => vec!["group", "rmdir", group],
        Command::Rename { group, to } => vec!["group", "rename", group, to],
        Command::Chown {
            group,
            uid,
            gid,
            mode,
        } => {
            let group = word(group);
            return format!("group chown {group} {uid}:{gid} {mode:o}");
        }
        Command::Set { group, file, value } => vec!["group", "set", group, file, value],
        Command::Attach { group, task } => vec!["group", "attach", group, task],
        Command::Clone { task, subsystem } => vec!["group", "clone", task, subsystem],
    };
    let words: Vec<String> = words.into_iter().map(word).collect();
    words.join(" ")
}

/// A word as a shell takes it for one.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,+=@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// `pin web/vcpu0 to CPUs 1, from 0`
pub fn effect(effect: &Effect) -> String {
    let named = |cpus: &str| if cpus.is_empty() { "none" } else { cpus }.to_owned();
    match effect {
        Effect::Pin { task, cpus, before } => {
            let cpus = named(cpus);
            let from = before.as_deref().map(named);
            let from = from.map_or_else(String::new, |before| format!(", from {before}"));
            format!("pin {task} to CPUs {cpus}{from}")
        }
        Effect::Freeze { task } => format!("keep {task} out of its guest"),
        Effect::Thaw { task } => format!("let {task} into its guest"),
        Effect::Sample { task } => format!("read the counter of {task} and bill it"),
        Effect::Limit { group, limits } => match limits {
            None => format!("limit {group} no more: it is removed"),
            Some(limits) => {
                let quota = limits.quota_us.map_or_else(
                    || "no quota".into(),
                    |us| format!("{us} us in {}", limits.period_us),
                );
                format!("limit {group}: {} shares, {quota}", limits.shares)
            }
        },
        Effect::Enroll { task, group } => match group {
            Some(group) => format!("count what {task} uses in {group}"),
            None => format!("count what {task} uses in no cpu group"),
        },
    }
}

/// `place web/vcpu0 in placement:/gold, on CPUs 0`
pub fn birth(birth: &Birth) -> String {
    let groups = match &birth.groups[..] {
        [] => "no group".to_owned(),
        groups => groups.join(", "),
    };
    let cpus = birth.cpus.as_deref();
    let cpus = cpus.map_or_else(String::new, |cpus| format!(", on CPUs {cpus}"));
    format!("place {} in {groups}{cpus}", birth.task)
}

/// `1 effect`, `2 effects`
pub fn count(number: usize, of: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {of}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_the_command_line_that_asks_for_it() {
        let recorded = r#"[
            {"op":"mount","hierarchy":"both","subsystems":["cpuset","cpuacct"]},
            {"op":"umount","hierarchy":"both"},
            {"op":"remount","hierarchy":"both","subsystems":["memory"]},
            {"op":"mkdir","group":"placement:/gold coast"},
            {"op":"rmdir","group":"placement:/it's"},
            {"op":"rename","group":"placement:/gold","to":"gilt"},
            {"op":"chown","group":"placement:/gold","uid":1,"gid":2,"mode":488},
            {"op":"set","group":"placement:/gold","file":"cpuset.cpus","value":""},
            {"op":"attach","group":"placement:/gold","task":"web/vcpu0"},
            {"op":"clone","task":"4711","subsystem":"cpuset"}
        ]"#;
        let commands: Vec<Command> = serde_json::from_str(recorded).unwrap();
        let expected = [
            "hierarchy mount both cpuset cpuacct",
            "hierarchy umount both",
            "hierarchy remount both memory",
            "group mkdir 'placement:/gold coast'",
            r"group rmdir 'placement:/it'\''s'",
            "group rename placement:/gold gilt",
            "group chown placement:/gold 1:2 750",
            "group set placement:/gold cpuset.cpus ''",
            "group attach placement:/gold web/vcpu0",
            "group clone 4711 cpuset",
        ];
        assert_eq!(commands.iter().map(command).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn effects_say_what_happens_to_whom() {
        let recorded = r#"[
            {"effect":"pin","task":"web/vcpu0","cpus":"1","before":"0-1"},
            {"effect":"pin","task":"web/io","cpus":"0"},
            {"effect":"sample","task":"web/vcpu0"}
        ]"#;
        let effects: Vec<Effect> = serde_json::from_str(recorded).unwrap();
        let expected = [
            "pin web/vcpu0 to CPUs 1, from 0-1",
            "pin web/io to CPUs 0",
            "read the counter of web/vcpu0 and bill it",
        ];
        assert_eq!(effects.iter().map(effect).collect::<Vec<_>>(), expected);
        assert_eq!(
            [count(1, "effect"), count(2, "effect")],
            ["1 effect", "2 effects"]
        );
    }
}
