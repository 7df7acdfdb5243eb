//! The verbs that ask a supervisor, as a script sees them: what is asked, what is printed where, and the exit code.
//! The supervisor is made by hand, and answers what a test has recorded.

mod support;

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread::{self, JoinHandle};

use support::{PINFOLD, Scratch};

/// What a program did: its exit code, standard output and standard error, and what it asked.
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
    asked: Vec<String>,
}

/// Run `pinfold WORDS` against a supervisor that gives these answers, each to one connection.
fn pinfold(words: &[&str], answers: &[String]) -> Done {
    let scratch = Scratch::new();
    let socket = scratch.path().join("p.sock");
    let server = serve(UnixListener::bind(&socket).expect("a socket"), answers);
    let (code, out, err) = run(words, &socket);
    Done {
        code,
        out,
        err,
        asked: server.join().expect("the server"),
    }
}

fn run(words: &[&str], socket: &PathBuf) -> (Option<i32>, String, String) {
    let output = Command::new(PINFOLD)
        .args(words)
        .env("PINFOLD_SOCKET", socket)
        .output()
        .expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn serve(listener: UnixListener, answers: &[String]) -> JoinHandle<Vec<String>> {
    let mut answers: VecDeque<String> = answers.iter().cloned().collect();
    thread::spawn(move || {
        let mut asked = Vec::new();
        while let Some(answer) = answers.pop_front() {
            let (mut stream, _) = listener.accept().expect("a client");
            asked.push(hear(&stream));
            stream.write_all(answer.as_bytes()).expect("it reads");
        }
        asked
    })
}

/// A request: its first line, and its body on the next.
fn hear(stream: &UnixStream) -> String {
    let mut lines = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    lines.read_line(&mut first).expect("a request");
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).expect("a header");
        match line.to_ascii_lowercase().strip_prefix("content-length:") {
            Some(value) => length = value.trim().parse().expect("a length"),
            None if line.trim().is_empty() => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).expect("a body");
    let first = first.trim_end().trim_end_matches(" HTTP/1.1");
    format!("{first}\n{}", String::from_utf8_lossy(&body))
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn ok(body: &str) -> String {
    answer("200 OK", "application/json", body)
}

fn refused(errno: &str, detail: &str) -> String {
    let body = format!(
        r#"{{"type":"about:blank","title":"Conflict","status":409,"detail":"{detail}","errno":"{errno}"}}"#
    );
    answer("409 Conflict", "application/problem+json", &body)
}

const PLAN: &str = r#"{"generation":7,"effects":[],"committed":true,"took_ns":5}"#;

fn machine(state: &str, end: &str) -> String {
    ok(&format!(
        r#"{{"name":"web","pid":4711,"state":"{state}","spawned_ns":1,"born_after_ns":1,"go_after_ns":1,
            "first_output_after_ns":1,"ended_after_ns":1,"end":{end},"witness_ns":1,"residual_ns":1,
            "peak_resident_bytes":1,"witnessed":true}}"#
    ))
}

#[test]
fn a_change_is_one_plan_and_silent() {
    let attach = ["group", "attach", "placement:/gold", "web/vcpu0", "web/io"];
    let done = pinfold(&attach, &[ok(PLAN)]);
    assert_eq!((done.code, &*done.out, &*done.err), (Some(0), "", ""));
    let body = r#"{"commands":[{"op":"attach","group":"placement:/gold","task":"web/vcpu0"},{"op":"attach","group":"placement:/gold","task":"web/io"}]}"#;
    assert_eq!(done.asked, [format!("POST /v1/plan\n{body}")]);
    let done = pinfold(&["group", "mkdir", "p:/a", "--dry-run"], &[ok(PLAN)]);
    assert!(done.asked[0].starts_with("POST /v1/plan?dry_run=true\n"));
    assert_eq!(done.out, "0 effects on the host; nothing was changed\n");
}

#[test]
fn a_refusal_is_one_line_and_2_and_a_failure_1() {
    let set = ["group", "set", "placement:/gold", "cpuset.cpus", "1"];
    let done = pinfold(&set, &[refused("EBUSY", "the child holds 0")]);
    assert_eq!((done.code, &*done.out), (Some(2), ""));
    assert_eq!(done.err, "pinfold: the child holds 0 (EBUSY)\n");
    let done = pinfold(&set, &[refused("EIO", "the host refused: gone")]);
    assert_eq!(done.code, Some(1));
    assert_eq!(done.err, "pinfold: the host refused: gone (EIO)\n");
    let scratch = Scratch::new();
    let (code, _, err) = run(&["vm", "ls"], &scratch.path().join("none.sock"));
    assert!(code == Some(1) && err.lines().count() == 1, "{err}");
    assert!(err.contains("no supervisor listens at"), "{err}");
}

#[test]
fn json_is_as_it_came() {
    let json = r#"[{"name":"placement","a key of tomorrow":1}]"#;
    let done = pinfold(&["hierarchy", "ls", "--json"], &[ok(json)]);
    assert_eq!((done.code, done.out), (Some(0), format!("{json}\n")));
    assert_eq!(done.asked, ["GET /v1/hierarchies\n"]);
}

#[test]
fn a_machine_that_has_not_come_to_its_state_is_a_failure() {
    let pause = ["vm", "pause", "web"];
    let done = pinfold(&pause, &[machine("paused", "null")]);
    assert_eq!((done.code, &*done.out, &*done.err), (Some(0), "", ""));
    let body = r#"{"state":"paused","force":false}"#;
    assert_eq!(
        done.asked,
        [format!("PUT /v1/machines/web/state?wait=true\n{body}")]
    );
    for (now, said) in [
        (
            machine("ended", "\"signal 9\""),
            "machine web has ended: signal 9",
        ),
        (machine("starting", "null"), "machine web is still starting"),
    ] {
        let done = pinfold(&pause, &[now]);
        assert_eq!(
            (done.code, done.err),
            (Some(1), format!("pinfold: {said}\n"))
        );
    }
    let done = pinfold(&["vm", "start", "web"], &[machine("ended", "\"exit 0\"")]);
    assert_eq!(done.code, Some(0), "a short life is one: {}", done.err);
    let stop = ["vm", "stop", "--force", "web"];
    let done = pinfold(&stop, &[machine("running", "null")]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    let body = r#"{"state":"stopped","force":true}"#;
    assert_eq!(done.asked, [format!("PUT /v1/machines/web/state\n{body}")]);
    let done = pinfold(&["vm", "resume", "web"], &[machine("ended", "\"exit 0\"")]);
    assert_eq!(done.code, Some(2), "{}", done.err);
}

#[test]
fn waiting_looks_again_at_each_event_and_prints_the_end() {
    let events = |of: &str| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n\
             id: 9.1\nevent: machine_died\ndata: {{\"id\":\"9.1\",\"monotonic_ns\":1,\"kind\":\"machine_died\",\
             \"machine\":\"{of}\",\"text\":\"\"}}\n\n"
        )
    };
    let ended = machine("ended", "\"signal 9\"");
    let wait = ["vm", "wait", "web"];
    // That it was killed is known before its process is dead.
    let ending = machine("running", "\"signal 9\"");
    let done = pinfold(&wait, &[events("web"), ending, ended]);
    assert_eq!((done.code, &*done.out), (Some(1), "signal 9\n"));
    // The stream breaks off after an event of another machine; the next one has ours.
    let well = machine("ended", "\"exit 0\"");
    let running = machine("running", "null");
    let done = pinfold(&wait, &[events("db"), running, events("web"), well]);
    assert_eq!((done.code, &*done.out), (Some(0), "exit 0\n"));
}

#[test]
fn a_spec_is_refused_by_its_line_under_the_name_that_was_given() {
    let scratch = Scratch::new();
    let spec = scratch.file("a.toml", "[vm.web]\n");
    let refusal = refused(
        "EINVAL",
        &format!("{}:1: memory is missing", spec.display()),
    );
    let relative = spec.display().to_string();
    let done = pinfold(&["apply", &relative, "--dry-run"], &[refusal]);
    assert_eq!(done.code, Some(2));
    assert_eq!(done.err, format!("{relative}:1: memory is missing\n"));
    assert!(done.asked[0].starts_with("POST /v1/apply?dry_run=true\n"));
    let create = ["vm", "create", &relative];
    let done = pinfold(&create, &[machine("starting", "null")]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert_eq!(done.asked, ["POST /v1/machines/web?wait=true\n{}"]);
    let at_once = ["vm", "create", &relative, "--no-wait"];
    let done = pinfold(&at_once, &[machine("starting", "null")]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert_eq!(done.asked, ["POST /v1/machines/web\n{}"]);
}

#[test]
fn a_guest_is_asked_by_the_api() {
    let ping = ["agent", "ping", "web"];
    let done = pinfold(&ping, &[ok(r#"{"answer":"pong"}"#)]);
    assert!(done.code == Some(0) && done.out.starts_with("answered in "));
    assert_eq!(
        done.asked,
        ["POST /v1/machines/web/agent\n{\"ask\":\"ping\"}"]
    );
    let declined = ok(r#"{"answer":"declined","why":"busy"}"#);
    let done = pinfold(&["agent", "shutdown", "web"], &[declined]);
    assert_eq!(
        (done.code, &*done.err),
        (Some(2), "pinfold: the guest declines: busy\n")
    );
}

#[test]
fn every_verb_has_a_manual_page_and_completions() {
    let scratch = Scratch::new();
    let directory = scratch.path().join("man1");
    let shown = directory.display().to_string();
    let nowhere = scratch.path().join("none.sock");
    let (code, _, err) = run(&["man", &shown], &nowhere);
    assert_eq!(code, Some(0), "{err}");
    for page in [
        "pinfold",
        "pinfold-run",
        "pinfold-vm-create",
        "pinfold-group-set",
    ] {
        let page = std::fs::read_to_string(directory.join(format!("{page}.1"))).expect("a page");
        assert!(page.contains(".SH NAME"));
    }
    let (code, out, _) = run(&["completion", "bash"], &nowhere);
    assert!(code == Some(0) && out.contains("complete -F") && out.contains("hierarchy"));
}
