//! What each verb of the script language does, as seen from the other side of the exits.

use std::time::Duration;

use crate::rig::{self, End, Ending, start};

/// Runs a guest to its end.
fn endings(vcpus: u16, lines: &[&str]) -> Option<Vec<Ending>> {
    start(vcpus, lines).map(rig::Guest::wait)
}

#[test]
fn a_line_arrives_and_the_exit_code_with_it() {
    let Some(endings) = endings(1, &["print hello", "exit 7"]) else {
        return;
    };
    assert_eq!(endings[0].end, End::Exited(7));
    assert_eq!(endings[0].text(), "vcpu0: hello\n");
}

#[test]
fn a_script_that_ends_without_exit_exits_with_0() {
    let Some(endings) = endings(1, &[]) else {
        return;
    };
    assert_eq!(endings[0].end, End::Exited(0));
}

#[test]
fn each_vcpu_takes_its_own_steps_from_its_first_instruction_on() {
    let script = [
        "print all",
        "vcpu1: print one",
        "vcpu0: exit 3",
        "vcpu1: exit 4",
    ];
    let Some(endings) = endings(2, &script) else {
        return;
    };
    assert_eq!(endings[0].end, End::Exited(3));
    assert_eq!(endings[1].end, End::Exited(4));
    assert_eq!(endings[0].text(), "vcpu0: all\n");
    assert_eq!(endings[1].text(), "vcpu1: all\nvcpu1: one\n");
}

#[test]
fn the_most_vcpus_there_can_be_all_run() {
    let count = firmware::MAX_VCPUS;
    let Some(endings) = endings(count, &["barrier", "print x", "vcpu63: exit 63"]) else {
        return;
    };
    for (index, ending) in endings.iter().enumerate() {
        assert_eq!(ending.end, End::Exited(if index == 63 { 63 } else { 0 }));
        assert_eq!(ending.text(), format!("vcpu{index}: x\n"));
    }
}

#[test]
fn the_longest_line_arrives_whole() {
    let text = "x".repeat(firmware::MAX_TEXT_BYTES);
    let Some(endings) = endings(1, &[&format!("print {text}")]) else {
        return;
    };
    assert_eq!(endings[0].text(), format!("vcpu0: {text}\n"));
}

#[test]
fn lines_of_two_vcpus_are_not_mixed() {
    let lines: Vec<String> = (0..20)
        .map(|n| format!("print {n} abcdefghijklmnopqrst"))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let Some(guest) = start(2, &lines) else {
        return;
    };
    let (_, bytes) = guest.wait_with_serial();
    let text = String::from_utf8(bytes).expect("UTF-8");
    assert_eq!(text.lines().count(), 40);
    for line in text.lines() {
        let whole = line.starts_with("vcpu") && line.ends_with(" abcdefghijklmnopqrst");
        assert!(whole && line.matches("vcpu").count() == 1, "{line:?}");
    }
}

#[test]
fn a_burn_computes_for_its_time_without_exits() {
    let Some(endings) = endings(1, &["burn 200ms"]) else {
        return;
    };
    let Ending {
        end,
        busy,
        exits,
        elapsed,
        ..
    } = &endings[0];
    assert_eq!(*end, End::Exited(0));
    assert!(*elapsed >= Duration::from_millis(200), "{elapsed:?}");
    // The counter goes on while others have the processor, so the burn may get less than its time.
    assert!(
        *busy >= Duration::from_millis(20) && busy <= elapsed,
        "{busy:?} of {elapsed:?}"
    );
    assert_eq!(*exits, 1, "only the exit byte leaves the guest");
}

#[test]
fn a_sleep_lasts_its_time_and_uses_next_to_no_processor() {
    let Some(endings) = endings(1, &["sleep 500ms"]) else {
        return;
    };
    let Ending {
        end, busy, elapsed, ..
    } = &endings[0];
    assert_eq!(*end, End::Exited(0));
    assert!(*elapsed >= Duration::from_millis(500), "{elapsed:?}");
    assert!(*elapsed < Duration::from_secs(3), "{elapsed:?}");
    assert!(*busy < Duration::from_millis(25), "{busy:?}");
}

#[test]
fn a_sleep_longer_than_the_timer_can_count_is_cut_into_shots() {
    let Some(endings) = endings(1, &["sleep 4500ms"]) else {
        return;
    };
    let elapsed = endings[0].elapsed;
    assert!(elapsed >= Duration::from_millis(4500), "{elapsed:?}");
    assert!(elapsed < Duration::from_secs(8), "{elapsed:?}");
}

#[test]
fn a_barrier_holds_the_early_until_the_late_come() {
    let script = ["vcpu1: sleep 200ms", "barrier", "barrier", "exit"];
    let Some(endings) = endings(2, &script) else {
        return;
    };
    for ending in &endings {
        assert_eq!(ending.end, End::Exited(0));
        assert!(
            ending.elapsed >= Duration::from_millis(190),
            "{:?}",
            ending.elapsed
        );
    }
    assert!(
        endings[0].busy < Duration::from_millis(100),
        "{:?}",
        endings[0].busy
    );
}

#[test]
fn a_barrier_does_not_wait_for_those_that_have_ended() {
    let script = [
        "vcpu0: exit 1",
        "barrier",
        "vcpu1: sleep 50ms",
        "vcpu1: exit 2",
        "barrier",
    ];
    let Some(endings) = endings(3, &script) else {
        return;
    };
    let codes: Vec<&End> = endings.iter().map(|ending| &ending.end).collect();
    assert_eq!(codes, [&End::Exited(1), &End::Exited(2), &End::Exited(0)]);
}

#[test]
fn a_fault_is_reported_with_its_vector_and_its_address() {
    let Some(endings) = endings(1, &["fault"]) else {
        return;
    };
    let End::Faulted(writes) = &endings[0].end else {
        panic!("{:?}", endings[0])
    };
    let word = |at: usize| u32::from_le_bytes(writes[at].as_slice().try_into().expect("4 bytes"));
    assert_eq!(writes[0], [14], "a page fault");
    assert!(
        (0x10_0000..0x14_0000).contains(&word(1)),
        "RIP {:#x} is in the image",
        word(1)
    );
    assert_eq!(
        word(2),
        0b110,
        "a write from user level to a page that is not there"
    );
    assert_eq!((word(3), word(4)), (0x4000_0000, 0));
}

#[test]
fn a_reset_reaches_the_keyboard_controller() {
    let Some(endings) = endings(1, &["reset"]) else {
        return;
    };
    assert_eq!(endings[0].end, End::Reset);
}
