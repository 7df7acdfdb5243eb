//! Looking on while machines run: consoles and events as lines, the tree as a picture.

use std::time::{Duration, Instant};

use actor::{Address, Mailbox};
use container_core::Credentials;
use supervisor::Notice;
use supervisor::keeper::{Order, Request};

use super::Message;
use super::console::Consoles;
use crate::cli::RunArgs;
use crate::screen::Screen;
use crate::tree;

/// How often the tree is drawn anew on a terminal.
const REDRAW: Duration = Duration::from_millis(200);
/// How often it is printed into a pipe.
const REPRINT: Duration = Duration::from_secs(1);

/// When it is shown first: the machines have started by then, and were not held up by it.
const FIRST_PICTURE: Duration = Duration::from_millis(60);

/// How long an answer that is still due at the end is waited for: a guest that was asked has gone.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// How the watch ended.
pub struct Watched {
    /// The time limit passed first.
    pub timed_out: bool,
}

/// This thread, looking on.
pub struct Watch<'a> {
    args: &'a RunArgs,
    mailbox: &'a Mailbox<Message>,
    keeper: &'a Address<Request>,
    screen: Screen,
    consoles: Consoles,
    /// Commands that have been read and not been answered.
    unanswered: usize,
}

impl<'a> Watch<'a> {
    /// Ready to look on.
    pub fn new(
        args: &'a RunArgs,
        mailbox: &'a Mailbox<Message>,
        keeper: &'a Address<Request>,
    ) -> Self {
        let (screen, consoles) = (Screen::new(), Consoles::default());
        Watch {
            args,
            mailbox,
            keeper,
            screen,
            consoles,
            unanswered: 0,
        }
    }

    /// Show what happens until no machine is left; past the time limit, kill what is.
    ///
    /// That the last has ended is told, and a telling may be lost where the mailbox is full; so each look at
    /// the report asks for it too.
    ///
    /// # Errors
    /// The supervisor has ended.
    pub fn until_all_ended(mut self) -> anyhow::Result<Watched> {
        let mut deadline = self.args.timeout.map(|timeout| Instant::now() + timeout);
        let interval = if self.screen.is_live() {
            REDRAW
        } else {
            REPRINT
        };
        let mut next_picture = Instant::now() + FIRST_PICTURE;
        let mut timed_out = false;
        loop {
            let until = deadline.map_or(next_picture, |deadline| deadline.min(next_picture));
            match self.mailbox.recv_until(until)? {
                Some(Message::Supervisor(Notice::AllEnded)) => break,
                Some(message) => self.on_message(message),
                None => {}
            }
            let now = Instant::now();
            if now >= next_picture {
                next_picture = now + interval;
                let report = self.keeper.call(Request::Report)?;
                let picture = tree::tree(&report, self.screen.style());
                if self.screen.is_live() {
                    self.screen.draw(&picture)
                } else {
                    self.screen.print(&picture)
                }
                if report.idle {
                    break;
                }
            }
            if deadline.is_some_and(|deadline| now >= deadline) {
                (deadline, timed_out) = (None, true);
                self.kill_all()?;
            }
        }
        // Whoever asked for the end is answered, too.
        let patience = Instant::now() + LAST_ANSWER;
        loop {
            let message = match self.unanswered {
                0 => self.mailbox.try_recv(),
                _ => self.mailbox.recv_until(patience),
            };
            let Ok(Some(message)) = message else { break };
            self.on_message(message);
        }
        self.screen.draw("");
        if let Some(rest) = self.consoles.rest() {
            self.screen.print(&rest);
        }
        Ok(Watched { timed_out })
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Supervisor(Notice::Console { machine, bytes }) => {
                if let Some(lines) = self.consoles.take(machine.as_str(), &bytes) {
                    self.screen.print(&lines);
                }
            }
            Message::Supervisor(Notice::Event(event)) if tells(&event.kind) => {
                self.screen.print(&tree::event(&event));
            }
            Message::Supervisor(Notice::Event(_) | Notice::AllEnded) => {}
            Message::Asked => self.unanswered += 1,
            Message::Answer(line) => {
                self.unanswered -= 1;
                self.screen.print(&line);
            }
        }
    }

    fn kill_all(&self) -> anyhow::Result<()> {
        let report = self.keeper.call(Request::Report)?;
        for machine in report.machines {
            let Ok(machine) = machine.name.parse() else {
                continue;
            };
            // One that has ended meanwhile is no failure.
            let _ = self.keeper.call(|reply| Request::Order {
                by: Credentials::ROOT,
                machine,
                order: Order::Kill,
                reply,
            })?;
        }
        Ok(())
    }
}

/// The kinds of event that are worth a line of their own; the report has them all.
pub fn tells(kind: &str) -> bool {
    !matches!(
        kind,
        "mounted" | "group_created" | "file_written" | "task_born" | "task_moved"
    )
}
