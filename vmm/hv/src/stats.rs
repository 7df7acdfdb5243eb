//! What KVM counts of a vCPU, in the kernel's binary statistics (Documentation/virt/kvm/api.rst, 4.134).
//!
//! ```text
//!   header: name_size, num_desc, desc_offset, data_offset
//!   descriptors at desc_offset: flags, exponent, size, offset, bucket_size, name[name_size]; num_desc of them
//!   data at data_offset: a descriptor's values, 8 bytes each, are `offset` bytes in
//! ```
//!
//! The file is read without the vCPU's lock, by any thread, while the vCPU runs; only to be opened it has to stand still.

use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;

use kvm_ioctls::VcpuFd;
use vmm_sys_util::ioctl::ioctl;
use vmm_sys_util::ioctl_io_nr;

use crate::HvError;

ioctl_io_nr!(KVM_GET_STATS_FD, kvm_bindings::KVMIO, 0xce);

const HEADER_BYTES: usize = 24;
/// Before its name.
const DESCRIPTOR_BYTES: usize = 16;
/// No kernel is near this: the descriptors, and the data, are read at once.
const MOST_BYTES: usize = 256 << 10;

/// The statistics that are looked for.
const NAMES: [&str; 3] = ["exits", "halt_poll_success_ns", "halt_poll_fail_ns"];

/// What KVM has counted of a vCPU since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VcpuCounts {
    /// Exits from the guest, to KVM: those that come as far as a [`VmExit`](crate::VmExit) are some of them.
    pub exits: u64,
    /// Nanoseconds that KVM polled before a halt, for a wake-up that came meanwhile.
    pub halt_poll_success_ns: u64,
    /// Nanoseconds that KVM polled before a halt in vain.
    pub halt_poll_fail_ns: u64,
}

/// A vCPU's statistics. They stay readable after the vCPU is dropped.
#[derive(Debug)]
pub struct VcpuStats {
    file: File,
    /// Where in the file each of [`NAMES`] is; not known before the first reading.
    places: Option<[u64; NAMES.len()]>,
}

impl VcpuStats {
    /// Opens those of `vcpu`, which must not be running: the request would wait for it.
    pub(crate) fn of(vcpu: &VcpuFd) -> Result<Self, HvError> {
        // SAFETY: the request takes no argument and touches none of our memory; `vcpu` is a vCPU.
        let fd = unsafe { ioctl(vcpu, KVM_GET_STATS_FD()) };
        if fd < 0 {
            return Err(HvError::kvm("KVM_GET_STATS_FD")(
                vmm_sys_util::errno::Error::last(),
            ));
        }
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
        let file = unsafe { File::from_raw_fd(fd) };
        Ok(VcpuStats { file, places: None })
    }

    /// Reads them: one system call, and two more the first time.
    ///
    /// # Errors
    ///
    /// [`HvError::Statistics`] where the kernel's file is not as it is documented, or has no such statistic.
    pub fn read(&mut self) -> Result<VcpuCounts, HvError> {
        self.read_file().map_err(HvError::Statistics)
    }

    fn read_file(&mut self) -> io::Result<VcpuCounts> {
        let places = match self.places {
            Some(places) => places,
            None => *self.places.insert(find(&self.file)?),
        };
        let (first, last) = (
            places.iter().copied().min().unwrap_or_default(),
            places.iter().copied().max().unwrap_or_default(),
        );
        let mut values = vec![0; usize::try_from(last - first).map_err(io::Error::other)? + 8];
        self.file.read_exact_at(&mut values, first)?;
        let [exits, success, fail] = places.map(|place| {
            let at = (place - first) as usize;
            let mut value = [0; 8];
            value.copy_from_slice(&values[at..at + 8]);
            u64::from_ne_bytes(value)
        });
        Ok(VcpuCounts {
            exits,
            halt_poll_success_ns: success,
            halt_poll_fail_ns: fail,
        })
    }
}

/// Where in the file each of [`NAMES`] is.
fn find(file: &File) -> io::Result<[u64; NAMES.len()]> {
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, 0)?;
    let [name_size, count, descriptors_at, data_at] = [4, 8, 16, 20].map(|at| u32_at(&header, at));
    let each = DESCRIPTOR_BYTES + name_size as usize;
    let bytes = each.checked_mul(count as usize);
    let bytes = bytes
        .filter(|bytes| (1..=MOST_BYTES).contains(bytes))
        .ok_or_else(|| io::Error::other(format!("{count} descriptors of {each} bytes")))?;
    let mut descriptors = vec![0; bytes];
    file.read_exact_at(&mut descriptors, descriptors_at.into())?;
    let mut places = [0; NAMES.len()];
    for (place, name) in places.iter_mut().zip(NAMES) {
        let offset = offset_of(&descriptors, each, name)
            .ok_or_else(|| io::Error::other(format!("no statistic {name}")))?;
        *place = u64::from(data_at) + u64::from(offset);
    }
    Ok(places)
}

/// Where in the data the value of `name` is, by descriptors of `each` bytes.
fn offset_of(descriptors: &[u8], each: usize, name: &str) -> Option<u32> {
    let is_named = |descriptor: &&[u8]| {
        let text = descriptor[DESCRIPTOR_BYTES..].split(|byte| *byte == 0);
        text.into_iter().next() == Some(name.as_bytes())
    };
    let descriptor = descriptors.chunks_exact(each).find(is_named)?;
    let offset = u32_at(descriptor, 8);
    ((offset as usize) < MOST_BYTES).then_some(offset)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_ne_bytes(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(name: &str, offset: u32) -> Vec<u8> {
        let mut bytes = vec![0; DESCRIPTOR_BYTES + 16];
        bytes[8..12].copy_from_slice(&offset.to_ne_bytes());
        bytes[DESCRIPTOR_BYTES..][..name.len()].copy_from_slice(name.as_bytes());
        bytes
    }

    #[test]
    fn a_statistic_is_found_by_its_whole_name() {
        let all = [
            descriptor("io_exits", 8),
            descriptor("exits", 64),
            descriptor("exits_x", 72),
            descriptor("far", u32::MAX),
        ];
        let (all, each) = (all.concat(), DESCRIPTOR_BYTES + 16);
        assert_eq!(offset_of(&all, each, "exits"), Some(64));
        assert_eq!(offset_of(&all, each, "exit"), None);
        assert_eq!(offset_of(&all, each, "far"), None, "past any data");
        assert_eq!(offset_of(&[], each, "exits"), None);
    }
}
