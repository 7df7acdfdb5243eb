//! docs/control-files.md names every control file that a group can have, and no other.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

mod support;

use std::collections::BTreeSet;

use container_core::*;
use support::*;

const PAGE: &str = include_str!("../../docs/control-files.md");

/// The files of a root and of a child, in a hierarchy with every subsystem that there is.
fn files_of_groups() -> BTreeSet<String> {
    let mut framework = Framework::new(host());
    let table = framework.proc_groups();
    let subsystems: Vec<&str> = table
        .lines()
        .skip(1)
        .filter_map(|line| line.split('\t').next())
        .collect();
    let commands = [mount("all", &subsystems), mkdir("all:/child")];
    let plan = framework.plan(&Credentials::ROOT, &commands).unwrap();
    framework.commit(plan).unwrap();
    ["all:/", "all:/child"]
        .iter()
        .flat_map(|path| framework.files(&group(path)).unwrap())
        .map(String::from)
        .collect()
}

/// What stands in backticks in the first column of the tables that are headed `file`.
fn files_of_the_page() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut in_table = false;
    for line in PAGE.lines() {
        let Some(row) = line.strip_prefix('|') else {
            in_table = false;
            continue;
        };
        let first = row.split('|').next().unwrap_or_default();
        if first.trim() == "file" {
            in_table = true;
        } else if in_table {
            let quoted = first.split('`').skip(1).step_by(2);
            names.extend(quoted.map(String::from));
        }
    }
    names
}

#[test]
fn the_page_of_control_files_names_each_of_them_and_no_other() {
    let (there, told) = (files_of_groups(), files_of_the_page());
    assert!(there.len() > 10, "hardly any file was found: {there:?}");
    let missing: Vec<&String> = there.difference(&told).collect();
    let invented: Vec<&String> = told.difference(&there).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "docs/control-files.md lacks {missing:?} and has {invented:?}, which no group has"
    );
}

#[test]
fn every_file_is_known_by_its_name_and_nothing_else_is() {
    for file in files_of_groups() {
        assert_eq!(Framework::known_file(&file), Some(&*file));
    }
    for name in ["", "cpuset", "cpuset.cpus ", "no.such"] {
        assert_eq!(Framework::known_file(name), None);
    }
}

#[test]
fn each_of_the_frameworks_own_files_is_read_as_it_was_written_and_no_other_changes() {
    let mut bench = Bench::new();
    let mut files = [
        ("release_agent", "", "/sbin/agent"),
        ("notify_on_release", "0", "1"),
        ("cgroup.clone_children", "0", "1"),
        ("cgroup.max.depth", "max", "3"),
        ("cgroup.max.descendants", "max", "50"),
    ];
    for at in 0..=files.len() {
        for (file, now, _) in files {
            assert_eq!(bench.read("p:/", file), now, "{file}");
        }
        if let Some((file, now, then)) = files.get_mut(at) {
            bench.run(&[write("p:/", file, then)]);
            *now = then;
        }
    }
}

#[test]
fn each_file_of_cpuset_is_read_as_it_was_written_and_no_other_changes() {
    let mut bench = Bench::new();
    bench.run(&[mkdir("p:/a")]);
    let mut files = [
        ("cpuset.cpus", "", "1-2"),
        ("cpuset.mems", "", "0"),
        ("cpuset.cpu_exclusive", "0", "1"),
        ("cpuset.mem_exclusive", "0", "1"),
        ("cpuset.sched_load_balance", "1", "1"),
        ("cpuset.placement", "float", "one-to-one"),
    ];
    for at in 0..=files.len() {
        for (file, now, _) in files {
            assert_eq!(bench.read("p:/a", file), now, "{file}");
        }
        for (file, effective) in [
            ("cpuset.cpus", "cpuset.effective_cpus"),
            ("cpuset.mems", "cpuset.effective_mems"),
        ] {
            let [asked, in_force] = [file, effective].map(|file| bench.read("p:/a", file));
            assert_eq!(in_force, asked, "{file}");
        }
        if let Some((file, now, then)) = files.get_mut(at) {
            bench.run(&[write("p:/a", file, then)]);
            *now = then;
        }
    }
}
