//! Keys all the way to a source that notes what it is asked.

use anyhow::{anyhow, bail};
use ratatui::crossterm::event::{KeyCode, KeyModifiers};

use super::*;
use crate::top::samples::{SECOND, two_groups};

#[derive(Default)]
struct Notes(Vec<String>);

impl Source for Notes {
    fn report(&mut self) -> anyhow::Result<Report> {
        Ok(two_groups(1))
    }

    fn dry_run(&mut self, group: &str, cpus: &str) -> anyhow::Result<Vec<String>> {
        self.0.push(format!("trial {group} {cpus}"));
        if cpus.is_empty() {
            bail!("cpuset.cpus cannot be empty (ENOSPC)");
        }
        Ok(vec![format!("pin web/vcpu0 to {cpus}")])
    }

    fn apply(&mut self, group: &str, cpus: &str) -> anyhow::Result<String> {
        self.0.push(format!("apply {group} {cpus}"));
        Ok("1 effect in 72074 ns".to_owned())
    }
}

fn app() -> App {
    App::new(Sample {
        report: two_groups(1),
        at_ns: 0,
    })
}

fn press(app: &mut App, source: &mut Notes, keys: &str) {
    for c in keys.chars() {
        let code = match c {
            '\r' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\u{8}' => KeyCode::Backspace,
            c => KeyCode::Char(c),
        };
        assert!(app.key(KeyEvent::new(code, KeyModifiers::NONE), source));
    }
}

#[test]
fn a_group_is_repinned_after_its_trial_and_y() {
    let (mut app, mut source) = (app(), Notes::default());
    press(&mut app, &mut source, "jp\u{8}\r");
    assert!(matches!(&app.mode, Mode::Ask { refused: Some(why), .. } if why.contains("ENOSPC")));
    press(&mut app, &mut source, "0-1\r");
    assert_eq!(
        source.0,
        ["trial placement:/gold ", "trial placement:/gold 0-1"]
    );
    press(&mut app, &mut source, "n");
    assert_eq!(source.0.len(), 2);
    press(&mut app, &mut source, "p,1\ry");
    assert_eq!(source.0[3], "apply placement:/gold 0,1");
    assert_eq!(
        app.notice,
        Some(Notice::Done("1 effect in 72074 ns".into()))
    );
}

#[test]
fn the_selection_may_move_under_a_dialogue_but_its_group_stays() {
    let (mut app, mut source) = (app(), Notes::default());
    press(&mut app, &mut source, "jp\r");
    let mut report = two_groups(2);
    report
        .groups
        .retain(|group| !group.group.starts_with("placement:/gold"));
    app.heard(Ok(report), SECOND);
    press(&mut app, &mut source, "y");
    assert_eq!(source.0[1], "apply placement:/gold 0");
}

#[test]
fn what_pins_nothing_is_not_asked_about() {
    let (mut app, mut source) = (app(), Notes::default());
    press(&mut app, &mut source, "\tp");
    assert!(matches!(&app.notice, Some(Notice::Refused(why)) if why.contains("no cpuset")));
    press(&mut app, &mut source, "\tp");
    assert!(matches!(&app.notice, Some(Notice::Refused(why)) if why.contains("select one")));
    assert_eq!((app.mode, source.0.len()), (Mode::Browse, 0));
}

#[test]
fn a_source_that_does_not_answer_leaves_the_last_picture_and_says_so() {
    let mut app = app();
    app.heard(Err(anyhow!("the supervisor is gone")), SECOND);
    assert_eq!(app.stale.as_deref(), Some("the supervisor is gone"));
    assert_eq!(app.model.rows.len(), 5);
    app.heard(Ok(two_groups(3)), 2 * SECOND);
    assert_eq!(app.stale, None);
    // Over two seconds, of which one was not heard.
    assert_eq!(app.model.total.unwrap().usage.to_string(), "150.0");
}
