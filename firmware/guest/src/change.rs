//! A line of changes: `mkdir GROUP`, `rmdir GROUP`, `set GROUP FILE VALUE`, `attach vcpuN GROUP`,
//! several of them joined by ` ; `.
//!
//! One source file, compiled into the guest and into the crate that hands the guest out, which checks
//! a line before it becomes part of a script.

/// One change of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeText<'a> {
    /// Make a group.
    Mkdir(&'a str),
    /// Remove a group.
    Rmdir(&'a str),
    /// Write a file.
    Set {
        /// Of this group.
        group: &'a str,
        /// The file.
        file: &'a str,
        /// What: the rest of the text, with whatever spaces are in it.
        value: &'a str,
    },
    /// Move a vCPU.
    Attach {
        /// Which.
        task: &'a str,
        /// Where to.
        group: &'a str,
    },
}

impl<'a> ChangeText<'a> {
    /// One change, or what was expected instead.
    pub fn parse(text: &'a str) -> Result<Self, &'static str> {
        let (verb, operands) = word(text);
        let (first, rest) = word(operands);
        let alone = |change| {
            if first.is_empty() || !rest.is_empty() {
                Err("GROUP")
            } else {
                Ok(change)
            }
        };
        match verb {
            "mkdir" => alone(Self::Mkdir(first)),
            "rmdir" => alone(Self::Rmdir(first)),
            "set" => match word(rest) {
                (file, value) if !value.is_empty() => Ok(Self::Set {
                    group: first,
                    file,
                    value,
                }),
                _ => Err("GROUP FILE VALUE"),
            },
            "attach" => match word(rest) {
                (group, "") if is_task(first) && !group.is_empty() => {
                    Ok(Self::Attach { task: first, group })
                }
                _ => Err("vcpuN GROUP"),
            },
            _ => Err("mkdir, rmdir, set or attach between the semicolons"),
        }
    }
}

/// The changes of a line, in order.
pub fn changes(line: &str) -> impl Iterator<Item = Result<ChangeText<'_>, &'static str>> {
    line.split(" ; ").map(ChangeText::parse)
}

/// The first word of a text, and the rest, both without the spaces around them.
pub fn word(text: &str) -> (&str, &str) {
    let text = text.trim();
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

fn is_task(name: &str) -> bool {
    name.strip_prefix("vcpu").is_some_and(|number| {
        number.bytes().all(|byte| byte.is_ascii_digit()) && !number.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_its_changes_in_order() {
        let line = "mkdir p:/a ;  set p:/a cpuset.cpus 0-1, 3 ; attach vcpu1 p:/a ; rmdir p:/b";
        let expected = [
            ChangeText::Mkdir("p:/a"),
            ChangeText::Set {
                group: "p:/a",
                file: "cpuset.cpus",
                value: "0-1, 3",
            },
            ChangeText::Attach {
                task: "vcpu1",
                group: "p:/a",
            },
            ChangeText::Rmdir("p:/b"),
        ];
        assert!(changes(line).eq(expected.map(Ok)));
    }

    #[test]
    fn what_is_no_change_says_what_was_expected() {
        for (line, expected) in [
            ("mkdir", "GROUP"),
            ("rmdir a b", "GROUP"),
            ("set p:/a cpuset.cpus", "GROUP FILE VALUE"),
            ("attach io p:/a", "vcpuN GROUP"),
            ("attach vcpu1", "vcpuN GROUP"),
            (
                "mkdir p:/a ; ",
                "mkdir, rmdir, set or attach between the semicolons",
            ),
        ] {
            assert_eq!(changes(line).last(), Some(Err(expected)), "{line:?}");
        }
    }
}
