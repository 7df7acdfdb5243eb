//! The tree of one hierarchy as a table. Columns that a narrow frame has no room for are left out.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Row as Cells, Table};

use super::text::{Glyphs, clean, columns, cut};
use super::{number, pane, selection, sort_word, title, window};
use crate::top::model::{Model, Pane};
use crate::top::rates::Rate;
use crate::top::rows::Row;
use crate::tree::tasks;
use crate::units::time;

/// Columns between two cells.
const GAP: u16 = 2;
/// Columns of a frame from which on a row has its wait rate and its CPU time.
const WITH_RATES: u16 = 50;
/// And from which on it has its tasks.
const WITH_TASKS: u16 = 64;
/// A wait rate that is worth a look: a twentieth of a CPU.
const WAITS: Rate = Rate(Rate::CPU.0 / 20);

/// A column: its head, its width (0 until what is left is known), and what stands in it.
struct Column {
    head: &'static str,
    width: u16,
    cell: fn(&Row, &Glyphs) -> Span<'static>,
}

/// Draw the rows of the hierarchy that is shown.
pub fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, glyphs: &Glyphs) {
    let has_keys = matches!(model.pane, Pane::Tree(_));
    let order = Line::from(format!(" by {} ", sort_word(model.sort))).right_aligned();
    let block = pane(tabs(model, has_keys, area.width), glyphs).title(order);
    let inner = block.inner(area);
    let cursor = model.tree_cursor();
    let shown = window(model.rows.len(), cursor, inner.height.saturating_sub(1));
    let labels = model.rows[shown.clone()].iter();
    let labels: Vec<String> = labels.map(|row| label(row, glyphs)).collect();

    let longest = labels.iter().map(|label| columns(label)).max().unwrap_or(0);
    let names = longest.clamp(6, usize::from(inner.width / 2).max(6)) as u16;
    let chosen = chosen(model, inner.width, names);
    let head = std::iter::once("group").chain(chosen.iter().map(|column| column.head));
    let head = Cells::new(head).style(Style::new().add_modifier(Modifier::DIM));
    let cells = shown.zip(labels).map(|(at, label)| {
        let row = &model.rows[at];
        let mut cells = vec![Span::raw(label).fg(if row.is_task {
            Color::Cyan
        } else {
            Color::Reset
        })];
        cells.extend(chosen.iter().map(|column| (column.cell)(row, glyphs)));
        let widths = std::iter::once(names).chain(chosen.iter().map(|column| column.width));
        for (cell, width) in cells.iter_mut().zip(widths) {
            cell.content = cut(&cell.content, usize::from(width), glyphs).into();
        }
        let selected = at == cursor;
        Cells::new(cells).style(if selected {
            selection(has_keys)
        } else {
            Style::new()
        })
    });
    let widths = std::iter::once(names).chain(chosen.iter().map(|column| column.width));
    let table = Table::new(cells, widths.map(Constraint::Length));
    frame.render_widget(table.header(head).column_spacing(GAP).block(block), area);
}

/// The hierarchies' names, the shown one marked; where there are too many, only that one.
fn tabs(model: &Model, has_keys: bool, width: u16) -> Line<'static> {
    let dim = Style::new().add_modifier(Modifier::DIM);
    let tab = |name: &String| match *name == model.hierarchy() {
        true => title(name, has_keys),
        false => Span::styled(format!(" {} ", clean(name)), dim),
    };
    let all: Line<'static> = model.hierarchies.iter().map(tab).collect();
    if all.width() + " by usage ".len() <= usize::from(width) {
        return all;
    }
    let others = format!("of {} ", model.hierarchies.len());
    Line::from(vec![
        title(model.hierarchy(), has_keys),
        Span::styled(others, dim),
    ])
}

/// The columns after the names, as many as fit; the last takes what is left.
fn chosen(model: &Model, width: u16, names: u16) -> Vec<Column> {
    let any = |has: fn(&Row) -> bool| model.rows.iter().any(has);
    let groups_are_billed = any(|row| !row.is_task && row.usage_ns.is_some());
    let cpus = Column {
        head: "cpus",
        width: if width < WITH_RATES { 7 } else { 10 },
        cell: cpus,
    };
    let usage = Column {
        head: "  CPU%",
        width: 6,
        cell: usage,
    };
    let wait = Column {
        head: " wait%",
        width: 6,
        cell: wait,
    };
    let time = Column {
        head: "CPU time",
        width: 10,
        cell: cpu_time,
    };
    let tasks = Column {
        head: "tasks",
        width: 0,
        cell: occupants,
    };
    let columns = [
        (any(|row| row.cpus.is_some()), cpus),
        (true, usage),
        (width >= WITH_RATES, wait),
        (width >= WITH_RATES && groups_are_billed, time),
        (width >= WITH_TASKS, tasks),
    ];
    let chosen = columns
        .into_iter()
        .filter_map(|(shown, column)| shown.then_some(column));
    let mut chosen: Vec<Column> = chosen.collect();
    let taken: u16 = chosen.iter().map(|column| GAP + column.width).sum();
    for column in chosen.iter_mut().filter(|column| column.width == 0) {
        column.width = width.saturating_sub(names + taken);
    }
    chosen
}

/// Its place in the tree and its name.
fn label(row: &Row, glyphs: &Glyphs) -> String {
    let mark = match (row.has_below, row.folded) {
        (true, true) => glyphs.folded,
        (true, false) => glyphs.unfolded,
        (false, _) if row.follows.is_empty() => "",
        (false, _) => glyphs.leaf,
    };
    let mut label = String::new();
    let name = match row.follows.split_last() {
        None => row.name.as_str(),
        Some((follows, above)) => {
            for &follows in above {
                label.push_str(if follows { glyphs.bar } else { "   " });
            }
            label.push_str(if *follows { glyphs.tee } else { glyphs.corner });
            match row.is_task {
                true => &row.name,
                false => row.name.rsplit('/').next().unwrap_or_default(),
            }
        }
    };
    label.push_str(mark);
    label.push_str(&clean(name));
    label
}

fn cpus(row: &Row, glyphs: &Glyphs) -> Span<'static> {
    let shown = |cpus: &str| {
        if cpus.is_empty() {
            "none".to_owned()
        } else {
            clean(cpus)
        }
    };
    match &row.cpus {
        None => Span::raw(""),
        // A task that no group pins was asked for nothing.
        Some((asked, has)) if asked == has || row.is_task && asked.is_empty() => {
            Span::raw(shown(has))
        }
        Some((asked, has)) => {
            let both = format!("{}{}{}", shown(asked), glyphs.arrow, shown(has));
            Span::styled(both, Style::new().fg(Color::Yellow))
        }
    }
}

fn usage(row: &Row, _: &Glyphs) -> Span<'static> {
    let rate = |rates: super::super::rates::Rates| format!("{:>6}", rates.usage);
    Span::raw(row.rates.map_or_else(|| "     -".to_owned(), rate))
}

fn wait(row: &Row, _: &Glyphs) -> Span<'static> {
    let Some(rates) = row.rates else {
        return Span::raw("     -");
    };
    let color = if rates.wait >= WAITS {
        Color::Yellow
    } else {
        Color::Reset
    };
    Span::styled(format!("{:>6}", rates.wait), Style::new().fg(color))
}

fn cpu_time(row: &Row, _: &Glyphs) -> Span<'static> {
    Span::raw(row.usage_ns.map(time).unwrap_or_default())
}

/// The tasks in the group; of a folded one how many are in it and below.
fn occupants(row: &Row, _: &Glyphs) -> Span<'static> {
    match row.folded {
        true => Span::raw(number(row.task_count, "task")),
        false => Span::raw(clean(&tasks(&row.tasks))),
    }
}
