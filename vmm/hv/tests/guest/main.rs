//! The tiny guest on real KVM, through `hv` alone: a thread a vCPU and no device but ports answered
//! on the spot. Every wait has an end.

// The one unsafe call reads the clock of the calling thread.
#![allow(unsafe_code)]

mod counts;
mod exits;
mod kicks;
mod rig;
mod script;
