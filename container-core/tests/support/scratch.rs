//! Scratch groups in the kernel's own cgroup-v1 controller, removed however a test ends. No thread is ever put into one.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A directory of our own below a mount.
pub struct Scratch {
    mount: PathBuf,
    directory: PathBuf,
}

impl Scratch {
    /// In the cpu controller; None where there is none that can be written to.
    pub fn cpu() -> Option<Scratch> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let mount = mounts.lines().find_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut right = right.split(' ');
            let options = (right.next() == Some("cgroup")).then(|| right.nth(1))??;
            let has_cpu = options.split(',').any(|option| option == "cpu");
            has_cpu.then(|| left.split(' ').nth(4))?.map(PathBuf::from)
        })?;
        let directory = mount.join(format!("pinfold-test-{}", std::process::id()));
        fs::create_dir(&directory).ok()?;
        Some(Scratch { mount, directory })
    }

    pub fn mkdir(&self, name: &str) {
        fs::create_dir(self.directory.join(name)).expect("a scratch group");
    }

    pub fn read(&self, name: &str, file: &str) -> String {
        let text = fs::read_to_string(self.directory.join(name).join(file));
        text.expect("a control file").trim_end().into()
    }

    /// The errno's name; None where the kernel takes it.
    pub fn write(&self, name: &str, file: &str, value: &str) -> Option<String> {
        write(&self.directory.join(name).join(file), value)
    }

    /// To the mount's root. For what is refused.
    pub fn write_to_root(&self, file: &str, value: &str) -> Option<String> {
        write(&self.mount.join(file), value)
    }
}

fn write(path: &Path, value: &str) -> Option<String> {
    let file = OpenOptions::new().write(true).open(path);
    let outcome = file.and_then(|mut file| file.write(value.as_bytes()));
    let error = outcome.err()?.raw_os_error();
    Some(match error {
        Some(22) => "EINVAL".into(),
        Some(34) => "ERANGE".into(),
        other => format!("{other:?}"),
    })
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.directory);
    }
}

/// A cgroup's files cannot be removed, and go with it.
fn remove(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(directory);
}
