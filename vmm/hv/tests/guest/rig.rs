//! A machine of the least kind around `hv` and the tiny guest: a thread a vCPU, ports answered on
//! the spot, everything bounded in time.

use std::cell::Cell;
use std::io::Cursor;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use firmware::script::Script;
use hv::{Entry, GuestMemory, HvError, Hypervisor, Kicker, Vcpu, Vm, VmExit};
use linux_loader::loader::{Elf, KernelLoader};
use vm_memory::{Bytes, GuestAddress};

/// How long a test waits for anything at all.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How long a test may take as a whole. A guest that runs on the test's own thread can be ended in no
/// other way than with the process.
const TEST_LIMIT: Duration = Duration::from_secs(60);

thread_local! {
    /// Keeps the watchdog of this thread's test asleep; dropped with the thread or by the next test.
    static WATCHED: Cell<Option<Sender<()>>> = const { Cell::new(None) };
}

fn start_watchdog() {
    let (watched, end) = channel();
    WATCHED.set(Some(watched));
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::spawn(move || {
        if end.recv_timeout(TEST_LIMIT) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{test} did not end within {TEST_LIMIT:?}");
            std::process::abort();
        }
    });
}

/// How a vCPU's thread ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Exited(u8),
    /// The writes to the fault port, in order.
    Faulted(Vec<Vec<u8>>),
    Reset,
    Shutdown,
    Stuck(String),
    Kicked,
}

/// What a vCPU's thread did.
#[derive(Debug)]
pub struct Ending {
    pub end: End,
    /// What it wrote to the serial port.
    pub serial: Vec<u8>,
    /// Processor time of its thread from its first run on.
    pub busy: Duration,
    pub elapsed: Duration,
    pub exits: usize,
}

impl Ending {
    pub fn text(&self) -> String {
        String::from_utf8(self.serial.clone()).expect("the guest prints UTF-8")
    }
}

/// A running guest.
pub struct Guest {
    pub kickers: Vec<Kicker>,
    /// Every byte written to the serial port as it comes.
    serial: Receiver<u8>,
    threads: Vec<JoinHandle<()>>,
    endings: Receiver<(u16, Ending)>,
}

/// Opens KVM, or says aloud that the test is skipped and why. Only a host without the device is a
/// reason: one that has it must let these tests run.
pub fn hypervisor() -> Option<Hypervisor> {
    start_watchdog();
    match Hypervisor::open() {
        Ok(hypervisor) => Some(hypervisor),
        Err(error @ HvError::Absent) => {
            eprintln!("SKIPPED: this test needs KVM: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// A VM with the tiny guest in its memory, and the entry of its first vCPU.
pub fn load(hypervisor: &Hypervisor, vcpus: u16, lines: &[&str]) -> (Vm, Entry) {
    let memory = hv::guest_memory(64 << 20).expect("memory");
    let vm = hypervisor
        .create_vm_without_cpuid(memory)
        .expect("create_vm");
    let entry = fill(&vm, vcpus, lines);
    (vm, entry)
}

/// Puts the tiny guest into the VM's memory, and returns the entry of its first vCPU.
pub fn fill(vm: &Vm, vcpus: u16, lines: &[&str]) -> Entry {
    let script = Script::parse(lines).expect("a test's script is right");
    let image = load_image(vm.memory());
    let page = firmware::boot_page(vcpus, vm.tsc_khz().expect("tsc_khz"), &script.encode());
    vm.memory()
        .write_slice(&page, GuestAddress(firmware::BOOT_PAGE))
        .expect("boot page");
    let page_table_root = firmware::PAGE_TABLE_ROOT;
    Entry {
        instruction: image,
        page_table_root,
        argument: 0,
    }
}

fn load_image(memory: &GuestMemory) -> u64 {
    Elf::load(memory, None, &mut Cursor::new(firmware::ELF), None)
        .expect("the image loads")
        .kernel_load
        .0
}

pub fn vcpu(vm: &Vm, entry: &Entry, index: u16) -> Vcpu {
    vm.create_vcpu(
        index,
        &Entry {
            argument: u64::from(index),
            ..*entry
        },
    )
    .expect("create_vcpu")
}

/// Starts a guest of `vcpus`, or says that the test is skipped.
pub fn start(vcpus: u16, lines: &[&str]) -> Option<Guest> {
    let hypervisor = hypervisor()?;
    let (vm, entry) = load(&hypervisor, vcpus, lines);
    let (ending, endings) = channel();
    let (kicker, new_kickers) = channel();
    let (byte, serial) = channel();
    let threads = (0..vcpus)
        .map(|index| {
            let mut vcpu = vcpu(&vm, &entry, index);
            let (ending, kicker, byte) = (ending.clone(), kicker.clone(), byte.clone());
            std::thread::spawn(move || {
                let handle = vcpu.kick_handle_for_this_thread().expect("kick handle");
                kicker
                    .send((index, handle))
                    .expect("the test waits for the kicker");
                let on_byte = |new| {
                    let _ = byte.send(new);
                };
                // A test that has failed no longer listens.
                let _ = ending.send((index, run(&mut vcpu, on_byte)));
            })
        })
        .collect();
    let mut kickers: Vec<(u16, Kicker)> = (0..vcpus)
        .map(|_| new_kickers.recv_timeout(PATIENCE).expect("a thread starts"))
        .collect();
    kickers.sort_by_key(|(index, _)| *index);
    let kickers = kickers.into_iter().map(|(_, kicker)| kicker).collect();
    Some(Guest {
        kickers,
        serial,
        threads,
        endings,
    })
}

impl Guest {
    /// The endings of all vCPUs in order, at the latest after [`PATIENCE`].
    pub fn wait(self) -> Vec<Ending> {
        self.wait_with_serial().0
    }

    /// Waits for the first line on the serial port.
    pub fn await_line(&self) {
        while self
            .serial
            .recv_timeout(PATIENCE)
            .expect("a line comes in time")
            != b'\n'
        {}
    }

    /// As [`Guest::wait`], with all serial bytes of all vCPUs in the order in which they came.
    pub fn wait_with_serial(self) -> (Vec<Ending>, Vec<u8>) {
        let deadline = Instant::now() + PATIENCE;
        let mut endings: Vec<(u16, Ending)> = Vec::new();
        while endings.len() < self.threads.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            endings.push(
                self.endings
                    .recv_timeout(left)
                    .expect("every vCPU ends in time"),
            );
        }
        for thread in self.threads {
            thread.join().expect("a vCPU's thread does not panic");
        }
        endings.sort_by_key(|(index, _)| *index);
        let endings = endings.into_iter().map(|(_, ending)| ending).collect();
        (endings, self.serial.try_iter().collect())
    }
}

/// Runs a vCPU until its guest ends it or a kick does.
pub fn run(vcpu: &mut Vcpu, mut on_serial_byte: impl FnMut(u8)) -> Ending {
    let (started, before) = (Instant::now(), thread_time());
    let (mut serial, mut fault) = (Vec::new(), Vec::new());
    let mut exits = 0;
    let end = loop {
        exits += 1;
        match vcpu.run().expect("KVM_RUN") {
            VmExit::PioWrite {
                port: firmware::SERIAL_PORT,
                data,
            } => {
                serial.extend_from_slice(data);
                data.iter().copied().for_each(&mut on_serial_byte);
            }
            VmExit::PioWrite {
                port: firmware::EXIT_PORT,
                data,
            } => break End::Exited(data[0]),
            VmExit::PioWrite {
                port: firmware::RESET_PORT,
                data: [firmware::RESET_PULSE],
            } => {
                break End::Reset;
            }
            VmExit::PioWrite {
                port: firmware::FAULT_PORT,
                data,
            } => {
                fault.push(data.to_vec());
                if fault.len() == 5 {
                    break End::Faulted(fault);
                }
            }
            VmExit::Shutdown => break End::Shutdown,
            VmExit::Kicked => break End::Kicked,
            other => break End::Stuck(format!("{other:?}")),
        }
    };
    Ending {
        end,
        serial,
        busy: thread_time() - before,
        elapsed: started.elapsed(),
        exits,
    }
}

fn thread_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the answer, and lives across the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
