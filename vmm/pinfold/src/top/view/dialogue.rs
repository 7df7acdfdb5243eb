//! What stands over the picture: the help, and the questions of a re-pin.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

use super::text::{Glyphs, clean, cut};
use super::{alarm, number};
use crate::top::keys::Mode;

const HELP: &str = "\
q          quit
arrows, j k, PgUp PgDn, g G  move
Enter      fold or unfold a group
Tab        next hierarchy or pane
s          sort: name, usage, wait
t          tasks as rows
p          re-pin: a trial, then y
CPU%, wait%: of one CPU, in the last
second, groups below included. A task
of several CPUs is taken to use them
evenly. wait: ready, but without a CPU.";

/// Draw the dialogue that a mode asks for, if any.
pub fn draw(frame: &mut Frame<'_>, mode: &Mode, glyphs: &Glyphs) {
    match mode {
        Mode::Browse => {}
        Mode::Help => {
            let rows = HELP.lines().count();
            let inner = window(frame, "help", 42, rows, glyphs);
            frame.render_widget(Paragraph::new(HELP), inner);
        }
        Mode::Ask {
            group,
            cpus,
            refused,
        } => ask(frame, group, cpus, refused.as_deref(), glyphs),
        Mode::Confirm {
            group,
            cpus,
            effects,
            from,
        } => {
            confirm(frame, (group, cpus), effects, *from, glyphs);
        }
    }
}

fn ask(frame: &mut Frame<'_>, group: &str, cpus: &str, refused: Option<&str>, glyphs: &Glyphs) {
    let inner = window(frame, &format!("re-pin {group}"), 64, 5, glyphs);
    let rows = [
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ];
    let [input, answer, keys] = Layout::vertical(rows).areas(inner);
    // Of a long list the end is shown, where it is spelled.
    let width = usize::from(input.width).saturating_sub("cpuset.cpus _".len());
    let hidden = cpus.len().saturating_sub(width);
    frame.render_widget(
        Line::raw(format!("cpuset.cpus {}_", &cpus[hidden..])),
        input,
    );
    let why = Paragraph::new(clean(refused.unwrap_or_default())).style(alarm());
    frame.render_widget(why.wrap(Wrap { trim: true }), answer);
    frame.render_widget(choice("Enter: try   Ctrl-U: clear   Esc: leave"), keys);
}

fn confirm(
    frame: &mut Frame<'_>,
    (group, cpus): (&str, &str),
    effects: &[String],
    from: usize,
    glyphs: &Glyphs,
) {
    let rows = effects.len().max(1) + 2;
    let inner = window(frame, &format!("re-pin {group}"), 64, rows, glyphs);
    let rows = [
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ];
    let [what, list, keys] = Layout::vertical(rows).areas(inner);
    let count = format!("{}: {}", clean(cpus), number(effects.len(), "effect"));
    frame.render_widget(
        Line::styled(count, Style::new().add_modifier(Modifier::BOLD)),
        what,
    );
    let fits = usize::from(list.height);
    let from = from.min(effects.len().saturating_sub(fits));
    let width = usize::from(list.width);
    let shown = effects.iter().skip(from).take(fits);
    let shown: Text<'static> = shown
        .map(|line| Line::raw(cut(&clean(line), width, glyphs)))
        .collect();
    frame.render_widget(shown, list);
    let keys_line = match effects.len() > fits {
        true => "y: apply   n: leave   j k: scroll",
        false => "y: apply   n: leave",
    };
    frame.render_widget(choice(keys_line), keys);
}

fn choice(keys: &'static str) -> Line<'static> {
    Line::styled(keys, Style::new().add_modifier(Modifier::DIM))
}

/// An empty window over the middle of the frame, as large as fits; what is within it.
fn window(frame: &mut Frame<'_>, title: &str, width: u16, rows: usize, glyphs: &Glyphs) -> Rect {
    let area = frame.area();
    let width = width.min(area.width);
    let height = u16::try_from(rows)
        .unwrap_or(u16::MAX)
        .saturating_add(2)
        .min(area.height);
    let place = area.centered(Constraint::Length(width), Constraint::Length(height));
    let title = cut(&clean(title), usize::from(width).saturating_sub(4), glyphs);
    let block = Block::bordered()
        .border_set(glyphs.border)
        .title(format!(" {title} "));
    let inner = block.inner(place);
    frame.render_widget(Clear, place);
    frame.render_widget(block, place);
    inner
}
