//! A spec that cannot be had ends before any machine starts: exit 2, and one message with the file, the
//! line where there is one, the rule and its operands.

mod support;

use std::process::{Command, Stdio};

use support::{PINFOLD, Scratch, kvm, pinfold};

const VM: &str = "memory = \"16M\"\nvcpus = 1\nguest = { tiny = [\"print up\", \"exit\"] }\n";

/// What is wrong, the spec, the line of the message, and words that must be in it.
fn table() -> Vec<(&'static str, String, usize, Vec<&'static str>)> {
    let vm = |name: &str| format!("[vm.{name}]\n{VM}");
    let tree = "[hierarchy.p]\nsubsystems = [\"cpuset\"]\n";
    let group = |name: &str, files: &str| format!("[group.\"p:/{name}\"]\nfiles = {{ {files} }}\n");
    let cpus = |cpus: &str| format!("\"cpuset.cpus\" = \"{cpus}\"");
    let exclusive = |name: &str| {
        group(
            name,
            &format!("{}, \"cpuset.cpu_exclusive\" = \"1\"", cpus("0")),
        )
    };
    vec![
        (
            "an unknown key",
            format!("{}colour = 1\n", vm("m")),
            5,
            vec!["unknown", "colour"],
        ),
        (
            "a CPU the host lacks",
            format!("{tree}{}", group("a", &cpus("1000"))),
            4,
            vec!["1000"],
        ),
        (
            "a subsystem mounted twice",
            format!("{tree}[hierarchy.q]\nsubsystems = [\"cpuset\"]\n"),
            4,
            vec!["cpuset", "already", "p"],
        ),
        (
            "a group not declared",
            format!("{tree}{}groups = [\"p:/nowhere\"]\n", vm("m")),
            7,
            vec!["p:/nowhere", "not declared"],
        ),
        (
            "an overlap of exclusive sets",
            format!("{tree}{}{}", exclusive("a"), exclusive("b")),
            6,
            vec!["0", "exclusive"],
        ),
        (
            "a cpuset not in its parent",
            format!(
                "{tree}{}{}",
                group("a", &cpus("0")),
                group("a/b", &cpus("1"))
            ),
            6,
            vec!["1", "subset", "parent", "0"],
        ),
        (
            "zero vCPUs",
            vm("m").replace("vcpus = 1", "vcpus = 0"),
            3,
            vec!["vCPUs", "0"],
        ),
        (
            "memory that is no size",
            vm("m").replace("16M", "lots"),
            2,
            vec!["lots", "size"],
        ),
        (
            "two machines of one name",
            format!("{}{}", vm("m"), vm("m")),
            5,
            vec!["m", "twice"],
        ),
        (
            "a verb that is none",
            vm("m").replace("exit", "dance"),
            4,
            vec!["dance"],
        ),
        (
            "an agent that may do something else",
            format!("{}agent = \"write\"\n", vm("m")),
            5,
            vec!["agent \"write\" of machine m", "\"read\"", "\"delegate\""],
        ),
        (
            "two machines at one socket",
            format!(
                "{}vsock = {{ path = \"v.sock\" }}\n{}vsock = {{ path = \"v.sock\" }}\n",
                vm("m"),
                vm("n")
            ),
            6,
            vec!["machine n", "machine m", "v.sock"],
        ),
        ("no TOML", "vm = [\n".into(), 1, vec![]),
    ]
}

#[test]
fn each_bad_spec_is_one_message_and_exit_2_before_any_machine_starts() {
    for (wrong, spec, line, words) in table() {
        let scratch = Scratch::new();
        let file = scratch.file("spec.toml", &spec);
        let path = file.to_str().expect("utf-8");
        let (code, out, err) = pinfold(&scratch, &["run", path]);
        assert_eq!(code, Some(2), "{wrong}: {err}");
        assert_eq!(err.lines().count(), 1, "{wrong}: one message: {err}");
        assert!(
            err.starts_with(&format!("{path}:{line}:")),
            "{wrong}: line {line} expected: {err}"
        );
        for word in words {
            assert!(err.contains(word), "{wrong}: {word:?} is not in {err}");
        }
        assert_eq!(out, "", "{wrong}: something was started");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let scratch = Scratch::new();
    let (code, _, err) = pinfold(&scratch, &["run", "/nowhere/spec.toml"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(
        err.contains("/nowhere/spec.toml") && err.contains("no such file"),
        "{err}"
    );
}

/// Run the program where /dev/kvm is something else, by a mount namespace or another user.
fn without_kvm(how: &str) -> Option<(Option<i32>, String)> {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: only root can take /dev/kvm away");
        return None;
    }
    let scratch = Scratch::new();
    let spec = scratch.file("spec.toml", &format!("[vm.m]\n{VM}"));
    let readable: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(scratch.path(), readable).expect("our own directory");
    // Copied, since the user that it is run as may not see where it was built.
    let program = scratch.path().join("pinfold");
    std::fs::copy(PINFOLD, &program).expect("a copy of the program");
    let script = how.replace(
        "PINFOLD",
        &format!("{} run {}", program.display(), spec.display()),
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("XDG_RUNTIME_DIR", scratch.path())
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    Some((
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

#[test]
fn a_host_without_kvm_says_so() {
    let hide = "exec unshare --mount sh -c 'mount -t tmpfs none /dev && exec PINFOLD'";
    let Some((code, err)) = without_kvm(hide) else {
        return;
    };
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("/dev/kvm"), "{err}");
}

#[test]
fn a_user_without_the_right_to_kvm_is_told_which_right() {
    if !kvm() {
        return;
    }
    let Some((code, err)) =
        without_kvm("exec setpriv --reuid 65534 --regid 65534 --clear-groups PINFOLD")
    else {
        return;
    };
    let open_to_all = std::fs::metadata("/dev/kvm")
        .is_ok_and(|kvm| std::os::unix::fs::PermissionsExt::mode(&kvm.permissions()) & 0o6 == 0o6);
    if open_to_all {
        println!("SKIPPED: /dev/kvm is open to all here");
        return;
    }
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("/dev/kvm") && err.contains("right"), "{err}");
}
