//! `agent` and `[vm.NAME.vsock]`: how a machine's guest talks to the supervisor and to the host.

use std::path::{Path, PathBuf};

use container_core::{GroupPath, HierarchyName, MachineName, ViewAccess};
use link::VsockConfig;
use toml::Spanned;

use super::file::{Scalar, Vsock};
use super::source::Source;
use super::{MachineSpec, Place, Spec, SpecError};

/// The first address that a guest may have: those below are the hypervisor's, the loopback's and the host's.
const FIRST_CID: i64 = 3;
/// One above the last: the highest number stands for any address.
const END_OF_CIDS: i64 = u32::MAX as i64;

/// A socket's path is at most this long, in bytes (sockaddr_un), with the longest `_PORT` behind it.
const MOST_PATH: usize = 107 - "_4294967295".len();

/// The words of `agent`.
pub(super) fn access(
    source: &Source<'_>,
    name: &MachineName,
    agent: &Spanned<Scalar>,
) -> Result<ViewAccess, SpecError> {
    match agent.get_ref().0.as_str() {
        "read" => Ok(ViewAccess::Read),
        "delegate" => Ok(ViewAccess::Delegate),
        other => {
            let message =
                format!("agent {other:?} of machine {name} is neither \"read\" nor \"delegate\"");
            Err(source.refuse(agent.span(), message))
        }
    }
}

/// The roots of a machine's view: in each hierarchy the group that its `groups` names for vCPUs. A single
/// task's exception does not count, and where no group is named, the guest sees nothing.
pub(super) fn roots(
    hierarchies: &[HierarchyName],
    of_vcpus: &[Place],
    of_all: &[Place],
) -> Vec<GroupPath> {
    let root = |hierarchy| {
        let mut named = of_vcpus.iter().chain(of_all).map(|place| &place.group);
        named.find(|group| group.hierarchy() == hierarchy).cloned()
    };
    hierarchies.iter().filter_map(root).collect()
}

/// The device that a machine needs: where it has an agent, or a socket on the host.
pub(super) fn device(
    source: &Source<'_>,
    name: &MachineName,
    vsock: Option<&Vsock>,
    agent: bool,
) -> Result<Option<VsockConfig>, SpecError> {
    if vsock.is_none() && !agent {
        return Ok(None);
    }
    let cid = vsock.and_then(|vsock| vsock.cid.as_ref());
    let cid = cid.map_or(Ok(FIRST_CID as u32), |cid| {
        let asked = *cid.get_ref();
        let good = (FIRST_CID..END_OF_CIDS).contains(&asked);
        good.then_some(asked as u32).ok_or_else(|| {
            let last = END_OF_CIDS - 1;
            let message =
                format!("vsock.cid {asked} of machine {name} is not one of {FIRST_CID} to {last}");
            source.refuse(cid.span(), message)
        })
    })?;
    let path = vsock.and_then(|vsock| vsock.path.as_ref());
    let path = path.map(|path| absolute(source, name, path)).transpose()?;
    Ok(Some(VsockConfig { cid, path, agent }))
}

/// A socket is one machine's: two that came at once would each take it for a stale one. And no machine's is
/// where another one's guest connects to, whose port it would be.
pub(super) fn each_its_own_socket(
    source: &Source<'_>,
    machines: &[MachineSpec],
) -> Result<(), SpecError> {
    for (index, machine) in machines.iter().enumerate() {
        let Some(own) = path(machine) else { continue };
        for other in &machines[..index] {
            let Some(theirs) = path(other) else { continue };
            let message = if real(own) == real(theirs) {
                let (name, other) = (&machine.name, &other.name);
                format!("machine {name} has the vsock.path {own} of machine {other}")
            } else if let Err(why) = apart(own, theirs).and(apart(theirs, own)) {
                format!("machine {}: {why}", machine.name)
            } else {
                continue;
            };
            return Err(source.refuse_line(machine.line, message));
        }
    }
    Ok(())
}

impl Spec {
    /// Whether a socket of the host's own is apart from those of guests, which connect with the host's rights.
    ///
    /// # Errors
    /// The sentence.
    pub fn keeps_from_guests(&self, socket: &Path) -> Result<(), String> {
        let shown = socket.to_string_lossy();
        for guests in self.machines.iter().filter_map(path) {
            if real(&shown) == real(guests) {
                return Err(format!("{shown} is the vsock.path of a machine"));
            }
            apart(guests, &shown)?;
        }
        Ok(())
    }
}

fn path(machine: &MachineSpec) -> Option<&str> {
    machine.config.vsock.as_ref()?.path.as_deref()
}

/// # Errors
/// `socket` is `guests` with a port after it.
fn apart(guests: &str, socket: &str) -> Result<(), String> {
    let (from, to) = (real(guests), real(socket));
    let port = to
        .as_os_str()
        .as_encoded_bytes()
        .strip_prefix(from.as_os_str().as_encoded_bytes())
        .and_then(|rest| rest.strip_prefix(b"_"));
    match port {
        Some(port) if port.iter().all(u8::is_ascii_digit) => Err(format!(
            "{socket} is where guests with the vsock.path {guests} connect to"
        )),
        _ => Ok(()),
    }
}

/// The path by the real name of its folder: one folder has many.
fn real(path: &str) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let folder = whole.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, whole.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => whole,
    }
}

/// The socket's path, which stands relative to the spec file.
fn absolute(
    source: &Source<'_>,
    name: &MachineName,
    path: &Spanned<String>,
) -> Result<String, SpecError> {
    let beside = source.path.parent().unwrap_or(Path::new(""));
    let refuse = |why: String| {
        let message = format!("vsock.path {:?} of machine {name}: {why}", path.get_ref());
        source.refuse(path.span(), message)
    };
    if path.get_ref().is_empty() {
        return Err(refuse("a path is expected".into()));
    }
    let whole = std::path::absolute(beside.join(path.get_ref()))
        .map_err(|error| refuse(error.to_string()))?;
    let folder = whole.parent().filter(|folder| folder.is_dir());
    if folder.is_none() {
        return Err(refuse("there is no such folder".into()));
    }
    let text = whole
        .to_str()
        .ok_or_else(|| refuse("it is not UTF-8".into()))?;
    if text.len() > MOST_PATH {
        let length = text.len();
        return Err(refuse(format!(
            "{length} bytes from the root on, and a socket's path has room for {MOST_PATH}"
        )));
    }
    Ok(text.to_owned())
}
