//! docs/semantics.md names tests, and those are there.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const PAGE: &str = include_str!("../../docs/semantics.md");

/// The functions of all Rust files below a folder.
fn functions_below(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions_below(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let functions = text.split("fn ").skip(1);
            let names_of = functions.filter_map(|rest| rest.split(['(', '<']).next());
            names.extend(names_of.map(String::from));
        }
    }
}

/// What stands in backticks and is a sentence in underscores: no control file has as many.
fn tests_of_the_page() -> BTreeSet<&'static str> {
    let quoted = PAGE.split('`').skip(1).step_by(2);
    let is_test = |name: &&str| {
        name.matches('_').count() >= 3
            && name
                .bytes()
                .all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
    };
    quoted.filter(is_test).collect()
}

#[test]
fn every_test_that_the_page_of_semantics_names_is_there() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut there = BTreeSet::new();
    for folder in ["container-core/src", "container-core/tests", "tests", "vmm"] {
        functions_below(&workspace.join(folder), &mut there);
    }
    let told = tests_of_the_page();
    assert!(told.len() > 30, "hardly any test was found: {told:?}");
    let missing: Vec<&&str> = told.iter().filter(|name| !there.contains(**name)).collect();
    assert!(
        missing.is_empty(),
        "docs/semantics.md names {missing:?}, which no file has"
    );
}
