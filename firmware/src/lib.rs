//! The tiny guest: its image, its boot page, its script language.
//!
//! The image is a small program that runs on one to [`MAX_VCPUS`] vCPUs and does what a
//! [`Script`](script::Script) says. A VMM loads [`ELF`], writes [`boot_page`] at [`BOOT_PAGE`], and
//! enters every vCPU in 64-bit long mode, level 0, at the image's entry point, with
//! [`PAGE_TABLE_ROOT`] as the top page table and the vCPU's number in RDI.
//!
//! This crate makes no VM and reads no device: it hands out bytes. What the guest does at its ports
//! stands with [`EXIT_PORT`], [`FAULT_PORT`], [`RESET_PORT`] and [`SERIAL_PORT`]; its vsock device, which
//! only the verbs that need one look for, with [`VSOCK_MMIO`] and [`VSOCK_GSI`].

pub mod script;

// Parts of these files are for the guest, or for the build script.
#[path = "../guest/src/change.rs"]
mod change;
#[path = "../guest/src/layout.rs"]
#[allow(dead_code)]
mod layout;
#[path = "../guest/src/step.rs"]
#[allow(dead_code)]
mod step;
#[path = "../guest/src/verb.rs"]
#[allow(dead_code)]
mod verb;

// What the guest does without its machine is tested here.
#[cfg(test)]
extern crate alloc;
#[cfg(test)]
#[path = "../guest/src/heap.rs"]
#[allow(unsafe_code)]
mod heap;
#[cfg(test)]
#[path = "../guest/src/kept.rs"]
mod kept;
#[cfg(test)]
#[path = "../guest/src/samples.rs"]
mod samples;

pub use layout::{
    BOOT_PAGE, EXIT_PORT, FAULT_PORT, MAX_SCRIPT_BYTES, MAX_VCPUS, PANIC_CODE, PATTERN_PERIOD,
    RESET_PORT, RESET_PULSE, SERIAL_PORT, VSOCK_GSI, VSOCK_MMIO, VSOCK_MMIO_BYTES,
};
pub use step::MAX_TEXT_BYTES;

/// The image: a static ELF executable of one segment.
pub const ELF: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest.elf"));

/// Guest-physical address of the image's own top page table. It maps the first GiB one to one, and
/// 3 to 4 GiB one to one and uncached.
pub const PAGE_TABLE_ROOT: u64 = layout::IMAGE;

/// The least memory a guest needs, in bytes: it lies at address 0 upwards.
pub const MIN_MEMORY_BYTES: u64 = layout::HEAP_END;

/// What the guest finds at [`BOOT_PAGE`]: how many vCPUs it has, the rate of its time stamp counter,
/// and an encoded script. Longer than a page if the script is.
///
/// # Panics
///
/// If there are no vCPUs or more than [`MAX_VCPUS`], or if `script` is longer than
/// [`MAX_SCRIPT_BYTES`], which no [`Script`](script::Script) encodes to.
pub fn boot_page(vcpus: u16, tsc_khz: u32, script: &[u8]) -> Vec<u8> {
    assert!((1..=MAX_VCPUS).contains(&vcpus), "{vcpus} vCPUs");
    assert!(
        script.len() <= MAX_SCRIPT_BYTES,
        "a script of {} bytes",
        script.len()
    );
    let header = layout::BootHeader {
        vcpus: u32::from(vcpus),
        tsc_khz,
        script_bytes: script.len() as u32,
    };
    [&header.encode(), script].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_page_is_read_back_as_it_was_written() {
        let page = boot_page(3, 2_445_432, b"script");
        let (header, script) = page.split_at(layout::BootHeader::BYTES);
        let header = layout::BootHeader::decode(header.try_into().unwrap()).unwrap();
        assert_eq!(
            (header.vcpus, header.tsc_khz, header.script_bytes),
            (3, 2_445_432, 6)
        );
        assert_eq!(script, b"script");
    }

    #[test]
    fn a_page_of_something_else_is_no_boot_page() {
        assert_eq!(layout::BootHeader::decode(&[0; 16]), None);
        let mut page = boot_page(1, 1, &[]);
        page[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(
            layout::BootHeader::decode(page[..16].try_into().unwrap()),
            None
        );
    }

    #[test]
    fn the_longest_boot_page_ends_below_the_image() {
        let page = boot_page(1, 1, &[0; MAX_SCRIPT_BYTES]);
        assert!(BOOT_PAGE + page.len() as u64 <= layout::IMAGE);
    }

    #[test]
    fn the_image_is_small_and_names_no_folder_of_the_machine_that_built_it() {
        assert_eq!(&ELF[..4], b"\x7fELF");
        // The driver, the agent and what they print; it lies below the slots at SLOTS.
        assert!(ELF.len() < 256 * 1024, "{} bytes", ELF.len());
        let folder = env!("CARGO_MANIFEST_DIR").as_bytes();
        assert!(!ELF.windows(folder.len()).any(|window| window == folder));
        assert!(
            !ELF.windows(6)
                .any(|window| window == b"/home/" || window == b"/root/")
        );
    }
}
