//! What the API's description says of names, beside what takes them apart: neither is wider than the other, but where a
//! pattern cannot say it.

use container_core::{
    Command, Credentials, Errno, GroupPath, HierarchyName, MachineName, TaskKind, TaskName,
};
use fancy_regex::Regex;
use management::api::AttachRequest;
use management::names;
use proptest::prelude::*;
use proptest::sample::select;
use utoipa::PartialSchema;

use crate::EventId;
use crate::api::words;
use crate::keeper::stage;

fn pattern(schema: &serde_json::Value) -> Regex {
    let pattern = schema["pattern"].as_str().expect("a pattern");
    Regex::new(pattern).expect("a pattern that compiles")
}

fn of<Name: PartialSchema>() -> Regex {
    pattern(&serde_json::to_value(Name::schema()).expect("a schema"))
}

fn matches(pattern: &Regex, text: &str) -> bool {
    pattern.is_match(text).expect("no runaway")
}

/// What names are made of, and what they are not to be made of.
fn text() -> impl Strategy<Value = String> {
    let (long, longer) = ("n".repeat(31), "g".repeat(255));
    let parts: Vec<String> = [
        "a", "Z9", "_", ".", "..", "-", "/", "//", ":", ":/", "\n", "\0", "\r", " ", "é", "%2F",
        "0", "1", "07", "63", "9999", "65535", "65536", "99999", "io", "control", "vcpu", "kvm",
        "web/vcpu", "p:/", "+", "/io", "1a.", "\u{2028}",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([long, longer])
    .collect();
    proptest::collection::vec(select(parts), 0..6).prop_map(|parts| parts.concat())
}

/// A length of a component is counted in bytes, which a pattern cannot.
fn is_too_long(errno: Errno) -> bool {
    errno == Errno::ENAMETOOLONG
}

#[test]
fn a_subsystem_is_what_its_pattern_says() {
    let said = of::<names::SubsystemName>();
    for subsystem in [
        "cpuset",
        "cpuacct",
        "debug",
        "freezer",
        "cpu",
        "",
        "cpuset,debug",
        "CPUSET",
    ] {
        let mut framework = stage::framework(&[]);
        let mount = Command::Mount {
            hierarchy: "p".parse().expect("a name"),
            subsystems: vec![subsystem.into()],
        };
        let mounted = framework.plan(&Credentials::ROOT, &[mount]);
        assert_eq!(matches(&said, subsystem), mounted.is_ok(), "{subsystem:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_name_is_what_its_pattern_says(text in text()) {
        let machine = matches(&of::<names::MachineName>(), &text);
        prop_assert_eq!(machine, text.parse::<MachineName>().is_ok(), "machine {:?}", text);
        let hierarchy = matches(&of::<names::HierarchyName>(), &text);
        prop_assert_eq!(hierarchy, text.parse::<HierarchyName>().is_ok(), "hierarchy {:?}", text);
    }

    #[test]
    fn a_group_is_what_its_pattern_says_but_for_its_length(text in text()) {
        let said = matches(&of::<names::GroupName>(), &text);
        match text.parse::<GroupPath>() {
            Ok(_) => prop_assert!(said, "{:?}", text),
            Err(refusal) => prop_assert!(!said || is_too_long(refusal.errno), "{:?}: {}", text, refusal),
        }
        // As a route has it: the hierarchy, and the components behind it.
        let said = matches(&of::<names::GroupComponents>(), &text);
        match words::group("p", &text) {
            // No components are the root, which has a route of its own.
            Ok(_) => prop_assert!(said || text.is_empty(), "{:?}", text),
            Err(refused) => prop_assert!(!said || refused.0.errno == "ENAMETOOLONG", "{:?}: {:?}", text, refused),
        }
        let root: GroupPath = "p:/".parse().expect("a root");
        let said = matches(&of::<names::GroupComponent>(), &text);
        match root.child(&text) {
            Ok(_) => prop_assert!(said, "{:?}", text),
            Err(refusal) => prop_assert!(!said || is_too_long(refusal.errno), "{:?}: {}", text, refusal),
        }
    }

    #[test]
    fn a_group_to_attach_to_is_what_its_pattern_says(text in text()) {
        let schema = serde_json::to_value(AttachRequest::schema()).expect("a schema");
        let said = matches(&pattern(&schema["properties"]["group"]), &text);
        let full = if text.starts_with('/') { format!("p:{text}") } else { text.clone() };
        match full.parse::<GroupPath>() {
            Ok(_) => prop_assert!(said, "{:?}", text),
            Err(refusal) => prop_assert!(!said || is_too_long(refusal.errno), "{:?}: {}", text, refusal),
        }
    }

    #[test]
    fn a_task_is_what_its_pattern_says(text in text()) {
        let said = matches(&of::<names::TaskName>(), &text);
        let name = text.parse::<TaskName>();
        // A vCPU of a higher number is a name, and no machine's.
        let is_possible = name.as_ref().is_ok_and(|name| match name.kind {
            TaskKind::Vcpu(number) | TaskKind::Kvm(number) => number <= 9999,
            TaskKind::Io | TaskKind::Control => true,
        });
        let is_tid = text.parse::<u32>().is_ok_and(|tid| tid.to_string() == text && tid < 1_000_000_000);
        prop_assert!(said || !(is_possible || is_tid), "{:?}", text);
        prop_assert!(!said || name.is_ok() || text.parse::<u32>().is_ok(), "{:?}", text);
    }

    #[test]
    fn an_event_number_is_what_its_pattern_says(text in text(), epoch in 0..1u64 << 48, seq in 0..1u64 << 59) {
        let (number, last) = (of::<names::EventNumber>(), of::<names::LastEventId>());
        let event = EventId { epoch, seq }.to_string();
        prop_assert!(matches(&number, &event) && matches(&last, &event), "{}", event);
        for text in [text, event] {
            prop_assert!(!matches(&number, &text) || text.parse::<EventId>().is_ok(), "{:?}", text);
            prop_assert_eq!(matches(&last, &text), text.is_empty() || matches(&number, &text), "{:?}", text);
        }
    }
}
