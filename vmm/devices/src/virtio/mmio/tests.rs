use super::*;
use crate::virtio::driver;
use proptest::prelude::*;

const OFFERED: u64 = feature::VERSION_1 | feature::EVENT_IDX;

fn registers() -> Registers {
    Registers::new(19, OFFERED, &[3, 0, 0, 0, 0, 0, 0, 0], 3)
}

fn read(registers: &Registers, offset: u64) -> u32 {
    let mut word = [0; 4];
    registers.read(offset, &mut word);
    u32::from_le_bytes(word)
}

fn write(registers: &Registers, offset: u64, value: u32) -> MmioWrite {
    registers.write(offset, &value.to_le_bytes())
}

#[test]
fn a_driver_finds_a_modern_device() {
    let registers = registers();
    assert_eq!(read(&registers, register::MAGIC), 0x7472_6976);
    assert_eq!(read(&registers, register::VERSION), 2);
    assert_eq!(read(&registers, register::DEVICE_ID), 19);
    write(&registers, register::DEVICE_FEATURES_SEL, 1);
    assert_eq!(read(&registers, register::DEVICE_FEATURES), 1);
    write(&registers, register::DEVICE_FEATURES_SEL, 2);
    assert_eq!(read(&registers, register::DEVICE_FEATURES), 0);
    // No shared memory region (4.2.2).
    assert_eq!(read(&registers, 0x0b0), u32::MAX);
    for queue in 0..4 {
        write(&registers, register::QUEUE_SEL, queue);
        let most = if queue < 3 { 256 } else { 0 };
        assert_eq!(read(&registers, register::QUEUE_NUM_MAX), most);
    }
}

#[test]
fn configuration_reads_in_any_size_that_is_aligned_and_in_no_other() {
    let registers = registers();
    assert_eq!(read(&registers, register::CONFIG), 3);
    assert_eq!(read(&registers, register::CONFIG + 4), 0);
    let mut whole = [1; 8];
    registers.read(register::CONFIG, &mut whole);
    assert_eq!(u64::from_le_bytes(whole), 3);
    for (at, size) in [
        (8, 4),
        (6, 4),
        (2, 4),
        (0, 3),
        (4, 8),
        (0, 0),
        (u64::MAX - 0x100, 1),
    ] {
        let mut data = vec![0; size];
        registers.read(register::CONFIG + at, &mut data);
        assert!(data.iter().all(|byte| *byte == 0xff), "{at} {size}");
    }
}

#[test]
fn features_are_kept_only_if_all_were_offered_and_version_1_is_among_them() {
    for (accepted, kept) in [
        (OFFERED, true),
        (feature::VERSION_1, true),
        (feature::EVENT_IDX, false),
        (OFFERED | 1, false),
        (OFFERED | 1 << 63, false),
        (0, false),
    ] {
        let registers = registers();
        driver::negotiate(&registers, accepted);
        let status = read(&registers, register::STATUS);
        assert_eq!(status & status::FEATURES_OK != 0, kept, "{accepted:#x}");
        let activates = driver::finish(&registers) == MmioWrite::Activate;
        assert_eq!(activates, kept, "{accepted:#x}");
        assert_eq!(registers.driver_ok(), kept);
    }
}

#[test]
fn what_was_negotiated_and_set_up_stays_until_a_reset() {
    let registers = registers();
    driver::negotiate(&registers, OFFERED);
    write(&registers, register::DRIVER_FEATURES, 0);
    assert_eq!(registers.features(), OFFERED);
    write(&registers, register::QUEUE_NUM, 8);
    write(&registers, register::QUEUE_DESC_LOW, 0x1000);
    write(&registers, register::QUEUE_READY, 1);
    write(&registers, register::QUEUE_NUM, 16);
    assert_eq!(driver::finish(&registers), MmioWrite::Activate);
    write(&registers, register::QUEUE_READY, 0);
    write(&registers, register::QUEUE_DESC_LOW, 0x2000);
    let setup = registers.queue_setups().next().unwrap();
    let expected = QueueSetup {
        size: 8,
        ready: true,
        descriptors: 0x1000,
        avail: 0,
        used: 0,
    };
    assert_eq!(setup, expected);
}

#[test]
fn one_driver_ok_activates_once_and_a_reset_waits_for_the_owner() {
    let registers = registers();
    driver::negotiate(&registers, OFFERED);
    assert_eq!(write(&registers, QUEUE_NOTIFY, 1), MmioWrite::Done);
    assert_eq!(driver::finish(&registers), MmioWrite::Activate);
    assert_eq!(driver::finish(&registers), MmioWrite::Done);
    assert_eq!(write(&registers, QUEUE_NOTIFY, 1), MmioWrite::Notify(1));
    assert_eq!(write(&registers, QUEUE_NOTIFY, 3), MmioWrite::Done);
    assert_eq!(write(&registers, QUEUE_NOTIFY, 0x1_0001), MmioWrite::Done);
    assert_eq!(write(&registers, register::STATUS, 0), MmioWrite::Reset);
    assert_ne!(read(&registers, register::STATUS), 0);
    registers.clear();
    assert_eq!(read(&registers, register::STATUS), 0);
    assert_eq!(registers.features(), 0);
}

#[test]
fn a_failed_device_says_so_and_is_not_driven() {
    let registers = registers();
    driver::negotiate(&registers, OFFERED);
    driver::finish(&registers);
    registers.note_needs_reset();
    assert!(!registers.driver_ok());
    assert_eq!(write(&registers, QUEUE_NOTIFY, 1), MmioWrite::Done);
    assert_eq!(read(&registers, register::STATUS) & 64, 64);
    assert_eq!(read(&registers, register::INTERRUPT_STATUS), 2);
}

#[test]
fn an_acknowledged_interrupt_is_gone_and_another_reason_stays() {
    let registers = registers();
    registers.note_used_buffer();
    registers.note_needs_reset();
    assert_eq!(read(&registers, register::INTERRUPT_STATUS), 3);
    write(&registers, register::INTERRUPT_ACK, 1);
    assert_eq!(read(&registers, register::INTERRUPT_STATUS), 2);
}

proptest! {
    #[test]
    fn no_access_from_two_vcpus_at_once_panics_or_hangs(
        first in accesses(),
        second in accesses(),
    ) {
        let registers = registers();
        std::thread::scope(|scope| {
            for accesses in [first, second] {
                scope.spawn(|| run(&registers, accesses));
            }
            for _ in 0..20 {
                registers.queue_setups().for_each(drop);
                registers.note_used_buffer();
                registers.clear();
            }
        });
    }
}

type Access = (u64, bool, Vec<u8>);

fn accesses() -> impl Strategy<Value = Vec<Access>> {
    let offset = prop_oneof![
        (0u64..0x48).prop_map(|register| register * 4),
        0u64..0x120,
        any::<u64>(),
    ];
    let data = prop_oneof![
        proptest::collection::vec(any::<u8>(), 4),
        (0u32..16).prop_map(|value| value.to_le_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    proptest::collection::vec((offset, any::<bool>(), data), 0..60)
}

fn run(registers: &Registers, accesses: Vec<Access>) {
    for (offset, writes, mut data) in accesses {
        if writes {
            registers.write(offset, &data);
        } else {
            registers.read(offset, &mut data);
        }
    }
}
