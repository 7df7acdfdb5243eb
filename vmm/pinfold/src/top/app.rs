//! Keys, model and source together: what happens at a key and at a tick. Neither a terminal nor a clock.

use management::Report;
use ratatui::crossterm::event::KeyEvent;

use super::keys::{Action, Mode};
use super::model::{Model, Sample};

/// Where reports come from and changes go. A call is awaited: it is to answer or fail in moments.
pub trait Source {
    /// The state now.
    ///
    /// # Errors
    /// There is nobody to ask, or no answer.
    fn report(&mut self) -> anyhow::Result<Report>;

    /// What writing `cpus` to a group's `cpuset.cpus` would do on the host, a line each; nothing is changed.
    ///
    /// # Errors
    /// A refusal, with its rule, or no answer.
    fn dry_run(&mut self, group: &str, cpus: &str) -> anyhow::Result<Vec<String>>;

    /// Write `cpus` to a group's `cpuset.cpus`, and say in a line what that did.
    ///
    /// # Errors
    /// A refusal, with its rule, or no answer.
    fn apply(&mut self, group: &str, cpus: &str) -> anyhow::Result<String>;
}

/// A line for people below the picture, until the next key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// What was done.
    Done(String),
    /// What was not.
    Refused(String),
}

/// All that the terminal program knows.
#[derive(Debug)]
pub struct App {
    /// What is shown.
    pub model: Model,
    /// What keys mean.
    pub mode: Mode,
    /// What came of the last one.
    pub notice: Option<Notice>,
    /// Why the model is not of now, if it is not.
    pub stale: Option<String>,
}

impl App {
    /// Begin with a first report.
    pub fn new(first: Sample) -> Self {
        App {
            model: Model::new(first),
            mode: Mode::default(),
            notice: None,
            stale: None,
        }
    }

    /// Take in what the source has said, or that it says nothing: then the last picture stays, and says so.
    pub fn heard(&mut self, report: anyhow::Result<Report>, at_ns: u64) {
        match report {
            Ok(report) => {
                self.stale = None;
                self.model.update(Sample { report, at_ns });
            }
            Err(error) => self.stale = Some(format!("{error:#}")),
        }
    }

    /// Do what a key asks for. False ends the program.
    pub fn key(&mut self, key: KeyEvent, source: &mut dyn Source) -> bool {
        self.notice = None;
        match self.mode.key(key) {
            Action::None => {}
            Action::Quit => return false,
            Action::Step(step) => self.model.step(step),
            Action::Fold => self.model.fold(),
            Action::ToggleTasks => self.model.toggle_tasks(),
            Action::NextSort => self.model.next_sort(),
            Action::NextPane { back } => self.model.next_pane(back),
            Action::Repin => self.repin(),
            Action::DryRun { group, cpus } => {
                let answer = source.dry_run(&group, &cpus);
                self.mode
                    .planned(answer.map_err(|error| format!("{error:#}")));
            }
            Action::Apply { group, cpus } => {
                self.notice = Some(match source.apply(&group, &cpus) {
                    Ok(done) => Notice::Done(done),
                    Err(error) => Notice::Refused(format!("{error:#}")),
                });
            }
        }
        true
    }

    fn repin(&mut self) {
        match self.model.selected_group() {
            Some((group, Some(cpus))) => self.mode = Mode::ask(group, cpus),
            Some((group, None)) => {
                let why = format!("{group} pins nothing: its hierarchy has no cpuset");
                self.notice = Some(Notice::Refused(why));
            }
            None => {
                let why = "only a group can be pinned: select one first".to_owned();
                self.notice = Some(Notice::Refused(why));
            }
        }
    }
}

#[cfg(test)]
mod tests;
