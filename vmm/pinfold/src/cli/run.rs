//! `pinfold run`: what can be said to it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::CpuArgs;

/// `pinfold run`
#[derive(Debug, Args)]
#[command(after_help = ABOUT_RUN)]
pub struct RunArgs {
    /// The spec file (TOML): hierarchies, groups and machines
    pub spec: PathBuf,
    /// Write the final report to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Kill the machines that still run after SECS seconds, and exit 1
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub timeout: Option<Duration>,
    /// Read group commands from standard input while the machines run, one plan a line
    #[arg(long)]
    pub commands: bool,
    /// Answer group commands and `pinfold agent` at this unix socket while the machines run
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    #[command(flatten)]
    pub cpu: CpuArgs,
    /// Start PATH in place of the machine process (for tests)
    #[arg(long, value_name = "PATH", hide = true)]
    pub machine_program: Option<PathBuf>,
    /// Withhold every Go this many milliseconds (for tests)
    #[arg(long, value_name = "MS", hide = true, value_parser = milliseconds)]
    pub withhold_go: Option<Duration>,
}

const ABOUT_RUN: &str = "\
The smallest spec:
  [vm.hello]
  memory = \"64M\"
  vcpus = 1
  guest = { tiny = [\"exit\"] }

Pinned and billed, by two independent trees:
  [hierarchy.placement]
  subsystems = [\"cpuset\"]
  [hierarchy.billing]
  subsystems = [\"cpuacct\"]
  [group.\"placement:/gold\"]
  files = { \"cpuset.cpus\" = \"0\" }
  [group.\"billing:/tenant-a\"]
and in [vm.hello]:
  groups = [\"placement:/gold\", \"billing:/tenant-a\"]

With --commands, a line each on standard input; commands joined by ` ; ` are in force together or not at all:
  group mkdir placement:/silver
  group set placement:/silver cpuset.cpus 1 ; group set placement:/silver cpuset.mems 0
  group attach placement:/silver hello/vcpu0

Examples:
  pinfold run examples/two-groups.toml
  pinfold run --timeout 30 --report report.json examples/two-groups.toml

Every error of a spec is one line, FILE:LINE: and the rule, with exit code 2.
`pinfold doctor SPEC` says whether a spec would run here.";

/// A positive number of seconds, fractions allowed.
fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "a positive number of seconds is expected, as 30 or 0.5".to_owned())
}

fn milliseconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_millis)
}
