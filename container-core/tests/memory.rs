//! The memory of machines: whose it is, what limits say to it, and what is counted.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

mod support;

use container_core::*;
use support::*;

use Errno::*;

const MIB: u64 = 1 << 20;

/// `m:/a` may have 64 MiB, `m:/a/in` and `m:/b` whatever they are given.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.run(&[
        mount("m", &["memory"]),
        mkdir("m:/a"),
        mkdir("m:/a/in"),
        mkdir("m:/b"),
        write("m:/a", "memory.limit_in_bytes", "64M"),
    ]);
    bench
}

/// A machine of this size in a group, and its `control`.
#[track_caller]
fn machine(bench: &mut Bench, name: &str, size: u64, path: &str) -> TaskId {
    let (control, fork) = bench.fork_command(&format!("{name}/control"), None);
    bench.run(&[fork, attach(path, control), reserve(control, size)]);
    control
}

/// usage, max_usage and committed in MiB, and failcnt.
fn figures(bench: &Bench, path: &str) -> [u64; 4] {
    let read = |file: &str| {
        let text = bench.read(path, &format!("memory.{file}"));
        text.parse::<u64>().unwrap()
    };
    [
        read("usage_in_bytes") / MIB,
        read("max_usage_in_bytes") / MIB,
        read("committed_bytes") / MIB,
        read("failcnt"),
    ]
}

fn note(bench: &mut Bench, control: TaskId, mib: u64) {
    let noted = bench.framework.charge_memory(control, Bytes(mib * MIB));
    noted.unwrap();
    bench.framework.check_invariants();
}

/// Refused in earnest: as the owner of a framework does where no trial was asked for.
#[track_caller]
fn refused(bench: &mut Bench, commands: &[Command]) -> Refusal {
    let refusal = bench.try_run(commands).unwrap_err();
    bench.framework.count_failure(&refusal);
    refusal
}

#[test]
fn what_a_machine_holds_and_may_need_is_its_groups_and_every_one_above() {
    let mut bench = bench();
    let web = machine(&mut bench, "web", 32 * MIB, "m:/a/in");
    note(&mut bench, web, 8);
    for path in ["m:/a/in", "m:/a", "m:/"] {
        assert_eq!(figures(&bench, path), [8, 8, 32, 0], "{path}");
    }
    assert_eq!(figures(&bench, "m:/b"), [0, 0, 0, 0]);
    note(&mut bench, web, 20);
    note(&mut bench, web, 4);
    assert_eq!(figures(&bench, "m:/a"), [4, 20, 32, 0]);
    bench.run(&[write("m:/a", "memory.max_usage_in_bytes", "0")]);
    assert_eq!(figures(&bench, "m:/a"), [4, 4, 32, 0]);
    assert_eq!(
        figures(&bench, "m:/a/in"),
        [4, 20, 32, 0],
        "this one file only"
    );
    let memory = bench.framework.memory(web);
    assert_eq!(memory.committed, Bytes(32 * MIB));
    assert_eq!(memory.resident, Bytes(4 * MIB));
}

#[test]
fn memory_moves_with_control_and_with_no_other_task() {
    let mut bench = bench();
    let web = machine(&mut bench, "web", 32 * MIB, "m:/a");
    let vcpu = bench.fork("web/vcpu0", Some(web));
    note(&mut bench, web, 8);
    bench.run(&[attach("m:/b", vcpu)]);
    assert_eq!(figures(&bench, "m:/b"), [0, 0, 0, 0]);
    bench.run(&[attach("m:/b", web)]);
    assert_eq!(figures(&bench, "m:/b"), [8, 8, 32, 0]);
    assert_eq!(figures(&bench, "m:/a"), [0, 8, 0, 0], "and leaves its mark");
    assert_eq!(figures(&bench, "m:/"), [8, 8, 32, 0]);
    bench.run(&[clone(web, "memory")]);
    assert_eq!(figures(&bench, &format!("m:/b/node_{web}")), [8, 8, 32, 0]);
    assert_eq!(figures(&bench, "m:/b"), [8, 8, 32, 0]);
    bench.run(&[exit(web)]);
    for path in ["m:/", "m:/b"] {
        assert_eq!(figures(&bench, path), [0, 8, 0, 0], "{path}");
    }
    let dead = bench.framework.charge_memory(web, Bytes(1));
    assert_eq!(dead.unwrap_err().errno, ESRCH);
}

#[test]
fn a_machine_that_would_pass_a_limit_is_refused_and_the_group_that_refuses_counts_it() {
    let mut bench = bench();
    machine(&mut bench, "web", 40 * MIB, "m:/a/in");
    let (db, fork) = bench.fork_command("db/control", None);
    let birth = [fork, attach("m:/a/in", db), reserve(db, 24 * MIB + 4096)];
    let refusal = refused(&mut bench, &birth);
    assert_eq!((refusal.errno, refusal.command), (ENOMEM, 2));
    for operand in ["67108864", "m:/a ", "db/control", "25169920", "41943040"] {
        assert!(refusal.rule.contains(operand), "{operand} in {refusal}");
    }
    assert_eq!(figures(&bench, "m:/a")[3], 1);
    assert_eq!(
        figures(&bench, "m:/a/in")[3],
        0,
        "its own limit was not in the way"
    );
    assert_eq!(figures(&bench, "m:/")[3], 0);
    // Up to the limit is within it.
    let db = machine(&mut bench, "db", 24 * MIB, "m:/a");
    assert_eq!(figures(&bench, "m:/a"), [0, 0, 64, 1]);
    // A move inside of what refuses others is none into it.
    bench.run(&[attach("m:/a/in", db)]);
    let cache = machine(&mut bench, "cache", 4096, "m:/b");
    assert_eq!(
        refused(&mut bench, &[attach("m:/a/in", cache)]).errno,
        ENOMEM
    );
    assert_eq!(refused(&mut bench, &[reserve(db, 25 * MIB)]).errno, ENOMEM);
    assert_eq!(figures(&bench, "m:/a")[3], 3);
    bench.run(&[write("m:/a", "memory.failcnt", "0")]);
    assert_eq!(figures(&bench, "m:/a"), [0, 0, 64, 0]);
}

#[test]
fn a_trial_is_no_try_and_a_refusal_of_another_kind_is_not_counted() {
    let mut bench = bench();
    let web = machine(&mut bench, "web", 65 * MIB, "m:/b");
    let before = bench.framework.snapshot();
    let refusal = bench.try_run(&[attach("m:/a", web)]).unwrap_err();
    assert_eq!(refusal.errno, ENOMEM);
    assert_eq!(bench.framework.snapshot(), before);
    // The group was made in the same batch, and is gone with it.
    let within = [
        mkdir("m:/a/new"),
        write("m:/a/new", "memory.limit_in_bytes", "1M"),
        attach("m:/a/new", web),
    ];
    assert_eq!(refused(&mut bench, &within).errno, ENOMEM);
    assert_eq!(refused(&mut bench, &[rmdir("m:/a")]).errno, EBUSY);
    assert_eq!(bench.framework.snapshot(), before);
}

#[test]
fn limits_are_refused_with_the_kernels_errnos() {
    let mut bench = bench();
    machine(&mut bench, "web", 32 * MIB, "m:/a/in");
    const LIMIT: &str = "memory.limit_in_bytes";
    for (path, file, value, errno) in [
        ("m:/", LIMIT, "1G", EINVAL),
        ("m:/", LIMIT, "-1", EINVAL),
        ("m:/a", LIMIT, "31M", EBUSY),
        ("m:/a", LIMIT, "0", EBUSY),
        ("m:/a", LIMIT, "abc", EINVAL),
        ("m:/a", LIMIT, "-2", EINVAL),
        ("m:/a", LIMIT, "\n", EINVAL),
        ("m:/a", LIMIT, "16E", ERANGE),
        ("m:/a", "memory.usage_in_bytes", "0", EINVAL),
        ("m:/a", "memory.committed_bytes", "0", EINVAL),
        ("m:/a", "memory.failcnt", "1", EINVAL),
        ("m:/a", "memory.max_usage_in_bytes", "abc", EINVAL),
        ("m:/a", "memory.none", "0", ENOENT),
    ] {
        let write = write(path, file, value);
        assert_eq!(bench.refused(write), errno, "{path} {file} {value:?}");
    }
    // A child's limit may be above its parent's, which holds all the same.
    for (path, value, shown) in [
        ("m:/a", "32M", "33554432"),
        ("m:/a", "-1", "9223372036854771712"),
        ("m:/a", "33554432", "33554432"),
        ("m:/a/in", "1T", "1099511627776"),
        ("m:/b", "4097", "4096"),
    ] {
        bench.run(&[write(path, LIMIT, value)]);
        assert_eq!(bench.read(path, LIMIT), shown);
    }
    bench.by.uid = 1000;
    assert_eq!(bench.refused(reserve(TaskId(1), 1)), EPERM);
}

#[test]
fn memory_that_was_reserved_before_the_subsystem_was_mounted_is_the_roots() {
    let mut bench = Bench::new();
    let web = bench.fork("web/control", None);
    bench.run(&[reserve(web, 32 * MIB)]);
    note(&mut bench, web, 8);
    bench.run(&[mount("m", &["memory"]), mkdir("m:/a")]);
    assert_eq!(figures(&bench, "m:/"), [8, 8, 32, 0]);
    bench.run(&[attach("m:/a", web)]);
    assert_eq!(figures(&bench, "m:/a"), [8, 8, 32, 0]);
    bench.run(&[attach("m:/", web), rmdir("m:/a"), unmount("m")]);
    bench.run(&[mount("n", &["memory"])]);
    assert_eq!(figures(&bench, "n:/"), [8, 8, 32, 0]);
}

/// A memory group of the kernel's without a task, gone when it is dropped.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Option<Scratch> {
        let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let line = own
            .lines()
            .find(|line| line.split(':').nth(1) == Some("memory"))?;
        let home = std::path::Path::new("/sys/fs/cgroup/memory")
            .join(line.splitn(3, ':').nth(2)?.trim_start_matches('/'));
        let path = home.join(format!("pinfold-test-{}", std::process::id()));
        std::fs::create_dir(&path).ok()?;
        Some(Scratch(path))
    }

    fn read(&self, file: &str) -> String {
        let text = std::fs::read_to_string(self.0.join(file)).unwrap();
        text.trim_end().to_owned()
    }

    /// The number of the errno, where the kernel has one.
    fn write(&self, file: &str, value: &str) -> Result<(), Option<i32>> {
        let written = std::fs::write(self.0.join(file), value);
        written.map_err(|error| error.raw_os_error())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_limit_is_taken_and_reads_back_as_one_of_the_kernels() {
    let Some(kernel) = Scratch::new() else {
        println!("SKIPPED: no cgroup-v1 memory group can be made here");
        return;
    };
    const LIMIT: &str = "memory.limit_in_bytes";
    const INVALID: i32 = 22;
    let mut bench = bench();
    assert_eq!(
        bench.read("m:/b", LIMIT),
        kernel.read(LIMIT),
        "of a new group"
    );
    for value in [
        "0",
        "4095",
        "4096",
        "8191",
        "1k",
        "1M",
        " 1M",
        "1M \n",
        "64m",
        "1G",
        "1t",
        "1P",
        "1e",
        "8E",
        "-1",
        " -1\n",
        "-2",
        "0x1000",
        "0X10k",
        "010000",
        "0K",
        "08",
        "0x",
        "0xg",
        "abc",
        "1Mx",
        "1 M",
        "1.5M",
        "+4096",
        "max",
        "12 34",
        "9223372036854775807",
        "18446744073709551615",
    ] {
        let ours = bench.try_run(&[write("m:/b", LIMIT, value)]);
        match kernel.write(LIMIT, value) {
            Ok(()) => {
                ours.unwrap();
                assert_eq!(bench.read("m:/b", LIMIT), kernel.read(LIMIT), "{value:?}");
            }
            Err(errno) => {
                assert_eq!(errno, Some(INVALID), "{value:?}");
                assert_eq!(ours.unwrap_err().errno, EINVAL, "{value:?}");
            }
        }
    }
    for file in ["memory.failcnt", "memory.max_usage_in_bytes"] {
        assert_eq!(kernel.write(file, "0"), Ok(()));
        bench.run(&[write("m:/b", file, "0")]);
    }
    let read_only = write("m:/b", "memory.usage_in_bytes", "0");
    assert_eq!(
        kernel.write("memory.usage_in_bytes", "0"),
        Err(Some(INVALID))
    );
    assert_eq!(bench.refused(read_only), EINVAL);
}
