//! The good path of each route.

use container_core::MachineName;
use serde_json::json;

use super::support::Served;
use crate::Notice;

#[test]
fn a_plan_is_tried_and_then_in_force() {
    let served = Served::start();
    let commands = json!({"commands": [
        {"op": "mkdir", "group": "billing:/x"},
        {"op": "rename", "group": "billing:/x", "to": "y"},
        {"op": "attach", "group": "billing:/y", "task": "web/vcpu0"},
    ]});
    let dry = served.send("POST", "/v1/plan?dry_run=true", &commands);
    let dry = dry.json();
    assert_eq!(dry["committed"], false);
    served.get("/v1/groups/billing/y").refused(404, "ENOENT");
    let done = served.send("POST", "/v1/plan", &commands).json();
    assert_eq!(done["committed"], true);
    assert!(done["took_ns"].is_u64());
    let group = served.get("/v1/groups/billing/y").json();
    assert_eq!(group["group"]["tasks"], json!(["web/vcpu0"]));
}

#[test]
fn a_spec_is_applied_in_one_plan() {
    let served = Served::start();
    let spec = json!({"spec": "mkdir billing:/s\nmkdir billing:/s/t", "file": "s.toml"});
    let dry = served.send("POST", "/v1/apply?dry_run=true", &spec).json();
    assert_eq!(dry["plan"]["committed"], false);
    let done = served.send("POST", "/v1/apply", &spec).json();
    assert_eq!(done["commands"].as_array().unwrap().len(), 2);
    assert_eq!(done["plan"]["committed"], true);
    assert_eq!(served.get("/v1/groups/billing/s/t").status, 200);
}

#[test]
fn hierarchies_and_groups_are_shown() {
    let served = Served::start();
    let all = served.get("/v1/hierarchies").json();
    assert_eq!(all[0]["name"], "placement");
    assert_eq!(all[1]["groups"], 3);
    let one = served.get("/v1/hierarchies/billing").json();
    assert_eq!(one["subsystems"], json!(["cpuacct"]));
    let root = served.get("/v1/groups/billing?recursive=true").json();
    assert_eq!(root["group"]["group"], "billing:/");
    let names: Vec<_> = root["below"].as_array().unwrap().iter().collect();
    assert_eq!(names[0]["group"], "billing:/tenant");
    assert_eq!(names[1]["group"], "billing:/tenant/a b");
    let deep = served.get("/v1/groups/billing/tenant/a%20b").json();
    assert_eq!(deep["group"]["depth"], 2);
    let same = served.get("/v1/groups/billing/tenant%2Fa%20b").json();
    assert_eq!(same["group"], deep["group"]);
    let files = deep["files"].as_array().unwrap();
    assert!(files.contains(&json!("cpuacct.usage")), "{files:?}");
}

#[test]
fn a_control_file_is_written_and_reads_back() {
    let served = Served::start();
    let path = "/v1/files/billing/tenant/notify_on_release";
    assert_eq!(served.put_text(path, "1\n").status, 204);
    let read = served.get(path);
    assert_eq!(read.text, "1\n");
    assert!(read.head.contains("content-type: text/plain"));
    let root = served.get("/v1/files/placement/cpuset.cpus");
    assert_eq!(root.status, 200, "{}", root.text);
}

#[test]
fn a_task_is_found_by_name_and_by_thread_and_moved() {
    let served = Served::start();
    assert_eq!(served.get("/v1/tasks").json()[0]["name"], "web/vcpu0");
    let by_name = served.get("/v1/tasks/web%2Fvcpu0").json();
    assert_eq!(served.get("/v1/tasks/999999999").json(), by_name);
    let path = "/v1/tasks/web%2Fvcpu0/groups/billing";
    let moved = served.send("PUT", path, &json!({"group": "/tenant"}));
    assert_eq!(moved.json()["committed"], true);
    let moved = served.send("PUT", path, &json!({"group": "billing:/tenant/a b"}));
    assert_eq!(moved.json()["committed"], true);
    let lines = served.get("/v1/proc/web%2Fvcpu0/group");
    assert!(lines.text.contains("/tenant/a b"), "{}", lines.text);
    let lines = served.get("/v1/proc/groups");
    assert!(lines.text.contains("cpuset"), "{}", lines.text);
}

#[test]
fn machines_are_listed_and_a_body_reaches_the_binarys_language() {
    let served = Served::start();
    assert_eq!(served.get("/v1/machines").json(), json!([]));
    let made = served.send("POST", "/v1/machines/web", &json!({"vcpus": 1}));
    assert!(made.refused(422, "EINVAL").detail.contains("memory"));
    // Without a program to start machines with there is none to be made, and that is no server's fault.
    let made = served.send("POST", "/v1/machines/web", &json!({"memory": "4M"}));
    assert!((400..500).contains(&made.status), "{made:?}");
    for (method, path, body) in [
        (
            "PUT",
            "/v1/machines/web/state?wait=true",
            json!({"state": "stopped", "force": true}),
        ),
        ("POST", "/v1/machines/web/agent", json!({"ask": "ping"})),
        ("DELETE", "/v1/machines/web", json!({})),
        ("GET", "/v1/machines/web/log?follow=true", json!({})),
        ("GET", "/v1/machines/web", json!({})),
    ] {
        let answer = served.send(method, path, &body);
        assert!(
            (400..500).contains(&answer.status),
            "{method} {path}: {answer:?}"
        );
    }
}

#[test]
fn metrics_tell_of_tasks_groups_and_the_api_itself() {
    let served = Served::start();
    served.get("/v1/groups/nowhere").refused(404, "ENOENT");
    served.mkdir("billing:/m");
    let text = served.get("/metrics").text;
    for line in [
        "pinfold_task_usage_seconds_total{task=\"web/vcpu0\"",
        "pinfold_task_wait_seconds_total{",
        "pinfold_task_cycles_total{",
        "pinfold_group_usage_seconds_total{group=\"billing:/tenant\"} 0.0",
        "pinfold_machines{state=\"running\"} 0",
        "pinfold_events_total{kind=\"group_created\"}",
        "pinfold_drift_total{repaired=\"true\"} 0",
        "pinfold_refusals_total{errno=\"ENOENT\"} 1",
        "route=\"/v1/groups/{hierarchy}\",status=\"404\"} 1",
        "# EOF",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
}

#[test]
fn refused_commands_are_counted_by_what_they_are_and_not_by_what_clients_write() {
    let served = Served::start();
    let cpus = "/v1/files/placement/cpuset.cpus";
    served.put_text(cpus, "nonsense").refused(403, "EACCES");
    served.put_text(cpus, "nonsense").refused(403, "EACCES");
    let odd = "/v1/files/placement/no%20such";
    served.put_text(odd, "1").refused(404, "ENOENT");
    let commands = json!({"commands": [
        {"op": "mkdir", "group": "billing:/new"},
        {"op": "rmdir", "group": "billing:/tenant"},
    ]});
    // It has a child.
    let struck = served
        .send("POST", "/v1/plan", &commands)
        .refused(409, "EBUSY");
    assert_eq!(struck.command, Some(1));
    let unheard = json!({"commands": [{"op": "mkdir", "group": "no colon"}]});
    served
        .send("POST", "/v1/plan?dry_run=true", &unheard)
        .refused(422, "EINVAL");
    let attach = json!({"group": "/nowhere"});
    let path = "/v1/tasks/web%2Fvcpu0/groups/billing";
    served.send("PUT", path, &attach).refused(404, "ENOENT");
    let text = served.get("/metrics").text;
    let counted: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("pinfold_refused_commands_total"))
        .collect();
    let mut sorted = counted.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            "{operation=\"attach\",file=\"\",errno=\"ENOENT\"} 1",
            "{operation=\"mkdir\",file=\"\",errno=\"EINVAL\"} 1",
            "{operation=\"rmdir\",file=\"\",errno=\"EBUSY\"} 1",
            "{operation=\"set\",file=\"cpuset.cpus\",errno=\"EACCES\"} 2",
            "{operation=\"set\",file=\"other\",errno=\"ENOENT\"} 1",
        ]
    );
}

#[test]
fn the_report_and_the_version_are_told() {
    let served = Served::start();
    let report = served.get("/v1/report").json();
    assert!(report["events"].as_array().unwrap().len() > 3);
    assert_eq!(served.get("/v1/version").json()["api"], "v1");
}

#[test]
fn every_documented_operation_is_routed_and_every_reference_resolves() {
    let served = Served::start();
    let document = served.get("/openapi.json").json();
    let paths = document["paths"].as_object().unwrap();
    let mut operations = std::collections::BTreeSet::new();
    for (path, methods) in paths {
        let concrete = path
            .replace("{hierarchy}", "billing")
            .replace("{path}", "tenant/tasks")
            .replace(['{', '}'], "");
        for method in methods.as_object().unwrap().keys() {
            let answer = served.send(&method.to_uppercase(), &concrete, &json!({}));
            let unknown = answer.text.contains("there is nothing at");
            assert!(
                answer.status != 405 && !unknown,
                "{method} {path}: {answer:?}"
            );
            let responses = &methods[method]["responses"];
            let known = responses.get(answer.status.to_string()).is_some();
            assert!(
                known,
                "{method} {path}: {} is not documented",
                answer.status
            );
            let id = methods[method]["operationId"].as_str().unwrap();
            assert!(operations.insert(id), "{id} is the name of two operations");
        }
    }
    assert_eq!(operations.len(), 25);
    let commands = &document["components"]["schemas"]["Command"]["oneOf"];
    let mut commands = commands.as_array().unwrap().iter();
    assert!(commands.all(|command| command["additionalProperties"] == false));
    let text = document.to_string();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        let known = document["components"]["schemas"].get(name).is_some();
        assert!(known, "{name} is not described");
    }
}

#[test]
fn the_end_of_a_console_is_kept_and_followed() {
    let (onlooker, feed) = crate::api::feed();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let handle = crate::api::feed::serve(feed);
        let machine: MachineName = "web".parse().unwrap();
        let say = |byte: u8, bytes: usize| {
            onlooker(Notice::Console {
                machine: machine.clone(),
                bytes: vec![byte; bytes],
            });
        };
        (0..300).for_each(|_| say(b'a', 1000));
        say(b'z', 1);
        let log = loop {
            let log = handle.log("web").await.unwrap();
            if log.end.ends_with(b"z") {
                break log;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(log.end.len(), crate::api::feed::LOG_BYTES);
        let mut next = log.next;
        say(b'n', 3);
        assert_eq!(next.recv().await.unwrap(), "nnn");
        onlooker(Notice::Event(Box::new(management::Event {
            kind: "machine_removed".into(),
            machine: Some("web".into()),
            ..Default::default()
        })));
        assert!(next.recv().await.is_err());
        assert!(handle.log("web").await.unwrap().end.is_empty());
    });
}
