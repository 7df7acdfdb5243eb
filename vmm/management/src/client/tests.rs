//! The client beside a server made by hand.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::*;
use crate::api::{Plan, PlanRequest, Problem};

/// A server that gives each connection the next of its answers, byte for byte, and hands out what was asked.
struct Server {
    socket: PathBuf,
    served: Option<JoinHandle<Vec<String>>>,
}

impl Server {
    fn new(name: &str, answers: Vec<String>) -> Server {
        let name = format!("pinfold-client-{}-{name}.sock", std::process::id());
        let socket = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let served = thread::spawn(move || {
            let answer = |answer: String| {
                let (mut stream, _) = listener.accept().unwrap();
                let asked = hear(&stream);
                stream.write_all(answer.as_bytes()).unwrap();
                asked
            };
            answers.into_iter().map(answer).collect()
        });
        Server {
            socket,
            served: Some(served),
        }
    }

    fn client(&self) -> Client {
        Client::new(&self.socket).unwrap()
    }

    /// What was asked, a string a connection.
    fn asked(mut self) -> Vec<String> {
        self.served.take().unwrap().join().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// A whole request.
fn hear(stream: &UnixStream) -> String {
    let mut reader = BufReader::new(stream);
    let (mut request, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let header = line.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        request.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    request + std::str::from_utf8(&body).unwrap()
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// A stream that breaks off where its text ends, as one of a server that dies.
fn stream(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{text}")
}

#[test]
fn requests_are_asked_and_answers_taken_apart() {
    let plan = r#"{"generation":7,"effects":[],"committed":true,"took_ns":5}"#;
    let server = Server::new(
        "requests",
        vec![
            answer("200 OK", "application/json", plan),
            answer("200 OK", "text/plain", "0-3\n"),
            answer("200 OK", "application/json", plan),
            "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
        ],
    );
    let client = server.client();
    let done: Plan = client
        .post("/v1/plan?dry_run=true", &PlanRequest::default())
        .and_then(|answer| answer.json())
        .unwrap();
    assert_eq!((done.generation, done.took_ns), (7, Some(5)));
    let file = route::file("placement:/a b", "cpuset.cpus");
    assert_eq!(client.get(&file).unwrap().text(), "0-3\n");
    let put = client.put_text(&file, "1").unwrap();
    assert!(put.json::<Plan>().is_ok());
    assert_eq!(client.delete("/v1/machines/web").unwrap().text(), "");
    let asked = server.asked();
    assert!(asked[0].starts_with("POST /v1/plan?dry_run=true HTTP/1.1\r\n"));
    assert!(asked[0].ends_with(r#"{"commands":[]}"#));
    assert!(asked[0].contains("content-type: application/json\r\n"));
    assert!(asked[1].starts_with("GET /v1/files/placement/a%20b/cpuset.cpus HTTP/1.1\r\n"));
    assert!(asked[2].starts_with("PUT ") && asked[2].ends_with("\r\n1"));
    assert!(asked[2].contains("content-type: text/plain"));
    assert!(asked[3].starts_with("DELETE /v1/machines/web HTTP/1.1\r\n"));
}

#[test]
fn what_is_as_it_was_is_no_answer_and_what_is_otherwise_has_its_tag() {
    let other = "HTTP/1.1 200 OK\r\netag: \"b\"\r\ncontent-length: 1\r\n\r\nx";
    let same = "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n";
    let server = Server::new("tags", [same, other, same].map(str::to_owned).to_vec());
    let client = server.client();
    assert_eq!(client.get_other("/f?wait=1", "\"a\"").unwrap(), None);
    let answer = client.get_other("/f", "\"a\"").unwrap().unwrap();
    assert_eq!((answer.text(), answer.tag()), ("x", Some("\"b\"")));
    // Who has not said what it has is not told that it is the same.
    assert!(matches!(client.get("/f"), Err(ClientError::Protocol(_))));
    assert!(matches!(
        client.get_other("/f", "\n"),
        Err(ClientError::Protocol(_))
    ));
    let asked = server.asked();
    assert!(asked[0].contains("if-none-match: \"a\"\r\n"), "{asked:?}");
}

#[test]
fn a_refusal_is_its_problem_in_one_line() {
    let problem = |status: &str, code: u16, errno: &str, detail: &str| {
        let problem = Problem {
            status: code,
            detail: detail.into(),
            errno: errno.into(),
            ..Problem::default()
        };
        let body = serde_json::to_string(&problem).unwrap();
        answer(status, "application/problem+json", &body)
    };
    let server = Server::new(
        "refusals",
        vec![
            problem("409 Conflict", 409, "EBUSY", "it is\nin use"),
            problem("409 Conflict", 409, "EBUSY", "it is in use (EBUSY)"),
            problem("409 Conflict", 409, "EIO", "the host refused"),
            problem("503 Service Unavailable", 503, "EAGAIN", "too much waits"),
        ],
    );
    let client = server.client();
    let mut refusals = (0..4).map(|_| client.get("/v1/version").unwrap_err());
    for _ in 0..2 {
        let refusal = refusals.next().unwrap();
        assert!(refusal.is_refusal());
        assert_eq!(refusal.to_string(), "it is in use (EBUSY)");
    }
    for failure in refusals {
        assert!(matches!(failure, ClientError::Refused(_)) && !failure.is_refusal());
    }
}

#[test]
fn nobody_a_stranger_and_a_silent_one_are_told_apart() {
    let nobody = Client::new("/nonexistent/pinfold.sock").unwrap();
    let error = nobody.get("/v1/version").unwrap_err();
    assert!(matches!(error, ClientError::NoServer { .. }), "{error:?}");

    let server = Server::new(
        "strangers",
        vec![
            "refused GET /v1/version HTTP/1.1: expected group\n".to_owned(),
            answer("404 Not Found", "text/html", "<html>\nno"),
            answer("200 OK", "application/json", "{}"),
        ],
    );
    let client = server.client();
    for _ in 0..2 {
        let error = client.get("/v1/version").unwrap_err();
        assert!(matches!(error, ClientError::Protocol(_)), "{error:?}");
    }
    let other: Result<Plan, _> = client.get("/v1/version").unwrap().json();
    assert!(matches!(other, Err(ClientError::Protocol(_))));

    // Bound and never accepted from: connections are made, and hear nothing.
    let socket = server.socket.with_extension("silent");
    let _listener = UnixListener::bind(&socket).unwrap();
    let silent = Client::new(&socket).unwrap();
    let silent = silent.with_answer_limit(Duration::from_millis(50));
    let begun = Instant::now();
    let error = silent.get("/v1/version").unwrap_err();
    assert!(matches!(error, ClientError::Io(_)), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    std::fs::remove_file(&socket).unwrap();
}

#[test]
fn an_answer_that_breaks_off_is_the_socket_s_failure() {
    let head = "HTTP/1.1 200 OK\r\n";
    let server = Server::new(
        "broken",
        vec![
            head.to_owned(),
            format!("{head}content-length: 9\r\n\r\nhalf"),
            format!("{head}transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        ],
    );
    let client = server.client();
    for _ in 0..3 {
        let error = client.get("/v1/version").unwrap_err();
        assert!(matches!(error, ClientError::Io(_)), "{error:?}");
        assert!(error.to_string().contains("broke off"), "{error}");
    }
}

#[test]
fn events_go_on_after_the_last_one_heard_when_the_stream_breaks_off() {
    let server = Server::new(
        "events",
        vec![
            stream("id: 9.4\nevent: released\ndata: a\n\nid: 9.5\nevent: released\ndata: half"),
            stream(": nothing yet\n\n"),
            stream("id: 9.5\nevent: gone\ndata: b\n\n"),
            answer(
                "410 Gone",
                "application/problem+json",
                "{\"type\":\"\",\"title\":\"Gone\",\"status\":410,\"detail\":\"\",\"errno\":\"\"}",
            ),
        ],
    );
    let client = server.client();
    let mut events = client.events(Some("9.3")).unwrap();
    let heard: Vec<_> = events.by_ref().take(2).map(Result::unwrap).collect();
    assert_eq!(heard[0].data, "a");
    assert_eq!((&*heard[1].event, &*heard[1].data), ("gone", "b"));
    let error = events.next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "410 Gone");
    assert!(events.next().is_none());
    let last_ids = server.asked().into_iter().map(|asked| {
        let mut lines = asked.lines();
        let last = lines.find_map(|line| line.strip_prefix("last-event-id: "));
        last.map(str::to_owned)
    });
    let expected = ["9.3", "9.4", "9.4", "9.5"].map(|id| Some(id.to_owned()));
    assert_eq!(last_ids.collect::<Vec<_>>(), expected);
}

#[test]
fn a_stream_that_broke_off_before_its_first_number_leaves_a_gap() {
    let server = Server::new(
        "gap",
        vec![stream(""), stream("id: 9.5\nevent: gone\ndata: 7\n\n")],
    );
    let client = server.client();
    let mut events = client.events(None).unwrap().map(Result::unwrap);
    assert_eq!(events.next().unwrap().event, GAP);
    assert_eq!(events.next().unwrap().json::<u8>().unwrap(), 7);
}

#[test]
fn a_log_is_heard_as_it_comes() {
    let server = Server::new("log", vec![stream("one\ntwo\n\u{1b}")]);
    let client = server.client();
    let bytes = client.stream("/v1/machines/web/log?follow=true").unwrap();
    let text: Vec<u8> = bytes.flat_map(|bytes| bytes.unwrap()).collect();
    assert_eq!(text, b"one\ntwo\n\x1b");
    drop(server.asked());
}
