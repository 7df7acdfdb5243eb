//! The terminal while it is ours: taken, and given back however the program ends.
//!
//! Given back when [`Terminal`] is dropped, which SIGTERM and SIGINT lead to, and by the panic hook that ratatui
//! sets: this program aborts at a panic, and its hooks run before that.
//!
//! A terminal that is gone needs nothing back. crossterm 0.29 reads such a one for ever, at the cost of a whole CPU and
//! without coming back (crossterm#793). So SIGHUP is left to end the program, and whoever has told it
//! to ignore that is met by a look at the terminal before each of crossterm's.

use std::io::{self, stdout};
use std::os::fd::AsFd;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, DisableBracketedPaste, EnableBracketedPaste, Event};
use ratatui::crossterm::{execute, terminal as tty};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::app::App;
use super::view;

/// The size that is taken where there is none to be found.
const CLASSIC: (u16, u16) = (80, 24);
/// The largest that is printed, or taken from the environment.
const LARGEST: u16 = 1_000;

/// A terminal in raw mode, on its second screen.
pub struct Terminal(DefaultTerminal);

impl Terminal {
    /// Take the terminal.
    ///
    /// # Errors
    /// It is none, or refuses.
    pub fn new() -> io::Result<Self> {
        // ratatui's hook, set after this one, runs before it.
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let _ = execute!(stdout(), DisableBracketedPaste);
            hook(info);
        }));
        let terminal = ratatui::try_init().inspect_err(|_| ratatui::restore())?;
        let terminal = Terminal(terminal);
        // Text that is pasted into a terminal is not to press keys.
        execute!(stdout(), EnableBracketedPaste)?;
        Ok(terminal)
    }

    /// Draw a frame; only what has changed is written.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw(&mut self, app: &App, utf8: bool) -> io::Result<()> {
        self.0
            .draw(|frame| view::draw(frame, app, utf8))
            .map(|_| ())
    }

    /// What the terminal says within a time.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn next_event(&mut self, within: Duration) -> io::Result<Option<Event>> {
        // First what crossterm has read already, which the kernel knows nothing of any more.
        for wait in [Duration::ZERO, within] {
            await_input(io::stdin(), wait)?;
            if event::poll(Duration::ZERO)? {
                return event::read().map(Some);
            }
        }
        Ok(None)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = execute!(stdout(), DisableBracketedPaste);
        ratatui::restore();
    }
}

/// Wait for a time, for a key or for a signal, which a change of size is.
fn await_input(terminal: impl AsFd, within: Duration) -> io::Result<()> {
    let mut input = [PollFd::new(&terminal, PollFlags::IN)];
    let within = Timespec::try_from(within).map_err(io::Error::other)?;
    match poll(&mut input, Some(&within)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    if input[0].revents().intersects(gone) {
        return Err(io::Error::other("the terminal is gone"));
    }
    Ok(())
}

/// Signals that ask the program to end, noted where the loop looks.
pub struct Signals(Arc<AtomicUsize>);

impl Signals {
    /// Note them from now on.
    ///
    /// # Errors
    /// The kernel refuses a handler.
    pub fn new() -> io::Result<Self> {
        let seen = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_usize(signal, Arc::clone(&seen), signal as usize)?;
        }
        Ok(Signals(seen))
    }

    /// The last that came.
    pub fn seen(&self) -> Option<i32> {
        let signal = self.0.load(Ordering::Relaxed);
        i32::try_from(signal).ok().filter(|&signal| signal != 0)
    }
}

/// End as if the signal had not been caught, so that whoever sent it sees that.
///
/// # Errors
/// It did not end the program.
pub fn end_by(signal: i32) -> anyhow::Result<()> {
    Ok(signal_hook::low_level::emulate_default_handler(signal)?)
}

/// Columns and rows for a frame that is printed: as COLUMNS and LINES say, else the terminal's.
pub fn size() -> (u16, u16) {
    let stated = |name| {
        let value = std::env::var(name).ok()?;
        value
            .parse()
            .ok()
            .filter(|number| (1..=LARGEST).contains(number))
    };
    let (columns, rows) = tty::size().unwrap_or(CLASSIC);
    (
        stated("COLUMNS").unwrap_or(columns.min(LARGEST)),
        stated("LINES").unwrap_or(rows.min(LARGEST)),
    )
}

/// A frame as lines of text, without colours.
///
/// # Errors
/// None are known: it is drawn in memory.
pub fn print(app: &App, (columns, rows): (u16, u16), utf8: bool) -> anyhow::Result<String> {
    let mut terminal = ratatui::Terminal::new(TestBackend::new(columns, rows))?;
    terminal.draw(|frame| view::draw(frame, app, utf8))?;
    Ok(text(terminal.backend().buffer()))
}

fn text(buffer: &Buffer) -> String {
    let mut out = String::new();
    let width = usize::from(buffer.area.width).max(1);
    for row in buffer.content.chunks(width) {
        let mut columns = row.iter();
        // A character of two columns stands in the first; what the second holds is not shown.
        while let Some(cell) = columns.next() {
            out.push_str(cell.symbol());
            for _ in 1..view::columns(cell.symbol()) {
                columns.next();
            }
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags, open};
    use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};

    #[test]
    fn a_terminal_that_is_gone_is_an_error_and_one_without_keys_is_none() {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        await_input(&theirs, Duration::ZERO).unwrap();
        drop(ours);
        let error = await_input(&theirs, Duration::from_secs(60)).unwrap_err();
        assert_eq!(error.to_string(), "the terminal is gone");
    }

    #[test]
    fn a_printed_frame_is_lines_without_trailing_blanks() {
        let mut buffer = Buffer::with_lines(["a    ", "中 b  "]);
        buffer[(4, 0)].set_symbol(" ");
        assert_eq!(text(&buffer), "a\n中 b\n");
    }
}
