//! Names that no group can have, or this one cannot.

use super::Answer::Refused;
use super::Op::*;
use super::*;
use Errno::*;

const NAME: &str = "names";
const X255: &str = ascii(&[b'x'; 255]);
const X256: &str = ascii(&[b'x'; 256]);
/// A path of 4,198 bytes in `p`, of components that may be.
const LONG_PATH: &str = ascii(const { &long_path() });

const fn long_path() -> [u8; 4200] {
    let mut text = [b'x'; 4200];
    (text[0], text[1]) = (b'p', b':');
    let mut slash = 2;
    while slash < text.len() {
        text[slash] = b'/';
        slash += 200;
    }
    text
}

pub const ROWS: &[Row] = &[
    refused(
        MKDIR_EXISTING,
        Mkdir("p:/home", "a"),
        EEXIST,
        &["p:/home", "named a"],
    ),
    refused(
        MKDIR_EXISTING,
        Mkdir("p:/home", "tasks"),
        EEXIST,
        &["p:/home", "named tasks"],
    ),
    refused(
        MKDIR_EXISTING,
        Mkdir("p:/home", "cgroup.events"),
        EEXIST,
        &["p:/home", "named cgroup.events"],
    ),
    refused(
        MKDIR_EXISTING,
        Mkdir("p:/home/a", "cpuset.cpus"),
        EEXIST,
        &["p:/home/a", "named cpuset.cpus"],
    ),
    refused(MKDIR_EXISTING, Mkdir("p:", ""), EEXIST, &["p:/", "root"])
        .host_only("it has no name for what is above its root"),
    refused(
        MKDIR_EXISTING,
        Mkdir("p:", "release_agent"),
        EEXIST,
        &["p:/", "release_agent"],
    )
    .host_only("it has no name for what is above its root"),
    // A control file of another hierarchy's, or of the root alone, is a name like any other.
    taken(MKDIR_EXISTING, Mkdir("b:/home", "cpuset.cpus"), ""),
    taken(MKDIR_EXISTING, Mkdir("p:/home", "release_agent"), "").guest(
        Refused(EEXIST, &["p:/home", "release_agent"]),
        "a guest is not told whether its root is the hierarchy's, which has that file",
    ),
    refused(
        MKDIR_NAME,
        Mkdir("p:/home", "x\ny"),
        EINVAL,
        &[r#""x\ny""#, "newline"],
    ),
    refused(
        MKDIR_NAME,
        Mkdir("p:/home", X256),
        ENAMETOOLONG,
        &["256", "255"],
    ),
    taken(MKDIR_NAME, Mkdir("p:/home", X255), ""),
    refused(NAME, Mkdir("p:/home/a", ""), EINVAL, &[r#""""#, "empty"]),
    refused(
        NAME,
        Mkdir("p:/home", "."),
        EINVAL,
        &[r#"".""#, "another directory"],
    ),
    refused(
        NAME,
        Mkdir("p:/home", ".."),
        EINVAL,
        &[r#""..""#, "another directory"],
    ),
    refused(
        NAME,
        Mkdir("p:/home", "x\0y"),
        EINVAL,
        &[r#""x\0y""#, "NUL"],
    ),
    refused(NAME, Mkdir("p:/home", "a//b"), EINVAL, &[r#""""#, "empty"]),
    refused(
        NAME,
        Mkdir("p:/home", "none/x"),
        ENOENT,
        &["p:/home/none/x", "no child none"],
    )
    .guest(
        Refused(ENOENT, &["p:/home/none", "no child none"]),
        "the view looks for the parent alone",
    ),
    refused(
        NAME,
        Mkdir("p:/home/tasks", "x"),
        ENOTDIR,
        &["tasks in p:/home", "a control file"],
    ),
    refused(NAME, Mkdir("none:", "x"), ENOENT, &["none"]),
    refused(
        NAME,
        Mkdir("no ne:", "x"),
        EINVAL,
        &[r#""no ne""#, "[A-Za-z0-9._-]"],
    ),
    taken(NAME, Mkdir("p:/home", "\u{1b}[2J"), "").guest(
        Refused(EINVAL, &[r#""\u{1b}[2J""#, "a control character"]),
        "what a guest calls a group is shown on the host's terminals",
    ),
    refused(NAME, Rmdir(LONG_PATH), ENAMETOOLONG, &["4198", "4095"]).guest(
        Refused(ENAMETOOLONG, &["4200", "1024"]),
        "a guest's paths are shorter",
    ),
    refused(
        NAME,
        Write("p:/home/..", "tasks", ""),
        EINVAL,
        &[r#""..""#, "another directory"],
    ),
    refused(
        NAME,
        Write("p:/home/./a", "tasks", ""),
        EINVAL,
        &[r#"".""#, "another directory"],
    ),
    refused(
        NAME,
        Read("p:/home/a\0b", "tasks"),
        EINVAL,
        &[r#""a\0b""#, "NUL"],
    ),
    refused(
        NAME,
        Read("p:/home/a\nb", "tasks"),
        EINVAL,
        &[r#""a\nb""#, "newline"],
    ),
    refused(
        RENAME,
        Rename("p:/home/a", "c"),
        EEXIST,
        &["p:/home", "named c"],
    ),
    refused(
        RENAME,
        Rename("p:/home/a", "tasks"),
        ENOTDIR,
        &["p:/home", "tasks"],
    ),
    refused(
        RENAME,
        Rename("p:/home/a", "c/a"),
        EIO,
        &["p:/home/a", "c/a"],
    ),
    refused(NAME, Rename("p:/home/a", ""), EINVAL, &[r#""""#, "empty"]),
    refused(
        NAME,
        Rename("p:/home/a", "."),
        EINVAL,
        &[r#"".""#, "another directory"],
    ),
    refused(
        NAME,
        Rename("p:/home/a", ".."),
        EINVAL,
        &[r#""..""#, "another directory"],
    ),
    refused(
        NAME,
        Rename("p:/home/a", "x\ny"),
        EINVAL,
        &[r#""x\ny""#, "newline"],
    ),
    refused(
        NAME,
        Rename("p:/home/a", "x\0y"),
        EINVAL,
        &[r#""x\0y""#, "NUL"],
    ),
    refused(
        NAME,
        Rename("p:/home/a", X256),
        ENAMETOOLONG,
        &["256", "255"],
    ),
    refused(
        NAME,
        Rename("p:/home/a/tasks", "x"),
        ENOTDIR,
        &["tasks in p:/home/a", "a control file"],
    ),
    refused(NAME, Rename("p:/", "x"), EBUSY, &["p:/", "root"]),
    taken(NAME, Rename("p:/home/a", "a"), ""),
];
