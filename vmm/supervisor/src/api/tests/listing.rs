//! `tasks` of a group that is larger than a page.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use management::client::Client;

use super::support::Served;

const PATH: &str = "/v1/files/plain/crowd/tasks";

/// More than a page; more also than the pages and the socket hold between them.
const CROWD: u16 = 60_000;

/// Begin to read, so that the head and some of the first page are there and the rest waits for room.
fn begin(served: &Served, header: &str) -> (UnixStream, String) {
    let mut stream = served.connect();
    let head = format!("GET {PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{header}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut first = [0; 512];
    stream.read_exact(&mut first).unwrap();
    (stream, String::from_utf8_lossy(&first).into_owned())
}

fn rest(mut stream: UnixStream, mut text: String) -> String {
    let mut rest = Vec::new();
    // It may break off.
    let _ = stream.read_to_end(&mut rest);
    text += &String::from_utf8_lossy(&rest);
    text
}

/// The lines that are ids: those of HTTP end with a return.
fn ids(text: &str) -> Vec<u32> {
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let lines = body.split('\n').filter(|line| !line.ends_with('\r'));
    lines.filter_map(|line| line.parse().ok()).collect()
}

/// One of the last goes to the root.
fn tear(served: &Served) {
    let command = serde_json::json!({"commands": [{"op": "attach", "group": "plain:/", "task": "crowd/vcpu59000"}]});
    let answer = served.send("POST", "/v1/plan", &command);
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[test]
fn a_long_listing_comes_in_pieces_and_says_that_it_is_whole() {
    let served = Served::crowded(CROWD);
    let answer = Client::new(&served.path).unwrap().get(PATH).unwrap();
    let all: String = (0..u32::from(CROWD))
        .map(|n| format!("{}\n", 100_000_000 + n))
        .collect();
    assert!(answer.text() == all && !answer.is_torn());
    let (stream, first) = begin(&served, "te: trailers\r\n");
    let first = first.to_ascii_lowercase();
    assert!(
        first.contains("transfer-encoding: chunked") && first.contains("trailer: pinfold-torn")
    );
    let whole = rest(stream, first);
    assert!(
        whole.ends_with("pinfold-torn: false\r\n\r\n"),
        "{:?}",
        &whole[whole.len() - 60..]
    );
    assert_eq!(ids(&whole).len(), usize::from(CROWD));
    // What fits a page is answered as any file.
    let small = served.get("/v1/files/billing/tenant/tasks");
    assert!(small.head.contains("content-length: "), "{}", small.head);
    served
        .get("/v1/files/plain/nobody/tasks")
        .refused(404, "ENOENT");
}

#[test]
fn a_listing_that_a_task_left_meanwhile_says_that_it_is_torn() {
    let served = Served::crowded(CROWD);
    let (stream, first) = begin(&served, "te: trailers\r\n");
    tear(&served);
    let torn = rest(stream, first);
    assert!(
        torn.to_ascii_lowercase()
            .ends_with("pinfold-torn: true\r\n\r\n")
    );
    let ids = ids(&torn);
    assert_eq!(ids.len(), usize::from(CROWD) - 1);
    assert!(ids.is_sorted_by(|one, next| one < next));
    // The next one is whole again.
    let answer = Client::new(&served.path).unwrap().get(PATH).unwrap();
    assert!(!answer.is_torn());
}

#[test]
fn to_who_takes_no_trailers_a_torn_listing_has_no_end() {
    let served = Served::crowded(CROWD);
    let (stream, first) = begin(&served, "");
    assert!(
        rest(stream, first).ends_with("\n\r\n0\r\n\r\n"),
        "an untorn one ends"
    );
    let (stream, first) = begin(&served, "");
    tear(&served);
    let torn = rest(stream, first);
    assert!(ids(&torn).len() > 1024, "it was more than a page");
    assert!(!torn.ends_with("0\r\n\r\n"));
}
