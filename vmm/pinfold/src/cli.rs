//! The command line: what can be asked for, and what the exit code says.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::lock::LockError;
use crate::spec::SpecError;

/// What was asked for cannot be: a refusal, or a command line that is none.
pub const REFUSED: u8 = 2;

/// Runs virtual machines whose every thread stands in a group that pins and bills it
#[derive(Debug, Parser)]
#[command(name = "pinfold", version, after_help = ABOUT_GROUPS, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What Pinfold can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the machines of a spec file, show their groups, and end when they end
    Run(RunArgs),
    /// Ask the agent in a guest
    Agent(AgentArgs),
    /// Say what this host can do, and whether it would run a spec file
    Doctor(DoctorArgs),
    /// Show groups, CPUs and machines as they change, and re-pin groups
    Top(TopArgs),
}

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
    /// Start PATH in place of the machine process (for tests)
    #[arg(long, value_name = "PATH", hide = true)]
    pub machine_program: Option<PathBuf>,
    /// Withhold every Go this many milliseconds (for tests)
    #[arg(long, value_name = "MS", hide = true, value_parser = milliseconds)]
    pub withhold_go: Option<Duration>,
}

/// `pinfold agent`
#[derive(Debug, Args)]
#[command(after_help = ABOUT_AGENT)]
pub struct AgentArgs {
    /// What to ask
    pub ask: AgentAsk,
    /// The machine, as its spec names it
    pub machine: String,
    /// Where its run listens
    #[arg(long, value_name = "PATH", env = "PINFOLD_SOCKET")]
    pub socket: Option<PathBuf>,
}

/// What a guest's agent can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AgentAsk {
    /// Whether it answers
    Ping,
    /// Who it is, and for how long
    Info,
    /// To end its guest in good order
    Shutdown,
}

impl AgentAsk {
    /// The word for it on a command line.
    pub fn word(self) -> &'static str {
        match self {
            AgentAsk::Ping => "ping",
            AgentAsk::Info => "info",
            AgentAsk::Shutdown => "shutdown",
        }
    }
}

/// `pinfold doctor`
#[derive(Debug, Args)]
#[command(after_help = ABOUT_DOCTOR)]
pub struct DoctorArgs {
    /// Also check this spec file, without starting anything
    pub spec: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `pinfold top`
#[derive(Debug, Args)]
#[command(after_help = ABOUT_TOP)]
pub struct TopArgs {
    /// Print one frame as text and end
    #[arg(long)]
    pub once: bool,
    /// Show the report in FILE, or several one after the other, in place of a supervisor's (for tests)
    #[arg(long, value_name = "FILE", hide = true)]
    pub report: Vec<PathBuf>,
}

const ABOUT_GROUPS: &str = "\
A group holds tasks, the threads of machines: it pins them to CPUs (cpuset) and bills them (cpuacct).
A hierarchy is one tree of groups; every task stands in exactly one group of each hierarchy, so that
one tree can pin a vCPU and another bill it. A group is written HIERARCHY:/path, a task MACHINE/vcpu0.

Examples:
  pinfold doctor                           can this host run machines, and where?
  pinfold run examples/one-vm.toml         the smallest spec
  pinfold run examples/two-groups.toml     two trees, two machines, release events

Exit codes: 0 done, 1 a failure, 2 a refusal; a refusal names the rule, before any machine has started.
Next: `pinfold run --help`, and the comments in examples/*.toml.";

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

Every error of a spec is one line, FILE:LINE: and the rule, with exit code 2.
`pinfold doctor SPEC` says whether a spec would run here.";

const ABOUT_AGENT: &str = "\
The machine needs `agent = \"read\"` or `agent = \"delegate\"` in its spec, and its run `--socket PATH`.
Without --socket and PINFOLD_SOCKET the socket is $XDG_RUNTIME_DIR/pinfold.sock, else /run/pinfold.sock.

Examples:
  pinfold run --socket /run/pinfold.sock examples/guest-agent.toml &
  pinfold agent ping web
  pinfold agent shutdown web

Exit codes: 0 answered, 1 no run or no answer from it, 2 the guest has not answered in 5 s, declines, or has no agent.";

const ABOUT_DOCTOR: &str = "\
Exit codes: 0 when nothing stands in the way, 2 when something does.

Examples:
  pinfold doctor
  pinfold doctor examples/two-groups.toml
  pinfold doctor --json | jq '.checks[] | select(.state != \"good\")'";

const ABOUT_TOP: &str = "\
Keys: q ends, ? explains, arrows or j k move, Enter folds, Tab goes to the next hierarchy or pane, s sorts by name,
usage or wait, t shows tasks as rows. p on a group asks for CPUs, shows what that would do, and does it only after y.

CPU% and wait% are of one CPU, over the last second; wait is time spent ready to run without a host CPU.
With --once the frame has the size of the terminal, or what COLUMNS and LINES say.

Examples:
  pinfold top
  COLUMNS=120 LINES=40 pinfold top --once | less

Exit codes: 0 done, 1 no supervisor or no terminal.";

/// Say on stderr what went wrong; 2 for a refusal, 1 for a failure.
pub fn explain(error: &anyhow::Error) -> ExitCode {
    // A spec's refusal stands alone in the form that editors follow to its line.
    if error.is::<SpecError>() {
        eprintln!("{error}");
        return ExitCode::from(REFUSED);
    }
    eprintln!("pinfold: {error:#}");
    let served = matches!(error.downcast_ref(), Some(LockError::Served(_)));
    if served || error.is::<hv::HvError>() || error.is::<container_core::Refusal>() {
        ExitCode::from(REFUSED)
    } else {
        ExitCode::FAILURE
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn run(arguments: &[&str]) -> RunArgs {
        let words = ["pinfold", "run"].iter().chain(arguments);
        match Cli::try_parse_from(words).unwrap().verb {
            Verb::Run(args) => args,
            other => panic!("not a run: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_takes_a_spec_a_report_and_a_timeout() {
        let args = run(&["a.toml", "--report", "r.json", "--timeout", "2.5"]);
        assert_eq!(args.spec, PathBuf::from("a.toml"));
        assert_eq!(args.report, Some(PathBuf::from("r.json")));
        assert_eq!(args.timeout, Some(Duration::from_millis(2500)));
        assert!(!args.commands && run(&["a.toml", "--commands"]).commands);
        assert_eq!((args.machine_program, args.withhold_go), (None, None));
    }

    #[test]
    fn the_knobs_of_tests_work_and_are_not_in_the_help() {
        let args = run(&["a.toml", "--withhold-go", "300", "--machine-program", "/m"]);
        assert_eq!(args.withhold_go, Some(Duration::from_millis(300)));
        assert_eq!(args.machine_program, Some(PathBuf::from("/m")));
        let mut command = Cli::command();
        let help = command
            .find_subcommand_mut("run")
            .unwrap()
            .render_long_help();
        let help = help.to_string();
        assert!(!help.contains("withhold") && !help.contains("machine-program"));
    }

    #[test]
    fn top_shows_reports_of_files_in_their_order() {
        let words = ["pinfold", "top", "--once", "--report", "a", "--report", "b"];
        let Verb::Top(args) = Cli::try_parse_from(words).unwrap().verb else {
            panic!("not a top");
        };
        assert!(args.once && args.report == ["a", "b"].map(PathBuf::from));
    }

    #[test]
    fn a_command_line_that_is_none_exits_with_2() {
        for words in [
            &["pinfold"][..],
            &["pinfold", "run"],
            &["pinfold", "run", "a", "--timeout", "0"],
            &["pinfold", "run", "a", "--timeout", "-1"],
            &["pinfold", "run", "a", "--timeout", "nan"],
            &["pinfold", "serve"],
        ] {
            let error = Cli::try_parse_from(words).unwrap_err();
            assert_eq!(error.exit_code(), i32::from(REFUSED), "{words:?}");
        }
    }
}
