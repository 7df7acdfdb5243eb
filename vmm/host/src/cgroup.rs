//! Where the control groups are mounted, and where in them this process stands.

use std::path::PathBuf;

/// The directory of the version-1 cgroup that this process is in, by the text of `/proc/self/mountinfo` and of
/// `/proc/self/cgroup`; None where no hierarchy with the controller is mounted.
///
/// Where less than the whole hierarchy is mounted, as in some containers, and we stand outside of what is, it is the
/// mount's own directory.
pub(crate) fn v1_directory(mountinfo: &str, cgroup: &str, controller: &str) -> Option<PathBuf> {
    let is_wanted = |mount: &Mount| mount.kind == "cgroup" && has(&mount.options, controller);
    let mount = mountinfo.lines().filter_map(mount_of).find(is_wanted)?;
    let path = own_path(cgroup, |controllers| has(controllers, controller))?;
    Some(mount.directory_of(path).unwrap_or(mount.point))
}

/// The mount of version 2, and in it the directory of the cgroup that this process is in, which may lie outside of
/// what is mounted; None where version 2 is not mounted.
pub(crate) fn v2_directory(mountinfo: &str, cgroup: &str) -> Option<(PathBuf, Option<PathBuf>)> {
    let path = own_path(cgroup, str::is_empty)?;
    let mounts = mountinfo.lines().filter_map(mount_of);
    let mounts: Vec<Mount> = mounts.filter(|mount| mount.kind == "cgroup2").collect();
    let own = mounts.iter().find_map(|mount| mount.directory_of(path));
    let mount = mounts.into_iter().next()?;
    Some((mount.point, own))
}

/// From the root of its hierarchy to our cgroup: a line `ID:CONTROLLERS:PATH`, without controllers that of version 2.
fn own_path(cgroup: &str, is_wanted: impl Fn(&str) -> bool) -> Option<&str> {
    cgroup.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        is_wanted(controllers).then_some(path)
    })
}

struct Mount {
    /// `cgroup` is version 1, `cgroup2` version 2.
    kind: String,
    /// With version 1 the controllers are among them.
    options: String,
    /// The cgroup that is mounted.
    root: String,
    /// Where.
    point: PathBuf,
}

impl Mount {
    /// None where it is outside of what is mounted here.
    fn directory_of(&self, path: &str) -> Option<PathBuf> {
        let below = match self.root.as_str() {
            "/" => path,
            root => path
                .strip_prefix(root)
                .filter(|rest| rest.is_empty() || rest.starts_with('/'))?,
        };
        let below = below.trim_matches('/');
        // So begins the path of one outside of our cgroup namespace.
        if below.split('/').any(|step| step == "..") {
            return None;
        }
        Some(match below {
            "" => self.point.clone(),
            below => self.point.join(below),
        })
    }
}

/// A line of mountinfo (proc_pid_mountinfo(5)).
fn mount_of(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let (kind, _device, options) = (after.next()?, after.next()?, after.next()?);
    let mut fields = before.split(' ').skip(3).map(unescaped);
    let (root, point) = (fields.next()?, fields.next()?);
    Some(Mount {
        kind: kind.into(),
        options: options.into(),
        root,
        point: point.into(),
    })
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

    fn mounts(mount: &str) -> String {
        format!("30 1 0:1 / /sys rw - sysfs sysfs rw\n{mount}\n")
    }

    fn v1(mount: &str, cgroup: &str) -> Option<String> {
        let directory = v1_directory(&mounts(mount), cgroup, "cpu")?;
        Some(directory.to_str().unwrap().into())
    }

    #[test]
    fn the_own_cgroup_is_found_in_the_mount_that_has_the_controller() {
        let cpu = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct";
        let at = |path: &str| v1(cpu, &format!("3:cpuset:/x\n1:cpu,cpuacct:{path}\n0::/y\n"));
        assert_eq!(at("/").unwrap(), "/sys/fs/cgroup/cpu");
        assert_eq!(at("/a/b").unwrap(), "/sys/fs/cgroup/cpu/a/b");
        let in_a_container = "32 31 0:29 /a /cpu\\040x rw shared:1 - cgroup cgroup rw,cpu";
        let at = |path: &str| v1(in_a_container, &format!("1:cpu:{path}\n"));
        assert_eq!(at("/a/b").unwrap(), "/cpu x/b");
        assert_eq!(at("/a").unwrap(), "/cpu x");
        assert_eq!(at("/ab").unwrap(), "/cpu x");
        let others = [
            "33 31 0:30 / /acct rw - cgroup cgroup rw,cpuacct",
            "41 31 0:38 / /unified rw - cgroup2 cgroup2 rw,cpu",
            "a line of rubbish",
        ];
        for other in others {
            assert_eq!(v1(other, "1:cpu:/\n"), None, "{other}");
        }
        assert_eq!(v1(cpu, "0::/\n"), None);
    }

    #[test]
    fn the_own_cgroup_of_version_two_is_inside_of_what_is_mounted_or_none() {
        let at = |mount: &str, path: &str| {
            let cgroup = format!("9:name=systemd:/s\n1:cpu:/x\n0::{path}\n");
            let found = v2_directory(&mounts(mount), &cgroup);
            found.map(|(point, own)| (point.to_str().unwrap().to_owned(), own))
        };
        let whole = "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate";
        let own = |mount: &str, path: &str| at(mount, path).and_then(|(_, own)| own);
        let is_at = |path: &str| Some(PathBuf::from(path));
        assert_eq!(own(whole, "/"), is_at("/sys/fs/cgroup"));
        assert_eq!(own(whole, "/a.slice/b"), is_at("/sys/fs/cgroup/a.slice/b"));
        // A thread that is moved would have to leave its domain: outside is nowhere.
        assert_eq!(own(whole, "/../b"), None);
        let part = "41 31 0:38 /a /mnt rw - cgroup2 cgroup2 rw";
        assert_eq!(own(part, "/a/b"), is_at("/mnt/b"));
        assert_eq!(at(part, "/ab"), Some(("/mnt".into(), None)));
        assert_eq!(
            own(&format!("{part}\n{whole}"), "/ab"),
            is_at("/sys/fs/cgroup/ab")
        );
        let one = "32 31 0:29 / /cpu rw - cgroup cgroup rw,cpu";
        assert_eq!(at(one, "/"), None);
    }
}
