//! Each class of bad input, and its one form of answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::json;

use super::support::{Answer, Served};

#[test]
fn what_is_not_well_formed_is_400() {
    let served = Served::start();
    let post = "POST /v1/plan HTTP/1.1\r\ncontent-type: application/json";
    served.ask(post, b"{\"commands\": [").refused(400, "EINVAL");
    served.ask(post, b"").refused(400, "EINVAL");
    served.ask(post, b"\xff\xfe").refused(400, "EINVAL");
    served
        .get("/v1/groups/billing?recursive=maybe")
        .refused(400, "EINVAL");
    served
        .get("/v1/groups/billing?unknown=1")
        .refused(400, "EINVAL");
    served.get("/v1/tasks/%ff").refused(400, "EINVAL");
    served.get("/v1/events?since=abc").refused(400, "EINVAL");
    served.get("/v1/events?limit=4097").refused(400, "EINVAL");
    let last = "GET /v1/events HTTP/1.1\r\nlast-event-id: abc";
    served.ask(last, b"").refused(400, "EINVAL");
    let text = "PUT /v1/files/billing/tenant/tasks HTTP/1.1\r\ncontent-type: text/plain";
    served.ask(text, b"\xff").refused(400, "EINVAL");
}

#[test]
fn unknown_fields_wrong_types_and_broken_rules_are_422() {
    let served = Served::start();
    for body in [
        json!({"commands": [], "comands": []}),
        json!({"commands": "mkdir"}),
        json!({"commands": [{"op": "dance"}]}),
        json!({"commands": [{"op": "mkdir", "group": "billing:/x", "mode": 7}]}),
        json!({"commands": [{"op": "mkdir", "group": "billing:relative"}]}),
        json!([]),
        json!(null),
    ] {
        let answer = served.send("POST", "/v1/plan", &body);
        answer.refused(422, "EINVAL");
    }
    let wrong = json!({"state": "running", "force": true});
    served
        .send("PUT", "/v1/machines/web/state", &wrong)
        .refused(422, "EINVAL");
    served
        .send("PUT", "/v1/machines/-x/state", &wrong)
        .refused(422, "EINVAL");
    let other = json!({"group": "placement:/"});
    served
        .send("PUT", "/v1/tasks/web%2Fvcpu0/groups/billing", &other)
        .refused(422, "EINVAL");
}

#[test]
fn a_refusal_of_a_plan_names_its_command_and_changes_nothing() {
    let served = Served::start();
    let commands = json!({"commands": [
        {"op": "mkdir", "group": "billing:/new"},
        {"op": "mkdir", "group": "billing:/tenant"},
    ]});
    let problem = served
        .send("POST", "/v1/plan", &commands)
        .refused(409, "EEXIST");
    assert_eq!(problem.command, Some(1));
    let commands = json!({"commands": [
        {"op": "mkdir", "group": "billing:/new"},
        {"op": "attach", "group": "billing:/new", "task": "web/vcpu7"},
    ]});
    let problem = served
        .send("POST", "/v1/plan", &commands)
        .refused(404, "ESRCH");
    assert_eq!(problem.command, Some(1));
    served.get("/v1/groups/billing/new").refused(404, "ENOENT");
}

#[test]
fn a_plan_for_other_groups_than_there_are_is_stale() {
    let served = Served::start();
    let plan = |generation: u64, group: &str| json!({"generation": generation, "commands": [{"op": "mkdir", "group": group}]});
    let dry = json!({"commands": []});
    let dry = served.send("POST", "/v1/plan?dry_run=true", &dry).json();
    let generation = dry["generation"].as_u64().unwrap();
    let first = served.send("POST", "/v1/plan", &plan(generation, "billing:/1"));
    assert_eq!(first.status, 200, "{}", first.text);
    let late = served.send("POST", "/v1/plan", &plan(generation, "billing:/2"));
    assert_eq!(late.refused(409, "ESTALE").command, None);
    served.get("/v1/groups/billing/2").refused(404, "ENOENT");
}

#[test]
fn what_is_not_there_is_404() {
    let served = Served::start();
    for (path, errno) in [
        ("/", "ENOENT"),
        ("/v1/nothing", "ENOENT"),
        ("/v1/machines/web", "ENOENT"),
        ("/v1/hierarchies/none", "ENOENT"),
        ("/v1/groups/billing/none", "ENOENT"),
        ("/v1/files/billing/none", "ENOENT"),
        ("/v1/files/none/tasks", "ENOENT"),
        ("/v1/tasks/web%2Fio", "ESRCH"),
        ("/v1/tasks/1", "ESRCH"),
        ("/v1/proc/web%2Fio/group", "ESRCH"),
    ] {
        let answer = served.get(path);
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        answer.refused(404, errno);
    }
}

#[test]
fn another_method_is_405_and_told_which_are_allowed() {
    let served = Served::start();
    let answer = served.send("DELETE", "/v1/plan", &json!({}));
    answer.refused(405, "EOPNOTSUPP");
    assert!(answer.head.contains("allow: post"), "{}", answer.head);
    // Control files are neither made nor unlinked.
    let answer = served.send("DELETE", "/v1/files/billing/tenant/tasks", &json!({}));
    answer.refused(405, "EOPNOTSUPP");
    let answer = served.send("PATCH", "/v1/machines/web", &json!({}));
    answer.refused(405, "EOPNOTSUPP");
    assert!(answer.head.contains("delete"), "{}", answer.head);
}

#[test]
fn too_much_is_413_and_another_type_is_415() {
    let served = Served::start();
    let post = "POST /v1/plan HTTP/1.1\r\ncontent-type: application/json";
    served
        .ask(post, &vec![b' '; (1 << 20) + 1])
        .refused(413, "E2BIG");
    let text = "PUT /v1/files/billing/tenant/tasks HTTP/1.1\r\ncontent-type: text/plain";
    let long = served
        .ask(text, &vec![b'1'; (64 << 10) + 1])
        .refused(413, "E2BIG");
    assert_eq!(long.detail, "a body of 65537 bytes is past 65536");
    let many = vec![json!({"op": "umount", "hierarchy": "x"}); 10_001];
    served
        .send("POST", "/v1/plan", &json!({ "commands": many }))
        .refused(413, "E2BIG");
    served
        .ask("POST /v1/plan HTTP/1.1", b"{}")
        .refused(415, "EINVAL");
    let xml = "PUT /v1/files/billing/tenant/tasks HTTP/1.1\r\ncontent-type: application/json";
    served.ask(xml, b"1").refused(415, "EINVAL");
}

#[test]
fn who_is_answered_before_the_body_was_read_is_told_that_the_connection_ends() {
    let served = Served::start();
    for (line, kind, status) in [
        ("POST /v1/plan", "text/xml", 415),
        ("DELETE /v1/plan", "application/json", 405),
        ("POST /v1/nowhere", "application/json", 404),
    ] {
        let mut stream = served.connect();
        let head = format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\n");
        // The body is on its way, and would stand before the next request.
        write!(stream, "{head}content-length: 2\r\n\r\n").unwrap();
        let answer = Answer::read(stream);
        assert_eq!(answer.status, status, "{line}");
        assert!(answer.head.contains("connection: close"), "{}", answer.head);
    }
    // One that was read whole goes on, refused or not.
    let mut stream = served.connect();
    for body in ["{}", r#"{"commands": []}"#] {
        let length = body.len();
        let head = "POST /v1/plan HTTP/1.1\r\nhost: x\r\ncontent-type: application/json";
        write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        let answer = read_one(&mut stream);
        assert!(answer.starts_with("http/1.1 "), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
    }
}

/// The head of an answer on a connection that goes on, its body read as well.
fn read_one(stream: &mut UnixStream) -> String {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut head).unwrap(), 0, "it ended: {head}");
    }
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap();
    let length: usize = length.lines().next().unwrap().parse().unwrap();
    stream.read_exact(&mut vec![0; length]).unwrap();
    head
}

#[test]
fn a_supervisor_that_is_ending_says_so() {
    let mut served = Served::start();
    served.supervisor.take().unwrap().end();
    let answer = served.get("/v1/machines");
    answer.refused(503, "ESHUTDOWN");
    assert!(answer.head.contains("retry-after: 1"));
}
