//! Users without the right.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use management::client::route;

use crate::WEB;
use crate::support::serve::{Done, Serve, assert_refused, to_end};
use crate::support::{PINFOLD, kvm};

/// A user who is nobody.
const NOBODY: &str = "65534";

/// The command line as this user, of this group of users.
fn cli_as(serve: &Serve, gid: &str, args: &[&str]) -> Done {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", gid, "--clear-groups", PINFOLD]);
    command.args(args);
    serve.surround(&mut command);
    to_end(command)
}

/// A supervisor, and the means to be another user; None, with the reason printed, where this host has them not.
fn serve_for_others() -> Option<Serve> {
    if !kvm() {
        return None;
    }
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: only root can ask as another user");
        return None;
    }
    let has_setpriv = Command::new("setpriv").arg("--version").output();
    if let Err(error) = has_setpriv {
        println!("SKIPPED: no setpriv to become another user with: {error}");
        return None;
    }
    let serve = Serve::start();
    if cli_as(&serve, NOBODY, &["--version"]).0 != Some(0) {
        println!("SKIPPED: {PINFOLD} is in a directory that others may not enter");
        return None;
    }
    Some(serve)
}

#[test]
fn a_user_who_may_not_connect_is_refused_in_one_line() {
    let Some(serve) = serve_for_others() else {
        return;
    };
    for args in [
        &["vm", "ls"][..],
        &["group", "tree"],
        &["agent", "ping", "web"],
    ] {
        assert_refused(&cli_as(&serve, NOBODY, args), args, "EACCES");
    }
}

#[test]
fn a_user_may_change_the_groups_that_are_theirs_and_no_machine() {
    let Some(serve) = serve_for_others() else {
        return;
    };
    // The socket is open to the supervisor's group of users.
    let ours = "0";
    serve.must(&["hierarchy", "mount", "p"]);
    for group in ["p:/theirs", "p:/closed"] {
        serve.must(&["group", "mkdir", group]);
    }
    serve.must(&["group", "chown", "p:/theirs", "65534:65534", "755"]);
    let web = WEB.replace("\"placement:/gold\"", "");
    let web = serve.file("web.toml", &web);
    serve.must(&["vm", "create", &web]);
    serve.machine_is("web", "running");
    let before = serve.json(&["group", "tree", "--json"]);
    for (args, errno) in [
        (&["group", "mkdir", "p:/new"][..], "EACCES"),
        (&["group", "rmdir", "p:/closed"], "EACCES"),
        (
            &["group", "set", "p:/closed", "notify_on_release", "1"],
            "EACCES",
        ),
        (
            &["group", "chown", "p:/closed", "65534:65534", "777"],
            "EPERM",
        ),
        (&["hierarchy", "mount", "q"], "EPERM"),
        (&["group", "attach", "p:/theirs", "web/vcpu0"], "E"),
        (&["vm", "create", &web], "EPERM"),
        (&["vm", "stop", "--force", "web"], "EPERM"),
        (&["vm", "rm", "web"], "EPERM"),
        (&["vm", "log", "web"], "EPERM"),
        (&["agent", "shutdown", "web"], "EPERM"),
        (&["apply", &web], "EPERM"),
    ] {
        assert_refused(&cli_as(&serve, ours, args), args, errno);
    }
    assert_eq!(serve.json(&["group", "tree", "--json"]), before);
    serve.machine_is("web", "running");

    let mkdir = ["group", "mkdir", "p:/theirs/mine"];
    let done = cli_as(&serve, ours, &mkdir);
    assert_eq!((done.0, &*done.2), (Some(0), ""));
    let tree = cli_as(&serve, ours, &["group", "tree"]);
    assert!(tree.0 == Some(0) && tree.1.contains("mine"), "{tree:?}");
    let machines = cli_as(&serve, ours, &["vm", "ls"]);
    assert!(
        machines.0 == Some(0) && machines.1.contains("web"),
        "{machines:?}"
    );
}

#[test]
fn who_waits_a_hundred_times_takes_no_place_of_another_user() {
    let Some(serve) = serve_for_others() else {
        return;
    };
    serve.must(&["hierarchy", "mount", "f", "freezer"]);
    serve.must(&["group", "mkdir", "f:/a", "f:/b"]);
    let waits = "GET /v1/files/f/b/cgroup.events?wait=60 HTTP/1.1\r\nhost: x\r\n\
                 if-none-match: \"populated=0;frozen=0\"\r\n\r\n";
    let wait = || {
        let mut stream = UnixStream::connect(serve.socket()).expect("a connection");
        stream.write_all(waits.as_bytes()).expect("it is read");
        stream
    };
    let mut waiting: Vec<UnixStream> = (0..128).map(|_| wait()).collect();
    // All places are taken once the last of them has come to its wait; one that a busy host has sent away is made up for.
    let (client, file) = (serve.client(), route::file("f:/b", "cgroup.events"));
    let one_more = || client.get_other(&format!("{file}?wait=1"), "\"populated=0;frozen=0\"");
    let refused = (0..30).find_map(|_| {
        let refused = one_more().err();
        waiting.push(wait());
        refused.filter(|why| why.to_string().contains("128 times"))
    });
    refused.expect("no more than so many places");
    let get = ["group", "get", "f:/a", "cgroup.events", "--wait"];
    let theirs = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| cli_as(&serve, "0", &get));
        // Nobody knows when it has begun to wait: there are changes until one is told.
        for state in ["FROZEN", "THAWED"].into_iter().cycle().take(400) {
            if theirs.is_finished() {
                break;
            }
            serve.must(&["group", "set", "f:/a", "freezer.state", state]);
            std::thread::sleep(Duration::from_millis(50));
        }
        theirs.join().expect("a client")
    });
    assert_eq!((theirs.0, &*theirs.2), (Some(0), ""), "{theirs:?}");
    drop(waiting);
}
