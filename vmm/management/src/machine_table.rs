//! The table `[vm.NAME]` of a spec as JSON, for the API's description of itself.
//!
//! It is only shown. A body is read by the spec language, so that there is one road to a machine; what follows from other
//! things (groups that there have to be, tasks that the number of vCPUs makes) is the language's to refuse.

use serde_json::json;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use crate::names::GroupName;

/// A machine to make.
#[derive(Clone, Copy, Debug)]
pub struct MachineTable;

impl PartialSchema for MachineTable {
    fn schema() -> RefOr<Schema> {
        let groups = json!({"type": "array", "items": GroupName::schema()});
        let by_kind = json!({"type": "object", "additionalProperties": false, "properties":
            {"all": groups, "vcpu": groups, "io": groups, "control": groups}});
        let task = json!({"type": "object", "additionalProperties": false, "properties": {"groups": groups}});
        let vsock = json!({
            "type": "object",
            "additionalProperties": false,
            "description": "The guest's sockets on the host",
            "properties": {
                "cid": {"type": "integer", "minimum": 3, "maximum": u32::MAX - 1},
                "path": {"type": "string", "pattern": "^(/[^/\\x00]+){2,}$", "maxLength": 96},
            },
        });
        let table = json!({
            "type": "object",
            "description": "The table [vm.NAME] of a spec",
            "additionalProperties": false,
            "required": ["memory", "vcpus", "guest"],
            "properties": {
                "memory": {"type": "string", "pattern": "^(([4-9]|[1-9][0-9]{1,2}|[12][0-9]{3}|30[0-6][0-9]|307[0-2])M|[1-3]G|[0-9]+K)$", "description": "4M to 3G, in pages of 4K"},
                "vcpus": {"type": "integer", "minimum": 1, "maximum": 64},
                "guest": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["tiny"],
                    "description": "What to boot: the script lines of the built-in guest",
                    "properties": {"tiny": {"type": "array", "items": {"type": "string"}}},
                },
                "groups": {
                    "anyOf": [groups, by_kind],
                    "description": "Where its tasks are placed, at most one group of each hierarchy: a list for all, or lists by kind",
                },
                "agent": {"type": "string", "enum": ["read", "delegate"]},
                "vsock": vsock,
                "namespaces": {
                    "type": "array",
                    "items": {"type": "string", "enum": ["uts", "ipc", "net", "mount"]},
                    "description": "Kinds of which its process has a namespace of its own",
                },
                "restart": {"type": "string", "enum": ["no", "on-failure", "always"]},
                "task": {
                    "type": "object",
                    "propertyNames": {"type": "string", "pattern": "^(vcpu[0-9]+|io|control)$"},
                    "additionalProperties": task,
                    "description": "Exceptions for single tasks",
                },
            },
            "examples": [{"memory": "4M", "vcpus": 1, "guest": {"tiny": ["exit"]}}],
        });
        serde_json::from_value::<Schema>(table)
            .unwrap_or_default()
            .into()
    }
}

impl ToSchema for MachineTable {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_read_whole() {
        let shown = serde_json::to_value(MachineTable::schema()).unwrap();
        assert_eq!(shown["properties"].as_object().unwrap().len(), 9, "{shown}");
    }
}
