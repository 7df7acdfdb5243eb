//! Frames, drawn in memory.

use std::fmt::Write;

use management::Report;
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Modifier;

use super::*;
use crate::top::keys::Mode;
use crate::top::model::{Sample, Step};
use crate::top::samples::{SECOND, group, task, two_groups};
use crate::top::terminal::print;

fn app() -> App {
    let mut app = App::new(Sample {
        report: two_groups(1),
        at_ns: SECOND,
    });
    app.heard(Ok(two_groups(2)), 2 * SECOND);
    app
}

fn shown(app: &App, columns: u16, rows: u16) -> String {
    print(app, (columns, rows), true).unwrap()
}

#[test]
fn eighty_columns_show_the_tree_and_all_panes() {
    let expected = "\
pinfold  2 machines, 7 tasks, 150.0% CPU, 10.0% waiting
 placement  billing ─────────────────────────────────────────────────── by name
group          cpus          CPU%   wait%  tasks
▾ placement:/  0-2          150.0    10.0
├─▾ gold       0            100.0     0.0
│  └─▾ web     0            100.0     0.0  web/vcpu0,control,io
│     └── hot  0            100.0     0.0  web/vcpu1
└── silver     1-3→1-2       50.0    10.0  db/vcpu0,control,io






 CPUs ~ may run elsewhere too ──────────────────────────────────────────────────
0   ██████████  100.0      web/vcpu0-1,control,io
1-2 ███░░░░░░░   25.0 each ~ db/vcpu0,control,io
 machines ──────────────────────────────────────────────────────────────────────
web   100.0%  running  pid 4711
db     50.0%  paused  pid 4711
 events ────────────────────────────────────────────────────────────────────────
#54  web stands in its groups and runs
#58  placement:/gold/web/hot released
q quit  ? help  Tab pane  s sort  p re-pin  t tasks  Enter fold
";
    assert_eq!(shown(&app(), 80, 24), expected);
}

#[test]
fn wide_frames_have_panes_side_by_side() {
    let frame = shown(&app(), 120, 26);
    let side_by_side = frame
        .lines()
        .any(|line| line.contains("CPUs") && line.contains("machines"));
    assert!(side_by_side, "{frame}");
}

#[test]
fn a_small_frame_shows_the_pane_that_has_the_keys_in_ascii_too() {
    let mut app = app();
    let expected = "\
pinfold  2 machines, 7 tasks, 150.0% CPU
 placement  billing ----------- by name
group          cpus       CPU%
v placement:/  0-2       150.0
|-v gold       0         100.0
|  `-v web     0         100.0
|     `-- hot  0         100.0
`-- silver     1-3->1~    50.0

q quit  ? help  Tab pane  s sort  p re-p
";
    assert_eq!(print(&app, (40, 10), false).unwrap(), expected);
    app.model.next_pane(true);
    assert!(shown(&app, 40, 10).contains("db"));
    app.model.next_pane(true);
    assert!(shown(&app, 40, 10).contains("web/vcpu0"));
}

#[test]
fn the_trial_of_a_repin_stands_over_the_picture_with_its_choice() {
    let mut app = app();
    app.mode = Mode::ask("placement:/gold", "0-1");
    app.mode.planned(Ok((0..40)
        .map(|n| format!("pin web/vcpu{n} to 0-1, was 0"))
        .collect()));
    for (columns, rows) in [(80, 24), (40, 10)] {
        let frame = shown(&app, columns, rows);
        assert!(
            frame.contains("0-1: 40 effects") && frame.contains("pin web/vcpu0 to"),
            "{frame}"
        );
        assert!(frame.contains("y: apply   n: leave"), "{frame}");
    }
    app.mode = Mode::ask("placement:/gold", "9");
    app.mode.planned(Err(
        "cpuset.cpus 9 is not within 0-1 of the parent (EACCES)".into(),
    ));
    let frame = shown(&app, 40, 10);
    assert!(
        frame.contains("cpuset.cpus 9_") && frame.contains("(EACCES)"),
        "{frame}"
    );
}

#[test]
fn a_huge_tree_scrolls_with_the_selection() {
    let mut report = Report::default();
    report.groups.push(group("p:/", 0, None, &[]));
    for number in 0..5_000 {
        report
            .groups
            .push(group(&format!("p:/g{number:04}"), 1, None, &[]));
    }
    let mut app = App::new(Sample { report, at_ns: 0 });
    for (step, name) in [
        (Step::First, "g0000"),
        (Step::By(2_500), "g2499"),
        (Step::Last, "g4999"),
    ] {
        app.model.step(step);
        assert!(shown(&app, 80, 24).contains(name));
    }
}

#[test]
fn the_selected_row_is_reversed_where_the_keys_go() {
    let mut app = app();
    app.model.step(Step::By(1));
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| draw(frame, &app, true)).unwrap();
    let buffer = terminal.backend().buffer();
    let row_of = |text: &str| {
        let frame = shown(&app, 80, 24);
        frame.lines().position(|line| line.contains(text)).unwrap() as u16
    };
    assert!(
        buffer[(0, row_of("─▾ gold"))]
            .modifier
            .contains(Modifier::REVERSED)
    );
    assert!(
        !buffer[(0, row_of("silver"))]
            .modifier
            .contains(Modifier::REVERSED)
    );
}

#[test]
fn names_cannot_steer_the_terminal_or_turn_lines_around() {
    let hostile = "\x1b]0;owned\x07\u{9b}2J\u{202e}\u{200b}\r\n";
    let mut report = two_groups(1);
    report.groups[1].group = format!("placement:/{hostile}");
    report.groups[1].tasks.push(format!("web/{hostile}"));
    report.machines[0].name = hostile.into();
    report.machines[0].end = Some(hostile.into());
    report.events[1].text = hostile.into();
    report.tasks.push(task(hostile, &[], ["0", "0"], [0, 0]));
    let mut app = App::new(Sample { report, at_ns: 0 });
    app.stale = Some(hostile.into());
    app.mode = Mode::ask(hostile, "0");
    for with_effects in [false, true] {
        if with_effects {
            app.mode.planned(Ok(vec![hostile.into()]));
        }
        let frame = shown(&app, 120, 40);
        let steering = frame.chars().filter(|&c| c != '\n').any(|c| c.is_control());
        assert!(!steering && !frame.contains(['\u{202e}', '\u{200b}']));
        assert_eq!(frame.lines().count(), 40);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_frame_is_too_small_or_its_text_too_strange(
        (columns, rows) in (1..130u16, 1..50u16),
        name in "\\PC{0,12}",
        deep in 0..60usize,
        pane in 0..4usize,
        mode in 0..4usize,
        utf8 in any::<bool>(),
    ) {
        let mut report = two_groups(1);
        let mut path = "placement:/silver".to_owned();
        for depth in 2..deep {
            let _ = write!(path, "/{name}{depth}");
            report.groups.push(group(&path, depth, Some(["0-1", ""]), &[&name]));
        }
        report.groups.sort_by_key(|group| group.group.starts_with("billing"));
        report.machines[0].name = name.clone();
        let mut app = App::new(Sample { report: report.clone(), at_ns: 0 });
        app.heard(Ok(report), SECOND);
        (0..pane).for_each(|_| app.model.next_pane(false));
        app.model.toggle_tasks();
        app.model.step(Step::Last);
        app.mode = match mode {
            0 => Mode::Browse,
            1 => Mode::Help,
            _ => Mode::ask(&path, "0-1"),
        };
        if mode == 3 {
            app.mode.planned(Ok(vec![name; deep]));
        }
        let frame = print(&app, (columns, rows), utf8).unwrap();
        prop_assert_eq!(frame.lines().count(), usize::from(rows));
    }
}
