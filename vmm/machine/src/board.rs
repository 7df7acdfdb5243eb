//! What a vCPU's exits meet: the ports, the owner of the devices, the console.
//!
//! Each vCPU thread has its own. It carries out what [`Ports`] leaves to do and says how the vCPU
//! goes on.

use std::time::Instant;

use actor::Address;
use devices::virtio::MmioWrite;
use devices::{PortRead, PortWrite, Ports};
use hv::SystemEvent;

use crate::console::{self, Console};
use crate::control::Report;
use crate::io::Request;
use crate::life::End;
use crate::vsock::Window;

/// How a vCPU goes on after an exit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Back into the guest.
    Enter,
    /// Not before the console has taken the output.
    Block,
    /// Not at all.
    End(End),
}

/// The machine as one vCPU meets it.
#[derive(Debug)]
pub(crate) struct Board {
    pub ports: Ports,
    pub window: Option<Window>,
    pub devices: Address<Request>,
    pub console: Console,
    pub reports: Address<Report>,
    /// Output of one exit, at most a page, that the console had no room for, and since when.
    unsent: Option<(Vec<u8>, Instant)>,
}

impl Board {
    pub fn new(
        ports: Ports,
        window: Option<Window>,
        devices: Address<Request>,
        console: Console,
        reports: Address<Report>,
    ) -> Self {
        Board {
            ports,
            window,
            devices,
            console,
            reports,
            unsent: None,
        }
    }

    /// The guest wrote `data` to `port`.
    pub fn write_port(&mut self, port: u16, data: &[u8]) -> Next {
        match self.ports.write(port, data) {
            PortWrite::Done => Next::Enter,
            PortWrite::Transmit(bytes) => self.transmit(bytes),
            PortWrite::Serial { offset, bytes } => {
                let bytes = bytes.to_vec();
                let asked = self.devices.call(|reply| Request::SerialWrite {
                    offset,
                    bytes,
                    reply,
                });
                // Without an owner there is no device: the write goes nowhere.
                asked.map_or(Next::Enter, |sent| self.transmit(&sent))
            }
            PortWrite::Exit(code) => Next::End(End::Exit(code)),
            PortWrite::Fault(what) => Next::End(End::Fault(what)),
            PortWrite::Reset => Next::End(End::Reset),
        }
    }

    /// The guest reads `port`; the answer goes into `data`.
    pub fn read_port(&mut self, port: u16, data: &mut [u8]) -> Next {
        match self.ports.read(port, data) {
            PortRead::Done => {}
            PortRead::Serial { offset } => {
                let asked = self
                    .devices
                    .call(|reply| Request::SerialRead { offset, reply });
                // `data` holds ones, what a device that is not there would answer.
                if let Ok(value) = asked {
                    data.fill(value);
                }
            }
        }
        Next::Enter
    }

    /// The guest reads an address that is not memory. What nobody answers reads as ones.
    pub fn read_address(&mut self, address: u64, data: &mut [u8]) -> Next {
        match (&self.window, Window::offset(address)) {
            (Some(window), Some(offset)) => window.read(offset, data),
            _ => data.fill(0xff),
        }
        Next::Enter
    }

    /// The guest wrote `data` to an address that is not memory.
    pub fn write_address(&mut self, address: u64, data: &[u8]) -> Next {
        let (Some(window), Some(offset)) = (&self.window, Window::offset(address)) else {
            return Next::Enter;
        };
        let asked = match window.write(offset, data) {
            MmioWrite::Done => Ok(()),
            MmioWrite::Activate => self.devices.call(|reply| Request::Activate { reply }),
            MmioWrite::Reset => self.devices.call(|reply| Request::Reset { reply }),
            MmioWrite::Notify(queue) => {
                window.ring(queue);
                Ok(())
            }
        };
        // Without an owner the device stays as it is.
        let _ = asked;
        Next::Enter
    }

    /// The guest asked its platform, through KVM, for an end.
    pub fn system_event(&mut self, event: SystemEvent) -> Next {
        Next::End(match event {
            SystemEvent::Shutdown | SystemEvent::Reset => End::Reset,
            SystemEvent::Other(number) => End::Fault(format!("system event {number}")),
        })
    }

    /// Wait a little for the console to take what it had no room for.
    pub fn wait_for_console(&mut self) -> Next {
        let Some((bytes, since)) = self.unsent.take() else {
            return Next::Enter;
        };
        self.console.wait();
        self.send(&bytes, since)
    }

    /// Does output still wait for the console?
    pub fn has_unsent(&self) -> bool {
        self.unsent.is_some()
    }

    /// Count output that nobody will send any more.
    pub fn drop_unsent(&mut self) {
        if let Some((bytes, _)) = self.unsent.take() {
            self.console.lose(bytes.len());
        }
    }

    fn transmit(&mut self, bytes: &[u8]) -> Next {
        self.send(bytes, Instant::now())
    }

    /// Send `bytes`, which wait since `since`; keep what does not fit, until patience ends.
    fn send(&mut self, bytes: &[u8], since: Instant) -> Next {
        let written = self.console.write(bytes);
        if let Some(monotonic_ns) = written.first_at_ns {
            let _ = self.reports.send(Report::FirstOutput { monotonic_ns });
        }
        let rest = &bytes[written.taken..];
        if rest.is_empty() {
            return Next::Enter;
        }
        // A reader that takes some of it, however little, is alive.
        let since = if written.taken > 0 {
            Instant::now()
        } else {
            since
        };
        if since.elapsed() >= console::PATIENCE {
            self.console.give_up(rest.len());
            return Next::Enter;
        }
        self.unsent = Some((rest.to_vec(), since));
        Next::Block
    }
}
