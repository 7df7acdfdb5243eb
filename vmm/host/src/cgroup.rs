//! Where a cgroup-v1 controller is mounted, and where in it this process stands.

use std::path::PathBuf;

/// The directory of the cgroup that this process is in, by the text of `/proc/self/mountinfo` and of
/// `/proc/self/cgroup`; None where no version-1 hierarchy with the controller is mounted.
///
/// Where less than the whole hierarchy is mounted, as in some containers, and we stand outside of what is, it is the
/// mount's own directory.
pub(crate) fn own_directory(mountinfo: &str, cgroup: &str, controller: &str) -> Option<PathBuf> {
    let mount = mountinfo
        .lines()
        .find_map(|line| of_mount(line, controller))?;
    let path = cgroup.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        has(controllers, controller).then_some(path)
    })?;
    let below = match mount.root.as_str() {
        "/" => Some(path),
        root => path
            .strip_prefix(root)
            .filter(|rest| rest.is_empty() || rest.starts_with('/')),
    };
    let below = below.unwrap_or_default().trim_matches('/');
    Some(match below {
        "" => mount.point,
        below => mount.point.join(below),
    })
}

struct Mount {
    /// The cgroup that is mounted.
    root: String,
    /// Where.
    point: PathBuf,
}

/// A line of mountinfo (proc_pid_mountinfo(5)), if it is that of the controller.
fn of_mount(line: &str, controller: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let (kind, _device, options) = (after.next()?, after.next()?, after.next()?);
    if kind != "cgroup" || !has(options, controller) {
        return None;
    }
    let mut fields = before.split(' ').skip(3).map(unescaped);
    let (root, point) = (fields.next()?, fields.next()?);
    let point = PathBuf::from(point);
    Some(Mount { root, point })
}

fn has(list: &str, word: &str) -> bool {
    list.split(',').any(|one| one == word)
}

/// Blanks, newlines and backslashes stand in mountinfo as `\` and three octal digits.
fn unescaped(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut text: String = parts.next().unwrap_or_default().into();
    for part in parts {
        let code = part
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok());
        match code {
            Some(byte) => {
                text.push(byte.into());
                text.push_str(&part[3..]);
            }
            None => {
                text.push('\\');
                text.push_str(part);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(mount: &str, cgroup: &str) -> Option<String> {
        let mounts = format!("30 1 0:1 / /sys rw - sysfs sysfs rw\n{mount}\n");
        let directory = own_directory(&mounts, cgroup, "cpu")?;
        Some(directory.to_str().unwrap().into())
    }

    #[test]
    fn the_own_cgroup_is_found_in_the_mount_that_has_the_controller() {
        let cpu = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct";
        let at = |path: &str| found(cpu, &format!("3:cpuset:/x\n1:cpu,cpuacct:{path}\n0::/y\n"));
        assert_eq!(at("/").unwrap(), "/sys/fs/cgroup/cpu");
        assert_eq!(at("/a/b").unwrap(), "/sys/fs/cgroup/cpu/a/b");
        let in_a_container = "32 31 0:29 /a /cpu\\040x rw shared:1 - cgroup cgroup rw,cpu";
        let at = |path: &str| found(in_a_container, &format!("1:cpu:{path}\n"));
        assert_eq!(at("/a/b").unwrap(), "/cpu x/b");
        assert_eq!(at("/a").unwrap(), "/cpu x");
        assert_eq!(at("/ab").unwrap(), "/cpu x");
        let others = [
            "33 31 0:30 / /acct rw - cgroup cgroup rw,cpuacct",
            "41 31 0:38 / /unified rw - cgroup2 cgroup2 rw,cpu",
            "a line of rubbish",
        ];
        for other in others {
            assert_eq!(found(other, "1:cpu:/\n"), None, "{other}");
        }
        assert_eq!(found(cpu, "0::/\n"), None);
    }
}
