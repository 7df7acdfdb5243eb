//! Keys become actions: a pure state machine that owns the dialogues and knows neither model nor source.
//!
//! ```text
//!          p on a group          Enter               answer          y
//! Browse ───────────────► Ask ──────────► (DryRun) ────────► Confirm ──► (Apply) ──► Browse
//!   │ ▲ ?                  ▲ │ Esc            │ refused          │ n, Esc
//!   ▼ │ any key            │ ▼                │                  ▼
//!  Help                    │ Browse           │                Browse
//!                          └──────────────────┘
//! ```
//!
//! Nothing is applied but by `y` after the effects were shown, and what is applied is what was asked about:
//! the group and the CPUs travel with the dialogue, whatever the selection does meanwhile.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::Step;

/// Characters of a CPU list that is typed; a list of all of the largest host's CPUs, one by one, is none.
const MAX_CPUS_TEXT: usize = 256;
/// Rows that PgUp and PgDn move by.
const PAGE: isize = 10;

/// What the keys mean at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They move and change what is shown.
    #[default]
    Browse,
    /// The help is shown until the next one.
    Help,
    /// They spell a CPU list.
    Ask {
        /// For this group.
        group: String,
        /// As far as it is spelled.
        cpus: String,
        /// Why the last one was refused, if it was.
        refused: Option<String>,
    },
    /// The effects of a plan are shown; `y` applies it.
    Confirm {
        /// Of this group.
        group: String,
        /// Its new `cpuset.cpus`.
        cpus: String,
        /// What that does on the host, a line each.
        effects: Vec<String>,
        /// The first effect that is shown.
        from: usize,
    },
}

/// What a key asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing but to be drawn again.
    None,
    /// To end.
    Quit,
    /// To move the selection.
    Step(Step),
    /// To fold or unfold the selected group.
    Fold,
    /// To show tasks as rows, or not to.
    ToggleTasks,
    /// To order by the next thing.
    NextSort,
    /// To go to the next pane.
    NextPane {
        /// Or to the one before.
        back: bool,
    },
    /// To begin to re-pin the selected group.
    Repin,
    /// To find out what a CPU list would do.
    DryRun {
        /// Of this group.
        group: String,
        /// The list.
        cpus: String,
    },
    /// To write the list.
    Apply {
        /// Of this group.
        group: String,
        /// The list.
        cpus: String,
    },
}

impl Mode {
    /// Ask for a group's CPUs, beginning with those it has.
    pub fn ask(group: &str, cpus: &str) -> Mode {
        let typed = cpus.chars().filter(|&c| is_cpu_list(c)).take(MAX_CPUS_TEXT);
        Mode::Ask {
            group: group.to_owned(),
            cpus: typed.collect(),
            refused: None,
        }
    }

    /// What a key does in this mode.
    pub fn key(&mut self, key: KeyEvent) -> Action {
        if key.kind == KeyEventKind::Release {
            return Action::None;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return self.control(key.code);
        }
        match self {
            Mode::Browse => self.browse(key.code),
            Mode::Help => {
                *self = Mode::Browse;
                Action::None
            }
            Mode::Ask { .. } => self.spell(key.code),
            Mode::Confirm { .. } => self.decide(key.code),
        }
    }

    /// What is pasted spells a list, where one is asked for, and never presses a key.
    pub fn paste(&mut self, text: &str) {
        for c in text.trim().chars() {
            self.spell(KeyCode::Char(c));
        }
    }

    /// The answer to [`Action::DryRun`]: the effects, or why not.
    pub fn planned(&mut self, answer: Result<Vec<String>, String>) {
        let Mode::Ask {
            group,
            cpus,
            refused,
        } = self
        else {
            return;
        };
        match answer {
            Ok(effects) => {
                let (group, cpus) = (std::mem::take(group), std::mem::take(cpus));
                *self = Mode::Confirm {
                    group,
                    cpus,
                    effects,
                    from: 0,
                };
            }
            Err(why) => *refused = Some(why),
        }
    }

    fn control(&mut self, code: KeyCode) -> Action {
        match (code, self) {
            (KeyCode::Char('c'), _) => return Action::Quit,
            (KeyCode::Char('u'), Mode::Ask { cpus, refused, .. }) => {
                cpus.clear();
                *refused = None;
            }
            _ => {}
        }
        Action::None
    }

    fn browse(&mut self, code: KeyCode) -> Action {
        let step = match code {
            KeyCode::Char('q') => return Action::Quit,
            KeyCode::Char('?') => {
                *self = Mode::Help;
                return Action::None;
            }
            KeyCode::Enter | KeyCode::Char(' ') => return Action::Fold,
            KeyCode::Char('t') => return Action::ToggleTasks,
            KeyCode::Char('s') => return Action::NextSort,
            KeyCode::Tab => return Action::NextPane { back: false },
            KeyCode::BackTab => return Action::NextPane { back: true },
            KeyCode::Char('p') => return Action::Repin,
            KeyCode::Up | KeyCode::Char('k') => Step::By(-1),
            KeyCode::Down | KeyCode::Char('j') => Step::By(1),
            KeyCode::PageUp => Step::By(-PAGE),
            KeyCode::PageDown => Step::By(PAGE),
            KeyCode::Home | KeyCode::Char('g') => Step::First,
            KeyCode::End | KeyCode::Char('G') => Step::Last,
            _ => return Action::None,
        };
        Action::Step(step)
    }

    fn spell(&mut self, code: KeyCode) -> Action {
        let Mode::Ask {
            group,
            cpus,
            refused,
        } = self
        else {
            return Action::None;
        };
        match code {
            KeyCode::Esc => *self = Mode::Browse,
            KeyCode::Enter => {
                return Action::DryRun {
                    group: group.clone(),
                    cpus: cpus.clone(),
                };
            }
            KeyCode::Backspace => {
                cpus.pop();
                *refused = None;
            }
            KeyCode::Char(c) if is_cpu_list(c) && cpus.len() < MAX_CPUS_TEXT => {
                cpus.push(c);
                *refused = None;
            }
            _ => {}
        }
        Action::None
    }

    fn decide(&mut self, code: KeyCode) -> Action {
        let Mode::Confirm {
            group,
            cpus,
            effects,
            from,
        } = self
        else {
            return Action::None;
        };
        match code {
            KeyCode::Char('y') => {
                let (group, cpus) = (std::mem::take(group), std::mem::take(cpus));
                *self = Mode::Browse;
                return Action::Apply { group, cpus };
            }
            KeyCode::Char('n' | 'q') | KeyCode::Esc => *self = Mode::Browse,
            KeyCode::Down | KeyCode::Char('j') => {
                *from = (*from + 1).min(effects.len().saturating_sub(1));
            }
            KeyCode::Up | KeyCode::Char('k') => *from = from.saturating_sub(1),
            _ => {}
        }
        Action::None
    }
}

/// What a kernel's CPU list is made of: `0-3,8-15:1/2`, or `all`, which is not offered.
fn is_cpu_list(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '-' | ',' | ':' | '/')
}

#[cfg(test)]
mod tests;
