//! `cgroup.events`, polled.

mod readings;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::json;

use super::support::{Answer, Served};
use crate::api::poll::MAX_WAITS;

const EVENTS: &str = "/v1/files/billing/tenant/cgroup.events";
const EMPTY: &str = "\"populated=0;frozen=0\"";

/// Ask for what is otherwise than this tag.
fn begin(served: &Served, path: &str, tag: &str) -> UnixStream {
    let mut stream = served.connect();
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nif-none-match: {tag}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn ask(served: &Served, path: &str, tag: &str) -> Answer {
    Answer::read(begin(served, path, tag))
}

fn plan(served: &Served, command: serde_json::Value) {
    let done = served.send("POST", "/v1/plan", &json!({"commands": [command]}));
    assert_eq!(done.status, 200, "{}", done.text);
}

fn attach(served: &Served, group: &str) {
    plan(
        served,
        json!({"op": "attach", "group": group, "task": "web/vcpu0"}),
    );
}

#[test]
fn the_file_has_a_tag_and_is_not_sent_to_who_has_it() {
    let served = Served::start();
    let first = served.get(EVENTS);
    assert_eq!(first.text, "populated 0\nfrozen 0\n");
    assert!(first.head.contains(&format!("etag: {EMPTY}")), "{first:?}");
    for known in [EMPTY, "*", &format!("\"other\", W/{EMPTY}")] {
        let same = ask(&served, EVENTS, known);
        assert_eq!((same.status, &*same.text), (304, ""), "{known}");
        assert!(same.head.contains(EMPTY), "{same:?}");
    }
    // Tags may stand in several headers.
    let known = format!("\"other\"\r\nif-none-match: {EMPTY}");
    assert_eq!(ask(&served, EVENTS, &known).status, 304);
    for known in ["", "\"other\"", "populated=0"] {
        let waits = [EVENTS, "?wait=60"].concat();
        assert_eq!(ask(&served, &waits, known).status, 200, "{known}");
    }
    // Who has nothing waits for nothing.
    assert_eq!(served.get(&[EVENTS, "?wait=60"].concat()).status, 200);
    assert_eq!(
        ask(&served, &[EVENTS, "?wait=1"].concat(), EMPTY).status,
        304
    );
}

#[test]
fn who_waits_is_told_of_a_task_in_the_group_or_below_and_of_its_leaving() {
    let served = Served::start();
    let waits = [EVENTS, "?wait=60"].concat();
    let waiting = begin(&served, &waits, EMPTY);
    // Of what else happens it hears nothing.
    served.mkdir("billing:/tenant/x");
    std::thread::sleep(Duration::from_millis(200));
    attach(&served, "billing:/tenant/a b");
    let told = Answer::read(waiting);
    assert_eq!((told.status, &*told.text), (200, "populated 1\nfrozen 0\n"));
    let waiting = begin(&served, &waits, "\"populated=1;frozen=0\"");
    attach(&served, "billing:/tenant/x");
    attach(&served, "billing:/");
    let told = Answer::read(waiting);
    assert_eq!((told.status, &*told.text), (200, "populated 0\nfrozen 0\n"));
}

#[test]
fn who_waits_for_one_group_is_not_told_of_another() {
    let served = Served::start();
    served.mkdir("billing:/tenant/x");
    let one = begin(
        &served,
        "/v1/files/billing/tenant/x/cgroup.events?wait=60",
        EMPTY,
    );
    let above = begin(&served, &[EVENTS, "?wait=60"].concat(), EMPTY);
    attach(&served, "billing:/tenant/a b");
    assert_eq!(Answer::read(above).status, 200);
    std::thread::sleep(Duration::from_millis(200));
    attach(&served, "billing:/tenant/x");
    let told = Answer::read(one);
    assert_eq!((told.status, &*told.text), (200, "populated 1\nfrozen 0\n"));
}

#[test]
fn who_waits_for_a_group_that_goes_away_is_told_that_it_is_gone() {
    let served = Served::start();
    for goes in [
        json!({"op": "rmdir", "group": "billing:/x"}),
        json!({"op": "rename", "group": "billing:/x", "to": "y"}),
    ] {
        served.mkdir("billing:/x");
        let waiting = begin(&served, "/v1/files/billing/x/cgroup.events?wait=60", EMPTY);
        std::thread::sleep(Duration::from_millis(100));
        plan(&served, goes);
        Answer::read(waiting).refused(404, "ENOENT");
    }
}

#[test]
fn no_other_file_and_no_longer_than_a_minute() {
    let served = Served::start();
    for file in ["tasks", "cpuacct.usage", "notify_on_release"] {
        let path = format!("/v1/files/billing/tenant/{file}?wait=0");
        let problem = served.get(&path).refused(422, "EINVAL");
        assert!(problem.detail.contains("cgroup.events"), "{problem:?}");
    }
    served
        .get(&[EVENTS, "?wait=61"].concat())
        .refused(400, "EINVAL");
    served
        .get(&[EVENTS, "?wait=soon"].concat())
        .refused(400, "EINVAL");
    served
        .get("/v1/files/billing/none/cgroup.events?wait=60")
        .refused(404, "ENOENT");
}

#[test]
fn a_user_has_so_many_waits_and_one_more_is_refused_until_one_is_over() {
    let served = Served::start();
    // While a user has a connection the places are the same.
    let mut stays = served.connect();
    stays
        .write_all(b"GET /v1/version HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    assert_ne!(stays.read(&mut [0; 64]).unwrap(), 0);
    let waits = [EVENTS, "?wait=60"].concat();
    let waiting: Vec<UnixStream> = (0..MAX_WAITS)
        .map(|_| begin(&served, &waits, EMPTY))
        .collect();
    // Those may not have come to their waits yet: one that finds a place leaves it.
    let one_more = [EVENTS, "?wait=1"].concat();
    let mut answers = (0..20).map(|_| ask(&served, &one_more, EMPTY));
    let refused = answers.find(|answer| answer.status != 304).unwrap();
    let problem = refused.refused(503, "EAGAIN");
    assert!(problem.detail.contains("128 times"), "{problem:?}");
    // Who has a place keeps it, and no more than that, whatever happens elsewhere.
    served.mkdir("billing:/elsewhere");
    std::thread::sleep(Duration::from_millis(300));
    let still = ask(&served, &one_more, EMPTY).refused(503, "EAGAIN");
    assert!(still.detail.contains("128 times"), "{still:?}");
    // What needs no wait is answered.
    assert_eq!(ask(&served, EVENTS, EMPTY).status, 304);
    assert_eq!(ask(&served, &one_more, "").status, 200);
    // Those who go leave their places, those who are told as well.
    let mut staying = waiting;
    drop(staying.split_off(MAX_WAITS / 2));
    attach(&served, "billing:/tenant");
    for told in staying.into_iter().map(Answer::read) {
        assert_eq!((told.status, &*told.text), (200, "populated 1\nfrozen 0\n"));
    }
    attach(&served, "billing:/");
    let mut answers = (0..20).map(|_| {
        std::thread::sleep(Duration::from_millis(50));
        ask(&served, &one_more, EMPTY)
    });
    assert!(answers.any(|answer| answer.status == 304));
    drop(stays);
}
