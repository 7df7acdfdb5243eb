//! What is known becomes a frame: a pure function of [`App`], the size of the frame and what the terminal can show.
//!
//! No size is too small: what does not fit is left out, the tree of groups last. Text from reports (names,
//! events, refusals) goes through [`text::clean`] before it becomes a widget.

mod dialogue;
mod panes;
mod text;
mod tree;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders};

use super::app::{App, Notice};
use super::model::{Model, Pane, Sort};
pub use text::columns;
use text::{Glyphs, clean};

/// Rows between header and footer from which on all panes are shown; below, only the one that has the keys.
const ALL_PANES: u16 = 18;
/// Columns from which on panes stand side by side.
const WIDE: u16 = 100;

/// Draw a frame.
pub fn draw(frame: &mut Frame<'_>, app: &App, utf8: bool) {
    let glyphs = if utf8 { &text::UTF8 } else { &text::ASCII };
    let rows = [
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ];
    let [head, body, foot] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(header(app), head);
    match (body.height, body.width) {
        (ALL_PANES.., WIDE..) => wide(frame, body, &app.model, glyphs),
        (ALL_PANES.., _) => stacked(frame, body, &app.model, glyphs),
        _ => single(frame, body, &app.model, glyphs),
    }
    frame.render_widget(footer(app), foot);
    dialogue::draw(frame, &app.mode, glyphs);
}

/// Rows of a pane with its title, within a bound.
fn rows_of(count: usize, at_most: u16) -> u16 {
    u16::try_from(count)
        .unwrap_or(u16::MAX)
        .saturating_add(1)
        .clamp(2, at_most)
}

fn stacked(frame: &mut Frame<'_>, area: Rect, model: &Model, glyphs: &Glyphs) {
    // Half of the rows are the tree's; the others have what they need of the rest, and events what then is free.
    let rest = area.height / 2;
    let events = rows_of(model.report.events.len(), rest / 3);
    let machines = rows_of(model.report.machines.len(), (rest - events) / 2);
    let cpus = rows_of(model.cpus.len(), rest - events - machines);
    let tree = rows_of(model.rows.len() + 1, area.height).max(rest);
    let free = area.height.saturating_sub(tree + cpus + machines);
    let events = rows_of(model.report.events.len(), free.max(events));
    let rows = [
        Constraint::Fill(1),
        Constraint::Length(cpus),
        Constraint::Length(machines),
        Constraint::Length(events),
    ];
    let [tree, cpus, machines, events] = Layout::vertical(rows).areas(area);
    tree::draw(frame, tree, model, glyphs);
    panes::cpus(frame, cpus, model, glyphs);
    panes::machines(frame, machines, model, glyphs);
    panes::events(frame, events, model, glyphs);
}

fn wide(frame: &mut Frame<'_>, area: Rect, model: &Model, glyphs: &Glyphs) {
    // Half of the rows are the tree's, as far as it needs them.
    let free = area
        .height
        .saturating_sub(rows_of(model.rows.len() + 1, area.height));
    let rest = free.max(area.height / 2);
    let machines = rows_of(model.report.machines.len(), rest / 2);
    let events = rows_of(model.report.events.len(), rest - machines);
    let below = rows_of(model.cpus.len(), rest).max(machines + events);
    let rows = [Constraint::Fill(1), Constraint::Length(below)];
    let [tree, below] = Layout::vertical(rows).areas(area);
    let columns = [Constraint::Percentage(50), Constraint::Fill(1)];
    let [left, right] = Layout::horizontal(columns).spacing(2).areas(below);
    let rows = [Constraint::Length(machines), Constraint::Fill(1)];
    let [machines, events] = Layout::vertical(rows).areas(right);
    tree::draw(frame, tree, model, glyphs);
    panes::cpus(frame, left, model, glyphs);
    panes::machines(frame, machines, model, glyphs);
    panes::events(frame, events, model, glyphs);
}

fn single(frame: &mut Frame<'_>, area: Rect, model: &Model, glyphs: &Glyphs) {
    match model.pane {
        Pane::Tree(_) => tree::draw(frame, area, model, glyphs),
        Pane::Cpus => panes::cpus(frame, area, model, glyphs),
        Pane::Machines => panes::machines(frame, area, model, glyphs),
    }
}

/// Sums, and what needs attention.
fn header(app: &App) -> Line<'static> {
    let report = &app.model.report;
    let alive = report.tasks.iter().filter(|task| task.alive).count();
    let machines = report
        .machines
        .iter()
        .filter(|machine| machine.state != "ended")
        .count();
    let mut spans = vec![
        Span::styled("pinfold", Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!(
            "  {}, {}",
            number(machines, "machine"),
            number(alive, "task")
        )),
    ];
    if let Some(total) = app.model.total {
        let total = format!(", {}% CPU, {}% waiting", total.usage, total.wait);
        spans.push(Span::raw(total));
    }
    let drifted = report.drift.iter().filter(|drift| !drift.repaired).count();
    if drifted > 0 {
        spans.push(Span::styled(format!("  {drifted} drifted"), alarm()));
    }
    if let Some(why) = &app.stale {
        spans.push(Span::styled(
            format!("  not of now: {}", clean(why)),
            alarm(),
        ));
    }
    Line::from(spans)
}

/// What came of the last key, or which keys there are.
fn footer(app: &App) -> Line<'static> {
    match &app.notice {
        Some(Notice::Done(what)) => Line::styled(clean(what), Style::new().fg(Color::Green)),
        Some(Notice::Refused(why)) => Line::styled(clean(why), alarm()),
        None => {
            let keys = "q quit  ? help  Tab pane  s sort  p re-pin  t tasks  Enter fold";
            Line::styled(keys, Style::new().add_modifier(Modifier::DIM))
        }
    }
}

/// A pane's frame: a rule with its title.
fn pane(title: Line<'static>, glyphs: &Glyphs) -> Block<'static> {
    Block::new()
        .borders(Borders::TOP)
        .border_set(glyphs.border)
        .title(title)
}

/// A title, marked where the keys go.
fn title(words: &str, has_keys: bool) -> Span<'static> {
    let style = match has_keys {
        true => Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED),
        false => Style::new().add_modifier(Modifier::BOLD),
    };
    Span::styled(format!(" {} ", clean(words)), style)
}

/// `1 task`, `2 tasks`.
fn number(count: usize, of: &str) -> String {
    format!("{count} {of}{}", if count == 1 { "" } else { "s" })
}

fn sort_word(sort: Sort) -> &'static str {
    match sort {
        Sort::Name => "name",
        Sort::Usage => "usage",
        Sort::Wait => "wait",
    }
}

/// The selected row, stronger where the keys go.
fn selection(has_keys: bool) -> Style {
    match has_keys {
        true => Style::new().add_modifier(Modifier::REVERSED),
        false => Style::new(),
    }
}

fn alarm() -> Style {
    Style::new().fg(Color::Red)
}

/// Which of `count` rows are shown in `height`, so that the cursor is among them, in the middle if it can be.
fn window(count: usize, cursor: usize, height: u16) -> std::ops::Range<usize> {
    let height = usize::from(height);
    let from = cursor
        .saturating_sub(height / 2)
        .min(count.saturating_sub(height));
    from..(from + height).min(count)
}

#[cfg(test)]
mod tests;
