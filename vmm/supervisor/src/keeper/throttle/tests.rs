//! The throttle beside a host in which a millisecond is a step: a scheduler that is fair by thread and knows no group,
//! readings that are a tick behind, and holds that come a step late.

mod quotas;
mod random;
mod shares;
mod world;

use container_core::{Command, Credentials};

use super::*;
use world::{MS, World};

const QUOTA: &str = "cpu.cfs_quota_us";
const PERIOD: &str = "cpu.cfs_period_us";
const SHARES: &str = "cpu.shares";

#[track_caller]
fn near(value: f64, expected: f64, tolerance: f64) {
    let off = (value - expected).abs() / expected;
    assert!(
        off <= tolerance,
        "{value} is not {expected} within {tolerance}"
    );
}
