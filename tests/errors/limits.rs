//! Too many, too deep, too long.

use super::Answer::Refused;
use super::Op::*;
use super::*;
use Errno::*;

const LIMIT: &str = "limits";
const ABOVE: &[&str] = &["a limit above the root of this view refuses it"];
const NOT_TOLD: &str = "limits above its root are not described to a guest";

const WITH_MEMORY: &[Op] = &[Mount("m", &["memory"]), Mkdir("m:", "a")];
const NOT_GUESTS: &str = "guests have no files of memory";

const PAGE: &str = ascii(&[b'0'; 4096]);
const PAST_PAGE: &str = ascii(&[b'0'; 4097]);
/// As long as a list may be, and longer: `0,0,0,…`.
const LIST: &str = ascii(const { &zeros::<6244>() });
const PAST_LIST: &str = ascii(const { &zeros::<6245>() });
const PAST_GUESTS: &str = ascii(const { &zeros::<4097>() });

const fn zeros<const BYTES: usize>() -> [u8; BYTES] {
    let mut text = [b'0'; BYTES];
    let mut comma = 1;
    while comma < BYTES {
        text[comma] = b',';
        comma += 2;
    }
    text
}

pub const ROWS: &[Row] = &[
    refused(
        OVERSIZED,
        Write("p:/home/new", "cpuset.cpus", PAST_LIST),
        E2BIG,
        &["6245", "cpuset.cpus", "p:/home/new", "6244"],
    )
    .guest(
        Refused(E2BIG, &["6245", "4096"]),
        "a guest's values are at most 4096 bytes",
    ),
    taken(OVERSIZED, Write("p:/home/new", "cpuset.cpus", LIST), "0").guest(
        Refused(E2BIG, &["6244", "4096"]),
        "a guest's values are at most 4096 bytes",
    ),
    taken(
        OVERSIZED,
        Write("p:/home/new", "cpuset.mems", PAST_GUESTS),
        "0",
    )
    .guest(
        Refused(E2BIG, &["4097", "4096"]),
        "a guest's values are at most 4096 bytes",
    ),
    refused(
        OVERSIZED,
        Write("p:/home/a", "notify_on_release", PAST_PAGE),
        E2BIG,
        &["4097", "notify_on_release", "p:/home/a", "4096"],
    )
    .guest(
        Refused(E2BIG, &["4097", "4096"]),
        "its sentence names no group",
    ),
    taken(
        OVERSIZED,
        Write("p:/home/a", "notify_on_release", PAGE),
        "0",
    ),
    refused(
        OVERSIZED,
        Write("p:/home/a", "tasks", PAST_PAGE),
        E2BIG,
        &["4097", "tasks", "p:/home/a", "4096"],
    )
    .guest(
        Refused(E2BIG, &["4097", "4096"]),
        "its sentence names no group",
    ),
    refused(
        OVERSIZED,
        Write("p:/home/a", "cgroup.max.depth", PAST_PAGE),
        E2BIG,
        &["4097", "4096"],
    ),
    refused(
        OVERSIZED,
        Write("b:/home/t", "cpuacct.usage", PAST_PAGE),
        E2BIG,
        &["4097", "4096"],
    ),
    refused(
        OVERSIZED,
        Write("p:/", "release_agent", PAGE),
        E2BIG,
        &["4096", "release_agent", "4095"],
    )
    .host_only("guests have no release_agent"),
    refused(
        LIMIT,
        Mkdir("p:/home/a", "x"),
        EAGAIN,
        &["1 groups below p:/home/a", "cgroup.max.descendants 1"],
    )
    .after(&[Write("p:/home/a", "cgroup.max.descendants", "1")]),
    refused(
        LIMIT,
        Mkdir("p:/home/a/in", "x"),
        EAGAIN,
        &["1 groups below p:/home/a", "cgroup.max.descendants 1"],
    )
    .after(&[Write("p:/home/a", "cgroup.max.descendants", "1")]),
    refused(
        LIMIT,
        Mkdir("p:/home/a/in", "x"),
        EAGAIN,
        &["2 levels below p:/home/a", "cgroup.max.depth 1"],
    )
    .after(&[Write("p:/home/a", "cgroup.max.depth", "1")]),
    refused(
        LIMIT,
        Mkdir("p:/home/a", "x"),
        EAGAIN,
        &["groups below p:/ ", "cgroup.max.descendants 3"],
    )
    .after(&[Write("p:/", "cgroup.max.descendants", "3")])
    .guest(Refused(EAGAIN, ABOVE), NOT_TOLD),
    refused(
        LIMIT,
        Mkdir("p:/home/a", "x"),
        EAGAIN,
        &["3 levels below p:/ ", "cgroup.max.depth 2"],
    )
    .after(&[Write("p:/", "cgroup.max.depth", "2")])
    .guest(Refused(EAGAIN, ABOVE), NOT_TOLD),
    refused(
        LIMIT,
        Clone("web/vcpu0", "cpuset"),
        EAGAIN,
        &["2 levels below p:/home/a", "cgroup.max.depth 1"],
    )
    .after(&[Write("p:/home/a", "cgroup.max.depth", "1")]),
    refused(
        LIMIT,
        Write("b:/home/t", "cgroup.max.depth", "-1"),
        ERANGE,
        &["cgroup.max.depth", "-1", "2147483647"],
    ),
    refused(
        LIMIT,
        Write("b:/home/t", "cgroup.max.depth", "abc"),
        EINVAL,
        &["cgroup.max.depth", r#""abc""#],
    ),
    refused(
        LIMIT,
        Write("b:/home/t", "cgroup.max.descendants", "99999999999"),
        ERANGE,
        &["cgroup.max.descendants", "99999999999", "2147483647"],
    ),
    taken(LIMIT, Write("b:/home/t", "cgroup.max.depth", " 3 \n"), "3"),
    taken(LIMIT, Write("b:/home/t", "cgroup.max.depth", "max"), "max"),
    taken(
        LIMIT,
        Write("b:/home/t", "cgroup.max.descendants", "0"),
        "0",
    ),
    taken(
        LIMIT,
        Write("m:/a", "memory.limit_in_bytes", "5000"),
        "4096",
    )
    .after(WITH_MEMORY)
    .host_only(NOT_GUESTS),
    refused(
        LIMIT,
        Write("m:/a", "memory.limit_in_bytes", "abc"),
        EINVAL,
        &["memory.limit_in_bytes", "abc"],
    )
    .after(WITH_MEMORY)
    .host_only(NOT_GUESTS),
    refused(
        LIMIT,
        Write("m:/", "memory.limit_in_bytes", "4096"),
        EINVAL,
        &["memory.limit_in_bytes"],
    )
    .after(WITH_MEMORY)
    .host_only(NOT_GUESTS),
    refused(
        LIMIT,
        Write("m:/a", "memory.failcnt", "1"),
        EINVAL,
        &["memory.failcnt", "1"],
    )
    .after(WITH_MEMORY)
    .host_only(NOT_GUESTS),
];
