//! The tiny guest on real KVM, through `hv` alone.

// The one unsafe call reads the clock of the calling thread.
#![allow(unsafe_code)]

mod rig;

use rig::{End, start};

#[test]
fn a_line_of_print_arrives() {
    let Some(guest) = start(1, &["print hello", "exit 7"]) else { return };
    let endings = guest.wait();
    eprintln!("{endings:?}");
    assert_eq!(endings[0].end, End::Exited(7));
    assert_eq!(endings[0].text(), "vcpu0: hello\n");
}

#[test]
fn a_fault_is_reported() {
    let Some(guest) = start(1, &["fault"]) else { return };
    let endings = guest.wait();
    eprintln!("{endings:?}");
}
