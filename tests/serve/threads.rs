//! What the supervisor is made of: four threads, and a log that holds none of them up.

use std::fs;
use std::io::{BufRead, BufReader, pipe};
use std::process::Stdio;
use std::sync::mpsc::channel;

use management::api::{Command, PlanRequest};

use crate::support::kernel::{eventually, threads};
use crate::support::serve::Serve;
use crate::support::{PATIENCE, kvm};

/// Names of a process's threads, in alphabetical order.
fn names(pid: u32) -> Vec<String> {
    let name = |tid| fs::read_to_string(format!("/proc/{pid}/task/{tid}/comm")).ok();
    let mut names: Vec<String> = threads(pid).into_iter().filter_map(name).collect();
    names
        .iter_mut()
        .for_each(|name| name.truncate(name.trim_end().len()));
    names.sort();
    names
}

#[test]
fn a_supervisor_has_four_threads_whatever_the_number_of_machines() {
    if !kvm() {
        return;
    }
    const FOUR: [&str; 4] = ["keeper", "pinfold", "runner", "wire"];
    let serve = Serve::start();
    eventually("four threads", || names(serve.pid()) == FOUR);
    for (number, vcpus) in [(1, 1), (2, 2), (3, 1), (4, 2)] {
        let name = format!("m{number}");
        let machine = format!(
            "[vm.{name}]\nmemory = \"4M\"\nvcpus = {vcpus}\nguest = {{ tiny = [\"halt\"] }}\n"
        );
        serve.must(&["vm", "create", &serve.file("m.toml", &machine)]);
        serve.machine_is(&name, "running");
        assert_eq!(names(serve.pid()), FOUR, "with {number} machines");
    }
    // A client that stays, and its stream, are no thread either.
    let mut follows = serve.follow(&["events", "--follow", "--since", "0"]);
    follows.line("m4/vcpu1");
    assert_eq!(names(serve.pid()), FOUR);
}

/// More groups than lines fit into the log's queue and a pipe of one page.
const GROUPS: usize = 2000;

#[test]
fn a_reader_of_the_log_that_stands_still_costs_lines_that_are_counted_and_nobody_an_answer() {
    if !kvm() {
        return;
    }
    let (reader, writer) = pipe().expect("a pipe");
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).expect("a pipe of a page");
    let mut serve = Serve::start_logging_to(Stdio::from(writer.try_clone().expect("a copy")));
    serve.must(&["hierarchy", "mount", "p", "debug"]);
    let group = |number| format!("p:/g{number}");
    let commands = (0..GROUPS).flat_map(|number| {
        let (group, again) = (group(number), group(number));
        [Command::Mkdir { group }, Command::Rmdir { group: again }]
    });
    let request = PlanRequest {
        commands: commands.collect(),
        ..PlanRequest::default()
    };
    let client = serve.client();
    client.post("/v1/plan", &request).expect("a plan");
    // Nobody has read yet, and everybody is answered.
    assert_eq!(serve.must(&["vm", "ls"]), "");
    assert_eq!(serve.hears("group_removed"), GROUPS);

    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(reader).lines().map_while(Result::ok);
        lines.for_each(|line| drop(sender.send(line)));
    });
    let mut seen: Vec<String> = Vec::new();
    while !seen.last().is_some_and(|line| line.contains(" lines lost")) {
        seen.push(lines.recv_timeout(PATIENCE).expect("the lost are counted"));
    }
    drop(writer);
    assert_eq!(serve.end().0, Some(0));
    seen.extend(lines.iter());
    let lost = seen.iter().filter_map(|line| {
        let (before, _) = line.split_once(" lines lost")?;
        before.rsplit('"').next()?.parse::<usize>().ok()
    });
    let lost: usize = lost.sum();
    let removed = |line: &&String| line.contains("\"group_removed\"");
    assert_eq!(seen.iter().filter(removed).count() + lost, GROUPS);
    assert!(lost > GROUPS / 4, "{lost}");
    let last = seen.last().expect("lines");
    assert!(
        last.contains("\"ending\""),
        "once read, nothing is lost: {last}"
    );
}
