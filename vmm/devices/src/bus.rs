//! The port space: which device answers at a port.
//!
//! Filled while a machine is built and only read afterwards. It knows no device, only names of them.

use std::ops::RangeInclusive;

use crate::DeviceError;

/// Disjoint port ranges, each with the device `D` that answers there.
#[derive(Clone, Debug)]
pub struct Bus<D> {
    ranges: Vec<(RangeInclusive<u16>, D)>,
}

impl<D: Copy> Bus<D> {
    /// A bus where nothing answers.
    pub fn new() -> Self {
        Bus { ranges: Vec::new() }
    }

    /// Let `device` answer at `ports`.
    ///
    /// # Errors
    /// [`DeviceError::Overlap`] when a device answers at one of them already; nothing is changed.
    pub fn add(&mut self, ports: RangeInclusive<u16>, device: D) -> Result<(), DeviceError> {
        let (first, last) = (*ports.start(), *ports.end());
        let taken = |held: &RangeInclusive<u16>| first <= *held.end() && *held.start() <= last;
        if self.ranges.iter().any(|(held, _)| taken(held)) {
            return Err(DeviceError::Overlap { first, last });
        }
        self.ranges.push((ports, device));
        Ok(())
    }

    /// The device that answers at `port`, and the port's distance from the device's first one.
    pub fn find(&self, port: u16) -> Option<(D, u16)> {
        // A machine has a handful of port devices: a scan beats a tree.
        let (ports, device) = self.ranges.iter().find(|(held, _)| held.contains(&port))?;
        Some((*device, port - ports.start()))
    }
}

impl<D: Copy> Default for Bus<D> {
    fn default() -> Self {
        Bus::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_finds_its_device_and_offset_and_no_other_port_does() {
        let mut bus = Bus::new();
        bus.add(0x3f8..=0x3ff, 'a').unwrap();
        bus.add(0xffff..=0xffff, 'b').unwrap();
        assert_eq!(bus.find(0x3f8), Some(('a', 0)));
        assert_eq!(bus.find(0x3ff), Some(('a', 7)));
        assert_eq!(bus.find(0xffff), Some(('b', 0)));
        assert_eq!(bus.find(0x3f7), None);
        assert_eq!(bus.find(0x400), None);
    }

    #[test]
    fn two_devices_never_share_a_port() {
        let mut bus = Bus::new();
        bus.add(0x10..=0x1f, 'a').unwrap();
        for ports in [0x1f..=0x20, 0x0..=0x10, 0x14..=0x15, 0x0..=0xffff] {
            assert!(bus.add(ports, 'b').is_err());
        }
        bus.add(0x20..=0x20, 'b').unwrap();
        assert_eq!(bus.find(0x1f), Some(('a', 0xf)));
    }
}
