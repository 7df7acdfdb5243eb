//! Builds the tiny guest, a workspace of its own under `guest/`, into this crate's output folder.
//!
//! Cargo looks for configuration upwards from where it runs, so the guest would inherit the flags
//! and wrappers of the outer build. All of them are set or removed here; nothing of the outer
//! build's settings reaches the guest but the compiler itself.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "guest/src/layout.rs"]
#[allow(dead_code)]
mod layout;

const TARGET: &str = "x86_64-unknown-linux-gnu";

fn main() {
    let guest = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("guest");
    let out = PathBuf::from(variable("OUT_DIR"));
    for source in ["Cargo.toml", "Cargo.lock", "guest.ld", "src"] {
        println!("cargo::rerun-if-changed=guest/{source}");
    }
    println!("cargo::rerun-if-changed=../guest-agent/protocol");
    let image = build(&guest, &out.join("guest"));
    std::fs::copy(&image, out.join("guest.elf"))
        .unwrap_or_else(|error| panic!("copying {}: {error}", image.display()));
}

/// Builds the guest below `target` and returns where its image is.
fn build(guest: &Path, target: &Path) -> PathBuf {
    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .args([
            "build",
            "--release",
            "--locked",
            "--target",
            TARGET,
            "--manifest-path",
        ])
        .arg(guest.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .current_dir(guest)
        // The one form of flags that overrides every other, configuration files included.
        .env("CARGO_ENCODED_RUSTFLAGS", flags(guest).join("\x1f"));
    for name in [
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CLIPPY_ARGS",
    ] {
        cargo.env_remove(name);
    }
    for (name, _) in env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PROFILE_"))
        {
            cargo.env_remove(name);
        }
    }
    let status = cargo
        .status()
        .unwrap_or_else(|error| panic!("running cargo: {error}"));
    assert!(status.success(), "building the guest failed: {status}");
    target.join(TARGET).join("release/guest")
}

fn flags(guest: &Path) -> Vec<String> {
    let mut flags: Vec<String> = [
        "-Crelocation-model=static",
        "-Clink-arg=-nostartfiles",
        "-Clink-arg=-static",
        "-Clink-arg=-Wl,--build-id=none,-z,max-page-size=4096,-z,noexecstack",
    ]
    .map(String::from)
    .into();
    flags.push(format!(
        "-Clink-arg=-Wl,-T,{}",
        guest.join("guest.ld").display()
    ));
    for (symbol, value) in [
        ("IMAGE", layout::IMAGE),
        ("SLOTS", layout::SLOTS),
        ("IMAGE_END", layout::IMAGE_END),
    ] {
        flags.push(format!("-Clink-arg=-Wl,--defsym={symbol}={value:#x}"));
    }
    // No path of the machine that built it stands in the image: of prefixes that fit, the last counts.
    let workspace = guest.join("../..");
    let folders = [
        (cargo_home(), "cargo"),
        (workspace.canonicalize().unwrap_or(workspace), "pinfold"),
        (guest.to_path_buf(), "guest"),
    ];
    for (folder, name) in folders {
        flags.push(format!("--remap-path-prefix={}={name}", folder.display()));
    }
    flags
}

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> PathBuf {
    match env::var_os("CARGO_HOME") {
        Some(folder) => folder.into(),
        None => PathBuf::from(variable("HOME")).join(".cargo"),
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}
