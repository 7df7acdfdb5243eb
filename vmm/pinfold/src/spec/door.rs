//! The spec language at the door of the management API: [`Specs`], in its types.

use std::path::Path;

use container_core::Refusal;
use management::api::{ApplyRequest, Problem};
use serde_json::Value;
use supervisor::NewMachine;
use supervisor::api::{Known, Replacement, Specs, Wanted};

use super::apply::{ApplyError, difference};
use super::{MachineSpec, machine_from_json, understand};

/// The spec language.
#[derive(Clone, Copy, Debug)]
pub struct Language;

impl Specs for Language {
    fn machine(&self, name: &str, body: &Value, known: &Known) -> Result<NewMachine, Problem> {
        let machine = machine_from_json(name, body, known);
        machine
            .map(|machine| machine.to_new())
            .map_err(|error| problem(422, "EINVAL", error.to_string()))
    }

    /// Paths in the spec stand relative to its file, which the client names from the root on.
    fn apply(&self, request: &ApplyRequest, known: &Known) -> Result<Wanted, Problem> {
        let bad = |error: super::SpecError| problem(422, "EINVAL", error.to_string());
        let (file, host) = (Path::new(&request.file), known.framework.host());
        if !file.is_absolute() {
            let rule = "does not begin with /, and the paths in a spec stand relative to its file";
            return Err(problem(
                422,
                "EINVAL",
                format!("file {:?} {rule}", request.file),
            ));
        }
        let spec = understand(file, &request.spec, host).map_err(bad)?;
        let wanted = difference(&spec, known).map_err(|error| match error {
            ApplyError::Spec(error) => bad(error),
            ApplyError::State(Refusal { errno, rule, .. }) => {
                problem(409, &format!("{errno:?}"), rule)
            }
        })?;
        let new = |machine: &MachineSpec| machine.to_new();
        Ok(Wanted {
            commands: wanted.commands,
            back: wanted.back,
            start: wanted.start.into_iter().map(new).collect(),
            replace: wanted
                .replace
                .into_iter()
                .map(|(machine, why)| Replacement {
                    machine: new(machine),
                    why,
                })
                .collect(),
            gone: wanted.gone,
            amend: wanted.amend,
            ends_first: wanted.waits.is_some(),
        })
    }
}

fn problem(status: u16, errno: &str, detail: String) -> Problem {
    let title = if status == 409 {
        "Conflict"
    } else {
        "Unprocessable Entity"
    };
    Problem {
        kind: "about:blank".into(),
        title: title.into(),
        status,
        detail,
        errno: errno.into(),
        command: None,
        remains: Box::default(),
    }
}

#[cfg(test)]
mod tests {
    use container_core::Framework;
    use serde_json::json;

    use super::*;
    use crate::spec::tests::{TREES, host};

    fn asked(spec: &str, known: &Known) -> Result<Wanted, Problem> {
        let request = ApplyRequest {
            spec: spec.into(),
            file: "/etc/s.toml".into(),
        };
        Language.apply(&request, known)
    }

    #[test]
    fn the_api_is_told_in_its_own_words() {
        let mut known = Known {
            framework: Framework::new(host()),
            machines: Vec::new(),
        };
        let wanted = asked(TREES, &known).unwrap();
        assert_eq!(wanted.commands.len(), 2 + 4 + 6);
        let [web] = &wanted.start[..] else {
            panic!("{wanted:?}")
        };
        let expected = ["placement:/".parse().unwrap(), "billing:/".parse().unwrap()];
        assert_eq!(
            web.placement.groups_of(container_core::TaskKind::Io),
            expected
        );

        let refused = asked("[hierarchy.p]\nsubsystems = ['blkio']", &known).unwrap_err();
        assert!(refused.detail.starts_with("/etc/s.toml:2: "), "{refused:?}");
        assert_eq!((refused.status, &*refused.errno), (422, "EINVAL"));
        known.machines.push(supervisor::api::KnownMachine {
            asked: web.clone(),
            alive: true,
        });
        let anew = asked(&TREES.replace("64M", "8M"), &known).unwrap();
        assert_eq!((anew.replace.len(), anew.ends_first), (1, true));
        assert!(anew.replace[0].why.contains("memory"), "{anew:?}");
        let refused = Language
            .machine("a", &json!({ "vcpus": 1 }), &known)
            .unwrap_err();
        assert_eq!(refused.detail, "machine a has no `memory`");
    }
}
