//! What happens while a verb waits, on the last line of a terminal.
//!
//! Only where a person looks on: standard error is a terminal and no JSON is asked for. A thread asks for the events, five
//! times a second, since the verb's own client waits for its answer; it ends with what it shows.

use std::io::{IsTerminal, stderr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use management::Event;
use management::api::EventPage;
use management::client::{Client, route};

use super::output::harmless;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// Shown until it is dropped.
#[derive(Debug)]
pub struct Progress {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What is waited for.
#[derive(Clone, Debug)]
pub struct Waited {
    /// In a word or two: `apply`, `stop web`.
    pub what: String,
    /// Machines that have to start or to end until it is over.
    pub machines: Vec<String>,
    /// Starts and ends of those, in all; 0 where nobody knows.
    pub steps: u64,
}

/// Whether anybody would see it.
pub fn is_seen(json: bool) -> bool {
    !json && stderr().is_terminal()
}

impl Progress {
    /// Show what happens at this supervisor, if anybody would see it.
    pub fn of(client: &Client, waited: Waited, json: bool) -> Option<Progress> {
        if !is_seen(json) {
            return None;
        }
        let bar = match waited.steps {
            0 => ProgressBar::new_spinner(),
            steps => ProgressBar::new(steps).with_style(
                ProgressStyle::with_template("{bar:20} {pos}/{len} {prefix}: {wide_msg}").ok()?,
            ),
        };
        bar.set_prefix(waited.what.clone());
        bar.set_message(waited.what.clone());
        bar.enable_steady_tick(LOOK);
        let socket = client.socket().to_owned();
        let (end, ended) = channel();
        let look = move || {
            let mut seen = Seen::default();
            let client = Client::new(socket);
            loop {
                if let Ok(client) = &client {
                    seen.look(client, &waited, &bar);
                }
                if ended.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
                    return bar.finish_and_clear();
                }
            }
        };
        Some(Progress {
            end: Some(end),
            thread: Some(std::thread::spawn(look)),
        })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How far the events have been seen.
#[derive(Default)]
struct Seen {
    /// The last event's number, from the first look on.
    last: Option<String>,
    steps: u64,
}

impl Seen {
    /// See what has happened since the last look. What cannot be asked for now is seen at the next.
    fn look(&mut self, client: &Client, waited: &Waited, bar: &ProgressBar) {
        let query = match &self.last {
            Some(last) => format!("/v1/events?since={}", route::component(last)),
            None => "/v1/events?limit=0".to_owned(),
        };
        let page = client
            .get(&query)
            .and_then(|answer| answer.json::<EventPage>());
        let Ok(page) = page else { return };
        let is_first = self.last.replace(page.last).is_none();
        for event in page.events.iter().filter(|_| !is_first) {
            self.see(event, waited, bar);
        }
    }

    fn see(&mut self, event: &Event, waited: &Waited, bar: &ProgressBar) {
        let Some(machine) = &event.machine else {
            return;
        };
        if !waited.machines.contains(machine) {
            return;
        }
        if matches!(&*event.kind, "machine_started" | "machine_ended") {
            self.steps += 1;
            bar.set_position(self.steps.min(waited.steps));
        }
        bar.set_message(harmless(&event.text).replace('\n', " "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_and_ends_of_what_is_waited_for_are_steps_and_nothing_else_is() {
        let waited = Waited {
            what: "apply".into(),
            machines: vec!["web".into(), "db".into()],
            steps: 2,
        };
        let bar = ProgressBar::hidden();
        bar.set_length(2);
        let mut seen = Seen::default();
        let mut see = |kind: &str, machine: Option<&str>| {
            let event = Event {
                kind: kind.into(),
                machine: machine.map(str::to_owned),
                text: format!("{kind}\x1b[2J\n"),
                ..Event::default()
            };
            seen.see(&event, &waited, &bar);
            (bar.position(), bar.message())
        };
        assert_eq!(see("group_created", None), (0, String::new()));
        assert_eq!(see("machine_ended", Some("other")), (0, String::new()));
        assert_eq!(see("machine_starting", Some("db")).0, 0);
        let (position, message) = see("machine_started", Some("db"));
        assert_eq!((position, &*message), (1, "machine_started\u{fffd}[2J "));
        assert_eq!(see("machine_ended", Some("web")).0, 2);
        assert_eq!(see("machine_ended", Some("web")).0, 2, "not past its end");
    }

    #[test]
    fn nothing_is_shown_where_nobody_looks_on() {
        assert!(!is_seen(true));
    }
}
