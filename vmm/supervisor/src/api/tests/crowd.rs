//! What clients do to each other: nothing.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::support::Served;

#[test]
fn a_thousand_idle_connections_leave_room_for_others() {
    host::raise_descriptor_limit().unwrap();
    let served = Served::start();
    let idle: Vec<_> = (0..1000).map(|_| served.connect()).collect();
    // Some say half of something.
    for mut stream in idle.iter().take(100) {
        stream.write_all(b"GET /v1/vers").unwrap();
    }
    let start = Instant::now();
    (0..20).for_each(|_| assert_eq!(served.get("/v1/version").status, 200));
    assert!(start.elapsed() < Duration::from_secs(5));
    let more: Vec<_> = (0..24).map(|_| served.connect()).collect();
    let mut one_too_many = served.connect();
    let mut told = String::new();
    one_too_many.read_to_string(&mut told).unwrap();
    assert!(told.starts_with("HTTP/1.1 503 "), "{told}");
    assert!(told.contains("\"EAGAIN\""));
    drop((idle, more));
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let mut stream = served.connect();
        let _ =
            stream.write_all(b"GET /v1/version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let mut told = String::new();
        let _ = stream.read_to_string(&mut told);
        if told.starts_with("HTTP/1.1 200 ") {
            break;
        }
        assert!(Instant::now() < end, "{told}");
    }
}

#[test]
fn a_head_that_does_not_come_is_waited_for_ten_seconds() {
    let served = Served::start();
    let mut slow = served.connect();
    slow.write_all(b"GET /v1/version HTTP/1.1\r\n").unwrap();
    let start = Instant::now();
    let mut told = Vec::new();
    slow.read_to_end(&mut told).unwrap();
    let waited = start.elapsed();
    assert!(told.is_empty());
    assert!(
        waited > Duration::from_secs(9) && waited < Duration::from_secs(15),
        "{waited:?}"
    );
}

#[test]
fn a_body_that_does_not_come_is_answered_after_ten_seconds() {
    let served = Served::start();
    let mut slow = served.connect();
    slow.write_all(
        b"POST /v1/plan HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
    )
    .unwrap();
    let mut told = [0; 12];
    slow.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 408");
}

#[test]
fn a_client_that_never_reads_its_events_is_dropped_and_holds_up_nobody() {
    let served = Served::start();
    let mut deaf = served.connect();
    deaf.write_all(b"GET /v1/events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n")
        .unwrap();
    let mut hearing = served.follow(None);
    for round in 0..5 {
        let commands: Vec<_> = (0..1_000)
            .map(|n| serde_json::json!({"op": "mkdir", "group": format!("billing:/{round}-{n}")}))
            .collect();
        let commands = serde_json::json!({ "commands": commands });
        assert_eq!(served.send("POST", "/v1/plan", &commands).status, 200);
    }
    for _ in 0..5_000 {
        super::support::next_event(&mut hearing);
    }
    std::thread::sleep(Duration::from_secs(11));
    assert_eq!(served.get("/v1/version").status, 200);
    // What was in the socket is there, and then the stream breaks off.
    let mut heard = Vec::new();
    let mut piece = [0; 65536];
    let end = Instant::now() + Duration::from_secs(10);
    while let Ok(more) = deaf.read(&mut piece)
        && more > 0
    {
        heard.extend_from_slice(&piece[..more]);
        assert!(Instant::now() < end, "it is still there");
    }
    let heard = String::from_utf8_lossy(&heard);
    assert!(heard.contains("event: group_created"));
    assert!(heard.matches("event: ").count() < 5_000);
}

#[test]
fn one_connection_serves_many_requests() {
    let served = Served::start();
    let mut stream = served.connect();
    for _ in 0..50 {
        stream
            .write_all(b"GET /v1/version HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"}") {
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
    }
}
