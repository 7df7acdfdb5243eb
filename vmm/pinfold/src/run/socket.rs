//! `run --socket PATH`: the command lines of `--commands`, asked for over a unix socket.
//!
//! One connection is one line and its answer; then it is closed. Clients are served one after the other, by
//! a thread of its own, and each has so long to say its line: one that says nothing keeps the others waiting for
//! [`PATIENCE`] and no longer. Only our own user and root are heard.

use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use actor::Address;
use anyhow::Context;
use rustix::net::sockopt::socket_peercred;
use supervisor::keeper::Request;

use super::batch::{self, MAX_LINE};

/// A client has this long to say its line, and again to take each part of the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The socket's place in the file system, given up when it is dropped.
#[derive(Debug)]
pub struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Bind `path` and serve it until the program ends. A socket that nobody listens at any more is replaced.
///
/// # Errors
/// Something else is at `path`, somebody listens there, or it cannot be bound.
pub fn start(path: &Path, keeper: Address<Request>) -> anyhow::Result<Place> {
    let shown = path.display();
    if let Ok(about) = fs::symlink_metadata(path) {
        let stale = about.file_type().is_socket() && UnixStream::connect(path).is_err();
        anyhow::ensure!(stale, "the socket {shown} is in use, or no socket");
        fs::remove_file(path).with_context(|| format!("the socket {shown} of old"))?;
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("the socket {shown} cannot be bound"))?;
    let place = Place(path.to_owned());
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    std::thread::Builder::new()
        .name("socket".into())
        .spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // Whatever becomes of one client is no concern of the next.
                let _ = serve(&client, &keeper);
            }
        })?;
    Ok(place)
}

fn serve(client: &UnixStream, keeper: &Address<Request>) -> io::Result<()> {
    let uid = socket_peercred(client)?.uid;
    if !uid.is_root() && uid != rustix::process::geteuid() {
        return Ok(());
    }
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(client.take(MAX_LINE)).read_line(&mut line)?;
    let mut answer = batch::answer(keeper, line.trim());
    answer.push('\n');
    let mut client = client;
    client.write_all(answer.as_bytes())
}

/// Ask a run: send it a line and return its answer.
///
/// # Errors
/// Nobody is there, or the answer does not come.
pub fn ask(path: &Path, line: &str) -> anyhow::Result<String> {
    /// Longer than any answer takes: a guest has 5 s.
    const ANSWER_LIMIT: Duration = Duration::from_secs(30);
    let shown = path.display();
    let mut run = UnixStream::connect(path).with_context(|| {
        format!(
            "no run listens at {shown}, and no supervisor: start one with `pinfold serve`, or \
             `pinfold run --socket {shown} SPEC`"
        )
    })?;
    run.set_read_timeout(Some(ANSWER_LIMIT))?;
    run.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = String::new();
    run.read_to_string(&mut answer)
        .with_context(|| format!("the answer of the run at {shown}"))?;
    anyhow::ensure!(!answer.is_empty(), "the run at {shown} gave no answer");
    Ok(answer.trim_end().to_owned())
}
