//! What is read and decided, on plain directories that look like groups. The kernel's part is in `tests/cpu_controller.rs`.

use super::*;

/// A directory with the files of a cgroup, removed with this.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Group {
        let path = std::env::temp_dir().join(format!("pinfold-v2-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let group = Group(path);
        group.set("cgroup.controllers", "cpuset cpu memory\n");
        group.set("cgroup.type", "domain\n");
        for file in [SUBTREE_CONTROL, THREADS, PROCESSES] {
            group.set(file, "\n");
        }
        group
    }

    fn set(&self, file: &str, text: &str) {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn refusal(&self) -> String {
        must_fit(&self.0).unwrap_err().to_string()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn limits(shares: u64, quota_us: Option<u64>, period_us: u64) -> CpuLimits {
    CpuLimits {
        shares,
        quota_us,
        period_us,
    }
}

#[test]
fn shares_are_weights_of_which_1024_are_100() {
    let weights = [
        (2, 1),
        (15, 1),
        (16, 2),
        (256, 25),
        (512, 50),
        (1024, 100),
        (3072, 300),
        (102_400, 10_000),
        (262_144, 10_000),
    ];
    for (shares, expected) in weights {
        assert_eq!(weight(shares), expected, "{shares} shares");
    }
    // From 512 on, one is off by one in a hundred at the most.
    for shares in 512..=102_400 {
        let off = (weight(shares) * 1024).abs_diff(shares * 100);
        assert!(off * 100 <= shares * 100, "{shares} shares");
    }
}

#[test]
fn a_limit_is_said_as_the_kernel_says_it() {
    let said = |limits: CpuLimits| -> Vec<String> {
        let files = files(&limits).into_iter();
        files.map(|(file, text)| format!("{file} {text}")).collect()
    };
    assert_eq!(
        said(CpuLimits::DEFAULT),
        ["cpu.weight 100", "cpu.max max 100000"]
    );
    let half = limits(512, Some(50_000), 100_000);
    assert_eq!(said(half), ["cpu.weight 50", "cpu.max 50000 100000"]);
}

#[test]
fn only_what_changes_is_written_and_quota_and_period_at_once() {
    let group = Group::new("writes");
    let text = |file: &str| fs::read_to_string(group.0.join(file)).unwrap();
    for file in ["cpu.weight", "cpu.max"] {
        group.set(file, "");
    }
    let half = limits(512, Some(50_000), 100_000);
    write_limits(&group.0, None, &half).unwrap();
    assert_eq!(
        [text("cpu.weight"), text("cpu.max")],
        ["50", "50000 100000"]
    );
    group.set("cpu.weight", "");
    group.set("cpu.max", "");
    write_limits(&group.0, Some(&half), &limits(512, Some(5_000), 10_000)).unwrap();
    assert_eq!([text("cpu.weight"), text("cpu.max")], ["", "5000 10000"]);
}

#[test]
fn a_group_that_cannot_be_the_root_of_threads_is_refused_with_what_to_do() {
    let group = Group::new("refusals");
    must_fit(&group.0).unwrap();
    let refused = |what: &str, remedy: &str| {
        let said = group.refusal();
        assert!(said.contains(what) && said.ends_with(remedy), "{said}");
    };
    group.set(SUBTREE_CONTROL, "cpu memory io\n");
    refused(
        "has memory io on for groups of processes below it",
        OWN_GROUP,
    );
    group.set(SUBTREE_CONTROL, "cpuset cpu pids\n");
    must_fit(&group.0).unwrap();
    group.set("child/cgroup.type", "domain\n");
    group.set("child/cgroup.events", "populated 0\nfrozen 0\n");
    must_fit(&group.0).unwrap();
    group.set("child/cgroup.events", "populated 1\nfrozen 0\n");
    refused("child has processes of its own", OWN_GROUP);
    group.set("child/cgroup.type", "threaded\n");
    must_fit(&group.0).unwrap();
    group.set("cgroup.type", "domain invalid\n");
    refused("is \"domain invalid\"", OWN_GROUP);
    group.set("cgroup.type", "domain threaded\n");
    must_fit(&group.0).unwrap();
    group.set("cgroup.controllers", "cpuset memory pids\n");
    refused(
        "no cpu controller (cgroup.controllers: \"cpuset memory pids\")",
        DELEGATE,
    );
    // The root of the hierarchy may have anything beside groups of threads.
    fs::remove_file(group.0.join("cgroup.type")).unwrap();
    refused("no cpu controller", "mounted as version 1");
    group.set("cgroup.controllers", "cpu memory\n");
    group.set(SUBTREE_CONTROL, "cpu memory\n");
    must_fit(&group.0).unwrap();
    fs::remove_file(group.0.join(PROCESSES)).unwrap();
    refused(
        "cgroup.procs cannot be written to",
        "(`Delegate=cpu` and `User=`)",
    );
}

#[test]
fn without_the_hierarchy_that_is_said() {
    let said = |mounts: &str, cgroup: &str| own(mounts, cgroup).unwrap_err().to_string();
    assert!(said("", "0::/a\n").contains("no cgroup2 is mounted"));
    let mount = "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    let outside = said(mount, "0::/../a\n");
    assert!(
        outside.contains("is not in what is mounted at /sys/fs/cgroup"),
        "{outside}"
    );
}
