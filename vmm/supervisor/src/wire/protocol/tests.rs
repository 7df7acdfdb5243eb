use super::*;

fn thread(kind: ThreadKind, tid: u32) -> Thread {
    Thread { kind, tid }
}

fn born() -> Protocol {
    let mut protocol = Protocol::default();
    let threads = vec![
        thread(ThreadKind::Control, 1),
        thread(ThreadKind::Vcpu(0), 2),
    ];
    protocol
        .take(ToSupervisor::Born {
            version: VERSION,
            threads,
        })
        .unwrap();
    protocol
}

#[test]
fn nothing_is_heard_before_a_birth() {
    for message in [
        ToSupervisor::Pong(0),
        ToSupervisor::Ended {
            kind: ThreadKind::Io,
        },
    ] {
        assert!(Protocol::default().take(message).is_err());
    }
}

#[test]
fn another_version_is_refused_with_both_numbers() {
    let message = ToSupervisor::Born {
        version: 9,
        threads: vec![],
    };
    let why = Protocol::default().take(message).unwrap_err();
    assert_eq!(why, format!("link version 9, not {VERSION}"));
}

#[test]
fn a_second_birth_a_second_end_and_a_stranger_are_violations() {
    let mut protocol = born();
    let again = ToSupervisor::Born {
        version: VERSION,
        threads: vec![],
    };
    assert!(protocol.take(again).is_err());
    let end = ToSupervisor::Ended {
        kind: ThreadKind::Vcpu(0),
    };
    assert_eq!(
        protocol.take(end.clone()),
        Ok(Said::Ended(ThreadKind::Vcpu(0)))
    );
    assert!(protocol.take(end).is_err());
    assert!(
        protocol
            .take(ToSupervisor::Ended {
                kind: ThreadKind::Vcpu(5)
            })
            .is_err()
    );
}

#[test]
fn one_tid_or_kind_announced_twice_is_a_violation() {
    for threads in [
        vec![thread(ThreadKind::Control, 1), thread(ThreadKind::Io, 1)],
        vec![thread(ThreadKind::Io, 1), thread(ThreadKind::Io, 2)],
    ] {
        let message = ToSupervisor::Born {
            version: VERSION,
            threads,
        };
        assert!(Protocol::default().take(message).is_err());
    }
}

#[test]
fn a_pong_answers_its_own_ping_and_only_once() {
    let mut protocol = born();
    assert!(protocol.take(ToSupervisor::Pong(1)).is_err());
    assert_eq!(protocol.next_ping(4), Some(4));
    assert_eq!(protocol.next_ping(5), None);
    assert!(protocol.take(ToSupervisor::Pong(5)).is_err());
    assert_eq!(protocol.take(ToSupervisor::Pong(4)), Ok(Said::Alive));
    assert!(protocol.take(ToSupervisor::Pong(4)).is_err());
}

#[test]
fn a_hold_is_answered_by_its_number_and_once_and_never_after_a_later_one() {
    let mut protocol = born();
    let held = |number| ToSupervisor::Held { number };
    assert!(protocol.take(held(1)).is_err());
    (1..=3).for_each(|number| protocol.expect_held(number));
    assert!(protocol.take(held(0)).is_err());
    assert!(protocol.take(held(4)).is_err());
    assert_eq!(protocol.take(held(2)), Ok(Said::Held(2)));
    assert!(protocol.take(held(2)).is_err());
    assert!(protocol.take(held(1)).is_err());
    assert_eq!(protocol.take(held(3)), Ok(Said::Held(3)));
}

#[test]
fn counts_come_for_each_ping_and_once_more_and_of_as_many_vcpus_as_there_are() {
    let counted = |vcpus| ToSupervisor::Counted {
        vcpus: vec![VcpuCounts::default(); vcpus],
    };
    assert!(Protocol::default().take(counted(0)).is_err());
    let mut protocol = born();
    assert!(protocol.take(counted(0)).is_err());
    assert!(protocol.take(counted(2)).is_err());
    protocol.take(counted(1)).unwrap();
    assert!(protocol.take(counted(1)).is_err());
    for number in 0..9 {
        protocol.next_ping(number);
        protocol.take(ToSupervisor::Pong(number)).unwrap();
    }
    protocol.take(counted(1)).unwrap();
    protocol.take(counted(1)).unwrap();
    assert!(
        protocol.take(counted(1)).is_err(),
        "what was not said is not owed for ever"
    );
}

#[test]
fn an_agent_comes_after_the_birth_from_a_privileged_port_and_not_too_often() {
    let now = Instant::now();
    assert!(Protocol::default().take_agent(1023, now).is_err());
    let mut protocol = born();
    assert!(protocol.take_agent(1024, now).is_err());
    for _ in 0..AGENTS_A_SECOND {
        protocol.take_agent(1, now).unwrap();
    }
    assert!(protocol.take_agent(1, now).is_err());
    let later = now + Duration::from_secs(1);
    assert_eq!(protocol.take_agent(1, later), Ok(()));
}

#[test]
fn nothing_is_heard_after_the_halt() {
    let mut protocol = born();
    protocol
        .take(ToSupervisor::Halted {
            cause: HaltCause::Exit(0),
        })
        .unwrap();
    assert!(
        protocol
            .take(ToSupervisor::Ended {
                kind: ThreadKind::Vcpu(0)
            })
            .is_err()
    );
}

#[test]
fn sentences_are_cut_and_cannot_steer_a_terminal() {
    let why = format!("\u{1b}[2J{}", "x".repeat(1000));
    let Ok(Said::Failed(heard)) = Protocol::default().take(ToSupervisor::Failed { why }) else {
        panic!("not heard as a failure")
    };
    assert_eq!(heard.chars().count(), MAX_SENTENCE);
    assert!(!heard.contains('\u{1b}'));
}
