//! What names look like, for the API's description of itself.
//!
//! Here they are only shown: a body holds them as text, and it is the supervisor that checks them. What a pattern cannot
//! say (a group's components are at most 255 bytes each) is the supervisor's to refuse as well.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

fn text(description: &str, pattern: &str, example: &str) -> RefOr<Schema> {
    let object: Object = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .pattern(Some(pattern))
        .examples([example])
        .build();
    object.into()
}

macro_rules! names {
    ($($(#[doc = $doc:literal])+ $name:ident: $pattern:literal, as $example:literal;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                text(concat!($($doc),+).trim_start(), $pattern, $example)
            }
        }

        impl ToSchema for $name {}
    )+};
}

names! {
    /// A machine.
    MachineName: "^[A-Za-z0-9_][A-Za-z0-9._-]{0,31}$", as "web";
    /// A hierarchy.
    HierarchyName: "^[A-Za-z0-9._-]{1,64}$", as "placement";
    /// A subsystem.
    SubsystemName: "^(cpuset|cpuacct|debug|freezer|memory|ns|cpu)$", as "cpuset";
    /// A group, `HIERARCHY:/path`; `HIERARCHY:/` is the root.
    GroupName: "^[A-Za-z0-9._-]{1,64}:(/|(/(?!\\.{1,2}(/|$))[^/\\n\\x00]+)+)$", as "placement:/gold";
    /// The components of a group below the root, with slashes between.
    GroupComponents: "^(?!\\.{1,2}(/|$))[^/\\n\\x00]+(/(?!\\.{1,2}(/|$))[^/\\n\\x00]+)*$", as "gold";
    /// One component of a group.
    GroupComponent: "^(?!\\.{1,2}$)[^/\\n\\x00]+$", as "gold";
    /// The components of a group, none for the root, and a control file, with slashes between.
    FilePath: "^((?!\\.{1,2}/)[^/\\n\\x00]+/)*[^/\\n\\x00]+$", as "gold/cpuset.cpus";
    /// A task, `MACHINE/KIND`, or a host's thread id.
    TaskName: "^([A-Za-z0-9_][A-Za-z0-9._-]{0,31}/(vcpu(0|[1-9][0-9]{0,3})|io|control|kvm(0|[1-9][0-9]{0,3}))|[0-9]{1,9})$", as "web/vcpu0";
    /// The number of an event, `EPOCH.SEQ`.
    EventNumber: "^[0-9a-f]{1,15}\\.[0-9]{1,18}$", as "1a2b.17";
    /// The number of an event, or nothing.
    LastEventId: "^([0-9a-f]{1,15}\\.[0-9]{1,18})?$", as "1a2b.17";
    /// A path from the root on.
    AbsolutePath: "^/[^\\x00]*$", as "/etc/pinfold/host.toml";
}
