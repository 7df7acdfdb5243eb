//! The serial port: a 16550 at 0x3f8, by vm-superio, in two halves.
//!
//! ```text
//!   vCPU threads                                     owner (io)
//!   ────────────                                     ──────────
//!   read that changes nothing ──▶ Registers ◀─publish── Serial ──▶ interrupt eventfd
//!   read or write with an effect ───────── ask ─────────▶ │
//!   transmit that changes nothing ─▶ console              │
//! ```
//!
//! [`Serial`] belongs to one owner and holds the device's state. After each change the owner
//! publishes, in [`Registers`], what each register would answer and *whether reading it has an
//! effect*; likewise whether transmitting has one, beyond the bytes going out. So whoever finds
//! "no effect" there has done all that the hardware would, and everything else is asked of the owner,
//! whose answer comes after the publication: a vCPU that writes a register and then reads another sees
//! what it would see on hardware. Two vCPUs at the port at once may see each other's accesses in
//! either order, as on hardware.
//!
//! Nothing here writes to a console: bytes that leave on the line are handed back to the caller.

mod registers;

use std::io;
use std::sync::Arc;

use vm_superio::serial::NoEvents;
use vm_superio::{Serial as Uart, SerialState, Trigger};
use vmm_sys_util::eventfd::EventFd;

use registers::Publication;
pub use registers::Registers;

/// The first of the eight ports of COM1.
pub const SERIAL_PORT: u16 = 0x3f8;
/// The number of ports.
pub(crate) const PORTS: u16 = 8;
/// The interrupt line of COM1.
pub const SERIAL_GSI: u32 = 4;

/// Receive buffer (read) and transmit holding register (write).
pub(crate) const DATA: u8 = 0;
const INTERRUPT_IDENTIFICATION: u8 = 2;

// 16550 data sheet (National PC16550D), table II.
const IER_TRANSMIT_EMPTY: u8 = 0x02;
const IIR_NONE: u8 = 0x01;
const IIR_TRANSMIT_EMPTY: u8 = 0x02;
const IIR_RECEIVED: u8 = 0x04;
const LCR_DIVISOR_LATCH: u8 = 0x80;
const MCR_LOOP: u8 = 0x10;

/// The device itself; belongs to one owner.
#[derive(Debug)]
pub struct Serial {
    uart: Uart<Interrupt, NoEvents, Vec<u8>>,
    registers: Arc<Registers>,
}

/// The interrupt line, as vm-superio wants it.
#[derive(Debug)]
struct Interrupt(EventFd);

impl Trigger for Interrupt {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.0.write(1)
    }
}

/// An interrupt line that leads nowhere.
struct Silent;

impl Trigger for Silent {
    type E = std::convert::Infallible;

    fn trigger(&self) -> Result<(), Self::E> {
        Ok(())
    }
}

impl Serial {
    /// A port after power-on, which raises its interrupt by writing to `interrupt`.
    pub fn new(interrupt: EventFd) -> Self {
        let serial = Serial {
            uart: Uart::new(Interrupt(interrupt), Vec::new()),
            registers: Arc::new(Registers::default()),
        };
        serial.registers.publish(serial.publication());
        serial
    }

    /// The half that vCPU threads read.
    pub fn registers(&self) -> Arc<Registers> {
        Arc::clone(&self.registers)
    }

    /// Write `bytes`, one after the other, to the register at `offset`; returns those that left on the
    /// line. The new register file is published on return.
    pub fn write(&mut self, offset: u8, bytes: &[u8]) -> Vec<u8> {
        for byte in bytes {
            // The only failure is that of the interrupt eventfd, whose counter KVM empties; were it
            // to fail, the guest would miss an interrupt that it provoked itself.
            let _ = self.uart.write(offset, *byte);
        }
        let sent = std::mem::take(self.uart.writer_mut());
        self.registers.publish(self.publication());
        sent
    }

    /// Read the register at `offset`, with the effect that reading has. The new register file is
    /// published on return.
    pub fn read(&mut self, offset: u8) -> u8 {
        let value = self.uart.read(offset);
        self.registers.publish(self.publication());
        value
    }

    /// What the register file says of the present state.
    fn publication(&self) -> Publication {
        let state = self.uart.state();
        let latch = state.line_control & LCR_DIVISOR_LATCH != 0;
        let pending = state.interrupt_identification;
        let mut answers = [0xff; PORTS as usize];
        // Asked of a copy, the data register last: reading it would alter what line status says.
        if let Ok(mut copy) = Uart::from_state(&state, Silent, NoEvents, io::sink()) {
            for offset in (DATA..PORTS as u8).rev() {
                answers[usize::from(offset)] = copy.read(offset);
            }
        }
        let mut effects = 0;
        if !latch && (!state.in_buffer.is_empty() || pending & IIR_RECEIVED != 0) {
            effects |= 1 << DATA;
        }
        if pending != IIR_NONE {
            effects |= 1 << INTERRUPT_IDENTIFICATION;
        }
        Publication {
            answers,
            effects,
            transmits_plainly: transmits_plainly(&state),
        }
    }
}

/// Does writing the transmit register send the byte and change nothing else? Not while it is the
/// divisor's register or looped back, nor where the byte's leaving raises an interrupt that is not
/// pending yet.
fn transmits_plainly(state: &SerialState) -> bool {
    let raises = state.interrupt_enable & IER_TRANSMIT_EMPTY != 0
        && state.interrupt_identification & IIR_TRANSMIT_EMPTY == 0;
    state.line_control & LCR_DIVISOR_LATCH == 0 && state.modem_control & MCR_LOOP == 0 && !raises
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PortRead, PortWrite, Ports};
    use proptest::prelude::*;

    /// The device as a vCPU meets it: registers where they answer, the owner where they do not.
    struct Split {
        serial: Serial,
        ports: Ports,
        console: Vec<u8>,
        asked: usize,
    }

    impl Split {
        fn new() -> (Self, EventFd) {
            let interrupt = EventFd::new(2048).unwrap();
            let serial = Serial::new(interrupt.try_clone().unwrap());
            let ports = Ports::new(serial.registers()).unwrap();
            let split = Split {
                serial,
                ports,
                console: Vec::new(),
                asked: 0,
            };
            (split, interrupt)
        }

        fn write(&mut self, offset: u8, byte: u8) {
            match self.ports.write(SERIAL_PORT + u16::from(offset), &[byte]) {
                PortWrite::Transmit(bytes) => self.console.extend(bytes),
                PortWrite::Serial { offset, bytes } => {
                    self.asked += 1;
                    self.console.extend(self.serial.write(offset, bytes));
                }
                other => panic!("{other:?}"),
            }
        }

        fn read(&mut self, offset: u8) -> u8 {
            let mut data = [0x55];
            match self.ports.read(SERIAL_PORT + u16::from(offset), &mut data) {
                PortRead::Done => data[0],
                PortRead::Serial { offset } => {
                    self.asked += 1;
                    self.serial.read(offset)
                }
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Access {
        Write(u8, u8),
        Read(u8),
    }

    fn access() -> impl Strategy<Value = Access> {
        // Registers that change how others behave come often, and with the bits that matter.
        prop_oneof![
            (0u8..8, any::<u8>()).prop_map(|(offset, byte)| Access::Write(offset, byte)),
            (0u8..8).prop_map(Access::Read),
            (0u8..4).prop_map(|bits| Access::Write(1, bits)),
            any::<bool>().prop_map(|on| Access::Write(3, if on { 0x83 } else { 0x03 })),
            any::<bool>().prop_map(|on| Access::Write(4, if on { 0x10 } else { 0x08 })),
        ]
    }

    proptest! {
        #[test]
        fn split_in_two_the_port_behaves_as_the_whole_one(
            accesses in proptest::collection::vec(access(), 0..200),
        ) {
            let whole_interrupt = EventFd::new(2048).unwrap();
            let trigger = Interrupt(whole_interrupt.try_clone().unwrap());
            let mut whole = Uart::new(trigger, Vec::new());
            let (mut split, split_interrupt) = Split::new();
            for access in accesses {
                match access {
                    Access::Write(offset, byte) => {
                        whole.write(offset, byte).unwrap();
                        split.write(offset, byte);
                    }
                    Access::Read(offset) => {
                        prop_assert_eq!(split.read(offset), whole.read(offset), "offset {}", offset);
                    }
                }
                prop_assert_eq!(split.serial.uart.state(), whole.state());
            }
            prop_assert_eq!(&split.console, whole.writer());
            prop_assert_eq!(split_interrupt.read().ok(), whole_interrupt.read().ok());
        }
    }

    #[test]
    fn after_power_on_neither_reads_nor_output_need_the_owner() {
        let (mut split, _interrupt) = Split::new();
        for offset in 0..8 {
            split.read(offset);
        }
        split.write(DATA, b'x');
        assert_eq!(split.asked, 0);
        assert_eq!(split.console, b"x");
    }

    #[test]
    fn a_string_is_transmitted_whole_and_wrong_sizes_do_nothing() {
        let (mut split, _interrupt) = Split::new();
        let write = split.ports.write(SERIAL_PORT, b"hello");
        assert_eq!(write, PortWrite::Transmit(b"hello"));
        assert_eq!(
            split.ports.write(SERIAL_PORT + 3, &[0x83, 0]),
            PortWrite::Done
        );
        let mut wide = [0; 4];
        assert_eq!(split.ports.read(SERIAL_PORT + 5, &mut wide), PortRead::Done);
        assert_eq!(wide, [0xff; 4]);
        assert_eq!(split.ports.write(SERIAL_PORT, &[]), PortWrite::Done);
        assert_eq!(split.ports.read(SERIAL_PORT, &mut []), PortRead::Done);
    }

    #[test]
    fn looped_back_bytes_never_reach_the_console() {
        let (mut split, _interrupt) = Split::new();
        split.write(4, MCR_LOOP);
        for byte in 0..200 {
            split.write(DATA, byte);
        }
        assert!(split.console.is_empty());
        assert_eq!(split.read(5) & 1, 1);
        assert_eq!(split.read(DATA), 0);
        assert_eq!(split.read(DATA), 1);
    }
}
