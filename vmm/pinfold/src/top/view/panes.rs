//! The host's CPUs, the machines, and the last events.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row as Cells, Table};

use super::text::{Glyphs, clean};
use super::{alarm, pane, selection, title, window};
use crate::top::cpus::CpuRow;
use crate::top::model::{Model, Pane};
use crate::top::rates::Rate;
use crate::tree::{event, tasks};
use crate::units::time;

/// Parts of a meter.
const METER: u64 = 10;

/// Draw the map of CPUs: how busy with our tasks, and with which.
pub fn cpus(frame: &mut Frame<'_>, area: Rect, model: &Model, glyphs: &Glyphs) {
    let has_keys = model.pane == Pane::Cpus;
    let legend = Span::styled(
        "~ may run elsewhere too ",
        Style::new().add_modifier(Modifier::DIM),
    );
    let block = pane(Line::from(vec![title("CPUs", has_keys), legend]), glyphs);
    let inner = block.inner(area);
    let row = |cpu: &CpuRow| {
        let busy = cpu
            .busy
            .map_or_else(|| "     -".to_owned(), |busy| format!("{busy:>6}"));
        Cells::new([
            Span::raw(cpu.cpus.clone()),
            Span::raw(meter(cpu.busy.unwrap_or_default(), glyphs)),
            Span::raw(format!(
                "{busy}{}",
                if cpu.count > 1 { " each" } else { "" }
            )),
            Span::raw(on(cpu)),
        ])
    };
    let grouped = model.cpus.iter().any(|cpu| cpu.count > 1);
    let longest = model
        .cpus
        .iter()
        .map(|cpu| cpu.cpus.len())
        .max()
        .unwrap_or(0);
    let widths = [
        Constraint::Length(longest as u16),
        Constraint::Length(if inner.width < 50 { 0 } else { METER as u16 }),
        Constraint::Length(if grouped { 11 } else { 6 }),
        Constraint::Fill(1),
    ];
    let cursor = model.cpu_cursor();
    let shown = window(model.cpus.len(), cursor, inner.height);
    let rows = shown.map(|at| {
        let style = if at == cursor {
            selection(has_keys)
        } else {
            Style::new()
        };
        row(&model.cpus[at]).style(style)
    });
    let table = Table::new(rows, widths).column_spacing(1).block(block);
    frame.render_widget(table, area);
}

fn meter(busy: Rate, glyphs: &Glyphs) -> String {
    // Half a part counts; more than a whole CPU, which sampling can make of one, is a whole one.
    let parts =
        (busy.0.saturating_mul(METER).saturating_add(Rate::CPU.0 / 2) / Rate::CPU.0).min(METER);
    let [used, free] = glyphs.meter;
    used.repeat(parts as usize) + &free.repeat((METER - parts) as usize)
}

fn on(cpu: &CpuRow) -> String {
    let pinned = clean(&tasks(&cpu.pinned));
    let floating = clean(&tasks(&cpu.floating));
    match (pinned.is_empty(), floating.is_empty()) {
        (_, true) => pinned,
        (true, false) => format!("~ {floating}"),
        (false, false) => format!("{pinned}  ~ {floating}"),
    }
}

/// Draw the machines.
pub fn machines(frame: &mut Frame<'_>, area: Rect, model: &Model, glyphs: &Glyphs) {
    let has_keys = model.pane == Pane::Machines;
    let block = pane(Line::from(title("machines", has_keys)), glyphs);
    let inner = block.inner(area);
    let machines = &model.report.machines;
    let cursor = model.machine_cursor();
    let shown = window(machines.len(), cursor, inner.height);
    let longest = machines[shown.clone()]
        .iter()
        .map(|machine| machine.name.chars().count());
    let widths = [
        Constraint::Length(longest.max().unwrap_or(0).min(32) as u16),
        Constraint::Length(7),
        Constraint::Fill(1),
    ];
    let rows = shown.map(|at| {
        let machine = &machines[at];
        let usage = model
            .machine_rates
            .as_ref()
            .map(|rates| format!("{:>6}%", rates[at].usage));
        let (state, style) = match (&machine.end, machine.ended_after_ns) {
            (Some(end), Some(after)) => {
                let style = if end == "exit 0" {
                    Style::new()
                } else {
                    alarm()
                };
                (format!("{end} after {}", time(after)), style)
            }
            (Some(end), None) => (end.clone(), Style::new()),
            (None, _) => (machine.state.clone(), state_style(&machine.state)),
        };
        let cells = Cells::new([
            Span::raw(clean(&machine.name)),
            Span::raw(usage.unwrap_or_else(|| "      -".to_owned())),
            Span::styled(format!("{}  pid {}", clean(&state), machine.pid), style),
        ]);
        cells.style(if at == cursor {
            selection(has_keys)
        } else {
            Style::new()
        })
    });
    let table = Table::new(rows, widths).column_spacing(2).block(block);
    frame.render_widget(table, area);
}

fn state_style(state: &str) -> Style {
    match state {
        "running" => Style::new().fg(Color::Green),
        "paused" => Style::new().fg(Color::Yellow),
        _ => Style::new(),
    }
}

/// Draw the last events, the newest below.
pub fn events(frame: &mut Frame<'_>, area: Rect, model: &Model, glyphs: &Glyphs) {
    let block = pane(Line::from(title("events", false)), glyphs);
    let events = &model.report.events;
    let from = events
        .len()
        .saturating_sub(usize::from(block.inner(area).height));
    let lines: Vec<Line<'static>> = events[from..]
        .iter()
        .map(|last| Line::raw(clean(event(last).trim_start())))
        .collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}
