//! Guests of a few instructions, assembled by hand.
//!
//! The image is page tables only. The script of the order is the program itself: it becomes the boot
//! page, where every vCPU starts with its index in RDI.

use machine::TinyImage;

const IMAGE: u64 = 0x10_0000;
const PAGE: u64 = 0x1000;
const PROGRAM: u64 = IMAGE + 3 * PAGE;
const HEADERS: usize = 0x78;

/// Three page tables that map the first 2 MiB to itself.
pub fn image() -> TinyImage {
    let mut elf = vec![0; HEADERS + 3 * PAGE as usize];
    let mut put = |at: usize, bytes: &[u8]| elf[at..at + bytes.len()].copy_from_slice(bytes);
    // ELF-64, little endian, executable for x86-64 (ELF specification, figures 1-3 and 2-1).
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &[2, 0, 62, 0, 1]);
    put(24, &PROGRAM.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(52, &[64, 0, 56, 0, 1]);
    // One PT_LOAD, all rights.
    put(64, &[1, 0, 0, 0, 7]);
    put(72, &(HEADERS as u64).to_le_bytes());
    put(80, &IMAGE.to_le_bytes());
    put(88, &IMAGE.to_le_bytes());
    put(96, &(3 * PAGE).to_le_bytes());
    put(104, &(3 * PAGE).to_le_bytes());
    // Present and writable; the last one a 2 MiB page.
    put(HEADERS, &(IMAGE + PAGE + 3).to_le_bytes());
    put(
        HEADERS + PAGE as usize,
        &(IMAGE + 2 * PAGE + 3).to_le_bytes(),
    );
    put(HEADERS + 2 * PAGE as usize, &0x83u64.to_le_bytes());
    TinyImage {
        elf: elf.leak(),
        page_table_root: IMAGE,
        boot_page_address: PROGRAM,
        boot_page: |_, _, script| script.to_vec(),
    }
}

/// A program being written.
#[derive(Default)]
pub struct Program(Vec<u8>);

impl Program {
    pub fn new() -> Self {
        Program::default()
    }

    pub fn bytes(self) -> Vec<u8> {
        self.0
    }

    fn code(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn here(&self) -> u32 {
        PROGRAM as u32 + self.0.len() as u32
    }

    /// Print `text` with one `rep outsb`.
    pub fn print(self, text: &str) -> Self {
        let length = text.len() as u32;
        let program = self.code(&[0xe9]).code(&length.to_le_bytes()); // jmp past the text
        let address = program.here();
        program
            .code(text.as_bytes())
            .code(&[0x66, 0xba, 0xf8, 0x03]) // mov dx, 0x3f8
            .code(&[0xbe]) // mov esi, address
            .code(&address.to_le_bytes())
            .code(&[0xb9]) // mov ecx, length
            .code(&length.to_le_bytes())
            .code(&[0xf3, 0x6e]) // rep outsb
    }

    /// Go on with `program`, which must not print: its text would not be found.
    pub fn then(self, program: Program) -> Self {
        self.code(&program.bytes())
    }

    /// Write `value` to the port in the low 256, or to a register of the serial port.
    pub fn out(self, port: u16, value: u8) -> Self {
        let [low, high] = port.to_le_bytes();
        self.code(&[0x66, 0xba, low, high, 0xb0, value, 0xee]) // mov dx, port; mov al, value; out dx, al
    }

    /// Read `from` and write what was read to `to`.
    pub fn copy(self, from: u16, to: u16) -> Self {
        let ([a, b], [c, d]) = (from.to_le_bytes(), to.to_le_bytes());
        // mov dx, from; in al, dx; mov dx, to; out dx, al
        self.code(&[0x66, 0xba, a, b, 0xec, 0x66, 0xba, c, d, 0xee])
    }

    /// End this vCPU.
    pub fn exit(self, code: u8) -> Self {
        self.out(0xf4, code)
    }

    /// End this vCPU, its index as the code.
    pub fn exit_with_index(self) -> Self {
        self.code(&[0x40, 0x88, 0xf8, 0xe6, 0xf4]) // mov al, dil; out 0xf4, al
    }

    /// Go on only as vCPU 0; the others do what `others` says.
    pub fn only_vcpu0(self, others: Program) -> Self {
        let others = others.bytes();
        // test edi, edi; jz past the others
        self.code(&[0x85, 0xff, 0x0f, 0x84])
            .code(&(others.len() as u32).to_le_bytes())
            .code(&others)
    }

    /// Spin for ever.
    pub fn spin(self) -> Self {
        self.code(&[0xeb, 0xfe])
    }

    /// Halt for ever: interrupts are off.
    pub fn halt(self) -> Self {
        self.code(&[0xf4])
    }

    /// An undefined instruction; with no interrupt table, a triple fault.
    pub fn crash(self) -> Self {
        self.code(&[0x0f, 0x0b])
    }

    /// From the start again, for ever.
    pub fn repeat(self) -> Self {
        let back = PROGRAM as u32;
        let from = self.here() + 5;
        self.code(&[0xe9])
            .code(&back.wrapping_sub(from).to_le_bytes())
    }

    /// From the start again, `times` in all; EBX counts.
    pub fn repeat_times(self, times: u32) -> Self {
        // inc ebx; cmp ebx, times; jb to the start
        let program = self
            .code(&[0xff, 0xc3, 0x81, 0xfb])
            .code(&times.to_le_bytes());
        let from = program.here() + 6;
        let back = (PROGRAM as u32).wrapping_sub(from);
        program.code(&[0x0f, 0x82]).code(&back.to_le_bytes())
    }
}
