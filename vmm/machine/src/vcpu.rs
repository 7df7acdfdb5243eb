//! A vCPU: one thread that runs it.
//!
//! ```text
//!              Enter                    console full
//!   ─▶ Outside ─────▶ Inside ─────────────────────────▶ Blocked
//!         ▲             │ ▲ └── Leave ──▶ Outside          │ │
//!         │             │ └──────── room, or given up ─────┘ │
//!         └───────────────────────────── Leave ──────────────┘
//!   any ── End, or the guest's own end ──▶ Ended
//! ```
//!
//! *Outside* is the first state, and only the order `Enter` leads from it into the guest; `control`
//! sends that after the supervisor's `Go`. *Blocked* is outside of the guest too: output waits for
//! room in the console pipe. That a vCPU is held, because it is frozen or throttled, is no state here: `control`
//! has it leave, and keeps `Enter` back.
//!
//! An order is put in the mailbox and then the thread is kicked. The thread clears the kick, *then*
//! drains the mailbox, then enters: one that comes after the drain has its kick still to come, or
//! it has set the byte again, and the entry returns at once.

use std::sync::Arc;
use std::thread::JoinHandle;

use actor::{Address, Closed, Mailbox, mailbox};
use hv::{Entry, HvError, Kicker, Vcpu, VcpuStats, Vm, VmExit};

use crate::MachineError;
use crate::board::{Board, Next};
use crate::control::Report;
use crate::life::End;
use crate::threads;

/// `control` has at most one order to enter, one to leave and one to end open with a vCPU.
const MAILBOX: usize = 4;

/// An order to a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Run the guest.
    Enter,
    /// Leave the guest and report it.
    Leave,
    /// End the thread.
    End,
}

/// A vCPU's thread, as `control` holds it.
#[derive(Debug)]
pub(crate) struct Handle {
    orders: Address<Order>,
    thread: JoinHandle<()>,
    /// Known once the thread has reported itself ready.
    pub ready: Option<(u32, Kicker)>,
}

impl Handle {
    /// Give an order, and get the vCPU out of the guest to hear it.
    pub fn order(&self, order: Order) {
        // Never full (see [`MAILBOX`]); one that has ended needs no orders.
        let _ = self.orders.try_send(order);
        if let (Order::Leave | Order::End, Some((_, kicker))) = (order, &self.ready) {
            kicker.kick();
        }
    }

    /// Wait for a thread that has reported its end.
    pub fn join(self) {
        let _ = self.thread.join();
        if let Some((tid, _)) = self.ready {
            threads::wait_gone(tid);
        }
    }
}

/// Start the thread. It makes its vCPU in `vm`, reports itself ready, waits for the order to enter, and
/// its last act is to report its end.
///
/// # Errors
/// The kernel refuses a thread. What KVM refuses comes with the report.
pub(crate) fn start(
    index: u16,
    vm: Arc<Vm>,
    entry: Entry,
    board: Board,
) -> Result<Handle, MachineError> {
    let (orders, mailbox) = mailbox(MAILBOX);
    let thread = threads::spawn(format!("vcpu{index}"), move || {
        let reports = board.reports.clone();
        let tid = threads::this_tid();
        let made = make(index, &vm, &entry);
        drop(vm);
        let (vcpu, made) = match made {
            Ok((vcpu, kicker, stats)) => (Some(vcpu), Ok((kicker, stats))),
            Err(error) => (None, Err(error)),
        };
        let _ = reports.send(Report::VcpuReady { index, tid, made });
        if let Some(vcpu) = vcpu {
            let runner = Runner {
                index,
                vcpu,
                mailbox,
                board,
            };
            let end = runner.run();
            let _ = reports.send(Report::Ended { index, end });
        }
    })?;
    Ok(Handle {
        orders,
        thread,
        ready: None,
    })
}

/// Make the vCPU on the thread that will run it. This takes about 0.2 ms, so several threads do it at
/// once; and a vCPU that changes threads between two entries costs a grace period on kernels before
/// 6.12. For the same reasons it is vCPU 0's thread, and not `control`, that enters KVM once without
/// running the guest: it makes KVM start its helper thread now, to be announced with the others.
///
/// Its statistics are opened here as well, since later the request would wait for the guest; a vCPU does without them.
fn make(index: u16, vm: &Vm, entry: &Entry) -> Result<(Vcpu, Kicker, Option<VcpuStats>), HvError> {
    let mut vcpu = vm.create_vcpu(index, entry)?;
    let kicker = vcpu.kick_handle_for_this_thread()?;
    let stats = vm.stats_of(&vcpu).ok().flatten();
    if index == 0 {
        vcpu.touch()?;
    }
    Ok((vcpu, kicker, stats))
}

struct Runner {
    index: u16,
    vcpu: Vcpu,
    mailbox: Mailbox<Order>,
    board: Board,
}

enum State {
    Outside,
    Inside,
    Blocked,
    Ended(End),
}

impl Runner {
    fn run(mut self) -> End {
        let mut state = State::Outside;
        loop {
            state = match state {
                State::Outside => self.outside(),
                State::Inside => self.inside(),
                State::Blocked => self.blocked(),
                State::Ended(end) => {
                    self.board.drop_unsent();
                    return end;
                }
            }
        }
    }

    fn outside(&mut self) -> State {
        match self.mailbox.recv() {
            Some(Order::Enter) => State::Inside,
            Some(Order::Leave) => self.leave(),
            Some(Order::End) | None => State::Ended(End::Told),
        }
    }

    fn inside(&mut self) -> State {
        self.vcpu.clear_kick();
        if let Some(state) = self.ordered() {
            return state;
        }
        if self.board.has_unsent() {
            return State::Blocked;
        }
        loop {
            let next = match self.vcpu.run() {
                Ok(VmExit::PioWrite { port, data }) => self.board.write_port(port, data),
                Ok(VmExit::PioRead { port, data }) => self.board.read_port(port, data),
                Ok(VmExit::MmioWrite { address, data }) => self.board.write_address(address, data),
                Ok(VmExit::MmioRead { address, data }) => self.board.read_address(address, data),
                Ok(VmExit::Kicked) => return State::Inside,
                Ok(VmExit::SystemEvent(event)) => self.board.system_event(event),
                Ok(VmExit::Halted) => fault("halted, and nothing can wake it".into()),
                Ok(VmExit::Shutdown) => fault("triple fault".into()),
                Ok(VmExit::Fault { what }) => fault(what),
                Err(error) => fault(error.to_string()),
            };
            match next {
                Next::Enter => {}
                Next::Block => return State::Blocked,
                Next::End(end) => return State::Ended(end),
            }
        }
    }

    fn blocked(&mut self) -> State {
        if let Some(state) = self.ordered() {
            return state;
        }
        match self.board.wait_for_console() {
            Next::Enter => State::Inside,
            Next::Block => State::Blocked,
            Next::End(end) => State::Ended(end),
        }
    }

    /// The state that an order in the mailbox leads to, if one is there.
    fn ordered(&mut self) -> Option<State> {
        loop {
            match self.mailbox.try_recv() {
                Ok(None) => return None,
                Ok(Some(Order::Enter)) => {}
                Ok(Some(Order::Leave)) => return Some(self.leave()),
                Ok(Some(Order::End)) | Err(Closed) => return Some(State::Ended(End::Told)),
            }
        }
    }

    fn leave(&mut self) -> State {
        let _ = self.board.reports.send(Report::Left { index: self.index });
        State::Outside
    }
}

fn fault(what: String) -> Next {
    Next::End(End::Fault(what))
}
