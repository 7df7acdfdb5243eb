//! The life of a machine process, with the tiny guest's image: forked by a run, or started by a serving supervisor
//! as a program of its own, by a verb that is not in the help.

use std::process::ExitCode;

use supervisor::{CONSOLE_FD, Inherited, KVM_FD, LISTENER_FD};

/// Live on what was handed over; returns the exit code.
pub fn live(inherited: Inherited) -> u8 {
    machine::run(machine::Inheritance {
        listener: inherited.listener,
        kvm: inherited.kvm,
        console: inherited.console,
        tiny: machine::TinyImage {
            elf: firmware::ELF,
            page_table_root: firmware::PAGE_TABLE_ROOT,
            boot_page_address: firmware::BOOT_PAGE,
            boot_page: firmware::boot_page,
        },
    })
}

/// `pinfold machine`: live on the descriptors that the supervisor passes on.
///
/// # Errors
/// They are not there.
pub fn inherit() -> anyhow::Result<ExitCode> {
    let inherited = Inherited {
        listener: link::Listener::from_fd(host::take_inherited(LISTENER_FD)?),
        console: host::take_inherited(CONSOLE_FD)?,
        kvm: host::take_inherited(KVM_FD)?,
    };
    Ok(ExitCode::from(live(inherited)))
}
