//! `pinfold doctor`.
use crate::cli::DoctorArgs;
use std::process::ExitCode;

/// x
pub fn doctor(_args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not yet")
}
