//! What stands at a machine's ports, and what an access to one asks for.
//!
//! Every vCPU thread has a clone and calls it with its own accesses. What it answers comes from
//! register files, and what it cannot answer it names, for the machine to carry out. The only state it
//! keeps is the vCPU's own, a fault record under way.

use std::sync::Arc;

use crate::exit::{self, EXIT_PORT, FAULT_PORT, FaultRecord, RESET_PORT};
use crate::serial::{self, Registers, SERIAL_PORT};
use crate::{Bus, DeviceError};

/// The devices in the port space.
#[derive(Clone, Copy, Debug)]
enum Device {
    Serial,
    Exit,
    Fault,
    Reset,
}

/// The port space as a vCPU meets it.
#[derive(Clone, Debug)]
pub struct Ports {
    bus: Bus<Device>,
    serial: Arc<Registers>,
    fault: FaultRecord,
}

/// What is left to do for a write.
#[derive(Debug, PartialEq, Eq)]
pub enum PortWrite<'a> {
    /// Nothing.
    Done,
    /// Send these bytes to the console, in order.
    Transmit(&'a [u8]),
    /// Have the serial port's owner write the register, and send what leaves on the line to the
    /// console.
    Serial {
        /// The register.
        offset: u8,
        /// One byte, or the bytes to transmit.
        bytes: &'a [u8],
    },
    /// This vCPU is done, with this code.
    Exit(u8),
    /// This vCPU has met something it cannot go on from: one sentence.
    Fault(String),
    /// Reset the machine.
    Reset,
}

/// What is left to do for a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortRead {
    /// Nothing: the data stand in the buffer.
    Done,
    /// Have the serial port's owner read this register, one byte.
    Serial {
        /// The register.
        offset: u8,
    },
}

impl Ports {
    /// A machine's ports, the serial port's registers among them.
    ///
    /// # Errors
    /// [`DeviceError::Overlap`] would be a mistake in this crate's port numbers.
    pub fn new(serial: Arc<Registers>) -> Result<Self, DeviceError> {
        let mut bus = Bus::new();
        bus.add(
            SERIAL_PORT..=SERIAL_PORT + serial::PORTS - 1,
            Device::Serial,
        )?;
        bus.add(EXIT_PORT..=EXIT_PORT, Device::Exit)?;
        bus.add(FAULT_PORT..=FAULT_PORT, Device::Fault)?;
        bus.add(RESET_PORT..=RESET_PORT, Device::Reset)?;
        Ok(Ports {
            bus,
            serial,
            fault: FaultRecord::default(),
        })
    }

    /// A write of `data` to `port`: one access, or the bytes of a string instruction.
    pub fn write<'a>(&mut self, port: u16, data: &'a [u8]) -> PortWrite<'a> {
        match self.bus.find(port) {
            Some((Device::Serial, offset)) => self.write_serial(offset as u8, data),
            Some((Device::Exit, _)) => exit::exit(data),
            Some((Device::Fault, _)) => self.fault.push(data),
            Some((Device::Reset, _)) => exit::reset(data),
            None => PortWrite::Done,
        }
    }

    /// A read from `port` into `data`. What nobody answers reads as ones.
    pub fn read(&self, port: u16, data: &mut [u8]) -> PortRead {
        data.fill(0xff);
        match (self.bus.find(port), data) {
            (Some((Device::Serial, offset)), [byte]) => match self.serial.read(offset as u8) {
                Some(value) => *byte = value,
                None => {
                    return PortRead::Serial {
                        offset: offset as u8,
                    };
                }
            },
            // An i8042 whose buffers are empty, ready for a command.
            (Some((Device::Reset, _)), [byte]) => *byte = 0,
            _ => {}
        }
        PortRead::Done
    }

    fn write_serial<'a>(&self, offset: u8, data: &'a [u8]) -> PortWrite<'a> {
        match data {
            [] => PortWrite::Done,
            _ if offset == serial::DATA && self.serial.transmits_plainly() => {
                PortWrite::Transmit(data)
            }
            [_] => PortWrite::Serial {
                offset,
                bytes: data,
            },
            _ if offset == serial::DATA => PortWrite::Serial {
                offset,
                bytes: data,
            },
            _ => PortWrite::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Serial;
    use proptest::prelude::*;
    use vmm_sys_util::eventfd::EventFd;

    fn ports() -> Ports {
        Ports::new(Serial::new(EventFd::new(0).unwrap()).registers()).unwrap()
    }

    #[test]
    fn a_port_where_nothing_answers_reads_as_ones_and_ignores_writes() {
        let mut ports = ports();
        let mut data = [0; 2];
        assert_eq!(ports.read(0x80, &mut data), PortRead::Done);
        assert_eq!(data, [0xff; 2]);
        assert_eq!(ports.write(0x80, &data), PortWrite::Done);
    }

    #[test]
    fn the_reset_port_says_ready_and_then_resets() {
        let mut ports = ports();
        let mut status = [0xff];
        assert_eq!(ports.read(RESET_PORT, &mut status), PortRead::Done);
        assert_eq!(status, [0]);
        assert_eq!(ports.write(RESET_PORT, &[0xfe]), PortWrite::Reset);
        assert_eq!(ports.write(RESET_PORT, &[0xd1]), PortWrite::Done);
    }

    proptest! {
        #[test]
        fn no_access_of_any_port_or_size_panics(
            port: u16,
            near in prop_oneof![Just(SERIAL_PORT), Just(EXIT_PORT), Just(FAULT_PORT), Just(RESET_PORT)],
            mut data in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut ports = ports();
            for port in [port, near, near.wrapping_add(port % 8)] {
                let _ = ports.write(port, &data);
                let _ = ports.read(port, &mut data);
            }
        }
    }
}
