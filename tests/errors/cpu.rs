//! Quotas and shares.

use super::Answer::Refused;
use super::Op::*;
use super::*;
use Errno::*;

const LIMITS: &str = "limits of CPU time";

const SHARES: &str = "cpu.shares";
const QUOTA: &str = "cpu.cfs_quota_us";
const PERIOD: &str = "cpu.cfs_period_us";

/// Half a CPU for `b:/home/t`, and a group below it.
const HALF_A_CPU: &[Op] = &[Mkdir("b:/home/t", "in"), Write("b:/home/t", QUOTA, "50000")];
/// The same for the group below, which is all of what is above it.
const BOTH: &[Op] = &[
    Mkdir("b:/home/t", "in"),
    Write("b:/home/t", QUOTA, "50000"),
    Write("b:/home/t/in", QUOTA, "50000"),
];

pub const ROWS: &[Row] = &[
    taken(LIMITS, Write("b:/home/t", SHARES, "1"), "2"),
    taken(LIMITS, Write("b:/home/t", SHARES, "262145"), "262144"),
    refused(
        LIMITS,
        Write("b:/home/t", SHARES, "abc"),
        EINVAL,
        &[SHARES, r#""abc""#],
    ),
    refused(
        LIMITS,
        Write("b:/home/t", SHARES, "18446744073709551616"),
        ERANGE,
        &[SHARES, "18446744073709551616"],
    ),
    taken(LIMITS, Write("b:/home/t", QUOTA, "-7"), "-1"),
    refused(
        LIMITS,
        Write("b:/home/t", QUOTA, "999"),
        EINVAL,
        &[QUOTA, "1000 to 17592186044415", "not 999"],
    ),
    refused(
        LIMITS,
        Write("b:/home/t", QUOTA, "9223372036854775808"),
        ERANGE,
        &[QUOTA, "9223372036854775808"],
    ),
    refused(
        LIMITS,
        Write("b:/home/t", PERIOD, "1000001"),
        EINVAL,
        &[PERIOD, "1000 to 1000000", "not 1000001"],
    ),
    taken(LIMITS, Write("b:/home/t/in", QUOTA, "50000"), "50000").after(HALF_A_CPU),
    refused(
        LIMITS,
        Write("b:/home/t/in", QUOTA, "50001"),
        EINVAL,
        &[
            QUOTA,
            "50001 us in 100000",
            "50000 us in 100000 of b:/home/t",
        ],
    )
    .after(HALF_A_CPU),
    refused(
        LIMITS,
        Write("b:/home/t", QUOTA, "49999"),
        EINVAL,
        &[
            QUOTA,
            "49999 us in 100000",
            "50000 us in 100000 of b:/home/t/in",
        ],
    )
    .after(BOTH),
    refused(
        LIMITS,
        Write("b:/home/t/in", PERIOD, "50000"),
        EINVAL,
        &[
            PERIOD,
            "50000 us in 50000",
            "50000 us in 100000 of b:/home/t",
        ],
    )
    .after(BOTH),
    refused(
        LIMITS,
        Write("b:/", SHARES, "1024"),
        EINVAL,
        &[SHARES, "root group b:/"],
    )
    .host_only("the hierarchy's root is in no view"),
    refused(
        READ_ONLY,
        Write("b:/home/t", "cpu.stat", "0"),
        EINVAL,
        &["cpu.stat", "read-only"],
    )
    .guest(
        Refused(EACCES, &["cpu.stat in b:/home/t", "read-only"]),
        "a guest is nobody's root",
    ),
];
