//! Each kind of exit, decoded; and the doors to KVM.

use hv::{Entry, EventFd, HvError, Hypervisor, IoEventAddress, VmExit};
use vm_memory::{Bytes, GuestAddress};

use crate::rig::{self, End, hypervisor, load, vcpu};

#[test]
fn a_guest_without_its_boot_page_panics_aloud() {
    let Some(hypervisor) = hypervisor() else {
        return;
    };
    let (vm, entry) = load(&hypervisor, 1, &[]);
    vm.memory()
        .write_slice(&[0; 16], GuestAddress(firmware::BOOT_PAGE))
        .unwrap();
    let ending = rig::run(&mut vcpu(&vm, &entry, 0), |_| {});
    assert_eq!(ending.end, End::Exited(firmware::PANIC_CODE));
    assert!(
        ending.text().contains("no boot page"),
        "{:?}",
        ending.text()
    );
}

#[test]
fn a_triple_fault_is_a_shutdown_and_not_a_hang() {
    let Some(hypervisor) = hypervisor() else {
        return;
    };
    let (vm, entry) = load(&hypervisor, 1, &[]);
    // No page table translates the first instruction, and there is no descriptor table to say so.
    let entry = Entry {
        instruction: 0x5000_0000,
        ..entry
    };
    let ending = rig::run(&mut vcpu(&vm, &entry, 0), |_| {});
    assert_eq!(ending.end, End::Shutdown);
}

#[test]
fn an_instruction_that_kvm_cannot_emulate_is_reported_with_the_registers() {
    let Some(hypervisor) = hypervisor() else {
        return;
    };
    let (vm, entry) = load(&hypervisor, 1, &[]);
    // popcnt from an address that is not memory: no KVM emulates it, natively fast or not.
    let code = [0xf3, 0x0f, 0xb8, 0x04, 0x25, 0x00, 0x00, 0x00, 0xd0];
    vm.memory()
        .write_slice(&code, GuestAddress(entry.instruction))
        .unwrap();
    let ending = rig::run(&mut vcpu(&vm, &entry, 0), |_| {});
    let End::Stuck(what) = ending.end else {
        panic!("{ending:?}")
    };
    let rip = format!("rip {:#x}", entry.instruction);
    assert!(what.contains("Fault") && what.contains(&rip), "{what}");
}

#[test]
fn a_device_register_is_read_and_written_through_exits_and_through_an_eventfd() {
    let Some(hypervisor) = hypervisor() else {
        return;
    };
    let (vm, entry) = load(&hypervisor, 1, &[]);
    let code: &[u8] = &[
        0xb8, 0x00, 0x00, 0x00, 0xd0, // mov $0xd0000000, %eax
        0x8b, 0x18, //                   mov (%rax), %ebx
        0x89, 0x58, 0x04, //             mov %ebx, 4(%rax)
        0x89, 0x58, 0x50, //             mov %ebx, 0x50(%rax)
        0xba, 0xf4, 0x00, 0x00, 0x00, // mov $0xf4, %edx
        0xee, //                         out %al, %dx
    ];
    vm.memory()
        .write_slice(code, GuestAddress(entry.instruction))
        .unwrap();
    let doorbell = EventFd::new(libc::EFD_NONBLOCK).unwrap();
    let address = IoEventAddress::Mmio(0xd000_0050);
    vm.ioeventfd(&doorbell, &address, None).unwrap();
    assert!(matches!(
        vm.ioeventfd(&doorbell, &address, None),
        Err(HvError::Kvm { .. })
    ));
    let mut vcpu = vcpu(&vm, &entry, 0);
    match vcpu.run().unwrap() {
        VmExit::MmioRead {
            address: 0xd000_0000,
            data,
        } => data.copy_from_slice(b"virt"),
        other => panic!("{other:?}"),
    }
    let written = *b"virt";
    assert_eq!(
        vcpu.run().unwrap(),
        VmExit::MmioWrite {
            address: 0xd000_0004,
            data: &written
        }
    );
    assert_eq!(rig::run(&mut vcpu, |_| {}).end, End::Exited(0));
    assert_eq!(doorbell.read().unwrap(), 1);
}

#[test]
fn an_opened_device_goes_to_another_process_as_a_descriptor() {
    let Some(hypervisor) = hypervisor() else {
        return;
    };
    let hypervisor = Hypervisor::from_fd(hypervisor.into_fd());
    let (vm, entry) = load(&hypervisor, 1, &["exit 2"]);
    assert_eq!(
        rig::run(&mut vcpu(&vm, &entry, 0), |_| {}).end,
        End::Exited(2)
    );
    assert!(
        matches!(vm.create_vcpu(0, &entry), Err(HvError::Kvm { .. })),
        "number 0 is taken"
    );
}

#[test]
fn the_same_guest_runs_with_cpuid() {
    let Some(hypervisor) = hypervisor() else {
        return;
    };
    let vm = hypervisor
        .create_vm(hv::guest_memory(64 << 20).unwrap())
        .unwrap();
    let entry = rig::fill(&vm, 1, &["print hello", "sleep 1ms", "exit 6"]);
    let ending = rig::run(&mut vcpu(&vm, &entry, 0), |_| {});
    assert_eq!(
        (ending.end.clone(), ending.text()),
        (End::Exited(6), "vcpu0: hello\n".into())
    );
}
