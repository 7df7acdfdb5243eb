//! What machine and firmware must agree on: the built-in guest in a machine.

use devices::{EXIT_PORT, FAULT_PORT, RESET_PORT, SERIAL_PORT};
use firmware::script::Script;
use link::{HaltCause, ToMachine, ToSupervisor};
use machine::TinyImage;

use crate::supervisor::{Machine, born_of};

tests![
    devices_stand_where_firmware_writes,
    the_built_in_guest_runs_its_script,
    a_fault_is_told_with_its_vcpu_and_address,
    a_reset_by_one_vcpu_ends_the_others,
    a_guest_asleep_is_paused_and_stopped,
];

pub fn image() -> TinyImage {
    TinyImage {
        elf: firmware::ELF,
        page_table_root: firmware::PAGE_TABLE_ROOT,
        boot_page_address: firmware::BOOT_PAGE,
        boot_page: firmware::boot_page,
    }
}

fn running(vcpus: u16, lines: &[&str]) -> Machine {
    let (machine, _) = born_of("tiny", vcpus, Script::parse(lines).unwrap().encode());
    machine.send(&ToMachine::Go);
    machine
}

fn cause(machine: &mut Machine) -> HaltCause {
    match machine.recv_all().pop() {
        Some(ToSupervisor::Halted { cause }) => cause,
        other => panic!("{other:?} instead of Halted"),
    }
}

fn devices_stand_where_firmware_writes() {
    assert_eq!(EXIT_PORT, firmware::EXIT_PORT);
    assert_eq!(FAULT_PORT, firmware::FAULT_PORT);
    assert_eq!(RESET_PORT, firmware::RESET_PORT);
    assert_eq!(SERIAL_PORT, firmware::SERIAL_PORT);
}

fn the_built_in_guest_runs_its_script() {
    let lines = ["vcpu1: sleep 20ms", "print up", "burn 2ms", "vcpu1: exit 3"];
    let mut machine = running(2, &lines);
    assert_eq!(machine.read_all(), "vcpu0: up\nvcpu1: up\n");
    assert_eq!(cause(&mut machine), HaltCause::Exit(3));
    assert_eq!(machine.exit_code(), 3);
}

fn a_fault_is_told_with_its_vcpu_and_address() {
    let mut machine = running(2, &["vcpu1: fault", "forever"]);
    let HaltCause::Fault { vcpu, what } = cause(&mut machine) else {
        panic!("no fault");
    };
    assert_eq!(vcpu, 1);
    assert!(what.starts_with("page fault at rip 0x"), "{what}");
    assert_eq!(machine.exit_code(), i32::from(machine::EXIT_FAULT));
}

fn a_reset_by_one_vcpu_ends_the_others() {
    let mut machine = running(2, &["vcpu0: reset", "forever"]);
    assert_eq!(cause(&mut machine), HaltCause::Reset);
    assert_eq!(machine.exit_code(), 0);
}

fn a_guest_asleep_is_paused_and_stopped() {
    let mut machine = running(2, &["vcpu0: print on", "sleep 60s"]);
    machine.read_some(64);
    machine.send(&ToMachine::Pause);
    while machine.recv() != Some(ToSupervisor::Paused) {}
    machine.send(&ToMachine::Stop);
    assert_eq!(cause(&mut machine), HaltCause::Stopped);
}
