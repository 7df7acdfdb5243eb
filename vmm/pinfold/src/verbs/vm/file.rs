//! From a spec file with one machine to the body of the API's request: the same table, as JSON.
//!
//! Its keys and values are the supervisor's to judge. What is done here is what only the client can do: paths
//! stand relative to the file, and become absolute.

use std::path::Path;

use anyhow::Context;
use toml::{Table, Value};

use crate::spec::SpecError;

/// Keys that are paths, with the table that they are in.
const PATHS: [(&str, &str); 3] = [("vsock", "path"), ("guest", "kernel"), ("guest", "initrd")];

/// The machine's name and its table.
///
/// # Errors
/// The file cannot be read, is not TOML, or has anything but one `[vm.NAME]`.
pub fn machine(file: &Path) -> anyhow::Result<(String, serde_json::Value)> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let folder = std::path::absolute(file)?;
    let folder = folder.parent().unwrap_or(Path::new("/"));
    Ok(understand(file, folder, &text)?)
}

fn understand(
    file: &Path,
    folder: &Path,
    text: &str,
) -> Result<(String, serde_json::Value), SpecError> {
    let refuse = |line: Option<usize>, message: String| SpecError {
        file: file.to_owned(),
        line,
        message,
    };
    let spec: Table = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|place| {
            let before = text.get(..place.start).unwrap_or_default();
            1 + before.matches('\n').count()
        });
        let message = error.message().lines().next().unwrap_or_default();
        refuse(line, message.to_owned())
    })?;
    let only_machines = spec.keys().all(|key| key == "vm");
    let machines = match spec.get("vm") {
        Some(Value::Table(machines)) if only_machines => machines.iter().collect(),
        _ => Vec::new(),
    };
    let [(name, Value::Table(table))] = machines[..] else {
        let rule =
            "one [vm.NAME] is expected and nothing else; a whole spec is for `pinfold apply`";
        return Err(refuse(None, rule.to_owned()));
    };
    let mut table = table.clone();
    for (outer, key) in PATHS {
        if let Some(Value::String(path)) = table.get_mut(outer).and_then(|outer| outer.get_mut(key))
            && !path.is_empty()
        {
            *path = folder.join(&*path).display().to_string();
        }
    }
    // A date is the one thing that TOML has and JSON has not; it is a table of toml's own making then, and refused.
    let json = serde_json::to_value(&table).map_err(|error| refuse(None, error.to_string()))?;
    Ok((name.clone(), json))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Result<(String, serde_json::Value), String> {
        understand(Path::new("a.toml"), Path::new("/specs"), text)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_table_is_the_same_in_json_but_for_its_paths() {
        let text = r#"
            [vm.web]
            memory = "64M"
            vcpus = 2
            guest = { tiny = ["exit"] }
            vsock = { path = "web.sock", cid = 7 }
            [vm.web.groups]
            all = ["billing:/a"]
            [vm.web.task.vcpu1]
            groups = ["placement:/hot"]
        "#;
        let expected = json!({
            "memory": "64M",
            "vcpus": 2,
            "guest": { "tiny": ["exit"] },
            "vsock": { "path": "/specs/web.sock", "cid": 7 },
            "groups": { "all": ["billing:/a"] },
            "task": { "vcpu1": { "groups": ["placement:/hot"] } },
        });
        assert_eq!(parse(text), Ok(("web".to_owned(), expected)));
        let (_, machine) = parse("[vm.a]\nvsock = { path = \"/run/a\" }\n").unwrap();
        assert_eq!(machine["vsock"]["path"], "/run/a");
    }

    #[test]
    fn anything_but_one_machine_is_refused() {
        for text in [
            "",
            "vm = 1",
            "[vm.a]\n[vm.b]",
            "[vm]\na = 1",
            "[vm.a]\n[hierarchy.x]",
        ] {
            let refusal = parse(text).unwrap_err();
            assert!(refusal.starts_with("a.toml: one [vm.NAME]"), "{refusal}");
        }
        assert!(
            parse("[vm.a]\nvcpus = \n")
                .unwrap_err()
                .starts_with("a.toml:2:")
        );
    }
}
