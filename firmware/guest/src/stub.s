# The ring-0 stub: all tables, the entry, the gate, the handlers.
#
# Ring 0 may be run by an instruction emulator at half a microsecond an instruction, so whatever can
# be a constant is one: page tables, descriptor tables and their contents are assembled, not built.
# Everything lies in one section, so that the assembler knows the distances between its parts.
#
# Entry: 64-bit long mode, level 0, paging on over `boot`, interrupts off, RDI = number of the vCPU,
# no stack and no descriptor tables. The first ring-3 instruction is the 19th. A VMM could set all
# tables from outside and enter in ring 3; measured, that saves 13 microseconds of a first run that
# takes 200, and would tie the VMM's entry to this one guest. What a kernel expects is kept instead.

.section .boot, "awx"
.code64

# Page tables: 0 to 1 GiB is memory, 3 to 4 GiB is for devices (uncached), in pages of 2 MiB; the
# rest is not mapped. Everything is open to ring 3. "Accessed" and "dirty" are set from the start.
.set TABLE, 0x67                     # present, writable, user, accessed, dirty
.set MEMORY, 0xe7                    # and a 2 MiB page
.set DEVICES, 0xff                   # and uncached
boot:
    .quad pointers + TABLE
    .balign 4096
pointers:
    .quad low + TABLE, 0, 0, high + TABLE
    .balign 4096
.macro PAGES first, flags
    .set page, \first
    .rept 512
    .quad page + \flags
    .set page, page + 0x200000
    .endr
.endm
low:
    PAGES 0, MEMORY
high:
    PAGES 0xc0000000, DEVICES

# Descriptors. Those of the task state segments have their base in four pieces.
.set KERNEL_CODE, 0x08
.set USER_DATA, 0x1b
.set USER_CODE, 0x23
.set TASKS, 0x30
.set TASK_LIMIT, 104 - 1
gdt:
    .quad 0
    .quad 0x00209b0000000000         # KERNEL_CODE
    .quad 0x00cf93000000ffff
    .quad 0x00cff3000000ffff         # USER_DATA
    .quad 0x0020fb0000000000         # USER_CODE
    .quad 0
    .set slot, {slots}
    .rept {max_vcpus}
    .word TASK_LIMIT, slot & 0xffff
    .byte (slot >> 16) & 0xff, 0x89, 0, slot >> 24
    .quad 0
    .set slot, slot + {slot_bytes}
    .endr
gdt_end:

.macro GATE handler, kind            # the image starts at a multiple of 64 KiB
    .word \handler - boot, KERNEL_CODE
    .byte 0, \kind
    .word {image} >> 16
    .quad 0
.endm
.set RING_0, 0x8e
.set RING_3, 0xee
idt:
    .set vector, 0
    .rept 32
    .if vector == 3
    GATE gate, RING_3
    .else
    GATE (faults + 16 * vector), RING_0
    .endif
    .set vector, vector + 1
    .endr
    GATE awaited, RING_0             # vector 0x20: the timer
    GATE awaited, RING_0             # vector 0x21: the vsock device
    .space 13 * 16
    GATE spurious, RING_0            # vector 0x2f
idt_end:

gdtr:
    .word gdt_end - gdt - 1
    .quad gdt
idtr:
    .word idt_end - idt - 1
    .quad idt

# A vCPU writes the one field its task state segment needs, the ring-0 stack, which begins at the end
# of its slot; loads that segment; and leaves for Rust.
.balign 16
.global _start
_start:
    lgdt gdtr
    lidt idtr
    mov %edi, %eax
    shl $8, %eax                     # slot_bytes
    lea {slots} + {slot_bytes}(%rax), %rsp
    mov %rsp, {slots} + 4(%rax)
    lea TASKS(, %rdi, 8), %ecx
    lea (%rcx, %rdi, 8), %ecx
    ltr %cx
    mov %edi, %edx
    shl $14, %edx                    # stack_bytes
    lea {stacks} + {stack_bytes} - 8(%rdx), %edx
    push $USER_DATA
    push %rdx
    push $2                          # interrupts off, for good: only the gate lets them in
    push $USER_CODE
    push $main
    iretq

# int3 from ring 3. With a count in RCX: write that many bytes from RSI to port DX. (A port exit from
# ring 3, which an I/O bitmap could allow, costs three times as much where KVM emulates ring 0.)
# With none: wait for an interrupt. Those that come, come here, between sti and cli; the caller
# expects RAX to be lost.
.balign 16
gate:
    jrcxz 1f
    rep outsb
    iretq
1:  sti
halt:
    hlt
    cli
    iretq

# An interrupt that comes between sti and hlt must not be followed by that hlt, which might never end.
# The processor holds interrupts off for one instruction after sti; an emulator of ring 0 need not.
awaited:
    mov $0xfee000b0, %eax            # end of interrupt
    movl $0, (%rax)
spurious:
    cmpq $halt, (%rsp)               # where it came: on the hlt?
    jne 1f
    incq (%rsp)                      # one byte further
1:  iretq

# Faults: vector 0 at `faults`, 1 at `faults` + 16, and so on.
.balign 16
faults:
    .set vector, 0
    .rept 32
    .balign 16
    .if (0x60227d00 >> vector) & 1 == 0
    push $0                          # where the processor pushes no error code
    .endif
    push $vector
    jmp fault
    .set vector, vector + 1
    .endr

.balign 16
fault:                               # the stack: vector, error code, RIP
    mov ${fault_port}, %edx
    pop %rax
    out %al, %dx
    mov 8(%rsp), %rax
    out %eax, %dx
    pop %rax
    out %eax, %dx
    mov %cr2, %rax
    out %eax, %dx
    shr $32, %rax
    out %eax, %dx
1:  hlt
    jmp 1b
