//! Events: pages, streams, resuming, gaps.

use std::io::BufRead;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use container_core::{Command, Credentials, MachineName};
use http_body_util::BodyExt;
use tower_service::Service;

use super::support::{Lines, PATIENCE, Served, next_event, supervisor};
use crate::api::ask::App;
use crate::api::extract::Peer;
use crate::api::feed::{self, feed};
use crate::api::router;
use crate::{Notice, Onlooker, keeper};

#[test]
fn pages_follow_each_other_without_a_hole() {
    let served = Served::start();
    (0..10).for_each(|n| served.mkdir(&format!("billing:/{n}")));
    let whole = served.get("/v1/events").json();
    let whole = whole["events"].as_array().unwrap().clone();
    let mut since = String::new();
    let mut seen = Vec::new();
    loop {
        let page = served.get(&format!("/v1/events?limit=3{since}")).json();
        assert!(page.get("gap").is_none());
        seen.extend(page["events"].as_array().unwrap().clone());
        since = format!("&since={}", page["last"].as_str().unwrap());
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(seen, whole);
    let page = served.get("/v1/events?since=1.1").json();
    assert_eq!(page["gap"]["lost"], serde_json::Value::Null);
    assert_eq!(page["events"].as_array().unwrap().len(), whole.len());
}

#[test]
fn a_stream_tells_what_happens_from_now_on_and_resumes_after_the_last_number() {
    let served = Served::start();
    let mut reader = served.follow(None);
    served.mkdir("billing:/1");
    let (first, kind, data) = next_event(&mut reader);
    assert_eq!(
        (kind.as_str(), &data["id"]),
        ("group_created", &first.clone().into())
    );
    assert_eq!(data["group"], "billing:/1");
    drop(reader);
    served.mkdir("billing:/2");
    served.mkdir("billing:/3");
    let mut reader = served.follow(Some(&first));
    assert_eq!(next_event(&mut reader).2["group"], "billing:/2");
    assert_eq!(next_event(&mut reader).2["group"], "billing:/3");
    served.mkdir("billing:/4");
    assert_eq!(next_event(&mut reader).2["group"], "billing:/4");
}

#[test]
fn a_number_of_another_life_is_a_gap_and_then_everything_there_is() {
    let served = Served::start();
    let mut reader = served.follow(Some("1.5"));
    let (id, kind, data) = next_event(&mut reader);
    assert_eq!(
        (kind.as_str(), &data["lost"]),
        ("gap", &serde_json::Value::Null)
    );
    let (next, ..) = next_event(&mut reader);
    let seq = |id: &str| id.split_once('.').unwrap().1.parse::<u64>().unwrap();
    assert_eq!(seq(&next), seq(&id) + 1);
}

#[test]
fn a_stream_ends_with_its_supervisor() {
    let mut served = Served::start();
    let mut reader = served.follow(None);
    served.mkdir("billing:/x");
    next_event(&mut reader);
    served.supervisor.take().unwrap().end();
    let mut line = String::new();
    // The chunk of no bytes is the last.
    while line != "0\r\n" {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0);
        assert_ne!(line, ":\n", "a sign of life");
    }
}

#[test]
fn a_follower_that_fell_behind_is_told_of_every_number_all_the_same() {
    let served = Served::start();
    let mut reader = served.follow(None);
    // More than the feed, the stream's pieces and the socket hold, in plans of many.
    let mut made = 0;
    for _ in 0..5 {
        let commands: Vec<_> = (made..made + 2_000)
            .map(|n| serde_json::json!({"op": "mkdir", "group": format!("billing:/{n}")}))
            .collect();
        made += 2_000;
        let commands = serde_json::json!({ "commands": commands });
        assert_eq!(served.send("POST", "/v1/plan", &commands).status, 200);
    }
    let mut last = None;
    for n in 0..made {
        let (id, _, data) = next_event(&mut reader);
        assert_eq!(data["group"], format!("billing:/{n}"));
        let seq: u64 = id.split_once('.').unwrap().1.parse().unwrap();
        assert!(last.is_none_or(|last| seq == last + 1));
        last = Some(seq);
    }
}

#[test]
fn what_the_log_no_longer_has_is_a_gap_of_known_size() {
    let served = Served::start();
    let oldest = served.get("/v1/events?limit=1").json();
    let first = oldest["last"].as_str().unwrap().to_owned();
    let there = served.get("/v1/events").json()["events"]
        .as_array()
        .unwrap()
        .len();
    served.mkdir("billing:/x");
    // The log has room for 65,536.
    let renames: Vec<_> = (0..10_000)
        .map(|n| {
            let (from, to) = if n % 2 == 0 { ("x", "y") } else { ("y", "x") };
            serde_json::json!({"op": "rename", "group": format!("billing:/{from}"), "to": to})
        })
        .collect();
    let renames = serde_json::json!({ "commands": renames });
    for _ in 0..7 {
        assert_eq!(served.send("POST", "/v1/plan", &renames).status, 200);
    }
    let lost = there as u64 + 1 + 70_000 - 65_536 - 1;
    let page = served
        .get(&format!("/v1/events?since={first}&limit=1"))
        .json();
    assert_eq!(page["gap"]["lost"], lost);
    let mut reader = served.follow(Some(&first));
    let (id, kind, data) = next_event(&mut reader);
    assert_eq!((kind.as_str(), &data["lost"]), ("gap", &lost.into()));
    let (next, ..) = next_event(&mut reader);
    assert_eq!(next, page["last"].as_str().unwrap());
    let seq = |id: &str| id.split_once('.').unwrap().1.parse::<u64>().unwrap();
    assert_eq!(seq(&next), seq(&id) + 1);
}

/// A stream whose feed hears only what the test tells it, while the keeper makes groups 0, 1 and 2. Panics unless all
/// three are told.
fn three_are_told_after(notices: impl FnOnce(&Onlooker, Vec<management::Event>)) {
    let supervisor = supervisor(Arc::new(|_| ()));
    let keeper = supervisor.keeper();
    let (onlooker, told) = feed();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let handle = feed::serve(told);
        let app = App::new(keeper.clone(), Arc::new(Lines), 0, handle);
        let mut request = Request::builder()
            .uri("/v1/events")
            .header("accept", "text/event-stream")
            .body(Body::empty())
            .unwrap();
        request.extensions_mut().insert(Peer(Credentials::ROOT));
        let response = router::router(Arc::new(app)).call(request).await;
        let mut body = response.unwrap().into_body();
        // By the second piece the stream has caught up and waits.
        body.frame().await.unwrap().unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let commands = (0..3).map(|n| Command::Mkdir {
            group: format!("billing:/{n}").parse().unwrap(),
        });
        let planned = keeper.call(|reply| keeper::Request::Plan {
            by: Credentials::ROOT,
            commands: commands.collect(),
            generation: None,
            dry_run: false,
            reply,
        });
        planned.unwrap().unwrap();
        let report = keeper.call(keeper::Request::Report).unwrap();
        let newest = report.events.len() - 3;
        notices(&onlooker, report.events[newest..].to_vec());
        for n in 0..3 {
            let piece = tokio::time::timeout(PATIENCE, body.frame()).await;
            let piece = piece.unwrap().unwrap().unwrap().into_data().unwrap();
            let text = String::from_utf8_lossy(&piece);
            assert!(text.contains(&format!("\"billing:/{n}\"")), "{text}");
        }
    });
    supervisor.end();
}

#[test]
fn a_hole_in_the_numbers_is_filled_from_the_keeper() {
    three_are_told_after(|onlooker, events| {
        onlooker(Notice::Event(Box::new(events[2].clone())));
    });
}

#[test]
fn what_found_the_feed_full_is_told_though_nothing_follows() {
    three_are_told_after(|onlooker, events| {
        let machine: MachineName = "web".parse().unwrap();
        for _ in 0..1024 {
            onlooker(Notice::Console {
                machine: machine.clone(),
                bytes: vec![b'x'],
            });
        }
        for event in events {
            onlooker(Notice::Event(Box::new(event)));
        }
    });
}
