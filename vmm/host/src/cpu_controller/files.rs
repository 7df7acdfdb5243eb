//! Control files, read and written whole.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use rustix::io::Errno;

use crate::HostError;

pub fn write(path: &Path, value: &str) -> Result<(), HostError> {
    let file = OpenOptions::new().write(true).open(path);
    let mut file = file.map_err(|error| failed("open", path, &error))?;
    let written = file.write_all(value.as_bytes());
    written.map_err(|error| {
        let object = format!("{} of {value}", path.display());
        failed("write", Path::new(&object), &error)
    })
}

pub fn read(path: &Path) -> Result<String, HostError> {
    fs::read_to_string(path).map_err(|error| failed("read", path, &error))
}

pub fn failed(call: &'static str, path: &Path, error: &io::Error) -> HostError {
    let errno = error
        .raw_os_error()
        .map_or(Errno::IO, Errno::from_raw_os_error);
    HostError::system(call, path.display().to_string(), errno)
}
