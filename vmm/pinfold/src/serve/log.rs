//! What a serving supervisor writes down: lines for a person on a terminal; for a service the journal, or JSON
//! on standard error where there is none.
//!
//! ```text
//!   keeper, wire, main ── Line (never waits) ──▶ queue ── main's loop, as the reader takes them ──▶ sink
//! ```
//!
//! Whoever reads the log may stand still, and the supervisor must not: the writing is one of the things that `main`
//! does in turn, it never sleeps in a write, and a line that finds the queue full is left out and counted. The count
//! is written where those lines would have stood, or once the reader has caught up.

mod form;
mod sink;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use supervisor::{Notice, Onlooker};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use form::Form;
use sink::Sink;

/// Lines that wait to be written.
const WAITING: usize = 1024;

/// A line to be.
#[derive(Debug)]
struct Line {
    at: SystemTime,
    text: String,
    /// Number and kind of the event that it tells of.
    event: Option<(String, String)>,
    /// Lines that were left out just before it.
    lost_before: u64,
}

/// Where lines are left to be written. Cloned freely.
#[derive(Clone, Debug)]
pub struct Notes {
    queue: Sender<Line>,
    lost: Arc<AtomicU64>,
}

/// The end that writes.
#[derive(Debug)]
pub struct Log {
    queue: Receiver<Line>,
    lost: Arc<AtomicU64>,
    form: Form,
    sink: Sink,
    /// What the sink has not taken yet, each line by itself: one, or two where the first tells of a loss.
    unwritten: VecDeque<Vec<u8>>,
}

/// A log at standard error, or in the journal. To be called, and written, within a runtime.
///
/// # Errors
/// What the kernel says to a look at standard error, or to a socket more.
pub fn open() -> io::Result<(Notes, Log)> {
    let (form, sink) = sink::open()?;
    let (sender, queue) = channel(WAITING);
    let lost = Arc::new(AtomicU64::new(0));
    let notes = Notes {
        queue: sender,
        lost: lost.clone(),
    };
    let log = Log {
        queue,
        lost,
        form,
        sink,
        unwritten: VecDeque::new(),
    };
    Ok((notes, log))
}

impl Notes {
    /// Have a line written. Never waits.
    pub fn say(&self, text: impl Into<String>) {
        self.put(Line {
            at: SystemTime::now(),
            text: text.into(),
            event: None,
            lost_before: 0,
        });
    }

    /// An onlooker that has the host's events written down, and passes all on.
    pub fn onlooker(&self, next: Onlooker) -> Onlooker {
        let notes = self.clone();
        Arc::new(move |notice| {
            if let Notice::Event(event) = &notice
                && crate::run::tells(&event.kind)
            {
                notes.put(Line {
                    at: SystemTime::now(),
                    text: event.text.clone(),
                    event: Some((event.id.clone(), event.kind.clone())),
                    lost_before: 0,
                });
            }
            next(notice);
        })
    }

    fn put(&self, mut line: Line) {
        line.lost_before = self.lost.swap(0, Ordering::Relaxed);
        if let Err(TrySendError::Full(line) | TrySendError::Closed(line)) =
            self.queue.try_send(line)
        {
            self.lost.fetch_add(line.lost_before + 1, Ordering::Relaxed);
        }
    }
}

impl Log {
    /// Write what is left to be written, as it comes, until nobody can leave any more. May be dropped and called again.
    pub async fn write(&mut self) {
        loop {
            self.flush().await;
            // A line is written in turn with the rest of what this thread does, also where the sink always has room.
            tokio::task::yield_now().await;
            let line = self.queue.try_recv();
            if line.is_err() && self.take_lost(SystemTime::now()) {
                continue;
            }
            let line = match line {
                Ok(line) => Some(line),
                Err(_) => self.queue.recv().await,
            };
            match line {
                Some(line) => self.take(line),
                None => return,
            }
        }
    }

    fn take(&mut self, line: Line) {
        if line.lost_before > 0 {
            self.take_note_of(line.lost_before, line.at);
        }
        self.unwritten.push_back(self.form.bytes(&line));
    }

    /// Take in what was lost and no later line has told of; false if there is nothing.
    fn take_lost(&mut self, at: SystemTime) -> bool {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            self.take_note_of(lost, at);
        }
        lost > 0
    }

    fn take_note_of(&mut self, lost: u64, at: SystemTime) {
        let note = Line {
            at,
            text: format!("{lost} lines lost: whoever reads this log did not keep up"),
            event: None,
            lost_before: 0,
        };
        self.unwritten.push_back(self.form.bytes(&note));
    }

    /// Hand the sink what waits. A reader that is gone costs its lines and nothing else.
    async fn flush(&mut self) {
        while let Some(line) = self.unwritten.front_mut() {
            match self.sink.write(line).await {
                Ok(count) if count > 0 => drop(line.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => line.clear(),
            }
            if line.is_empty() {
                self.unwritten.pop_front();
            }
        }
    }
}
