//! `pinfold top`: groups, CPUs and machines as they change, and groups re-pinned by hand.
//!
//! Split so that all but this file and [`terminal`] is pure: reports become a model ([`model`], over [`rates`],
//! [`rows`] and [`cpus`]), the model becomes a frame ([`view`]), keys become actions ([`keys`]), and [`app`] carries
//! them out on the model and on a [`Source`]. Here is the loop: one thread, which asks the source each
//! second and draws when something has changed.

mod app;
mod cpus;
mod file;
mod keys;
mod model;
mod rates;
mod rows;
mod server;
mod terminal;
mod view;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use ratatui::crossterm::event::Event;
use rustix::termios::isatty;

use crate::cli::TopArgs;
use crate::screen::Screen;
use app::{App, Source};
use file::FileSource;
use model::Sample;
use server::ServerSource;
use terminal::{Signals, Terminal};

/// From one report to the next.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a signal may go unseen; a key is seen at once.
const PATIENCE: Duration = Duration::from_millis(200);

/// Show, until `q`; with `--once` print one frame.
///
/// # Errors
/// No report can be had at the start, or there is no terminal.
pub fn top(args: &TopArgs) -> anyhow::Result<ExitCode> {
    let mut source: Box<dyn Source> = match args.report.is_empty() {
        true => Box::new(ServerSource::new(crate::verbs::client(&args.server)?)),
        false => Box::new(FileSource::new(args.report.clone())),
    };
    let clock = Clock(Instant::now());
    if args.once {
        once(source.as_mut(), clock)?;
    } else {
        follow(source.as_mut(), clock)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The time since the start, which is what rates need.
#[derive(Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn now_ns(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

fn begin(source: &mut dyn Source, clock: Clock) -> anyhow::Result<App> {
    let report = source.report()?;
    Ok(App::new(Sample {
        report,
        at_ns: clock.now_ns(),
    }))
}

/// Two reports, since there are no rates in one, and their frame.
fn once(source: &mut dyn Source, clock: Clock) -> anyhow::Result<()> {
    let mut app = begin(source, clock)?;
    std::thread::sleep(INTERVAL);
    app.heard(source.report(), clock.now_ns());
    let mut screen = Screen::new();
    let frame = terminal::print(&app, terminal::size(), screen.style().utf8)?;
    screen.print(&frame);
    Ok(())
}

fn follow(source: &mut dyn Source, clock: Clock) -> anyhow::Result<()> {
    if !isatty(std::io::stdout()) || !isatty(std::io::stdin()) {
        bail!(
            "standard input and output are not a terminal; `pinfold top --once` prints one frame"
        );
    }
    let utf8 = Screen::new().style().utf8;
    // Before the terminal is another: what goes wrong here is printed as usual.
    let mut app = begin(source, clock)?;
    let signals = Signals::new()?;
    let mut terminal = Terminal::new()?;
    let mut due = Instant::now() + INTERVAL;
    let mut changed = true;
    let ended = loop {
        if std::mem::take(&mut changed) {
            terminal.draw(&app, utf8)?;
        }
        if let Some(signal) = signals.seen() {
            break Some(signal);
        }
        let until = due.saturating_duration_since(Instant::now());
        let event = terminal.next_event(until.min(PATIENCE))?;
        changed = event.is_some();
        match event {
            Some(Event::Key(key)) if !app.key(key, source) => break None,
            Some(Event::Paste(text)) => app.mode.paste(&text),
            _ => {}
        }
        if Instant::now() >= due {
            app.heard(source.report(), clock.now_ns());
            due = Instant::now() + INTERVAL;
            changed = true;
        }
    };
    drop(terminal);
    ended.map_or(Ok(()), terminal::end_by)
}

#[cfg(test)]
mod samples;
