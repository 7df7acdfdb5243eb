//! Who limits the CPU time of groups: a choice of `run` and `serve`.

use clap::{Args, ValueEnum};
use host::HostError;

/// `--cpu-controller`
#[derive(Clone, Copy, Debug, Args)]
pub struct CpuArgs {
    /// Who limits what groups of a cpu hierarchy use
    #[arg(
        long,
        value_name = "WHO",
        env = "PINFOLD_CPU_CONTROLLER",
        hide_env_values = true,
        default_value = "auto"
    )]
    cpu_controller: Who,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Who {
    /// The kernel where its cpu controller can be written to (cgroup-v1 or v2), else Pinfold
    Auto,
    /// The kernel; refused where it cannot
    Kernel,
    /// Pinfold, which holds vCPUs out of their guests
    Own,
}

/// The kernel was asked for, and cannot.
#[derive(Debug, thiserror::Error)]
#[error("--cpu-controller kernel: {0}; `own` and `auto` do without")]
pub struct NoController(HostError);

impl CpuArgs {
    /// The choice, which this host can keep.
    ///
    /// # Errors
    /// [`NoController`] where the kernel is asked for and its controller cannot be written to.
    pub fn chosen(self) -> Result<supervisor::CpuController, NoController> {
        Ok(match self.cpu_controller {
            Who::Auto => supervisor::CpuController::Auto,
            Who::Own => supervisor::CpuController::Own,
            Who::Kernel => {
                host::CpuController::find().map_err(NoController)?;
                supervisor::CpuController::Kernel
            }
        })
    }
}
