//! Keys in every mode.

use proptest::prelude::*;

use super::*;

fn press(mode: &mut Mode, code: KeyCode) -> Action {
    mode.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn typed(mode: &mut Mode, text: &str) {
    for c in text.chars() {
        assert_eq!(press(mode, KeyCode::Char(c)), Action::None);
    }
}

#[test]
fn a_repin_goes_by_list_trial_and_y() {
    let mut mode = Mode::ask("placement:/gold", "0-1");
    typed(&mut mode, "x,3q");
    press(&mut mode, KeyCode::Backspace);
    typed(&mut mode, "2");
    let (group, cpus) = ("placement:/gold".to_owned(), "0-1,2".to_owned());
    let trial = Action::DryRun {
        group: group.clone(),
        cpus: cpus.clone(),
    };
    assert_eq!(press(&mut mode, KeyCode::Enter), trial);
    mode.planned(Ok(vec!["pin web/vcpu0".into(), "pin web/io".into()]));
    // No other key applies it.
    for code in [
        KeyCode::Enter,
        KeyCode::Char('Y'),
        KeyCode::Char('p'),
        KeyCode::Down,
    ] {
        assert_eq!(press(&mut mode, code), Action::None);
    }
    assert!(matches!(mode, Mode::Confirm { from: 1, .. }));
    assert_eq!(
        press(&mut mode, KeyCode::Char('y')),
        Action::Apply { group, cpus }
    );
    assert_eq!(mode, Mode::Browse);
}

#[test]
fn a_refused_list_can_be_mended_and_left() {
    let mut mode = Mode::ask("placement:/gold", "9");
    press(&mut mode, KeyCode::Enter);
    mode.planned(Err("cpuset.cpus 9 is not among 0-1 (EACCES)".into()));
    assert!(matches!(
        &mode,
        Mode::Ask {
            refused: Some(_),
            ..
        }
    ));
    press(&mut mode, KeyCode::Backspace);
    assert!(matches!(&mode, Mode::Ask { refused: None, .. }));
    press(&mut mode, KeyCode::Esc);
    assert_eq!(mode, Mode::Browse);
    // An answer that comes to no question opens nothing.
    mode.planned(Ok(Vec::new()));
    assert_eq!(mode, Mode::Browse);
}

#[test]
fn what_is_pasted_spells_a_list_and_applies_nothing() {
    let mut mode = Mode::Browse;
    mode.paste("q");
    assert_eq!(mode, Mode::Browse);
    mode = Mode::ask("p:/", "");
    mode.paste(" 0-1\ny\x1b[2J");
    let expected = Mode::Ask {
        group: "p:/".into(),
        cpus: "0-12".into(),
        refused: None,
    };
    assert_eq!(mode, expected);
    mode.paste(&"1,".repeat(MAX_CPUS_TEXT));
    assert!(matches!(mode, Mode::Ask { cpus, .. } if cpus.len() == MAX_CPUS_TEXT));
}

#[test]
fn any_key_leaves_the_help_and_control_c_ends_from_everywhere() {
    let mut mode = Mode::Browse;
    press(&mut mode, KeyCode::Char('?'));
    assert_eq!(mode, Mode::Help);
    assert_eq!(press(&mut mode, KeyCode::Char('q')), Action::None);
    assert_eq!(mode, Mode::Browse);
    assert_eq!(press(&mut mode, KeyCode::Char('q')), Action::Quit);
    let end = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(Mode::ask("p:/", "0").key(end), Action::Quit);
    mode = Mode::ask("p:/", "0-3");
    mode.key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL));
    assert_eq!(mode, Mode::ask("p:/", ""));
}

proptest! {
    #[test]
    fn nothing_is_applied_but_what_a_trial_has_shown_and_y_has_granted(
        keys in prop::collection::vec(prop::sample::select("pyn0-q\r\u{8}\u{1b}?j".chars().collect::<Vec<_>>()), 0..80),
        granted in any::<bool>(),
    ) {
        let mut mode = Mode::Browse;
        let mut shown = None;
        for c in keys {
            let code = match c {
                '\r' => KeyCode::Enter,
                '\u{8}' => KeyCode::Backspace,
                '\u{1b}' => KeyCode::Esc,
                c => KeyCode::Char(c),
            };
            match press(&mut mode, code) {
                Action::Repin => mode = Mode::ask("p:/", "0"),
                Action::DryRun { cpus, .. } => {
                    shown = granted.then(|| cpus.clone());
                    mode.planned(if granted { Ok(Vec::new()) } else { Err("no".into()) });
                }
                Action::Apply { cpus, .. } => {
                    prop_assert_eq!(code, KeyCode::Char('y'));
                    prop_assert_eq!(Some(cpus), shown.take());
                }
                _ => {}
            }
        }
    }
}
