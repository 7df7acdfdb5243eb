/*
 * The floor: the least a program can do between its start and the first serial byte of a KVM guest.
 *
 * One VM with 64 MiB and an in-kernel interrupt controller, one vCPU, one byte written to port 0x3f8
 * from real mode, which this program passes on to its standard output. Nothing is checked beyond
 * what a caller can see: it either prints the byte and ends with 0, or it does not.
 *
 * Build: cc -O2 -static -o floor floor.c
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RAM = 64 << 20, CODE = 0x1000 };

/* mov $0x3f8, %dx; mov $'!', %al; out %al, %dx; hlt */
static const unsigned char code[] = { 0xba, 0xf8, 0x03, 0xb0, '!', 0xee, 0xf4 };

int main(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);
	unsigned char *ram = mmap(0, RAM, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (kvm < 0 || vm < 0 || ram == MAP_FAILED)
		return 1;
	for (unsigned i = 0; i < sizeof code; i++)
		ram[CODE + i] = code[i];

	/* Memory before the interrupt controller: after it, this call waits for a grace period. */
	struct kvm_userspace_memory_region region = {
		.memory_size = RAM,
		.userspace_addr = (unsigned long)ram,
	};
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 || ioctl(vm, KVM_CREATE_IRQCHIP, 0) < 0)
		return 1;

	int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	struct kvm_run *run = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	struct kvm_sregs sregs;
	if (run == MAP_FAILED || ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
		return 1;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	struct kvm_regs regs = { .rip = CODE, .rflags = 2 };
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu, KVM_SET_REGS, &regs) < 0)
		return 1;

	if (ioctl(vcpu, KVM_RUN, 0) < 0 || run->exit_reason != KVM_EXIT_IO || run->io.port != 0x3f8)
		return 1;
	return write(1, (char *)run + run->io.data_offset, 1) == 1 ? 0 : 1;
}
