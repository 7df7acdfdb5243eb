//! `group get --wait`, beside a server made by hand.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use super::super::*;

/// What comes of a wait for `line` where the file is these, one after the other, None for one that is as it was; with
/// what was asked, its wait and its tag.
fn waited(
    name: &str,
    line: Option<&str>,
    answers: &[Option<&str>],
) -> (Result<String, ClientError>, Vec<(String, String)>) {
    let socket = format!("pinfold-wait-{}-{name}.sock", std::process::id());
    let socket = std::env::temp_dir().join(socket);
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    let answers: Vec<String> = answers
        .iter()
        .enumerate()
        .map(|(number, text)| match text {
            None => "HTTP/1.1 304 Not Modified\r\nconnection: close\r\n\r\n".into(),
            Some(text) => format!(
                "HTTP/1.1 200 OK\r\netag: \"{number}\"\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
                text.len()
            ),
        })
        .collect();
    let served = thread::spawn(move || {
        let answer = |answer: String| {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut wait, mut tag) = (String::new(), String::new());
            for line in BufReader::new(&stream).lines() {
                let line = line.unwrap();
                if let Some((_, rest)) = line.split_once("?wait=") {
                    wait = rest.split(' ').next().unwrap().into();
                }
                if let Some(known) = line.strip_prefix("if-none-match: ") {
                    tag = known.into();
                }
                if line.is_empty() {
                    break;
                }
            }
            let _ = stream.write_all(answer.as_bytes());
            (wait, tag)
        };
        answers.into_iter().map(answer).collect()
    });
    let client = Client::new(&socket).unwrap();
    let text = otherwise(&client, "p:/a", "cgroup.events", line);
    // Answers that nobody came for are given to nobody.
    while UnixStream::connect(&socket).is_ok() {}
    let asked = served.join().unwrap();
    let _ = std::fs::remove_file(&socket);
    (text, asked)
}

const BUSY: &str = "populated 1\nfrozen 0\n";
const BUSY_AND_FROZEN: &str = "populated 1\nfrozen 1\n";
const EMPTY: &str = "populated 0\nfrozen 0\n";

fn asked(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter()
        .map(|(wait, tag)| ((*wait).into(), (*tag).into()))
        .collect()
}

#[test]
fn a_wait_for_a_line_to_go_outlasts_waits_that_end_and_changes_that_leave_the_line() {
    let answers = [Some(BUSY), None, Some(BUSY_AND_FROZEN), None, Some(EMPTY)];
    let (text, was_asked) = waited("line", Some("populated 1"), &answers);
    assert_eq!(text.unwrap(), EMPTY);
    let expected = [
        ("0", ""),
        ("30", "\"0\""),
        ("30", "\"0\""),
        ("30", "\"2\""),
        ("30", "\"2\""),
    ];
    assert_eq!(was_asked, asked(&expected));
    let (text, was_asked) = waited("gone", Some("populated 1"), &[Some(EMPTY)]);
    assert_eq!((text.unwrap(), was_asked.len()), (EMPTY.into(), 1));
}

#[test]
fn a_wait_without_a_line_ends_with_the_first_change_and_not_before() {
    let answers = [Some(BUSY), None, None, Some(BUSY_AND_FROZEN)];
    let (text, was_asked) = waited("any", None, &answers);
    assert_eq!(text.unwrap(), BUSY_AND_FROZEN);
    let expected = [("0", ""), ("30", "\"0\""), ("30", "\"0\""), ("30", "\"0\"")];
    assert_eq!(was_asked, asked(&expected));
}
