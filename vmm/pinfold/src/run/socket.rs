//! `run --socket PATH`: the command lines of `--commands`, asked for over a unix socket.
//!
//! One connection is one line and its answer; then it is closed. Clients are served one after the other, by
//! a thread of its own, and each has so long to say its line: one that says nothing keeps the others waiting for
//! [`PATIENCE`] and no longer. Only our own user and root are heard.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use actor::Address;
use anyhow::Context;
use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use supervisor::keeper::Request;

use super::batch::{self, MAX_LINE};

/// A client has this long to say its line, and again to take each part of the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Clients whose connection the kernel keeps until they are served.
const BACKLOG: i32 = 64;

/// When the process is out of descriptors it looks again after this time.
const REST: Duration = Duration::from_millis(100);

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
    let address = SocketAddrUnix::new(path).with_context(|| format!("the socket {shown}"))?;
    if let Ok(about) = fs::symlink_metadata(path) {
        // Only who is refused knows that nobody listens; a full backlog, or no right to connect, is
        // somebody's.
        let probe = socket()?;
        let refused = || connect(&probe, &address) == Err(Errno::CONNREFUSED);
        let stale = about.file_type().is_socket() && refused();
        anyhow::ensure!(stale, "the socket {shown} is in use, or no socket");
        fs::remove_file(path).with_context(|| format!("the socket {shown} of old"))?;
    }
    let cannot = || format!("the socket {shown} cannot be bound");
    let listener = socket()?;
    // The file is made with the mode of the socket: at no time is it open to others.
    fchmod(&listener, Mode::RUSR | Mode::WUSR)?;
    bind(&listener, &address).with_context(cannot)?;
    let place = Place(path.to_owned());
    listen(&listener, BACKLOG).with_context(cannot)?;
    let listener = UnixListener::from(listener);
    listener.set_nonblocking(false)?;
    std::thread::Builder::new()
        .name("socket".into())
        .spawn(move || {
            for client in listener.incoming() {
                match client {
                    // Whatever becomes of one client is no concern of the next.
                    Ok(client) => _ = serve(&client, &keeper),
                    // One that has left again, or no descriptor for it now.
                    Err(_) => std::thread::sleep(REST),
                }
            }
        })?;
    Ok(place)
}

fn socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

fn serve(client: &UnixStream, keeper: &Address<Request>) -> io::Result<()> {
    let uid = socket_peercred(client)?.uid;
    if !uid.is_root() && uid != rustix::process::geteuid() {
        return Ok(());
    }
    client.set_write_timeout(Some(PATIENCE))?;
    let line = hear(client)?;
    let mut answer = batch::answer(keeper, line.trim());
    answer.push('\n');
    let mut client = client;
    client.write_all(answer.as_bytes())
}

/// A client's line, which has to be whole in time.
fn hear(mut client: &UnixStream) -> io::Result<String> {
    let until = Instant::now() + PATIENCE;
    let (mut line, mut bytes) = (Vec::new(), [0; 4096]);
    while !line.contains(&b'\n') && line.len() < MAX_LINE as usize {
        let left = until.saturating_duration_since(Instant::now());
        // Refused where no time is left.
        client.set_read_timeout(Some(left))?;
        match client.read(&mut bytes)? {
            0 => break,
            count => line.extend_from_slice(&bytes[..count]),
        }
    }
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    String::from_utf8(line.to_vec()).map_err(io::Error::other)
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc::channel;

    use actor::mailbox;

    use super::*;

    fn place(name: &str) -> PathBuf {
        let name = format!("pinfold-socket-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_file(&path);
        path
    }

    #[test]
    fn a_socket_whose_owner_has_no_time_is_in_use_and_not_waited_for() {
        let path = place("busy");
        let listener = socket().unwrap();
        let address = SocketAddrUnix::new(&path).unwrap();
        bind(&listener, &address).unwrap();
        listen(&listener, 0).unwrap();
        let clients = [socket().unwrap(), socket().unwrap()];
        let full = clients
            .iter()
            .any(|client| connect(client, &address).is_err());
        assert!(full, "there was room for both");
        let (told, outcome) = channel();
        let at = path.clone();
        std::thread::spawn(move || told.send(start(&at, mailbox(1).0).is_err()));
        assert_eq!(outcome.recv_timeout(PATIENCE), Ok(true));
        assert!(path.exists(), "it is another's");
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_socket_that_nobody_listens_at_is_replaced_by_one_for_its_owner_alone() {
        let path = place("stale");
        drop(UnixListener::bind(&path).unwrap());
        let place = start(&path, mailbox(1).0).unwrap();
        let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        drop(place);
        assert!(!path.exists());
    }

    #[test]
    fn a_client_that_says_its_line_byte_by_byte_has_no_longer_than_others() {
        let (client, ours) = UnixStream::pair().unwrap();
        let began = Instant::now();
        let slow = std::thread::spawn(move || {
            while began.elapsed() < 3 * PATIENCE && (&client).write_all(b"x").is_ok() {
                std::thread::sleep(PATIENCE / 10);
            }
        });
        let _ = serve(&ours, &mailbox(1).0);
        drop(ours);
        assert!(began.elapsed() < 2 * PATIENCE, "{:?}", began.elapsed());
        slow.join().unwrap();
    }
}
