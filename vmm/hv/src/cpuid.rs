//! What CPUID says to a vCPU: what this KVM supports, plus the vCPU's own number.
//!
//! Leaf numbers are those of the Intel SDM, volume 2A, "CPUID", and of the AMD APM, volume 3,
//! appendix E.

use kvm_bindings::CpuId;

const FEATURES: u32 = 0x1;
const TOPOLOGY: u32 = 0xb;
const TOPOLOGY_V2: u32 = 0x1f;
const AMD_TOPOLOGY: u32 = 0x8000_001e;

/// Leaf 1, ECX bit 31: a hypervisor is present, and its leaves begin at 0x4000_0000.
const HYPERVISOR_PRESENT: u32 = 1 << 31;

/// The CPUID of vCPU `index`, out of what this KVM supports.
pub(crate) fn of_vcpu(supported: &CpuId, index: u16) -> CpuId {
    let id = u32::from(index);
    let mut cpuid = supported.clone();
    for entry in cpuid.as_mut_slice() {
        match entry.function {
            FEATURES => {
                // Bits 31-24 are the initial APIC id, one byte of it.
                entry.ebx = (entry.ebx & 0x00ff_ffff) | (id << 24);
                entry.ecx |= HYPERVISOR_PRESENT;
            }
            TOPOLOGY | TOPOLOGY_V2 => entry.edx = id,
            AMD_TOPOLOGY => entry.eax = id,
            _ => {}
        }
    }
    cpuid
}

#[cfg(test)]
mod tests {
    use kvm_bindings::kvm_cpuid_entry2;

    use super::*;

    #[test]
    fn each_vcpu_reads_its_own_apic_id_and_a_hypervisor() {
        let leaf = |function| kvm_cpuid_entry2 {
            function,
            ebx: 0xaa00_1234,
            ..Default::default()
        };
        let supported = CpuId::from_entries(&[leaf(0), leaf(1), leaf(0xb)]).unwrap();
        let cpuid = of_vcpu(&supported, 5);
        let entries = cpuid.as_slice();
        assert_eq!(entries[0].ebx, 0xaa00_1234);
        assert_eq!(entries[1].ebx, 0x0500_1234);
        assert_eq!(entries[1].ecx, 1 << 31);
        assert_eq!(entries[2].edx, 5);
    }
}
