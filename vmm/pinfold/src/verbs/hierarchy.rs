//! `pinfold hierarchy`.

use std::process::ExitCode;

use management::api::{Command, Hierarchy};

use super::group::change;
use super::output::{show, table};
use crate::cli::{HierarchyArgs, HierarchyVerb};

/// Mount, unmount, remount, list.
///
/// # Errors
/// A refusal, or no supervisor.
pub fn hierarchy(args: &HierarchyArgs) -> anyhow::Result<ExitCode> {
    let client = super::client(&args.server)?;
    match &args.verb {
        HierarchyVerb::Mount {
            name,
            subsystems,
            dry_run,
        } => {
            let mount = Command::Mount {
                hierarchy: name.clone(),
                subsystems: subsystems.clone(),
            };
            change(&client, vec![mount], *dry_run)?;
        }
        HierarchyVerb::Umount { name, dry_run } => {
            let umount = Command::Umount {
                hierarchy: name.clone(),
            };
            change(&client, vec![umount], *dry_run)?;
        }
        HierarchyVerb::Remount {
            name,
            subsystems,
            dry_run,
        } => {
            let remount = Command::Remount {
                hierarchy: name.clone(),
                subsystems: subsystems.clone(),
            };
            change(&client, vec![remount], *dry_run)?;
        }
        HierarchyVerb::Ls { json } => show(&client.get("/v1/hierarchies")?, *json, list)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(hierarchies: Vec<Hierarchy>) -> String {
    let row = |hierarchy: Hierarchy| {
        let state = if hierarchy.mounted { "" } else { "unmounted" };
        [
            hierarchy.name,
            hierarchy.subsystems.join(","),
            hierarchy.groups.to_string(),
            state.to_owned(),
        ]
    };
    let rows = hierarchies.into_iter().map(row).collect();
    table(["hierarchy", "subsystems", "groups", "state"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_listed_with_what_their_groups_mean() {
        let recorded = r#"[
            {"name":"placement","subsystems":["cpuset","debug"],"groups":5,"mounted":true},
            {"name":"old","subsystems":[],"groups":2,"mounted":false}
        ]"#;
        let expected = "\
hierarchy  subsystems    groups  state
placement  cpuset,debug  5
old                      2       unmounted
";
        assert_eq!(list(serde_json::from_str(recorded).unwrap()), expected);
    }
}
