//! The feed: from the onlooker's call, on the threads of the keeper and the wire, to whoever follows.
//!
//! ```text
//!   keeper, wire ──Notice (never waits)──▶ feed ──Event──▶ each follower, as many as follow
//!                                           └── consoles, counts
//! ```
//!
//! The keeper wakes one task, whatever the number of followers. What does not fit is dropped here and costs
//! nobody else: a follower sees a hole in the numbers and asks the keeper for what it missed. The end of
//! each console is kept here, for logs.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use management::Event;
use tokio::sync::{Notify, broadcast, mpsc, oneshot};

use crate::{Notice, Onlooker};

/// Notices that wait for the feed.
const NOTICES: usize = 1024;
/// Questions that wait for the feed.
const ASKS: usize = 64;
/// Events a follower may be behind before it has to ask the keeper.
const EVENTS_BEHIND: usize = 1024;
/// Pieces of a console a follower may be behind before it loses some.
const PIECES_BEHIND: usize = 64;
/// What is kept of a console, in bytes.
pub const LOG_BYTES: usize = 64 << 10;
/// Consoles kept, each of at most twice [`LOG_BYTES`]; past them the one that has been silent longest makes room.
const MAX_CONSOLES: usize = 2048;

/// The end of the feed that the API reads.
#[derive(Debug)]
pub struct Feed {
    notices: mpsc::Receiver<Notice>,
    missed: Arc<Notify>,
}

/// An onlooker for a supervisor's config, and the feed for [`serve`](super::serve()).
pub fn feed() -> (Onlooker, Feed) {
    let (sender, notices) = mpsc::channel(NOTICES);
    let missed = Arc::new(Notify::new());
    let feed = Feed {
        notices,
        missed: missed.clone(),
    };
    let onlooker = move |notice| {
        if sender.try_send(notice).is_err() {
            missed.notify_one();
        }
    };
    (Arc::new(onlooker), feed)
}

/// One thing to follow.
#[derive(Clone, Debug)]
pub enum Told {
    /// An event.
    Event(Arc<Event>),
    /// Something was dropped: ask the keeper.
    Missed,
}

enum Ask {
    Log(String, oneshot::Sender<Log>),
    Counts(oneshot::Sender<BTreeMap<String, u64>>),
}

/// A console: its end, and what comes.
#[derive(Debug)]
pub struct Log {
    /// At most [`LOG_BYTES`].
    pub end: Vec<u8>,
    /// What follows it.
    pub next: broadcast::Receiver<Bytes>,
}

/// Where the feed is asked.
#[derive(Clone, Debug)]
pub struct FeedHandle {
    asks: mpsc::Sender<Ask>,
    events: broadcast::Sender<Told>,
}

impl FeedHandle {
    /// What happens from now on.
    pub fn follow(&self) -> broadcast::Receiver<Told> {
        self.events.subscribe()
    }

    /// A machine's console; None where the feed has ended.
    pub async fn log(&self, machine: &str) -> Option<Log> {
        let (answer, log) = oneshot::channel();
        self.asks
            .send(Ask::Log(machine.to_owned(), answer))
            .await
            .ok()?;
        log.await.ok()
    }

    /// Events since the start, by kind.
    pub async fn counts(&self) -> BTreeMap<String, u64> {
        let (answer, counts) = oneshot::channel();
        let _ = self.asks.send(Ask::Counts(answer)).await;
        counts.await.unwrap_or_default()
    }
}

struct Console {
    end: Vec<u8>,
    /// The desk's count of pieces when it was last written to.
    written: u64,
    followers: broadcast::Sender<Bytes>,
}

/// The actor.
struct Desk {
    events: broadcast::Sender<Told>,
    consoles: BTreeMap<String, Console>,
    /// Pieces of consoles so far.
    pieces: u64,
    counts: BTreeMap<String, u64>,
}

/// Start the feed's task. It ends with the onlooker.
pub fn serve(mut feed: Feed) -> FeedHandle {
    let (events, _) = broadcast::channel(EVENTS_BEHIND);
    let (asks, mut asked) = mpsc::channel(ASKS);
    let mut desk = Desk {
        events: events.clone(),
        consoles: BTreeMap::new(),
        pieces: 0,
        counts: BTreeMap::new(),
    };
    tokio::spawn(async move {
        loop {
            tokio::select! {
                notice = feed.notices.recv() => match notice {
                    Some(notice) => desk.on_notice(notice),
                    None => break,
                },
                () = feed.missed.notified() => {
                    let _ = desk.events.send(Told::Missed);
                }
                Some(ask) = asked.recv() => {
                    // Who asks after something has been told is answered with that in mind.
                    for notice in std::iter::from_fn(|| feed.notices.try_recv().ok()).take(NOTICES) {
                        desk.on_notice(notice);
                    }
                    desk.on_ask(ask);
                }
            }
        }
        // Who follows asks the keeper now, and hears that it has ended.
        let _ = desk.events.send(Told::Missed);
        // Who still asks is answered until the handles are gone.
        while let Some(ask) = asked.recv().await {
            desk.on_ask(ask);
        }
    });
    FeedHandle { asks, events }
}

impl Desk {
    fn on_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Event(event) => {
                // Kinds are the keeper's own words, a few dozen.
                match self.counts.get_mut(&event.kind) {
                    Some(count) => *count += 1,
                    None => drop(self.counts.insert(event.kind.clone(), 1)),
                }
                if event.kind == "machine_removed"
                    && let Some(machine) = &event.machine
                {
                    self.consoles.remove(machine);
                }
                let _ = self.events.send(Told::Event(Arc::from(event)));
            }
            Notice::Console { machine, bytes } => {
                self.pieces += 1;
                self.console(machine.as_str()).add(bytes);
            }
            Notice::AllEnded => {}
        }
    }

    fn on_ask(&mut self, ask: Ask) {
        match ask {
            Ask::Log(machine, answer) => {
                let console = self.console(&machine);
                let from = console.end.len().saturating_sub(LOG_BYTES);
                let _ = answer.send(Log {
                    end: console.end[from..].to_vec(),
                    next: console.followers.subscribe(),
                });
            }
            Ask::Counts(answer) => drop(answer.send(self.counts.clone())),
        }
    }

    fn console(&mut self, machine: &str) -> &mut Console {
        if self.consoles.len() >= MAX_CONSOLES && !self.consoles.contains_key(machine) {
            let silent = self
                .consoles
                .iter()
                .min_by_key(|(_, console)| console.written);
            if let Some(name) = silent.map(|(name, _)| name.clone()) {
                self.consoles.remove(&name);
            }
        }
        let console = self
            .consoles
            .entry(machine.to_owned())
            .or_insert_with(|| Console {
                end: Vec::new(),
                written: 0,
                followers: broadcast::channel(PIECES_BEHIND).0,
            });
        console.written = self.pieces;
        console
    }
}

impl Console {
    fn add(&mut self, bytes: Vec<u8>) {
        self.end.extend_from_slice(&bytes);
        // Cut at twice the bound, so that a byte is moved once.
        if self.end.len() > 2 * LOG_BYTES {
            self.end.drain(..self.end.len() - LOG_BYTES);
        }
        let _ = self.followers.send(bytes.into());
    }
}
