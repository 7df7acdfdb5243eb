//! Who may import whom: the walls between the crates, held against the manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Each crate of the workspace and the crates of the workspace it may depend on.
const TABLE: &[(&str, &[&str])] = &[
    ("container-core", &[]),
    ("agent-protocol", &[]),
    ("firmware", &[]),
    ("actor", &[]),
    ("link", &[]),
    ("management", &[]),
    ("host", &["container-core"]),
    ("hv", &[]),
    ("devices", &[]),
    ("machine", &["actor", "link", "hv", "devices"]),
    (
        "supervisor",
        &[
            "actor",
            "agent-protocol",
            "container-core",
            "host",
            "link",
            "management",
        ],
    ),
    (
        "pinfold",
        &[
            "actor",
            "agent-protocol",
            "container-core",
            "firmware",
            "host",
            "hv",
            "link",
            "machine",
            "management",
            "supervisor",
        ],
    ),
];

#[test]
fn no_crate_imports_what_the_table_does_not_allow_it() {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--no-deps",
            "--manifest-path",
        ])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata");
    let allowed: BTreeMap<&str, BTreeSet<&str>> = TABLE
        .iter()
        .map(|(name, imports)| (*name, imports.iter().copied().collect()))
        .collect();
    let packages = metadata["packages"].as_array().expect("packages");
    let names: BTreeSet<&str> = packages
        .iter()
        .filter_map(|package| package["name"].as_str())
        .collect();
    assert_eq!(
        names,
        allowed.keys().copied().collect(),
        "the table names each crate, and no other"
    );
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let import = dependency["name"].as_str().expect("a name");
            let normal = dependency["kind"].is_null();
            assert!(
                !normal || !names.contains(import) || allowed[name].contains(import),
                "{name} imports {import}, which the table does not allow"
            );
        }
    }
}
